#include "door/redis/redis_door.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "door/redis/door_state.h"
#include "door/redis/text.h"
#include "node/control.h"

namespace coterie::door::redis {
namespace {

std::vector<NodeId> NodesOf(node::Control& control) {
  std::vector<NodeId> nodes;
  for (const auto& [id, info] : control.map()->nodes) nodes.push_back(id);
  return nodes;
}

/// Whether the command decides by what is there: SETNX and its like, SET with NX, XX or GET.
bool IsConditional(const Command& command, Words words) {
  if (command.id != CommandId::kSet) return command.refusal == Refusal::kDecides;
  return words.size() > 3 && std::ranges::any_of(words.subspan(3), [](std::string_view word) {
           return IsWord(word, "nx") || IsWord(word, "xx") || IsWord(word, "get");
         });
}

}  // namespace

DoorState::DoorState(runtime::World& the_world, RedisDoorOptions the_options)
    : world(the_world),
      options(std::move(the_options)),
      started(world.Now()),
      config(InitialConfig(options)),
      publisher(options.self, options.transport, [this] { return NodesOf(*options.control); }),
      subscribers(world, options.self, options.transport, publisher,
                  [this] { return NodesOf(*options.control); }),
      router(world, options.self, *options.control, options.leaderless, options.transport,
             options.detector,
             [this](const Command& command, std::uint8_t kind, Words words) {
               return ExecutorOf(command, kind, words);
             }),
      ended(world.executor()) {
  if (options.leaderless == nullptr) return;
  cells = std::make_unique<CellCommands>(world, *options.control, *options.leaderless, router);
  if (options.conditional != nullptr)
    conditional = std::make_unique<ConditionalCommands>(*cells, *options.conditional);
}

Executor* DoorState::ExecutorOf(const Command& command, std::uint8_t kind, Words words) const {
  const bool leaderless = (kind & kLeaderless) != 0;
  if (command.id == CommandId::kCoterie) return leaderless ? cells.get() : nullptr;
  if (kind == kLww && conditional != nullptr && (command.kinds & kPaxos) != 0 &&
      IsConditional(command, words))
    return conditional.get();
  if ((command.kinds & kind) == 0) return nullptr;
  return leaderless ? static_cast<Executor*>(cells.get()) : options.ordered;
}

std::string DoorState::HintFor(const Command& command, const placement::ClusterMap& map) const {
  const placement::Keyspace* best = nullptr;
  for (const auto& [name, keyspace] : map.keyspaces) {
    if ((command.kinds & KindOf(keyspace.promise)) == 0) continue;
    if (map.FindDatabase(keyspace.promise.redis_database) != &keyspace) continue;
    if (best == nullptr || keyspace.promise.redis_database < best->promise.redis_database)
      best = &keyspace;
  }
  if (best != nullptr)
    return fmt::format("use a {} keyspace, as `{}` (SELECT {})", KindText(KindOf(best->promise)),
                       best->promise.name, best->promise.redis_database);
  for (const std::uint8_t kind : {kRaft, kPaxos, kCrdt, kLww, kSiblings})
    if ((command.kinds & kind) != 0)
      return fmt::format("use a {} keyspace (`coterie keyspace create`)", KindText(kind));
  return "";
}

runtime::Task<void> DoorState::ServeConnection(std::unique_ptr<runtime::Stream> stream) {
  struct Leave {
    explicit Leave(DoorState& the_door) : door(the_door) {}
    Leave(const Leave&) = delete;
    ~Leave() { door.ended.NotifyAll(); }
    DoorState& door;
  };
  const Leave leave(*this);
  Connection connection(*this, next_client++, std::move(stream));
  co_await connection.Run();
}

runtime::Task<void> DoorState::Refuse(std::unique_ptr<runtime::Stream> stream) {
  Status written = co_await stream->Write("-ERR max number of clients reached\r\n");
  if (written) stream->ShutdownWrite();
}

runtime::Task<void> DoorState::Accept(std::shared_ptr<runtime::Listener> listener) {
  for (;;) {
    Result<std::unique_ptr<runtime::Stream>> stream = co_await listener->Accept();
    if (draining) co_return;
    if (!stream) {
      // Out of file descriptors, say: those that are served go on, and will be fewer.
      world.log().Warn("redis", "accept: {}", Describe(stream.error()));
      co_await runtime::Sleep(world.executor(), 100ms);
      continue;
    }
    ++stats.connections_total;
    if (connections.size() >= options.limits.connections_max) {
      ++stats.refused;
      serving.Spawn(Refuse(std::move(*stream)));
    } else {
      serving.Spawn(ServeConnection(std::move(*stream)));
    }
  }
}

runtime::Task<void> DoorState::Drain(Instant deadline) {
  draining = true;
  acceptors.Cancel();
  for (const auto& [id, connection] : connections) connection->Drain();
  while (!connections.empty()) {
    const bool notified = co_await ended.WaitUntil(deadline);
    if (!notified) break;
  }
  for (const auto& [id, connection] : connections) connection->Close();
}

RedisDoor::RedisDoor(runtime::World& world, RedisDoorOptions options)
    : state_(std::make_unique<DoorState>(world, std::move(options))) {}
RedisDoor::~RedisDoor() = default;

void RedisDoor::Serve(std::unique_ptr<runtime::Listener> listener) {
  state_->acceptors.Spawn(state_->Accept(std::move(listener)));
}

runtime::Task<void> RedisDoor::Drain(Instant deadline) { return state_->Drain(deadline); }

runtime::Task<std::string> RedisDoor::PassOn(Context context, OwnedWords words) {
  return state_->router.PassOn(std::move(context), std::move(words));
}

RedisDoorStats RedisDoor::stats() const {
  RedisDoorStats stats = state_->stats;
  stats.connections = state_->connections.size();
  stats.messages = state_->publisher.messages();
  stats.forwarded = state_->router.forwarded();
  return stats;
}

}  // namespace coterie::door::redis

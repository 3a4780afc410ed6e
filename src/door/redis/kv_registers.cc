#include "door/redis/kv_registers.h"

#include <utility>

#include "door/redis/ordered_cursors.h"
#include "door/redis/ordered_objects.h"
#include "door/redis/ordered_raft.h"

namespace coterie::door::redis {

using ordered::Objects;
using ordered::ObjectType;
using runtime::Task;

namespace {

std::unexpected<Error> NoReplica() {
  return Fail(ErrorCode::kNotReplica, "the keyspace has no replica here");
}

}  // namespace

struct RaftRegisters::State {
  State(runtime::World& the_world, std::function<node::KvKeyspace*()> the_keyspace)
      : world(the_world), keyspace(std::move(the_keyspace)), cursors(the_world.random()) {}

  /// Decides on this node's state and commits; `barrier`: on one that is known to be new.
  Task<Result<std::optional<Value>>> Run(std::string key, Decide decide, bool barrier,
                                         Instant deadline);
  ordered::View::Surroundings surroundings() {
    return {ordered::WallMilliseconds(world), world.random(), cursors};
  }

  runtime::World& world;
  const std::function<node::KvKeyspace*()> keyspace;
  ordered::Cursors cursors;
};

RaftRegisters::RaftRegisters(runtime::World& world, std::function<node::KvKeyspace*()> keyspace)
    : state_(std::make_unique<State>(world, std::move(keyspace))) {}
RaftRegisters::~RaftRegisters() = default;

Task<Result<std::optional<node::Registers::Value>>> RaftRegisters::State::Run(std::string key,
                                                                              Decide decide,
                                                                              bool barrier,
                                                                              Instant deadline) {
  bool fresh = false;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    node::KvKeyspace* here = keyspace();
    if (here == nullptr) co_return NoReplica();
    if (barrier && !fresh) {
      const Status passed = co_await here->replica().ReadBarrier(deadline);
      if (!passed) co_return std::unexpected(passed.error());
      fresh = true;
      here = keyspace();
      if (here == nullptr) co_return NoReplica();
    }
    Objects objects(here->store(), surroundings());
    const auto& object = objects.Find(key);
    if (object.type != ObjectType::kNone && object.type != ObjectType::kString) {
      if (fresh) co_return Fail(ErrorCode::kInvalidArgument, "the key holds a collection");
      barrier = true;
      continue;
    }
    std::optional<Value> current;
    if (object.type == ObjectType::kString) current = Value{object.value, object.expires_at_ms};
    Change change = decide(current);
    if (change.write && change.value) {
      objects.PutString(key, change.value->bytes, change.value->expires_at_ms);
    } else if (change.write) {
      objects.Remove(key);
    }
    if (objects.kv().error()) co_return std::unexpected(*objects.kv().error());
    auto after = change.write ? std::move(change.value) : std::move(current);
    if (!objects.kv().changed()) {
      if (fresh) co_return after;
      barrier = true;  // nothing will be compared: what was read must be known to be new
      continue;
    }
    auto command = objects.kv().Encode();
    if (!command) co_return std::unexpected(std::move(command.error()));
    auto answer = co_await here->replica().Propose(std::move(*command), deadline);
    if (!answer && answer.error().code == ErrorCode::kProposalDropped) continue;
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    const auto happened = ordered::Succeeded(**answer);
    if (!happened) co_return std::unexpected(happened.error());
    if (*happened) co_return after;
    fresh = true;  // what it lost against has been applied here
  }
  co_return Fail(ErrorCode::kContended);
}

Task<Result<std::optional<node::Registers::Value>>> RaftRegisters::Read(std::string key,
                                                                        Instant deadline) {
  const Decide leave = [](const std::optional<Value>&) { return Change{}; };
  return state_->Run(std::move(key), leave, true, deadline);
}

Task<Result<std::optional<node::Registers::Value>>> RaftRegisters::Update(std::string key,
                                                                          Decide decide,
                                                                          Instant deadline) {
  return state_->Run(std::move(key), std::move(decide), false, deadline);
}

Task<Result<std::vector<std::string>>> RaftRegisters::Keys(std::string after, std::size_t max,
                                                           Instant deadline) {
  node::KvKeyspace* here = state_->keyspace();
  if (here == nullptr) co_return NoReplica();
  const Status passed = co_await here->replica().ReadBarrier(deadline);
  if (!passed) co_return std::unexpected(passed.error());
  here = state_->keyspace();
  if (here == nullptr) co_return NoReplica();
  Objects objects(here->store(), state_->surroundings());
  std::vector<std::string> out;
  std::optional<std::string> from;
  if (!after.empty()) from = std::move(after);
  while (out.size() < max) {
    auto page = objects.Keys(std::move(from), max - out.size());
    for (auto& key : page.keys) {
      if (objects.Find(key).type == ObjectType::kString) out.push_back(std::move(key));
    }
    if (!page.next) break;
    from = std::move(page.next);
  }
  if (objects.kv().error()) co_return std::unexpected(*objects.kv().error());
  co_return out;
}

}  // namespace coterie::door::redis

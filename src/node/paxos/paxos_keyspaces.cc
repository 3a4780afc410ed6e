#include "node/paxos/paxos_keyspaces.h"

#include <map>
#include <utility>

#include "node/paxos/acceptors.h"
#include "node/paxos/keyspace_registers.h"
#include "node/paxos/moves.h"
#include "node/paxos/register_store.h"
#include "node/paxos/rounds.h"
#include "storage/durable_dir.h"
#include "storage/engine_home.h"

namespace coterie::node {

using runtime::Task;

namespace {

registers::StoreOptions StoreOptionsOf(const PaxosOptions& options) {
  return {.cache_bytes_max = options.cache_bytes_max,
          .dirty_bytes = options.dirty_bytes,
          .journal_bytes = options.journal_bytes,
          .write_back_interval = options.write_back_interval};
}

registers::RoundsOptions RoundsOptionsOf(const PaxosOptions& options) {
  registers::RoundsOptions rounds;
  rounds.reach_patience = options.reach_patience;
  rounds.queue_max = options.queue_max;
  return rounds;
}

/// One start of one node; after 65535 starts numbers repeat, and time keeps ballots apart.
clock::Actor ProposerOf(NodeId self, std::uint64_t starts) {
  return clock::MakeActor(self, static_cast<std::uint16_t>(starts % 65535 + 1));
}

}  // namespace

struct PaxosKeyspaces::Parts {
  Parts(runtime::World& w, NodeId s, Control& c, Transport& t, Journal& journal, PaxosOptions o)
      : world(w),
        self(s),
        control(c),
        transport(t),
        options(o),
        store(w, journal, StoreOptionsOf(o)),
        acceptors(w, s, c, store) {}

  void Begin(FailureDetector* detector);
  void FollowMap();
  Task<void> MapLoop();
  Task<Result<std::string>> OnPaxos(std::string body);
  Task<Result<std::string>> OnKeys(std::string body);

  runtime::World& world;
  const NodeId self;
  Control& control;
  Transport& transport;
  const PaxosOptions options;
  registers::RegisterStore store;
  registers::Acceptors acceptors;
  std::unique_ptr<registers::Rounds> rounds;
  std::map<std::string, std::unique_ptr<registers::KeyspaceRegisters>, std::less<>> keyspaces;
  std::unique_ptr<registers::Moves> moves;
  runtime::Scope scope;
};

Task<Result<std::unique_ptr<PaxosKeyspaces>>> PaxosKeyspaces::Open(
    runtime::World& world, NodeId self, Control& control, Transport& transport, Journal& journal,
    storage::EngineFactory engines, std::string dir, FailureDetector* detector,
    PaxosOptions options) {
  auto parts = std::make_unique<Parts>(world, self, control, transport, journal, options);
  COT_CO_TRY(co_await storage::MakeDirDurable(world.disk(), dir));
  storage::EngineHome home(world, std::move(engines), dir);
  COT_CO_ASSIGN(auto engine, co_await home.OpenCurrent());
  COT_CO_TRY(parts->store.Load(std::move(engine)));
  // No ballot of this start may leave before the start is durable.
  co_await journal.Durable(journal.last());
  parts->Begin(detector);
  co_return std::unique_ptr<PaxosKeyspaces>(new PaxosKeyspaces(std::move(parts)));
}

void PaxosKeyspaces::Parts::Begin(FailureDetector* detector) {
  rounds = std::make_unique<registers::Rounds>(world, self, control, transport, acceptors,
                                               ProposerOf(self, store.starts()), detector,
                                               RoundsOptionsOf(options));
  moves = std::make_unique<registers::Moves>(world, self, control, store, *rounds,
                                             options.carries_at_once);
  transport.OnCall(Method::kPaxos,
                   [this](NodeId, std::string body, Instant) { return OnPaxos(std::move(body)); });
  transport.OnCall(Method::kPaxosKeys,
                   [this](NodeId, std::string body, Instant) { return OnKeys(std::move(body)); });
  FollowMap();
  scope.Spawn(MapLoop());
}

Task<Result<std::string>> PaxosKeyspaces::Parts::OnPaxos(std::string body) {
  std::optional<registers::Asked> asked = registers::DecodeRequest(body);
  if (!asked) co_return Fail(ErrorCode::kMalformed, "a register's request");
  auto reply =
      co_await acceptors.Answer(asked->shard, std::string(asked->key), std::move(asked->request));
  if (!reply) co_return std::unexpected(std::move(reply.error()));
  co_return registers::EncodeReply(*reply);
}

Task<Result<std::string>> PaxosKeyspaces::Parts::OnKeys(std::string body) {
  std::optional<registers::KeysAsked> asked = registers::DecodeKeysAsked(body);
  if (!asked) co_return Fail(ErrorCode::kMalformed, "a listing's request");
  auto report = co_await acceptors.Keys(std::move(*asked));
  if (!report) co_return std::unexpected(std::move(report.error()));
  co_return registers::Encode(*report);
}

void PaxosKeyspaces::Parts::FollowMap() {
  acceptors.FollowMap();
  rounds->FollowMap();
  moves->FollowMap();
}

Task<void> PaxosKeyspaces::Parts::MapLoop() {
  placement::ClusterMapPtr followed = control.map();
  for (;;) {
    if (control.map() == followed) co_await control.changed().Wait();
    followed = control.map();
    FollowMap();
  }
}

PaxosKeyspaces::PaxosKeyspaces(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
PaxosKeyspaces::~PaxosKeyspaces() = default;

Registers* PaxosKeyspaces::Find(std::string_view name) {
  const auto known = parts_->keyspaces.find(name);
  const placement::ClusterMapPtr map = parts_->control.map();
  const placement::Keyspace* keyspace = map->Find(name);
  const bool paxos =
      keyspace != nullptr && keyspace->promise.replication == keyspace::Replication::kPaxos;
  if (!paxos) return nullptr;
  if (known != parts_->keyspaces.end()) return known->second.get();
  auto made = std::make_unique<registers::KeyspaceRegisters>(parts_->world, parts_->control,
                                                             *parts_->rounds, std::string(name));
  return parts_->keyspaces.emplace(std::string(name), std::move(made)).first->second.get();
}

bool PaxosKeyspaces::HasFollowed(const placement::Shard& shard) const {
  return parts_->moves->HasFollowed(shard);
}

registers::Rounds& PaxosKeyspaces::rounds() { return *parts_->rounds; }

PaxosStats PaxosKeyspaces::stats() const {
  const registers::RoundsStats& rounds = parts_->rounds->stats();
  return {.rounds = rounds.rounds,
          .one_trip = rounds.one_trip,
          .folded = rounds.folded,
          .reads = rounds.reads,
          .reads_settled = rounds.reads_settled,
          .carried = parts_->moves->carried()};
}

}  // namespace coterie::node

#include "node/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"
#include "node/identity.h"
#include "node/lease_service.h"
#include "node/raft_codec.h"
#include "node/raft_replica.h"
#include "node/recovery.h"
#include "node/transport.h"
#include "storage/durable_dir.h"
#include "storage/engine_home.h"

namespace coterie::node {

namespace {
constexpr ShardId kMainShard(1);
constexpr std::size_t kPurgeRecords = 256;
constexpr Duration kPurgePause = 5ms;
constexpr Duration kPurgeIdle = 500ms;
}  // namespace

std::uint64_t ClusterIdOf(std::string_view cluster) {
  const std::uint64_t low = Crc32c(cluster);
  const std::uint64_t high = Crc32c(cluster, 0x636f7465);
  return (high << 32 | low) | 1;
}

struct Node::Parts {
  Parts(runtime::World& w, NodeConfig c)
      : world(w),
        config(std::move(c)),
        cluster_id(ClusterIdOf(config.cluster)),
        store(w.executor(), kv::StoreOptions{}) {}
  ~Parts() {
    if (transport) transport->Stop();  // its tasks run handlers of the members below it
  }

  runtime::World& world;
  const NodeConfig config;
  const std::uint64_t cluster_id;
  std::unique_ptr<runtime::File> lock;
  std::unique_ptr<runtime::Listener> listener;
  std::unique_ptr<storage::Wal> wal;
  std::unique_ptr<storage::EngineHome> home;
  kv::Store store;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<RaftReplica> replica;
  std::unique_ptr<LeaseService> leases;
  LogIndex committed_at_start;
  runtime::Scope scope;

  runtime::Task<Status> OpenStorage(storage::EngineFactory engines);
  runtime::Task<void> PurgeLoop();
};

runtime::Task<Result<std::unique_ptr<Node>>> Node::Start(runtime::World& world, NodeConfig config,
                                                         storage::EngineFactory engines) {
  const bool known = std::any_of(config.members.begin(), config.members.end(),
                                 [&](const MemberConfig& m) { return m.id == config.id; });
  if (!known) co_return Fail(ErrorCode::kInvalidConfig, "this node is not among the members");
  auto parts = std::make_unique<Parts>(world, std::move(config));
  COT_CO_ASSIGN(parts->listener, world.network().Listen(parts->config.peer_listen));
  COT_CO_TRY(co_await parts->OpenStorage(std::move(engines)));
  parts->transport->Start(std::move(parts->listener));
  parts->replica->Start();
  parts->leases->Start();
  parts->scope.Spawn(parts->PurgeLoop());
  co_return std::unique_ptr<Node>(new Node(std::move(parts)));
}

runtime::Task<Status> Node::Parts::OpenStorage(storage::EngineFactory engines) {
  const std::string dir = config.data_dir;
  COT_CO_TRY(co_await storage::MakeDirDurable(world.disk(), dir));
  COT_CO_ASSIGN(lock, co_await world.disk().Lock(dir + "/lock"));
  COT_CO_TRY(co_await CheckIdentity(world.disk(), dir, config.cluster, config.id));

  storage::WalOptions wal_options;
  wal_options.segment_bytes = config.wal_segment_bytes;
  // All that may be proposed and not committed can come in one turn, and has headers on top.
  wal_options.batch_bytes_max = 4 * raft::Config{}.uncommitted_bytes_max;
  COT_CO_ASSIGN(wal, co_await storage::Wal::Open(world, dir + "/wal", wal_options));
  home = std::make_unique<storage::EngineHome>(world, std::move(engines), dir + "/state");
  COT_CO_ASSIGN(auto engine, co_await home->OpenCurrent());
  COT_CO_TRY(store.Load(*engine));
  auto shards = wal->TakeRecovered();
  COT_CO_ASSIGN(Recovered recovered,
                Recover(config, std::move(shards[kMainShard]), store, *engine));
  if (recovered.reset_log) {
    const raft::Restored& restored = recovered.restored;
    storage::WalBatch batch;
    batch.PutCompaction(kMainShard, restored.compacted, restored.compacted_term);
    batch.PutHardState(kMainShard, EncodeHardState({restored.hard_state, restored.configuration}));
    COT_CO_TRY(co_await wal->Append(std::move(batch)));
  }
  committed_at_start = recovered.restored.hard_state.commit;
  world.log().Info("node", "recovered: term {}, log ({}, {}], applied {}",
                   recovered.restored.hard_state.term.value, recovered.restored.compacted.value,
                   recovered.restored.compacted.value + recovered.restored.entries.size(),
                   recovered.restored.applied.value);

  transport = std::make_unique<Transport>(world, config.id, cluster_id, config.members,
                                          Transport::Limits{});
  RaftReplicaOptions options;
  options.shard = kMainShard;
  options.raft.self = config.id;
  options.raft.election_timeout = config.election_timeout;
  options.raft.heartbeat_interval = config.heartbeat_interval;
  options.leader_patience = 3 * config.election_timeout;
  options.log_entries_kept = config.log_entries_kept;
  options.snapshot_every_entries = config.snapshot_every_entries;
  replica = std::make_unique<RaftReplica>(world, *wal, *transport, *home, std::move(engine), store,
                                          options, std::move(recovered.restored));
  leases = std::make_unique<LeaseService>(world, store, *replica, *transport);
  co_return Ok();
}

runtime::Task<void> Node::Parts::PurgeLoop() {
  for (;;) {
    auto more = store.PurgeSome(kPurgeRecords);
    if (!more) {
      world.Crash(Describe(more.error()));
      co_return;
    }
    co_await runtime::Sleep(world.executor(), *more ? kPurgePause : kPurgeIdle);
  }
}

Node::Node(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Node::~Node() = default;

runtime::Task<void> Node::PrepareToStop(Instant deadline) {
  const ReplicaStatus status = parts_->replica->status();
  if (!status.leading) co_return;
  const raft::Raft& core = parts_->replica->core();
  NodeId best;
  for (const NodeId voter : core.configuration().voters) {
    if (voter == status.self || !parts_->transport->connected(voter)) continue;
    if (best == NodeId() || core.MatchIndex(voter) > core.MatchIndex(best)) best = voter;
  }
  if (best == NodeId()) co_return;
  auto moved = co_await parts_->replica->TransferLeadership(best, deadline);
  if (!moved)
    parts_->world.log().Warn("node", "leadership stays here: {}", Describe(moved.error()));
}

runtime::World& Node::world() { return parts_->world; }
Replica& Node::replica() { return *parts_->replica; }
kv::Store& Node::store() { return parts_->store; }
std::uint64_t Node::cluster_id() const { return parts_->cluster_id; }

std::vector<Member> Node::members() const {
  const raft::Configuration& configuration = parts_->replica->core().configuration();
  std::vector<Member> all;
  for (const MemberConfig& m : parts_->config.members) {
    const auto& learners = configuration.learners;
    all.push_back({.id = m.id,
                   .name = m.name,
                   .peer_url = "http://" + ToText(m.peer),
                   .client_url = "http://" + ToText(m.etcd),
                   .learner = std::find(learners.begin(), learners.end(), m.id) != learners.end()});
  }
  return all;
}

runtime::Task<Result<std::int64_t>> Node::LeaseRenew(std::int64_t id, Instant deadline) {
  return parts_->leases->Renew(id, deadline);
}

runtime::Task<Result<std::int64_t>> Node::LeaseRemaining(std::int64_t id, Instant deadline) {
  return parts_->leases->Remaining(id, deadline);
}

const NodeConfig& Node::config() const { return parts_->config; }
Transport& Node::transport() { return *parts_->transport; }
RaftReplica& Node::raft_replica() { return *parts_->replica; }
storage::WalStats Node::wal_stats() const { return parts_->wal->stats(); }

bool Node::ready() const {
  const ReplicaStatus status = parts_->replica->status();
  return status.leader != NodeId() && status.applied >= parts_->committed_at_start;
}

}  // namespace coterie::node

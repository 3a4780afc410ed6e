#include "node/raft_group.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/raft_codec.h"
#include "node/recovery.h"

namespace coterie::node {

std::string GroupDir(const NodeConfig& config, ShardId shard) {
  return fmt::format("{}/shards/{}", config.data_dir, shard.value);
}

namespace {
// Longer than one client alone takes from answer to answer: its next command carries the notice.
constexpr Duration kCommitNoticeDelay = 1ms;
// What a command adds to a client's request.
constexpr std::size_t kCommandOverhead = 64u << 10;

RaftReplicaOptions OptionsOf(const GroupHost& host, ShardId shard) {
  const NodeConfig& config = host.config;
  RaftReplicaOptions options;
  options.shard = shard;
  options.raft.self = host.self;
  options.raft.election_timeout = config.election_timeout;
  options.raft.heartbeat_interval = config.heartbeat_interval;
  options.raft.commit_notice_delay = kCommitNoticeDelay;
  options.command_bytes_max =
      std::max(options.command_bytes_max, config.request_bytes_max + kCommandOverhead);
  options.leader_patience = 3 * config.election_timeout;
  options.log_entries_kept = config.log_entries_kept;
  options.snapshot_every_entries = config.snapshot_every_entries;
  options.wal_bytes_behind_max = 8 * config.wal_segment_bytes;
  return options;
}
}  // namespace

runtime::Task<Result<std::unique_ptr<RaftGroup>>> RaftGroup::Open(
    const GroupHost* host, ShardId shard, model::StateMachine* machine,
    storage::EngineFactory engines, storage::WalShard in_wal, raft::Configuration first) {
  runtime::World& world = host->world;
  std::unique_ptr<RaftGroup> group(new RaftGroup(*host, shard));
  group->home_ = std::make_unique<storage::EngineHome>(world, std::move(engines),
                                                       GroupDir(host->config, shard));
  COT_CO_ASSIGN(auto engine, co_await group->home_->OpenCurrent());
  COT_CO_TRY(machine->Load(*engine));
  COT_CO_ASSIGN(Recovered recovered,
                Recover(std::move(first), std::move(in_wal), *machine, *engine));
  const raft::Restored& restored = recovered.restored;
  if (recovered.reset_log) {
    storage::WalBatch batch;
    batch.PutCompaction(shard, restored.compacted, restored.compacted_term);
    batch.PutHardState(shard, EncodeHardState({restored.hard_state, restored.configuration}));
    COT_CO_TRY(co_await host->wal.Append(std::move(batch)));
  }
  group->committed_at_start_ = restored.hard_state.commit;
  world.log().Info("node", "shard {} recovered: term {}, log ({}, {}], applied {}", shard.value,
                   restored.hard_state.term.value, restored.compacted.value,
                   restored.compacted.value + restored.entries.size(), restored.applied.value);
  group->replica_ = std::make_unique<RaftReplica>(
      world, host->wal, host->transport, *group->home_, std::move(engine), *machine,
      OptionsOf(*host, shard), std::move(recovered.restored));
  co_return std::move(group);
}

bool RaftGroup::ready() const {
  const ReplicaStatus status = replica_->status();
  return status.leader != NodeId() && status.applied >= committed_at_start_;
}

runtime::Task<Status> RaftGroup::Flush() {
  const std::shared_ptr<storage::Engine> engine = replica_->shared_engine();
  auto flushed = co_await engine->Flush();
  co_return flushed;
}

runtime::Task<void> RaftGroup::HandOver(std::vector<NodeId> among, Instant deadline) {
  const ReplicaStatus status = replica_->status();
  if (!status.leading) co_return;
  const raft::Raft& core = replica_->core();
  NodeId best;
  for (const NodeId voter : core.configuration().voters) {
    if (voter == status.self || !host_.transport.connected(voter)) continue;
    const bool wanted =
        among.empty() || std::find(among.begin(), among.end(), voter) != among.end();
    if (!wanted) continue;
    if (best == NodeId() || core.MatchIndex(voter) > core.MatchIndex(best)) best = voter;
  }
  if (best == NodeId()) co_return;
  auto moved = co_await replica_->TransferLeadership(best, deadline);
  if (!moved) {
    host_.world.log().Warn("node", "leadership of shard {} stays here: {}", shard_.value,
                           Describe(moved.error()));
  }
}

}  // namespace coterie::node

#include "node/raft_groups.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "node/control_apply.h"
#include "node/mutants.h"
#include "node/raft_codec.h"

namespace coterie::node {

namespace {

/// Below it: places in the WAL that are not a later keyspace's.
constexpr ShardId kFirstPlacedShard(16);
/// Longer than any request waits for a replica.
constexpr Duration kRetirement = 30s;

raft::Configuration FirstConfiguration(std::vector<NodeId> founders) {
  std::sort(founders.begin(), founders.end());
  const std::size_t voters = std::min(founders.size(), kFirstVotersMax);
  const auto middle = founders.begin() + static_cast<std::ptrdiff_t>(voters);
  return {
      .voters = {founders.begin(), middle}, .outgoing = {}, .learners = {middle, founders.end()}};
}

}  // namespace

RaftGroups::RaftGroups(const GroupHost& host, storage::EngineFactory engines,
                       std::uint64_t cluster_id, std::vector<NodeId> founders,
                       std::map<ShardId, storage::WalShard> recovered, KvGroup::Machines machines)
    : host_(host),
      engines_(std::move(engines)),
      cluster_id_(cluster_id),
      first_(FirstConfiguration(std::move(founders))),
      main_shard_(kMainShard),
      machines_(std::move(machines)),
      recovered_(std::move(recovered)),
      control_state_(host.world.executor(), host.config.version) {}

RaftGroups::~RaftGroups() { scope_.Cancel(); }

storage::WalShard RaftGroups::TakeRecovered(ShardId shard) {
  auto found = recovered_.extract(shard);
  return found.empty() ? storage::WalShard{} : std::move(found.mapped());
}

storage::WalShard RaftGroups::TakeJournal(ShardId place) { return TakeRecovered(place); }

runtime::Task<Status> RaftGroups::Open() {
  // A few records, rewritten whole when they change: no database is needed for them.
  COT_CO_ASSIGN(control_, co_await RaftGroup::Open(&host_, kControlShard, &control_state_,
                                                   storage::MemoryEngineFactory(),
                                                   TakeRecovered(kControlShard), first_));
  COT_CO_TRY(co_await OpenKv(kMainShard, first_));
  COT_CO_TRY(co_await RemoveLeftovers());
  COT_CO_TRY(co_await Follow());
  co_return Ok();
}

void RaftGroups::Start() {
  control_->Start();
  scope_.Spawn(PublishLoop());
  memberships_[kControlShard] = std::make_unique<Membership>(
      host_.world, *control_, control_state_.changed(), [this] { return PlanOf(kControlShard); });
  memberships_[kControlShard]->Start();
  for (const auto& [shard, kv] : kv_) StartKv(shard);
}

// Nothing of a map is to be seen before a restart would find it: a replica that it gave would
// otherwise be taken for a left-over of an older one then, and removed with what it acknowledged.
runtime::Task<void> RaftGroups::PublishLoop() {
  for (;;) {
    auto next = control_state_.unpublished();
    if (next == nullptr) {
      co_await control_state_.applied_more().Wait();
      continue;
    }
    Status durable = Ok();
    if (!COT_NODE_MUTANT(kFollowBeforeDurable)) durable = co_await control_->Flush();
    if (!durable) {
      host_.world.Crash(Describe(durable.error()));
      co_return;
    }
    control_state_.Publish(std::move(next));
  }
}

runtime::Task<Status> RaftGroups::OpenKv(ShardId shard, raft::Configuration first) {
  COT_CO_ASSIGN(auto opened, co_await KvGroup::Open(&host_, shard, engines_, TakeRecovered(shard),
                                                    std::move(first), cluster_id_, machines_));
  kv_[shard] = std::move(opened);
  co_return Ok();
}

void RaftGroups::StartKv(ShardId shard) {
  KvGroup& kv = *kv_.at(shard);
  kv.Start();
  auto& membership = memberships_[shard];
  membership = std::make_unique<Membership>(host_.world, kv.group(), control_state_.changed(),
                                            [this, shard] { return PlanOf(shard); });
  membership->Start();
}

KvGroup* RaftGroups::kv(ShardId shard) {
  const auto found = kv_.find(shard);
  return found == kv_.end() ? nullptr : found->second.get();
}

void RaftGroups::OnRaft(NodeId from, std::string_view body) {
  auto decoded = DecodeRaft(body);
  if (!decoded) {  // no shard can be named; counted where one looks first
    main().group().replica().OnMessage(from, std::nullopt);
    return;
  }
  if (decoded->shard == kControlShard) {
    control_->replica().OnMessage(from, std::move(decoded->message));
    return;
  }
  // One that is not here yet, or no more: as if lost.
  const auto found = kv_.find(decoded->shard);
  if (found == kv_.end()) return;
  found->second->group().replica().OnMessage(from, std::move(decoded->message));
}

void RaftGroups::OnUnreachable(NodeId peer) {
  control_->replica().OnUnreachable(peer);
  for (auto& [shard, kv] : kv_) kv->group().replica().OnUnreachable(peer);
}

bool RaftGroups::IsMember(NodeId node) const {
  const auto in = [node](RaftGroup& group) {
    const auto members = raft::MembersOf(group.replica().core().configuration());
    return std::binary_search(members.begin(), members.end(), node);
  };
  return in(*control_) || std::any_of(kv_.begin(), kv_.end(),
                                      [&](const auto& kv) { return in(kv.second->group()); });
}

bool RaftGroups::HasVote(NodeId node) const {
  const auto in = [node](RaftGroup& group) {
    return raft::IsVoter(group.replica().core().configuration(), node);
  };
  return in(*control_) || in(kv_.at(kMainShard)->group());
}

runtime::Task<void> RaftGroups::HandOver(Instant deadline) {
  std::vector<ShardId> shards;
  for (const auto& [shard, kv] : kv_) shards.push_back(shard);
  for (const ShardId shard : shards) {
    KvGroup* const here = kv(shard);
    if (here != nullptr) co_await here->group().HandOver({}, deadline);
  }
  co_await control_->HandOver({}, deadline);
}

std::optional<GroupPlan> RaftGroups::PlanOf(ShardId id) const {
  const placement::ClusterMapPtr map = control_state_.map();
  const bool everywhere = id == kControlShard || id == kMainShard;
  const placement::Shard* const shard = map->FindShard(everywhere ? kMainShard : id);
  if (shard == nullptr) return std::nullopt;
  GroupPlan plan;
  for (const placement::ShardReplica& replica : shard->replicas) {
    auto& to = replica.phase == placement::Phase::kLeaving ? plan.leaving : plan.voters;
    to.push_back(replica.node);
  }
  if (!everywhere) return plan;
  for (const auto& [node, info] : map->nodes) {
    const bool votes = std::find(plan.voters.begin(), plan.voters.end(), node) != plan.voters.end();
    if (!votes) plan.learners.push_back(node);
  }
  return plan;
}

std::vector<RaftGroups::Move> RaftGroups::FinishedMoves() {
  std::vector<Move> moves;
  const placement::ClusterMapPtr map = control_state_.map();
  for (const auto& [id, kv] : kv_) {
    RaftReplica& replica = kv->group().replica();
    const placement::Shard* const shard = map->FindShard(id);
    if (id == kMainShard || shard == nullptr) continue;
    if (!replica.status().leading || !replica.ConfigurationSettled()) continue;
    const raft::Configuration& now = replica.core().configuration();
    for (const placement::ShardReplica& placed : shard->replicas) {
      const bool votes = raft::IsVoter(now, placed.node);
      const bool joined = placed.phase == placement::Phase::kJoining && votes;
      const bool left = placed.phase == placement::Phase::kLeaving && !votes;
      if (!placed.ready && (joined || left)) moves.push_back({id, shard->epoch, placed.node});
    }
  }
  return moves;
}

bool RaftGroups::IsHere(ShardId id) const {
  const placement::Shard* const shard = control_state_.map()->FindShard(id);
  return shard != nullptr &&
         std::any_of(shard->replicas.begin(), shard->replicas.end(),
                     [&](const placement::ShardReplica& r) { return r.node == host_.self; });
}

runtime::Task<Status> RaftGroups::Follow() {
  const bool started = memberships_.contains(kControlShard);
  std::vector<ShardId> gone;
  for (const auto& [shard, kv] : kv_) {
    if (shard != kMainShard && !IsHere(shard)) gone.push_back(shard);
  }
  for (const ShardId shard : gone) scope_.Spawn(Retire(shard));
  const placement::ClusterMapPtr map = control_state_.map();
  for (const auto& [name, keyspace] : map->keyspaces) {
    if (keyspace.promise.replication != keyspace::Replication::kRaft) continue;
    for (const placement::Shard& shard : keyspace.shards) {
      const bool wanted = shard.id != kMainShard && IsHere(shard.id);
      if (!wanted || kv_.contains(shard.id) || retired_.contains(shard.id)) continue;
      raft::Configuration first;
      if (control_state_.IsFounder(shard.id, host_.self)) {
        first.voters = control_state_.Founders(shard.id);
      }
      COT_CO_TRY(co_await OpenKv(shard.id, std::move(first)));
      if (started) StartKv(shard.id);
    }
  }
  co_return Ok();
}

// The map without it is durable, so that no restart takes the group for one that is here: first its
// log is forgotten, then its state.
runtime::Task<void> RaftGroups::Retire(ShardId shard) {
  memberships_.erase(shard);
  auto kv = kv_.extract(shard);
  COT_ASSERT(!kv.empty());
  KvGroup& group = *(retired_[shard] = std::move(kv.mapped()));
  const bool dropped = control_state_.map()->FindShard(shard) == nullptr;
  const std::string hard_state =
      dropped ? std::string() : group.group().replica().HardStateOfNonMember();
  group.Stop();
  host_.world.log().Info("node", "shard {} has left this node", shard.value);
  storage::WalBatch batch;
  batch.PutReset(shard);
  batch.PutHardState(shard, hard_state);
  Status done = co_await host_.wal.Append(std::move(batch));
  co_await runtime::Sleep(host_.world.executor(), kRetirement);
  retired_.at(shard).reset();
  if (done) done = co_await host_.world.disk().Remove(GroupDir(host_.config, shard));
  if (!done) {
    host_.world.Crash(Describe(done.error()));
    co_return;
  }
  if (!hard_state.empty()) {  // should it come back, it still knows its vote
    storage::WalShard kept;
    kept.hard_state = hard_state;
    recovered_[shard] = std::move(kept);
  }
  retired_.erase(shard);
  control_state_.changed().NotifyAll();
}

runtime::Task<Status> RaftGroups::RemoveLeftovers() {
  const std::uint64_t end = control_state_.map()->next_shard;
  storage::WalBatch batch;
  for (auto& [shard, found] : recovered_) {
    const bool placed = shard >= kFirstPlacedShard && shard.value < end;
    const bool empty = found.entries.empty() && found.compacted == LogIndex();
    if (!placed || IsHere(shard) || empty) continue;
    const bool dropped = control_state_.map()->FindShard(shard) == nullptr;
    const auto stored = DecodeHardState(found.hard_state);
    found = {};
    if (!dropped && stored) {  // as Retire leaves it
      found.hard_state = EncodeHardState({{stored->raft.term, stored->raft.vote, LogIndex()}, {}});
    }
    batch.PutReset(shard);
    batch.PutHardState(shard, found.hard_state);
  }
  if (!batch.empty()) COT_CO_TRY(co_await host_.wal.Append(std::move(batch)));
  const std::string dir = host_.config.data_dir + "/shards";
  COT_CO_ASSIGN(const auto names, co_await host_.world.disk().List(dir));
  for (const std::string& name : names) {
    std::uint64_t number = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
    const bool placed = parsed.ec == std::errc() && parsed.ptr == name.data() + name.size() &&
                        number >= kFirstPlacedShard.value && number < end;
    if (!placed || IsHere(ShardId(number))) continue;
    COT_CO_TRY(co_await host_.world.disk().Remove(dir + "/" + name));
  }
  co_return Ok();
}

}  // namespace coterie::node

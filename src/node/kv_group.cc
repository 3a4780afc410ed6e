#include "node/kv_group.h"

#include <algorithm>

namespace coterie::node {

namespace {
constexpr std::size_t kPurgeRecords = 256;
constexpr std::size_t kApplyRecords = 2000;  // of one turn: about five milliseconds
constexpr Duration kPurgePause = 5ms;
constexpr Duration kPurgeIdle = 500ms;
}  // namespace

KvGroup::KvGroup(runtime::World& world, std::uint64_t cluster_id, Machines machines)
    : world_(world),
      cluster_id_(cluster_id),
      machines_(std::move(machines)),
      store_(world.executor(), kv::StoreOptions{.apply_records_max = kApplyRecords}) {}

runtime::Task<Result<std::unique_ptr<KvGroup>>> KvGroup::Open(const GroupHost* host, ShardId shard,
                                                              storage::EngineFactory engines,
                                                              storage::WalShard recovered,
                                                              raft::Configuration first,
                                                              std::uint64_t cluster_id,
                                                              Machines machines) {
  std::unique_ptr<KvGroup> kv(new KvGroup(host->world, cluster_id, std::move(machines)));
  COT_CO_ASSIGN(kv->group_, co_await RaftGroup::Open(host, shard, &kv->store_, std::move(engines),
                                                     std::move(recovered), std::move(first)));
  kv->leases_ = std::make_unique<LeaseService>(host->world, shard, kv->store_,
                                               kv->group_->replica(), host->transport);
  co_return std::move(kv);
}

void KvGroup::Start() {
  group_->Start();
  leases_->Start();
  scope_.Spawn(PurgeLoop());
}

void KvGroup::Stop() {
  scope_.Cancel();
  group_->Stop();
}

runtime::Task<void> KvGroup::PurgeLoop() {
  for (;;) {
    auto more = store_.PurgeSome(kPurgeRecords);
    if (!more) {
      world_.Crash(Describe(more.error()));
      co_return;
    }
    co_await runtime::Sleep(world_.executor(), *more ? kPurgePause : kPurgeIdle);
  }
}

std::vector<Member> KvGroup::members() const {
  std::vector<Member> all = machines_();
  const auto& learners = group_->replica().core().configuration().learners;
  for (Member& member : all) {
    member.learner = std::find(learners.begin(), learners.end(), member.id) != learners.end();
  }
  return all;
}

runtime::Task<Result<std::int64_t>> KvGroup::LeaseRenew(std::int64_t id, Instant deadline) {
  return leases_->Renew(id, deadline);
}

runtime::Task<Result<std::int64_t>> KvGroup::LeaseRemaining(std::int64_t id, Instant deadline) {
  return leases_->Remaining(id, deadline);
}

}  // namespace coterie::node

#pragma once

#include "model/kv/store.h"
#include "node/raft_replica.h"

namespace coterie::node {

/// Lease time on one node: counts while this replica leads, proposes the revocation of what ran
/// out, and passes renewals on to the leader while it does not. A renewal is answered only after a
/// quorum has confirmed that this node still leads, so that a deposed leader never prolongs a
/// lease.
class LeaseService {
 public:
  LeaseService(runtime::World& world, ShardId shard, kv::Store& store, RaftReplica& replica,
               Transport& transport);
  void Start();

  /// Seconds granted again, 0 if there is no such lease. Errors: kNoLeader, kTimedOut.
  runtime::Task<Result<std::int64_t>> Renew(std::int64_t id, Instant deadline);
  /// Seconds left, -1 if there is no such lease. Errors: kNoLeader, kTimedOut.
  runtime::Task<Result<std::int64_t>> Remaining(std::int64_t id, Instant deadline);

 private:
  runtime::Task<void> ExpiryLoop();
  runtime::Task<void> Revoke(std::int64_t id, Term term);
  runtime::Task<Result<std::int64_t>> AskLeader(Method method, std::int64_t id, Instant deadline);
  runtime::Task<Result<std::string>> Answer(Method method, std::string body, Instant deadline);
  runtime::Task<Result<std::int64_t>> Here(Method method, std::int64_t id, Instant deadline);
  void FollowLeadership();

  runtime::World& world_;
  const ShardId shard_;
  RaftReplica& replica_;
  Transport& transport_;
  kv::LeaseKeeper keeper_;
  Term leading_term_;  // 0: not leading
  runtime::Scope scope_;
};

}  // namespace coterie::node

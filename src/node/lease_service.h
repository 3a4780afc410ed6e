#pragma once

#include "model/kv/store.h"
#include "node/raft_replica.h"

namespace coterie::node {

/// Lease time on one node: counts, proposes the revocation of what ran out while this replica
/// leads, and passes renewals on to the leader while it does not. A renewal goes through the log,
/// where it changes nothing: so it is answered only by a leader that a quorum follows, and whoever
/// leads next has heard of it. Every replica asks a new leader how long leases live on, so that no
/// lease is prolonged more than once however often leaders change.
class LeaseService {
 public:
  LeaseService(runtime::World& world, ShardId shard, kv::Store& store, RaftReplica& replica,
               Transport& transport);
  void Start();

  /// Seconds granted again, 0 if there is no such lease. Errors: kNoLeader, kTimedOut.
  runtime::Task<Result<std::int64_t>> Renew(std::int64_t id, Instant deadline);
  /// Seconds left, -1 if there is no such lease. Errors: kNoLeader, kTimedOut.
  runtime::Task<Result<std::int64_t>> Remaining(std::int64_t id, Instant deadline);
  /// All leases, by this replica's count of when they end, the soonest first.
  std::vector<std::int64_t> ByEnd();

 private:
  runtime::Task<void> ExpiryLoop();
  /// While leading: revokes what ran out, from the moment that everything of earlier terms was
  /// heard here.
  runtime::Task<void> ExpireOnce();
  /// While following: takes over the counts of a leader that is new to this replica.
  runtime::Task<void> LearnCounts();
  runtime::Task<void> Revoke(std::int64_t id, Term term);
  runtime::Task<Result<std::int64_t>> AskLeader(Method method, std::int64_t id, Instant deadline);
  runtime::Task<Result<std::string>> Answer(Method method, std::string body, Instant deadline);
  runtime::Task<Result<std::string>> AnswerCounts(std::string body, Instant deadline);
  runtime::Task<Result<std::int64_t>> Here(Method method, std::int64_t id, Instant deadline);
  runtime::Task<Result<std::int64_t>> RenewHere(std::int64_t id, Instant deadline);
  /// Waits until this replica, leading, has heard everything of earlier terms and is confirmed as
  /// the leader.
  runtime::Task<Status> Confirm(Instant deadline);
  void FollowLeadership();

  runtime::World& world_;
  const ShardId shard_;
  RaftReplica& replica_;
  Transport& transport_;
  kv::LeaseKeeper keeper_;
  Term leading_term_;                // 0: not leading
  Term heard_term_;                  // leading in it, and everything of earlier terms was heard
  Term learned_term_;                // following in it, and its leader's counts were taken over,
  std::uint64_t learned_loads_ = 0;  // after so many loads of the state
  runtime::Scope scope_;
};

}  // namespace coterie::node

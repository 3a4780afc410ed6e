#include "node/lease_service.h"

#include <algorithm>

#include "coterie/command.pb.h"
#include "coterie/peer.pb.h"
#include "node/mutants.h"

namespace coterie::node {

namespace {
constexpr std::size_t kRevocationsAtOnce = 64;
constexpr Duration kRevocationRetry = 3s;
// How late an expiry may be noticed; leases are granted in whole seconds.
constexpr Duration kGranularity = 250ms;
}  // namespace

LeaseService::LeaseService(runtime::World& world, ShardId shard, kv::Store& store,
                           RaftReplica& replica, Transport& transport)
    : world_(world), shard_(shard), replica_(replica), transport_(transport), keeper_(store) {}

void LeaseService::Start() {
  for (const Method method : {Method::kLeaseRenew, Method::kLeaseRemaining}) {
    transport_.OnShardCall(shard_, method,
                           [this, method](NodeId, std::string body, Instant deadline) {
                             return Answer(method, std::move(body), deadline);
                           });
  }
  scope_.Spawn(ExpiryLoop());
}

void LeaseService::FollowLeadership() {
  const ReplicaStatus status = replica_.status();
  const Term now_leading = status.leading ? status.term : Term();
  if (now_leading == leading_term_) return;
  leading_term_ = now_leading;
  keeper_.OnLeadership(status.leading, world_.Now());
}

runtime::Task<void> LeaseService::ExpiryLoop() {
  for (;;) {
    FollowLeadership();
    if (leading_term_ == Term()) {
      co_await replica_.leadership_changed().Wait();
      continue;
    }
    const Instant now = world_.Now();
    keeper_.Refresh(now);
    const std::vector<std::int64_t> expired =
        keeper_.TakeExpired(now, kRevocationsAtOnce, kRevocationRetry);
    for (const std::int64_t id : expired) scope_.Spawn(Revoke(id, leading_term_));
    const Instant latest = now + 1s;
    const Instant next = std::clamp(keeper_.NextDeadline(), now + kGranularity, latest);
    co_await replica_.leadership_changed().WaitUntil(next);
  }
}

runtime::Task<void> LeaseService::Revoke(std::int64_t id, Term term) {
  kv::Command command;
  command.mutable_lease_revoke()->set_id(id);
  const Instant deadline = world_.Now() + kRevocationRetry;
  std::string bytes = command.SerializeAsString();
  // Another leader may have renewed it since: what this one knew must not reach that one.
  auto revoke = COT_NODE_MUTANT(kRevokeAsDeposedLeader)
                    ? replica_.Propose(std::move(bytes), deadline)
                    : replica_.ProposeInTerm(std::move(bytes), term, deadline);
  auto answer = co_await std::move(revoke);
  if (!answer) world_.log().Debug("lease", "revoking {}: {}", id, Describe(answer.error()));
}

runtime::Task<Result<std::int64_t>> LeaseService::Here(Method method, std::int64_t id,
                                                       Instant deadline) {
  // Proves that this node leads and that its state has every grant acknowledged before the
  // question. Leading the same term before and after means that the quorum confirmed this node.
  const ReplicaStatus before = replica_.status();
  if (!before.leading) co_return Fail(ErrorCode::kNotLeader);
  if (!COT_NODE_MUTANT(kRenewAsDeposedLeader)) COT_CO_TRY(co_await replica_.ReadBarrier(deadline));
  FollowLeadership();
  if (leading_term_ != before.term) co_return Fail(ErrorCode::kNotLeader);
  keeper_.Refresh(world_.Now());
  if (method == Method::kLeaseRenew) co_return keeper_.Renew(id, world_.Now()).value_or(0);
  co_return keeper_.RemainingSeconds(id, world_.Now()).value_or(-1);
}

runtime::Task<Result<std::string>> LeaseService::Answer(Method method, std::string body,
                                                        Instant deadline) {
  peer::LeaseQuestion question;
  if (!question.ParseFromString(body)) co_return Fail(ErrorCode::kMalformed);
  if (!replica_.status().leading) co_return Fail(ErrorCode::kNotLeader);
  auto seconds = co_await Here(method, question.id(), deadline);
  if (!seconds) co_return std::unexpected(std::move(seconds.error()));
  peer::LeaseAnswer answer;
  answer.set_seconds(*seconds);
  co_return answer.SerializeAsString();
}

runtime::Task<Result<std::int64_t>> LeaseService::AskLeader(Method method, std::int64_t id,
                                                            Instant deadline) {
  for (;;) {
    const ReplicaStatus status = replica_.status();
    Result<std::int64_t> answer = Fail(ErrorCode::kNoLeader);
    if (status.leading) {
      answer = co_await Here(method, id, deadline);
    } else if (status.leader != NodeId()) {
      peer::LeaseQuestion question;
      question.set_id(id);
      const Instant try_until = std::min(deadline, world_.Now() + 1s);
      auto reply = co_await transport_.Call(status.leader, method, question.SerializeAsString(),
                                            try_until, shard_);
      if (reply) {
        peer::LeaseAnswer parsed;
        if (!parsed.ParseFromString(*reply)) co_return Fail(ErrorCode::kMalformed, "lease answer");
        co_return parsed.seconds();
      }
      answer = std::unexpected(std::move(reply.error()));
    }
    // Renewing twice is renewing once, so every failure may be tried again.
    if (answer || world_.Now() + 50ms >= deadline) co_return answer;
    const Instant pause = world_.Now() + 50ms;
    co_await replica_.leadership_changed().WaitUntil(pause);
  }
}

runtime::Task<Result<std::int64_t>> LeaseService::Renew(std::int64_t id, Instant deadline) {
  return AskLeader(Method::kLeaseRenew, id, deadline);
}

runtime::Task<Result<std::int64_t>> LeaseService::Remaining(std::int64_t id, Instant deadline) {
  return AskLeader(Method::kLeaseRemaining, id, deadline);
}

}  // namespace coterie::node

#include "node/lease_service.h"

#include <algorithm>
#include <optional>

#include "coterie/command.pb.h"
#include "coterie/peer.pb.h"
#include "model/kv/command_codec.h"
#include "node/mutants.h"

namespace coterie::node {

namespace {
constexpr std::size_t kRevocationsAtOnce = 256;  // in a quarter of a second
constexpr Duration kRevocationRetry = 3s;
// How late a grant, a renewal or an expiry may be noticed; leases are granted in whole seconds.
constexpr Duration kGranularity = 250ms;
constexpr Duration kCountsPatience = 1s;
constexpr std::size_t kCountsPerPage = 1024;
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
  transport_.OnShardCall(shard_, Method::kLeaseCounts,
                         [this](NodeId, std::string body, Instant deadline) {
                           return AnswerCounts(std::move(body), deadline);
                         });
  scope_.Spawn(ExpiryLoop());
}

void LeaseService::FollowLeadership() {
  const ReplicaStatus status = replica_.status();
  const Term now_leading = status.leading ? status.term : Term();
  if (now_leading == leading_term_) return;
  leading_term_ = now_leading;
  keeper_.OnLeadership(status.leading, world_.Now());
  if (COT_NODE_MUTANT(kLeasesAnewAtElection)) keeper_.CountAnew(world_.Now());
}

runtime::Task<void> LeaseService::ExpiryLoop() {
  for (;;) {
    FollowLeadership();
    keeper_.Refresh(world_.Now());
    if (leading_term_ != Term()) {
      co_await ExpireOnce();
    } else {
      co_await LearnCounts();
    }
    const Instant next = world_.Now() + kGranularity;
    co_await replica_.leadership_changed().WaitUntil(next);
  }
}

runtime::Task<void> LeaseService::ExpireOnce() {
  if (heard_term_ != leading_term_) {
    const Instant deadline = world_.Now() + kCountsPatience;
    const Status confirmed = co_await Confirm(deadline);
    if (!confirmed) co_return;
  }
  const Instant now = world_.Now();
  keeper_.Refresh(now);
  for (const std::int64_t id : keeper_.TakeExpired(now, kRevocationsAtOnce, kRevocationRetry)) {
    scope_.Spawn(Revoke(id, leading_term_));
  }
}

runtime::Task<Status> LeaseService::Confirm(Instant deadline) {
  // Leading the same term before and after means that the quorum confirmed this node.
  const ReplicaStatus before = replica_.status();
  if (!before.leading) co_return Fail(ErrorCode::kNotLeader);
  COT_CO_TRY(co_await replica_.ReadBarrier(deadline));
  FollowLeadership();
  if (leading_term_ != before.term) co_return Fail(ErrorCode::kNotLeader);
  keeper_.Refresh(world_.Now());
  heard_term_ = leading_term_;
  co_return Ok();
}

runtime::Task<void> LeaseService::LearnCounts() {
  const auto [leader, term] = std::pair(replica_.status().leader, replica_.status().term);
  const std::uint64_t loads = keeper_.loads();
  if (leader == NodeId() || (term == learned_term_ && loads == learned_loads_)) co_return;
  std::optional<std::int64_t> after;
  for (;;) {
    peer::LeaseCountsQuestion question;
    if (after) question.set_after(*after);
    const Instant asked = world_.Now();
    const Instant deadline = asked + kCountsPatience;
    auto reply = co_await transport_.Call(leader, Method::kLeaseCounts,
                                          question.SerializeAsString(), deadline, shard_);
    peer::LeaseCountsAnswer answer;
    if (!reply || !answer.ParseFromString(*reply)) co_return;
    const Instant now = world_.Now();
    keeper_.Refresh(now);
    for (const auto& count : answer.counts()) {
      constexpr std::uint64_t kMsMax = 9'000'000'000'000;
      const auto left_ms = static_cast<std::int64_t>(std::min(count.left_ms(), kMsMax));
      keeper_.Adopt({.id = count.id(),
                     .granted_at = LogIndex(count.granted_at()),
                     .left = std::chrono::milliseconds(left_ms),
                     .prolonged = count.prolonged()},
                    asked, now);
      after = count.id();
    }
    if (!answer.more() || answer.counts().empty()) break;
  }
  learned_term_ = term;
  learned_loads_ = loads;
}

runtime::Task<Result<std::string>> LeaseService::AnswerCounts(std::string body, Instant deadline) {
  peer::LeaseCountsQuestion question;
  if (!question.ParseFromString(body)) co_return Fail(ErrorCode::kMalformed);
  COT_CO_TRY(co_await Confirm(deadline));
  std::optional<std::int64_t> after;
  if (question.has_after()) after = question.after();
  const auto counts = keeper_.Counts(after, kCountsPerPage, world_.Now());
  peer::LeaseCountsAnswer answer;
  for (const auto& count : counts) {
    auto& row = *answer.add_counts();
    row.set_id(count.id);
    row.set_granted_at(count.granted_at.value);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(count.left);
    row.set_left_ms(static_cast<std::uint64_t>(left.count()));
    row.set_prolonged(count.prolonged);
  }
  answer.set_more(counts.size() == kCountsPerPage);
  co_return answer.SerializeAsString();
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
  if (method == Method::kLeaseRenew) {
    auto renewed = co_await RenewHere(id, deadline);
    co_return renewed;
  }
  COT_CO_TRY(co_await Confirm(deadline));
  co_return keeper_.RemainingSeconds(id, world_.Now()).value_or(-1);
}

runtime::Task<Result<std::int64_t>> LeaseService::RenewHere(std::int64_t id, Instant deadline) {
  FollowLeadership();
  if (leading_term_ == Term()) co_return Fail(ErrorCode::kNotLeader);
  // Before the count is believed: it must know of every grant and renewal of earlier terms.
  if (!COT_NODE_MUTANT(kRenewAsDeposedLeader)) COT_CO_TRY(co_await Confirm(deadline));
  const auto seconds = keeper_.Renew(id, world_.Now());
  if (!seconds) co_return 0;  // none, or its revocation is on its way
  if (COT_NODE_MUTANT(kRenewAsDeposedLeader) || COT_NODE_MUTANT(kRenewUnheard)) co_return *seconds;
  // It may be over by the time its renewal is applied, but only at a client's own wish.
  auto heard = co_await replica_.ProposeInTerm(kv::EncodeLeaseRenewal(id), leading_term_, deadline);
  if (!heard) co_return std::unexpected(std::move(heard.error()));
  keeper_.Refresh(world_.Now());
  co_return keeper_.RemainingSeconds(id, world_.Now()) ? *seconds : 0;
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

std::vector<std::int64_t> LeaseService::ByEnd() {
  keeper_.Refresh(world_.Now());
  return keeper_.ByEnd();
}

runtime::Task<Result<std::int64_t>> LeaseService::Renew(std::int64_t id, Instant deadline) {
  return AskLeader(Method::kLeaseRenew, id, deadline);
}

runtime::Task<Result<std::int64_t>> LeaseService::Remaining(std::int64_t id, Instant deadline) {
  return AskLeader(Method::kLeaseRemaining, id, deadline);
}

}  // namespace coterie::node

// Reads without a ballot, and listings.

#include <algorithm>
#include <utility>

#include "node/paxos/rounds.h"

namespace coterie::node::registers {

using runtime::Task;

struct Rounds::ReadRound {
  ReadRound(runtime::Executor& executor, paxos::Replicas replicas, std::uint64_t number)
      : learner(std::move(replicas), number), wake(executor) {}
  paxos::Learner learner;
  Epoch later_epoch;  ///< that an acceptor knows
  bool stepped = false;
  runtime::Notification wake;
};

Task<Result<Bytes>> Rounds::Read(ShardId shard, std::string key, Instant deadline) {
  bool undecided = false;
  auto read = co_await ReadOnce(shard, key, deadline, &undecided);
  if (!undecided) co_return read;
  ++stats_.reads_settled;
  Fold keep = [](const Bytes& current, std::uint64_t) { return paxos::Decision{false, current}; };
  auto settled = co_await Change(shard, std::move(key), std::move(keep), deadline);
  if (settled) co_return std::move(settled->bytes);
  if (settled.error().outcome == Outcome::kNotApplied)
    co_return std::unexpected(std::move(settled.error()));
  // A read changes nothing, whatever became of its round.
  co_return Fail(settled.error().code, settled.error().message);
}

Task<void> Rounds::AskReader(std::shared_ptr<ReadRound> round, RegisterName name, NodeId to) {
  const Instant until = world_.Now() + options_.reach_patience;
  auto reply = co_await Send(to, std::move(name), round->learner.question(), until);
  if (!reply) co_return;
  if (const auto* report = std::get_if<paxos::Report>(&*reply)) round->learner.Step(to, *report);
  if (const auto* stale = std::get_if<paxos::StaleEpoch>(&*reply)) {
    round->later_epoch = std::max(round->later_epoch, stale->epoch);
  }
  round->stepped = true;
  round->wake.NotifyAll();
}

Task<Result<Bytes>> Rounds::ReadOnce(ShardId shard, std::string key, Instant deadline,
                                     bool* undecided) {
  const Instant start = world_.Now();
  const Instant give_up = std::min(deadline, start + options_.reach_patience);
  ++stats_.reads;
  while (world_.Now() < give_up) {
    const std::optional<paxos::Replicas> replicas = Replicas(shard);
    if (!replicas) co_return Fail(ErrorCode::kNoKeyspace, "the keyspace was dropped");
    const auto round = std::make_shared<ReadRound>(world_.executor(), *replicas, ++questions_);
    runtime::Scope asking;  // goes first: its tasks step the round
    for (const NodeId voter : replicas->voters) {
      asking.Spawn(AskReader(round, {shard, key}, voter));
    }
    std::optional<Instant> agree_by;
    for (;;) {
      if (std::optional<paxos::Value> learned = round->learner.learned()) {
        co_return std::move(learned->bytes);
      }
      if (round->learner.heard_majority() && !agree_by) {
        agree_by = world_.Now() + options_.agree_patience;
      }
      *undecided = round->learner.split() || (agree_by && world_.Now() >= *agree_by);
      if (*undecided) co_return Bytes();
      if (world_.Now() >= give_up) break;
      if (!round->stepped)
        co_await round->wake.WaitUntil(std::min(agree_by.value_or(give_up), give_up));
      round->stepped = false;
      const std::optional<paxos::Replicas> newest = Replicas(shard);
      if (!newest || newest->epoch != replicas->epoch) break;  // ask again in the new epoch
      // Somebody is ahead: the map is on its way here.
      if (round->later_epoch > replicas->epoch) {
        co_await control_.changed().WaitUntil(give_up);
        break;
      }
    }
  }
  const bool timed_out = world_.Now() >= deadline && deadline < start + options_.reach_patience;
  co_return Fail(timed_out ? ErrorCode::kTimedOut : ErrorCode::kTooFewReplicas,
                 "no majority of the shard's replicas answered");
}

Task<void> Rounds::AskKeys(NodeId to, KeysAsked asked, Instant deadline,
                           std::shared_ptr<std::map<NodeId, KeysReport>> reports,
                           std::shared_ptr<runtime::Notification> wake) {
  std::optional<KeysReport> report;
  if (to == self_) {
    auto own = co_await acceptors_.Keys(std::move(asked));
    if (own) report = std::move(*own);
  } else {
    auto bytes = co_await transport_.Call(to, Method::kPaxosKeys, Encode(asked), deadline);
    if (bytes) report = DecodeKeysReport(*bytes);
  }
  if (!report) co_return;
  reports->emplace(to, std::move(*report));
  wake->NotifyAll();
}

namespace {

/// Joins what a majority said. Beyond the point where the first of them stopped nothing is known.
Rounds::Listing Join(const std::map<NodeId, KeysReport>& reports, std::size_t majority) {
  Rounds::Listing listing;
  std::optional<std::string> horizon;
  for (const auto& [node, report] : reports) {
    if (!report.more) continue;
    listing.more = true;
    horizon = std::min(horizon.value_or(report.keys.back().key), report.keys.back().key);
  }
  struct Votes {
    paxos::Ballot greatest;
    bool holds = false;
    std::size_t agreeing = 0;
  };
  std::map<std::string, Votes> keys;
  for (const auto& [node, report] : reports) {
    for (const KeyReport& key : report.keys) {
      if (horizon && key.key > *horizon) break;
      Votes& votes = keys[key.key];
      if (key.accepted > votes.greatest) votes = {key.accepted, key.holds, 0};
      if (key.accepted == votes.greatest) ++votes.agreeing;
    }
  }
  for (auto& [key, votes] : keys) {
    listing.keys.push_back({key, votes.agreeing >= majority, votes.greatest, votes.holds});
  }
  return listing;
}

}  // namespace

Task<Result<Rounds::Listing>> Rounds::List(ShardId shard, std::string after, bool from_start,
                                           std::size_t max, Instant deadline) {
  const Instant give_up = std::min(deadline, world_.Now() + options_.reach_patience);
  while (world_.Now() < give_up) {
    const std::optional<paxos::Replicas> replicas = Replicas(shard);
    if (!replicas) co_return Fail(ErrorCode::kNoKeyspace, "the keyspace was dropped");
    const auto reports = std::make_shared<std::map<NodeId, KeysReport>>();
    const auto wake = std::make_shared<runtime::Notification>(world_.executor());
    KeysAsked asked{.shard = shard,
                    .epoch = replicas->epoch,
                    .after = after,
                    .from_start = from_start,
                    .max = static_cast<std::uint32_t>(max)};
    const Instant until = std::min(give_up, world_.Now() + 300ms);
    runtime::Scope asking;
    for (const NodeId voter : replicas->voters) {
      asking.Spawn(AskKeys(voter, asked, until, reports, wake));
    }
    while (reports->size() < replicas->majority() && world_.Now() < until) {
      co_await wake->WaitUntil(until);
    }
    if (reports->size() < replicas->majority()) continue;
    Listing listing = Join(*reports, replicas->majority());
    listing.epoch = replicas->epoch;
    co_return listing;
  }
  co_return Fail(ErrorCode::kTooFewReplicas, "no majority of the shard's replicas answered");
}

}  // namespace coterie::node::registers

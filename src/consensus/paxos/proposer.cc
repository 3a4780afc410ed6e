#include "consensus/paxos/proposer.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "consensus/paxos/mutants.h"

namespace coterie::paxos {
namespace {

/// The number of `node`'s newest change in `value`; 0 if it is not known there.
std::uint64_t NewestOf(clock::Actor proposer, const Value& value) {
  for (const ChangeId& id : value.applied) {
    if (id.proposer == proposer) return id.number;
  }
  return 0;
}

std::vector<ChangeId> WithChange(const std::vector<ChangeId>& applied, ChangeId id) {
  std::vector<ChangeId> next{id};
  for (const ChangeId& other : applied) {
    // A node's earlier start has nobody left who waits for it.
    if (clock::NodeOf(other.proposer) == clock::NodeOf(id.proposer)) continue;
    if (next.size() < kWritersMax) next.push_back(other);
  }
  return next;
}

}  // namespace

Ballot BallotSource::Next(Epoch epoch, std::uint64_t above) {
  counter_ = std::max(counter_, above) + 1;
  return {epoch, counter_, proposer_};
}

void BallotSource::Raise(std::uint64_t counter) { counter_ = std::max(counter_, counter); }

std::size_t Proposer::majority() const {
  return COT_PAXOS_MUTANT(kHalfIsMajority) ? (replicas_.voters.size() + 1) / 2
                                           : replicas_.majority();
}

bool Proposer::IsVoter(NodeId node) const {
  return std::ranges::find(replicas_.voters, node) != replicas_.voters.end();
}

void Proposer::SetReplicas(Replicas replicas, Instant now) {
  COT_ASSERT(!replicas.voters.empty());
  if (replicas.epoch <= replicas_.epoch) return;
  if (!idle()) LeaveTry();
  replicas_ = std::move(replicas);
  prepared_.reset();
  if (!idle()) StartTry(now);
}

void Proposer::Change(ChangeFunction change, Instant now) {
  COT_ASSERT(idle());
  COT_ASSERT(!replicas_.voters.empty());
  change_ = std::move(change);
  first_number_ = 0;
  maybe_applied_ = false;
  tries_ = 0;
  StartTry(now);
}

void Proposer::StartTry(Instant now) {
  ++tries_;
  heard_.clear();
  phase_began_ = now;
  retry_at_ = Instant::max();
  resend_at_ = now + config_.resend_interval;
  if (prepared_) {
    const Prepared prepared = *std::exchange(prepared_, std::nullopt);
    return Decide(prepared.ballot, prepared.value, COT_PAXOS_MUTANT(kReadOfCache), now);
  }
  role_ = Preparing{ballots_.Next(replicas_.epoch, counter_seen_), {}};
  SendToSilent();
}

void Proposer::Step(NodeId from, const Reply& reply, Instant now) {
  if (idle()) return;
  if (const auto* stale = std::get_if<StaleEpoch>(&reply)) return OnStaleEpoch(*stale);
  if (const auto* promise = std::get_if<Promise>(&reply)) return OnPromise(from, *promise, now);
  if (const auto* accepted = std::get_if<Accepted>(&reply)) return OnAccepted(from, *accepted, now);
  if (const auto* refused = std::get_if<Refused>(&reply)) return OnRefused(from, *refused, now);
}

void Proposer::OnPromise(NodeId from, const Promise& promise, Instant now) {
  auto* preparing = std::get_if<Preparing>(&role_);
  if (preparing == nullptr || promise.ballot != preparing->ballot || !IsVoter(from)) return;
  heard_.insert(from);
  preparing->promises.emplace(from, promise);
  if (preparing->promises.size() < majority()) return;
  const Promise* chosen = &preparing->promises.begin()->second;
  bool settled = true;
  for (const auto& [node, other] : preparing->promises) {
    settled = settled && other.accepted == chosen->accepted;
    const bool better = COT_PAXOS_MUTANT(kWrongValue) ? other.accepted < chosen->accepted
                                                      : other.accepted > chosen->accepted;
    if (better) chosen = &other;
  }
  const Value current = chosen->value;
  Decide(preparing->ballot, current, settled || COT_PAXOS_MUTANT(kKeepUndecided), now);
}

void Proposer::Decide(Ballot ballot, const Value& current, bool settled, Instant now) {
  const std::uint64_t known = NewestOf(ballots_.proposer(), current);
  if (first_number_ != 0 && known >= first_number_ && !COT_PAXOS_MUTANT(kAppliedTwice)) {
    // An earlier try's value was carried on, by this round's or another proposer.
    if (!settled) return SendAccept(ballot, current, known, false, now);
    prepared_ = Prepared{ballot, current};
    return Finish(current, known);
  }
  if (maybe_applied_ && known == 0 && current.applied.size() >= kWritersMax) {
    // It may have been folded in and then forgotten among the changes of many other nodes.
    output_.finished = Finished{.decided = false, .maybe_applied = true, .value = {}};
    role_ = Idle{};
    change_ = nullptr;
    return;
  }
  const ChangeId id = ballots_.NextChange();
  if (first_number_ == 0) first_number_ = id.number;
  Decision decision = change_(current.bytes, id.number);
  if (decision.write) {
    Value value{std::move(decision.bytes), WithChange(current.applied, id)};
    return SendAccept(ballot, std::move(value), id.number, true, now);
  }
  // An answer rests on `current`, so it must be decided; and no earlier try may come back after it.
  const bool rival = maybe_applied_ && !COT_PAXOS_MUTANT(kLateRivalTry);
  if (!settled || rival) return SendAccept(ballot, current, id.number, false, now);
  prepared_ = Prepared{ballot, current};
  Finish(current, id.number);
}

void Proposer::SendAccept(Ballot ballot, Value value, std::uint64_t number, bool ours,
                          Instant now) {
  const Ballot next = ballots_.Next(ballot.epoch, ballot.counter);
  role_ = Accepting{.ballot = ballot,
                    .request = {ballot, std::move(value), next},
                    .number = number,
                    .ours = ours,
                    .accepted = {}};
  heard_.clear();
  phase_began_ = now;
  resend_at_ = now + config_.resend_interval;
  SendToSilent();
}

void Proposer::OnAccepted(NodeId from, const Accepted& accepted, Instant) {
  auto* accepting = std::get_if<Accepting>(&role_);
  if (accepting == nullptr || accepted.ballot != accepting->ballot) return;
  if (!IsVoter(from)) return;
  heard_.insert(from);
  accepting->accepted.insert(from);
  if (accepting->accepted.size() < majority()) return;
  // Each of them has promised `next` when it had just accepted this: phase 1 of the next round.
  prepared_ = Prepared{accepting->request.next, accepting->request.value};
  Finish(std::move(accepting->request.value), accepting->number);
}

void Proposer::OnRefused(NodeId from, const Refused& refused, Instant now) {
  auto* preparing = std::get_if<Preparing>(&role_);
  auto* accepting = std::get_if<Accepting>(&role_);
  if (preparing == nullptr && accepting == nullptr) return;
  const Ballot ballot = preparing != nullptr ? preparing->ballot : accepting->ballot;
  if (refused.ballot != ballot) return;
  counter_seen_ = std::max(counter_seen_, refused.promised.counter);
  if (!IsVoter(from)) return;
  heard_.insert(from);
  // The others may yet decide it; if not, this round ends soon.
  RetryLater(now);
}

// Whoever promised more has a phase to go: it gets the time that this phase took, at least.
void Proposer::RetryLater(Instant now) {
  if (retry_at_ != Instant::max()) return;
  const Duration phase = std::clamp(now - phase_began_, config_.backoff_min, config_.backoff_max);
  const int doublings = std::min(tries_, 16);
  const Duration most = std::min(config_.backoff_max, phase * (1 << doublings));
  retry_at_ = now + Duration(random_.Between(phase.count(), std::max(phase, most).count()));
}

void Proposer::OnStaleEpoch(const StaleEpoch& stale) {
  if (stale.asked != replicas_.epoch || stale.epoch <= replicas_.epoch) return;
  output_.later_epoch = std::max(stale.epoch, output_.later_epoch.value_or(Epoch(0)));
}

// Even refusals prove nothing: an acceptor that refuses a second copy may have taken the first.
void Proposer::LeaveTry() {
  const auto* accepting = std::get_if<Accepting>(&role_);
  if (accepting != nullptr && accepting->ours) maybe_applied_ = true;
  role_ = Waiting{};
}

void Proposer::Tick(Instant now) {
  if (idle()) return;
  if (now >= retry_at_) {
    LeaveTry();
    if (tries_ < config_.tries_max) return StartTry(now);
    output_.finished = Abandon();
    return;
  }
  if (now < resend_at_) return;
  resend_at_ = now + config_.resend_interval;
  SendToSilent();
}

Instant Proposer::NextDeadline() const {
  return idle() ? Instant::max() : std::min(retry_at_, resend_at_);
}

void Proposer::SendToSilent() {
  for (const NodeId node : replicas_.voters) {
    if (heard_.contains(node)) continue;
    if (const auto* preparing = std::get_if<Preparing>(&role_)) {
      output_.messages.push_back({node, Prepare{preparing->ballot}});
    }
    if (const auto* accepting = std::get_if<Accepting>(&role_)) {
      output_.messages.push_back({node, accepting->request});
    }
  }
  const auto* accepting = std::get_if<Accepting>(&role_);
  if (accepting == nullptr) return;
  for (const NodeId node : replicas_.learners)
    output_.messages.push_back({node, accepting->request});
}

void Proposer::Finish(Value value, std::uint64_t number) {
  output_.finished = Finished{
      .decided = true, .maybe_applied = false, .value = std::move(value), .number = number};
  role_ = Idle{};
  change_ = nullptr;
}

Finished Proposer::Abandon() {
  COT_ASSERT(!idle());
  LeaveTry();
  role_ = Idle{};
  change_ = nullptr;
  return {.decided = false, .maybe_applied = maybe_applied_, .value = {}};
}

Output Proposer::TakeOutput() { return std::exchange(output_, {}); }

}  // namespace coterie::paxos

#include "node/leaderless/replicas.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "clock/wall_interval.h"
#include "node/leaderless/mutants.h"
#include "node/leaderless/state.h"

namespace coterie::node {

namespace {
// A ticket names its mutation: slot 20 bits, W 4, counter 40.
constexpr std::uint32_t kCounterBits = 40;
constexpr std::uint32_t kWBits = 4;
constexpr std::uint32_t kWMax = (1u << kWBits) - 1;

struct Named {
  std::uint32_t slot;
  std::uint32_t w;
  std::uint64_t counter;
};

WriteTicket TicketOf(const Slot& slot, std::uint32_t w, std::uint64_t counter) {
  return {(std::uint64_t{slot.number} << kWBits | w) << kCounterBits | counter};
}

Named NamedBy(WriteTicket ticket) {
  const std::uint64_t high = ticket.number >> kCounterBits;
  return {static_cast<std::uint32_t>(high >> kWBits), static_cast<std::uint32_t>(high & kWMax),
          ticket.number & ((std::uint64_t{1} << kCounterBits) - 1)};
}

std::uint32_t WOf(const placement::Keyspace& keyspace) {
  return std::clamp(keyspace.promise.write, 1u, kWMax);
}

/// Suspends until it is woken or the deadline comes. The waiters outlive it, or wake it first.
class Acknowledgement final : public runtime::Timer {
 public:
  Acknowledgement(runtime::Executor& executor, AckWaiters& waiters, std::uint64_t counter,
                  Instant deadline)
      : executor_(executor), waiters_(&waiters), counter_(counter), deadline_(deadline) {}
  ~Acknowledgement() { Withdraw(); }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    resumer_.handle = awaiting;
    waiters_->emplace_hint(waiters_->end(), counter_, &resumer_);
    executor_.Arm(*this, deadline_);
  }
  /// Whether it was woken because the write is promised.
  bool await_resume() const noexcept { return resumer_.promised; }
  void Fire() override {
    if (resumer_.linked()) return;  // woken in this turn: the queued resumption follows
    Withdraw();
    resumer_.handle.resume();
  }

 private:
  // Whoever wakes it takes it out of the waiters, which may be gone when it resumes.
  void Withdraw() {
    if (resumer_.woken) return;
    const auto [first, last] = waiters_->equal_range(counter_);
    const auto mine =
        std::find_if(first, last, [&](auto& each) { return each.second == &resumer_; });
    if (mine != last) waiters_->erase(mine);
    resumer_.woken = true;
  }

  runtime::Executor& executor_;
  AckWaiters* waiters_;
  const std::uint64_t counter_;
  const Instant deadline_;
  AckWaiter resumer_;
};
}  // namespace

Remote* Slot::Find(NodeId node) {
  for (Remote& remote : others) {
    if (remote.node == node) return &remote;
  }
  return nullptr;
}

const WallInterval& LeaderlessReplicas::State::Turn() {
  const Instant now = world.Now();
  if (wall_known && now == wall_at) return wall;
  wall_known = true;
  wall_at = now;
  wall = world.WallNow();
  store.SetWallMs(clock::MiddleMs(wall));
  return wall;
}

Status LeaderlessReplicas::State::CheckRoom(const Slot& slot, std::uint32_t w) {
  if (slot.last - std::min(slot.last, slot.acks.Promised(w)) >= options.unacknowledged_max) {
    return coterie::Fail(ErrorCode::kOverloaded,
                         fmt::format("{} mutations of shard {} wait for W = {} replicas",
                                     options.unacknowledged_max, slot.id.value, w));
  }
  if (host.journal.waiting() > options.journal_waiting_bytes_max)
    return coterie::Fail(ErrorCode::kOverloaded, "the disk is behind with the journal");
  return Ok();
}

Result<WriteTicket> LeaderlessReplicas::State::Write(const placement::Keyspace& keyspace,
                                                     const placement::Shard& shard,
                                                     const std::function<void(cells::Edit&)>& make,
                                                     clock::HybridTime time) {
  Slot* slot = Find(shard.id);
  if (slot == nullptr || !slot->active() || stopping) {
    return coterie::Fail(ErrorCode::kNotReplica,
                         fmt::format("shard {} is not active here", shard.id.value));
  }
  const std::uint32_t w = WOf(keyspace);
  COT_TRY(CheckRoom(*slot, w));
  const WallInterval& now = Turn();
  // A clock that was set back: what it stamped now would be refused elsewhere.
  clock::HybridClock ahead(options.drift_max);
  COT_TRY(ahead.Observe(clock.last(), now));
  COT_TRY(clock.Observe(time, now));
  const clock::Dot dot{slot->actor, slot->last + 1};
  leaderless::Mutation mutation;
  {
    if (time == clock::HybridTime()) time = clock.Next(now);
    cells::Edit edit(store, slot->id, dot, time);
    make(edit);
    if (edit.empty()) return WriteTicket{};
    mutation = edit.Take();
  }
  record.assign(1, static_cast<char>(RecordKind::kMutation));
  leaderless::Encode(mutation, record);
  const LogIndex position = host.journal.Append(record, !slot->own_synced());
  slot->tracker.Include(dot);
  Made(*slot, dot.counter, std::string_view(record).substr(1), position);
  if (slot->acks.Promised(w) >= dot.counter) return WriteTicket{};
  return TicketOf(*slot, w, dot.counter);
}

/// A mutation of our own is in the store and the journal: now the others.
void LeaderlessReplicas::State::Made(Slot& slot, std::uint64_t counter, std::string_view mutation,
                                     LogIndex position) {
  ++stats.written;
  slot.last = counter;
  history.Add(slot.id, {slot.actor, counter}, mutation);
  if (!slot.own_synced()) {
    slot.acks.OwnUpTo(counter);
  } else if (!slot.unsynced.empty() && slot.unsynced.back().first == position) {
    slot.unsynced.back().second = counter;
  } else {
    slot.unsynced.emplace_back(position, counter);
  }
  for (Remote& remote : slot.others) Offer(slot, remote, counter, mutation);
  EndTurnSoon();
}

void LeaderlessReplicas::State::Wake(Slot& slot) {
  for (auto& [w, waiters] : slot.waiters) {
    if (waiters.empty()) continue;
    WakeUpTo(waiters, slot.acks.Promised(w), true);
  }
}

void LeaderlessReplicas::State::WakeUpTo(AckWaiters& waiters, std::uint64_t counter,
                                         bool promised) {
  while (!waiters.empty() && waiters.begin()->first <= counter) {
    AckWaiter& waiter = *waiters.begin()->second;
    waiters.erase(waiters.begin());
    waiter.woken = true;
    waiter.promised = promised;
    world.executor().Post(waiter);
  }
}

void LeaderlessReplicas::State::OnDurable() {
  const LogIndex durable = host.journal.durable();
  for (auto& [id, slot] : slots) {
    bool moved = false;
    while (!slot->unsynced.empty() && slot->unsynced.front().first <= durable) {
      moved |= slot->acks.OwnUpTo(slot->unsynced.front().second);
      slot->unsynced.pop_front();
    }
    if (moved) Wake(*slot);
  }
  for (auto& [node, link] : links) {
    while (!link.deferred.empty() && link.deferred.front().first <= durable) {
      leaderless::Acks& ready = link.deferred.front().second;
      std::ranges::copy(ready.batches, std::back_inserter(link.answer.batches));
      std::ranges::copy(ready.refused, std::back_inserter(link.answer.refused));
      link.answer.to = ready.to;
      link.deferred.pop_front();
      EndTurnSoon();
    }
  }
}

LeaderlessReplicas::LeaderlessReplicas(std::unique_ptr<State> state) : state_(std::move(state)) {}
LeaderlessReplicas::~LeaderlessReplicas() = default;

Task<Result<std::unique_ptr<LeaderlessReplicas>>> LeaderlessReplicas::Open(
    Host host, LeaderlessOptions options) {
  auto state = std::make_unique<State>(std::move(host), options);
  COT_CO_TRY(co_await state->Open());
  state->Serve();
  co_return std::unique_ptr<LeaderlessReplicas>(new LeaderlessReplicas(std::move(state)));
}

Task<void> LeaderlessReplicas::PrepareToStop(Instant deadline) {
  return state_->PrepareToStop(deadline);
}

bool LeaderlessReplicas::Serves(const placement::Shard& shard) const {
  const Slot* slot = state_->Find(shard.id);
  return slot != nullptr && slot->active() && !state_->stopping;
}

std::vector<NodeId> LeaderlessReplicas::Others(const placement::Shard& shard) const {
  if (const Slot* slot = state_->Find(shard.id); slot != nullptr && slot->placed)
    return state_->Others(*slot);
  std::vector<NodeId> others;
  for (const placement::ShardReplica& replica : shard.replicas) {
    if (replica.phase == placement::Phase::kActive && replica.node != state_->host.self)
      others.push_back(replica.node);
  }
  std::ranges::sort(others, {},
                    [&](NodeId n) { return std::pair(state_->host.detector.Cost(n), n); });
  return others;
}

cells::Store& LeaderlessReplicas::store() {
  state_->Turn();
  return state_->store;
}

Result<WriteTicket> LeaderlessReplicas::Write(const placement::Keyspace& keyspace,
                                              const placement::Shard& shard,
                                              const std::function<void(cells::Edit&)>& make) {
  return state_->Write(keyspace, shard, make);
}

Result<WriteTicket> LeaderlessReplicas::WriteAt(const placement::Keyspace& keyspace,
                                                const placement::Shard& shard,
                                                clock::HybridTime time,
                                                const std::function<void(cells::Edit&)>& make) {
  return state_->Write(keyspace, shard, make, time);
}

bool LeaderlessReplicas::IsAcknowledged(WriteTicket ticket) const {
  if (ticket.number == 0) return true;
  const Named named = NamedBy(ticket);
  const Slot* slot = state_->by_number[named.slot];
  return slot != nullptr && slot->acks.Promised(named.w) >= named.counter;
}

Task<Status> LeaderlessReplicas::Acknowledged(WriteTicket ticket, Instant deadline) {
  State* const state = state_.get();
  if (IsAcknowledged(ticket)) co_return Ok();
  const Named named = NamedBy(ticket);
  Slot* slot = state->by_number[named.slot];
  if (slot != nullptr) {
    // The map may have changed since: it was promised by those who counted then.
    const bool promised = co_await Acknowledgement(state->world.executor(), slot->waiters[named.w],
                                                   named.counter, deadline);
    if (promised) co_return Ok();
    slot = state->by_number[named.slot];
  }
  if (slot == nullptr) {
    co_return FailUnknown(ErrorCode::kTooFewReplicas, "the shard has left this node");
  }
  std::size_t reachable = 1;
  for (const Remote& remote : slot->others)
    reachable += remote.phase == placement::Phase::kActive && state->LinkTo(remote.node).up ? 1 : 0;
  if (std::min(reachable, slot->acks.domains()) < named.w) {
    co_return FailUnknown(ErrorCode::kTooFewReplicas,
                          fmt::format("W = {}, and {} can be reached", named.w, reachable));
  }
  std::string who =
      fmt::format("here ({}) {}", ToText(slot->phase), slot->acks.Of(state->host.self));
  for (const Remote& remote : slot->others) {
    who += fmt::format(", node {} ({}) {} of {} sent", remote.node.value, ToText(remote.phase),
                       slot->acks.Of(remote.node), remote.sent);
  }
  co_return FailUnknown(
      ErrorCode::kTimedOut,
      fmt::format("the write waits for W = {}: mutation {} of shard {} in epoch "
                  "{}; safe are {}",
                  named.w, named.counter, slot->id.value, slot->epoch.value, who));
}

Task<Status> LeaderlessReplicas::Refresh(const placement::Keyspace& keyspace,
                                         const placement::Shard& shard, std::string key,
                                         std::uint32_t read, Instant deadline) {
  (void)keyspace;
  return state_->Refresh(shard.id, std::move(key), read, deadline);
}

clock::HybridTime LeaderlessReplicas::StableTime(const placement::Shard& shard) const {
  const Slot* slot = state_->Find(shard.id);
  if (slot == nullptr || !slot->placed) return {};
  return slot->knowledge.StableTime(state_->clock.Next(state_->Turn()));
}

LeaderlessReplicas::Conflicts LeaderlessReplicas::conflicts(
    const placement::Keyspace& keyspace) const {
  const auto found = state_->conflicts.find(keyspace.promise.name);
  if (found == state_->conflicts.end()) return {};
  return {found->second.count, {found->second.newest.begin(), found->second.newest.end()}};
}

std::vector<LeaderlessReplicas::Lag> LeaderlessReplicas::lag(
    const placement::Keyspace& keyspace) const {
  std::map<NodeId, Lag> all;
  for (const placement::Shard& shard : keyspace.shards) {
    const Slot* slot = state_->Find(shard.id);
    if (slot == nullptr) continue;
    for (const Remote& remote : slot->others) {
      Lag& lag = all[remote.node];
      lag.node = remote.node;
      const std::uint64_t has = slot->acks.Of(remote.node);
      lag.mutations += slot->last - std::min(slot->last, has);
      lag.bytes += state_->history.BytesAfter(slot->id, slot->actor, has);
    }
  }
  std::vector<Lag> list;
  for (const auto& [node, lag] : all) list.push_back(lag);
  return list;
}

Task<Result<std::vector<ShardDigest>>> LeaderlessReplicas::Digests(
    const placement::Keyspace& keyspace, Instant deadline) {
  State::Where where;
  for (const placement::Shard& shard : keyspace.shards) {
    for (const placement::ShardReplica& replica : shard.replicas)
      where[replica.node].push_back(shard.id);
  }
  return state_->Digests(std::move(where), deadline);
}

LeaderlessReplicas::Stats LeaderlessReplicas::stats() const {
  Stats stats = state_->stats;
  for (const auto& [id, slot] : state_->slots) stats.tombstones += state_->store.tombstones(id);
  stats.history_bytes = state_->history.bytes();
  return stats;
}

clock::VersionVector LeaderlessReplicas::stable(ShardId shard) const {
  const Slot* slot = state_->Find(shard);
  return slot == nullptr ? VersionVector() : slot->stable;
}

}  // namespace coterie::node

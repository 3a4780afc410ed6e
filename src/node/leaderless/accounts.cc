#include <algorithm>

#include "node/leaderless/state.h"

// What replicas tell each other of what they know, and how one that lacks something gets it.
namespace coterie::node {

namespace {
constexpr std::size_t kAccountShardsMax = 1024;  // in one frame
constexpr int kRepairsMax = 64;                  // at once
constexpr int kReconciliationsMax = 4;           // of them
constexpr Duration kReconciliationPause = 20ms;
constexpr Duration kPullPatience = 5s;
constexpr Duration kReconcilePatience = 600s;

class Counted {
 public:
  explicit Counted(int& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  int& count_;
};
}  // namespace

/// What was applied here some time ago is durable when the journal has come so far.
void LeaderlessReplicas::State::NoteDurable(Slot& slot) {
  const LogIndex durable = host.journal.durable();
  if (slot.becoming_durable && slot.becoming_durable->first <= durable) {
    slot.durable.Join(slot.becoming_durable->second);
    slot.becoming_durable.reset();
  }
  if (host.journal.last() <= durable) {
    slot.durable.Join(slot.tracker.applied());
  } else if (!slot.becoming_durable) {
    slot.becoming_durable.emplace(host.journal.last(), slot.tracker.applied());
  }
}

void LeaderlessReplicas::State::SendAccounts() {
  for (auto& [id, slot] : slots) NoteDurable(*slot);
  for (auto& [node, link] : links) {
    if (link.up) SendAccount(link);
  }
}

void LeaderlessReplicas::State::SendAccount(Link& link) {
  leaderless::Account account;
  account.from = host.actor;
  account.time = clock.Next(Turn());
  const auto send = [&] {
    host.transport.Send(link.node, FrameType::kMutationAcks, leaderless::Encode(account));
    account.shards.clear();
  };
  for (auto& [id, slot] : slots) {
    if (!slot->placed || slot->Find(link.node) == nullptr) continue;
    account.shards.push_back({id, slot->epoch, slot->tracker.applied(), slot->durable});
    if (account.shards.size() == kAccountShardsMax) send();
  }
  if (!account.shards.empty()) send();
}

void LeaderlessReplicas::State::OnAccount(NodeId from, const leaderless::Account& account) {
  const Status seen = clock.Observe(account.time, Turn());
  if (!seen) world.log().Warn("leaderless", "node {}: {}", from.value, Describe(seen.error()));
  for (const leaderless::Account::OfShard& of : account.shards) {
    Slot* slot = Find(of.shard);
    Remote* remote = slot == nullptr || !slot->placed ? nullptr : slot->Find(from);
    if (remote != nullptr) Hear(from, *slot, *remote, account.time, of);
  }
  Link& link = LinkTo(from);
  if (link.behind) Pump(link);
}

void LeaderlessReplicas::State::Hear(NodeId from, Slot& slot, Remote& remote, HybridTime time,
                                     const leaderless::Account::OfShard& of) {
  // A shard that comes back to this node learns its own earlier mutations from the others first.
  if (slot.phase == placement::Phase::kActive && of.applied.Get(slot.actor) > slot.last) {
    // What this process wrote would be taken for what is known already, and lost without a word.
    Fail("writing", {ErrorCode::kForeignData, Outcome::kNotApplied,
                     "others have writes of this node that it has not: its data directory was "
                     "replaced by an older one"});
    return;
  }
  slot.knowledge.Hear(from, {of.epoch, time, of.applied, of.durable}, slot.tracker.applied());
  remote.sent = std::max(remote.sent, of.applied.Get(slot.actor));
  const VersionVector& counted = slot.synced() ? of.durable : of.applied;
  if (slot.acks.UpTo(from, counted.Get(slot.actor))) Wake(slot);
  if (of.epoch >= slot.epoch && !remote.reached && !remote.target) remote.target = of.applied;
  // What it had an account ago and is not here is not just on its way.
  const bool lacking = !slot.tracker.applied().Covers(remote.heard);
  remote.heard = of.applied;
  if (lacking && !slot.repairing && repairs < kRepairsMax) scope.Spawn(CatchUp(slot.id, from));
  Settle(slot);
}

/// What follows when this replica, or what is known of the others, has moved.
void LeaderlessReplicas::State::Settle(Slot& slot) {
  slot.knowledge.Advance(slot.tracker.applied());
  for (Remote& remote : slot.others) {
    if (!remote.target || !slot.tracker.applied().Covers(*remote.target)) continue;
    remote.target.reset();
    remote.reached = true;
  }
  if (slot.settling && HasSettled(slot)) slot.settling = false;
  if (std::ranges::all_of(slot.others, &Remote::reached)) slot.unsure = false;
  slot.stable = slot.knowledge.Stable(slot.durable);
  history.Trim(slot.id, slot.stable);
}

/// Gets what `from` has and this replica lacks: one by one as far as it still has them so, the rest
/// by comparing cells.
Task<void> LeaderlessReplicas::State::CatchUp(ShardId id, NodeId from) {
  SlotFlag repairing(*this, *Find(id), &Slot::repairing);
  const std::uint32_t number = Find(id)->number;
  const Counted counted(repairs);
  auto pulled = co_await PullDots(id, from);
  if (!pulled) {
    world.log().Debug("leaderless", "shard {}: asking node {}: {}", id.value, from.value,
                      Describe(pulled.error()));
    co_return;
  }
  if (*pulled) co_return;
  while (reconciliations >= kReconciliationsMax)
    co_await runtime::Sleep(world.executor(), kReconciliationPause);
  const Counted reconciling(reconciliations);
  VersionVector theirs;
  const Instant deadline = world.Now() + kReconcilePatience;
  const Status reconciled = co_await Reconcile(id, from, {"", ""}, false, &theirs, deadline);
  Slot* slot = Find(id);
  if (slot == nullptr || slot->number != number) co_return;  // it has left, and may be back
  if (!reconciled) {
    world.log().Warn("leaderless", "shard {}: reconciling with node {}: {}", id.value, from.value,
                     Describe(reconciled.error()));
    co_return;
  }
  // All that it had applied before the first of its cells was read is in what was read.
  Raise(*slot, theirs);
  world.log().Info("leaderless", "shard {}: reconciled with node {}", id.value, from.value);
}

/// False: it lacks the mutations themselves.
Task<Result<bool>> LeaderlessReplicas::State::PullDots(ShardId id, NodeId from) {
  for (;;) {
    Slot* slot = Find(id);
    if (slot == nullptr) co_return true;
    leaderless::DotsRequest request{id, slot->epoch, slot->tracker.applied()};
    const Instant deadline = world.Now() + kPullPatience;
    COT_CO_ASSIGN(const std::string bytes, co_await Ask(from, std::move(request), deadline));
    const auto reply = leaderless::DecodeDotsReply(bytes);
    if (!reply) co_return coterie::Fail(ErrorCode::kMalformed, "an answer of mutations");
    slot = Find(id);
    if (slot == nullptr) co_return true;
    bool moved = false;
    for (const std::string& mutation : reply->mutations) {
      const Taken taken = TakePulled(*slot, mutation);
      if (taken == Taken::kMalformed) {
        co_return coterie::Fail(ErrorCode::kMalformed, "a mutation");
      }
      if (taken == Taken::kTooFarAhead) co_return true;  // it is asked for again, later
      moved |= taken == Taken::kApplied;
    }
    Settle(*slot);
    if (reply->beyond && !reply->more) co_return false;
    if (!reply->more || !moved) co_return true;
  }
}

}  // namespace coterie::node

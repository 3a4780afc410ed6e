#include <fmt/format.h>

#include <algorithm>

#include "node/leaderless/mutants.h"
#include "node/leaderless/state.h"

// What happens by the clock: links, accounts, expiry, purging, writing back, scrubbing.
namespace coterie::node {

namespace {
constexpr Duration kTick = 100ms;
constexpr Duration kExpiryInterval = 250ms;
constexpr std::size_t kExpiredAtOnce = 64;
constexpr std::size_t kPurgedAtOnce = 1000;
constexpr Duration kWriteBackTick = 100ms;
constexpr Duration kWriteBackPause = 1s;  // at least, between two
// Steps of about a millisecond: requests are answered between them.
constexpr std::size_t kWrittenAtOnce = 256;
constexpr Duration kWritePause = 2ms;
constexpr Duration kScrubPatience = 600s;
}  // namespace

void LeaderlessReplicas::State::Fail(std::string_view doing, const Error& error) {
  world.Crash(fmt::format("leaderless cells: {} failed: {}", doing, Describe(error)));
}

Task<void> LeaderlessReplicas::State::Tick() {
  for (;;) {
    co_await runtime::Sleep(world.executor(), kTick);
    WatchLinks();
    ConsiderReports();
    for (auto& [id, slot] : slots) {
      if (slot->purging) Purge(*slot);
    }
  }
}

Task<void> LeaderlessReplicas::State::AccountLoop() {
  for (;;) {
    co_await runtime::Sleep(world.executor(), options.account_interval);
    SendAccounts();
    for (auto& [id, slot] : slots) {
      if (!slot->placed) continue;
      Settle(*slot);
      slot->purging = true;
    }
  }
}

/// Some of what may go; more of it soon, as long as any goes.
void LeaderlessReplicas::State::Purge(Slot& slot) {
  slot.purging = false;
  const std::uint64_t before = store.tombstones(slot.id);
  if (!slot.placed || slot.phase == placement::Phase::kJoining || before == 0) return;
  const bool hasty = COT_LEADERLESS_MUTANT(kPurgeWithoutStable);
  const auto more =
      store.Purge(slot.id, hasty ? slot.tracker.applied() : slot.stable, kPurgedAtOnce);
  if (!more) return Fail("purging", more.error());
  slot.purging = *more && store.tombstones(slot.id) < before;
}

Task<void> LeaderlessReplicas::State::ExpiryLoop() {
  for (;;) {
    co_await runtime::Sleep(world.executor(), kExpiryInterval);
    for (auto& [id, slot] : slots) {
      if (slot->active() && !stopping) Expire(*slot);
    }
  }
}

/// Removes what has expired. Readers do not see it any more, so there is no hurry; one replica does
/// it, so that the others need not make the same mutation.
void LeaderlessReplicas::State::Expire(Slot& slot) {
  Turn();
  std::vector<NodeId> active{host.self};
  for (const Remote& remote : slot.others) {
    if (remote.phase == placement::Phase::kActive) active.push_back(remote.node);
  }
  std::ranges::sort(active);
  const std::uint64_t patience_ms =
      static_cast<std::uint64_t>(options.expiry_patience / std::chrono::milliseconds(1));
  for (const std::string& key : store.Expired(slot.id, kExpiredAtOnce)) {
    const bool mine = active[placement::KeyHash(key) % active.size()] == host.self;
    const auto at = store.ExpiresAt(slot.id, key);
    if (!mine && at && store.wall_ms() < *at + patience_ms) continue;
    placement::Keyspace keyspace;
    keyspace.promise.write = 1;
    placement::Shard shard;
    shard.id = slot.id;
    // What nobody here has seen is not what has expired: a later string must not lose against this.
    clock::HybridTime time;
    if (slot.conflict == keyspace::Conflict::kLww)
      time = store.AssignedAt(slot.id, key).value_or(time);
    const auto removed =
        Write(keyspace, shard, [&](cells::Edit& edit) { edit.RemoveExpired(key); }, time);
    if (!removed) return;  // later
  }
}

bool LeaderlessReplicas::State::WriteBack() {
  // Not the last position: what the journal has not on disk may be lost, and its positions given
  // out again.
  const Status written = store.WriteBack(host.journal.durable());
  if (!written) Fail("writing back", written.error());
  return written.has_value();
}

Task<Status> LeaderlessReplicas::State::FlushEngine() {
  while (flushing) co_await flushed.Wait();
  flushing = true;
  const Status done = co_await engine->Flush();
  flushing = false;
  flushed.NotifyAll();
  co_return done;
}

Task<void> LeaderlessReplicas::State::WriteBackLoop() {
  Instant last = world.Now();
  for (;;) {
    co_await runtime::Sleep(world.executor(), kWriteBackTick);
    const Duration since = world.Now() - last;
    const bool wanted = store.WantsWriteBack() && since >= kWriteBackPause;
    const bool long_journal = host.journal.bytes() >= options.journal_bytes_max;
    if (!wanted && !long_journal && since < options.write_back_interval) continue;
    last = world.Now();
    store.BeginWriteBack(host.journal.durable());
    for (bool more = true; more;) {
      const Result<bool> step = store.ContinueWriteBack(kWrittenAtOnce);
      if (!step) {
        Fail("writing back", step.error());
        co_return;
      }
      more = *step;
      if (more) co_await runtime::Sleep(world.executor(), kWritePause);
    }
    if (host.journal.bytes() < options.journal_bytes_max) continue;
    const LogIndex position = store.journal_position();
    const Status done = co_await FlushEngine();
    if (!done) {
      Fail("flushing", done.error());
      co_return;
    }
    host.journal.Trim(position);
  }
}

/// Compares a whole shard with one of its other replicas now and then: disks forget, too.
Task<void> LeaderlessReplicas::State::ScrubLoop() {
  ShardId next;
  for (std::uint64_t round = 0;; ++round) {
    co_await runtime::Sleep(world.executor(), options.scrub_interval);
    auto at = slots.lower_bound(next);
    if (at == slots.end()) at = slots.begin();
    if (at == slots.end()) continue;
    Slot& slot = *at->second;
    next = slot.id + 1;
    const std::vector<NodeId> others = Others(slot);
    if (!slot.active() || slot.repairing || others.empty()) continue;
    SlotFlag repairing(*this, slot, &Slot::repairing);
    const NodeId with = others[round % others.size()];
    const ShardId id = slot.id;
    const std::uint64_t before = stats.reconciled;
    const Instant deadline = world.Now() + kScrubPatience;
    const Status done = co_await Reconcile(id, with, {"", ""}, true, nullptr, deadline);
    if (!done || stats.reconciled != before) {
      world.log().Info("leaderless", "shard {}: compared with node {}: {}", id.value, with.value,
                       done ? fmt::format("{} cells differed", stats.reconciled - before)
                            : Describe(done.error()));
    }
  }
}

}  // namespace coterie::node

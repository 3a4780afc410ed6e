#include "node/leaderless/state.h"

// Objects that are too large to be removed by one mutation: they are hidden, and go in parts.
namespace coterie::node {

namespace {
constexpr std::size_t kPartCells = 1000;
constexpr std::size_t kRemovalsMax = 10'000;  // queued; what is beyond is found as expired
constexpr Duration kPartPause = 1ms;
constexpr Duration kRefusedPause = 100ms;
}  // namespace

void LeaderlessReplicas::State::RemoveInParts(Removal removal) {
  if (removals.size() >= kRemovalsMax) return;
  if (!removing.emplace(removal.shard, removal.key).second) return;
  removals.push_back(std::move(removal));
  removal_wanted.NotifyAll();
}

/// What an edit has hidden: of what was seen by then nothing is to stay.
void LeaderlessReplicas::State::RemoveHidden(const Slot& slot,
                                             const std::vector<std::string>& hidden,
                                             HybridTime time) {
  for (const std::string& key : hidden)
    RemoveInParts({slot.id, key, slot.tracker.applied(), time, {}});
}

Task<void> LeaderlessReplicas::State::RemovalLoop() {
  for (;;) {
    while (removals.empty()) co_await removal_wanted.Wait();
    const Duration pause = RemovePart();
    co_await runtime::Sleep(world.executor(), pause);
  }
}

/// A part of the first; answers how long to wait before the next.
Duration LeaderlessReplicas::State::RemovePart() {
  Removal& removal = removals.front();
  placement::Keyspace keyspace;
  keyspace.promise.write = 1;
  placement::Shard shard;
  shard.id = removal.shard;
  std::optional<std::string> next;
  const auto make = [&](cells::Edit& edit) {
    const VersionVector* seen = removal.seen ? &*removal.seen : nullptr;
    next = edit.RemovePart(removal.key, removal.after, seen, kPartCells);
  };
  const auto made = Write(keyspace, shard, make, removal.time);
  if (!made && made.error().code == ErrorCode::kOverloaded) return kRefusedPause;
  if (made && next) {
    removal.after = std::move(*next);
    return kPartPause;
  }
  // Done, or the shard has left, and whoever has it finds the rest.
  removing.erase({removal.shard, removal.key});
  removals.pop_front();
  return kPartPause;
}

}  // namespace coterie::node

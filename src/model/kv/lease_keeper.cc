#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/assert.h"
#include "model/kv/state.h"
#include "model/kv/store.h"

namespace coterie::kv {
namespace {

// A granted TTL may be 285 years; the time line ends about there.
Instant After(Instant now, std::int64_t seconds) {
  constexpr auto kNanosPerSecond = std::int64_t{1'000'000'000};
  const std::int64_t left = (Instant::max() - std::max(now, Instant())).count();
  if (seconds >= left / kNanosPerSecond) return Instant::max();
  return now + Duration(seconds * kNanosPerSecond);
}

}  // namespace

struct LeaseKeeper::State {
  struct Kept {
    std::int64_t ttl_seconds;
    LogIndex granted_at;
    LogIndex heard_at;
    Instant counted_from;
    Instant deadline;  // or, once handed out, when to hand it out again
    bool prolonged = false;
    bool handed_out = false;  // its revocation is on its way: it cannot be renewed any more
  };

  explicit State(const Store& s) : store(s) {}
  void Restart(std::int64_t id, const LeaseTable::Row& lease, Instant now);
  void Drop(std::int64_t id);
  void Look(std::int64_t id, Instant now);
  void SetDeadline(std::int64_t id, Kept& kept, Instant deadline);

  const Store& store;
  bool leading = false;
  std::uint64_t generation = 0;
  std::uint64_t loads = 0;
  std::map<std::int64_t, Kept> leases;
  std::set<std::pair<Instant, std::int64_t>> by_deadline;
};

void LeaseKeeper::State::SetDeadline(std::int64_t id, Kept& kept, Instant deadline) {
  by_deadline.erase({kept.deadline, id});
  kept.deadline = deadline;
  by_deadline.emplace(deadline, id);
}

void LeaseKeeper::State::Restart(std::int64_t id, const LeaseTable::Row& lease, Instant now) {
  Drop(id);
  const Instant deadline = After(now, lease.ttl_seconds);
  leases.emplace(id, Kept{lease.ttl_seconds, lease.granted_at, lease.heard_at, now, deadline});
  by_deadline.emplace(deadline, id);
}

void LeaseKeeper::State::Drop(std::int64_t id) {
  const auto found = leases.find(id);
  if (found == leases.end()) return;
  by_deadline.erase({found->second.deadline, id});
  leases.erase(found);
}

void LeaseKeeper::State::Look(std::int64_t id, Instant now) {
  const LeaseTable::Row* lease = store.state_->leases.Find(id);
  if (lease == nullptr) return Drop(id);
  const auto found = leases.find(id);
  if (found != leases.end() && found->second.heard_at == lease->heard_at) return;
  Restart(id, *lease, now);
}

LeaseKeeper::LeaseKeeper(const Store& store) : state_(std::make_unique<State>(store)) {}
LeaseKeeper::~LeaseKeeper() = default;

void LeaseKeeper::OnLeadership(bool leading, Instant now) {
  state_->leading = leading;
  Refresh(now);
  for (auto& [id, kept] : state_->leases) {
    if (std::exchange(kept.handed_out, false)) {
      state_->SetDeadline(id, kept, std::min(kept.deadline, now));
    }
    if (!leading || std::exchange(kept.prolonged, true)) continue;
    state_->SetDeadline(id, kept, After(now, kept.ttl_seconds));
  }
}

void LeaseKeeper::CountAnew(Instant now) {
  const LeaseTable& table = state_->store.state_->leases;
  state_->leases.clear();
  state_->by_deadline.clear();
  for (const auto& [id, lease] : table.all()) state_->Restart(id, lease, now);
  state_->generation = table.generation();
}

void LeaseKeeper::Refresh(Instant now) {
  const LeaseTable& table = state_->store.state_->leases;
  if (table.loads() != state_->loads) {
    state_->loads = table.loads();
    return CountAnew(now);
  }
  if (table.generation() == state_->generation) return;
  if (const auto changed = table.ChangedSince(state_->generation)) {
    for (const std::int64_t id : *changed) state_->Look(id, now);
  } else {
    std::set<std::int64_t> ids;
    for (const auto& [id, kept] : state_->leases) ids.insert(id);
    for (const auto& [id, lease] : table.all()) ids.insert(id);
    for (const std::int64_t id : ids) state_->Look(id, now);
  }
  state_->generation = table.generation();
  COT_ASSERT(state_->leases.size() == table.all().size());
  COT_ASSERT(state_->by_deadline.size() == state_->leases.size());
}

std::optional<std::int64_t> LeaseKeeper::Renew(std::int64_t id, Instant now) {
  COT_ASSERT(state_->leading);
  const auto found = state_->leases.find(id);
  if (found == state_->leases.end()) return std::nullopt;
  State::Kept& kept = found->second;
  if (kept.handed_out || kept.deadline <= now) return std::nullopt;
  state_->SetDeadline(id, kept, After(now, kept.ttl_seconds));
  kept.counted_from = now;
  return kept.ttl_seconds;
}

std::optional<std::int64_t> LeaseKeeper::RemainingSeconds(std::int64_t id, Instant now) const {
  const auto found = state_->leases.find(id);
  if (found == state_->leases.end()) return std::nullopt;
  if (found->second.handed_out || found->second.deadline <= now) return 0;
  const auto left =
      std::chrono::duration_cast<std::chrono::seconds>(found->second.deadline - now - Duration(1));
  return std::min<std::int64_t>(left.count(), found->second.ttl_seconds);
}

std::vector<std::int64_t> LeaseKeeper::TakeExpired(Instant now, std::size_t max, Duration retry) {
  std::vector<std::int64_t> expired;
  if (!state_->leading) return expired;
  while (expired.size() < max && !state_->by_deadline.empty()) {
    const auto [deadline, id] = *state_->by_deadline.begin();
    if (deadline > now) break;
    auto& kept = state_->leases.at(id);
    kept.handed_out = true;
    // At least one tick on, or a retry of zero would hand it out again in this very call.
    state_->SetDeadline(id, kept, now + std::max(retry, Duration(1)));
    expired.push_back(id);
  }
  return expired;
}

Instant LeaseKeeper::NextDeadline() const {
  if (!state_->leading || state_->by_deadline.empty()) return Instant::max();
  return state_->by_deadline.begin()->first;
}

std::vector<std::int64_t> LeaseKeeper::ByEnd() const {
  std::vector<std::int64_t> ids;
  ids.reserve(state_->by_deadline.size());
  for (const auto& [deadline, id] : state_->by_deadline) ids.push_back(id);
  return ids;
}

std::vector<LeaseKeeper::Count> LeaseKeeper::Counts(std::optional<std::int64_t> after,
                                                    std::size_t max, Instant now) const {
  std::vector<Count> counts;
  auto at = after ? state_->leases.upper_bound(*after) : state_->leases.begin();
  for (; at != state_->leases.end() && counts.size() < max; ++at) {
    const auto& [id, kept] = *at;
    const bool over = kept.handed_out || kept.deadline <= now;
    counts.push_back(
        {id, kept.granted_at, over ? Duration() : kept.deadline - now, kept.prolonged});
  }
  return counts;
}

std::uint64_t LeaseKeeper::loads() const { return state_->loads; }

void LeaseKeeper::Adopt(const Count& leaders, Instant asked, Instant now) {
  const auto found = state_->leases.find(leaders.id);
  if (found == state_->leases.end()) return;
  State::Kept& kept = found->second;
  if (kept.granted_at != leaders.granted_at || kept.counted_from > asked) return;
  kept.prolonged = leaders.prolonged;
  const bool endless = leaders.left >= Instant::max() - now;
  state_->SetDeadline(leaders.id, kept, endless ? Instant::max() : now + leaders.left);
}

}  // namespace coterie::kv

#include "replication/leaderless/tracker.h"

#include "base/assert.h"

namespace coterie::leaderless {

Tracker::Verdict Tracker::Judge(Dot dot) const {
  const std::uint64_t have = applied_.Get(dot.actor);
  if (dot.counter <= have) return Verdict::kKnown;
  return dot.counter == have + 1 ? Verdict::kNext : Verdict::kEarly;
}

void Tracker::Include(Dot dot) {
  COT_ASSERT(Judge(dot) == Verdict::kNext);
  applied_.Include(dot);
}

bool Tracker::Keep(Dot dot, std::string_view mutation) {
  if (Judge(dot) == Verdict::kKnown || early_.contains(dot)) return true;
  if (early_bytes_ + mutation.size() > early_bytes_max_) return false;
  early_.emplace(dot, mutation);
  early_bytes_ += mutation.size();
  return true;
}

std::optional<std::string> Tracker::TakeReady() {
  if (early_.empty()) return std::nullopt;
  ForgetKnown();
  for (auto at = early_.begin(); at != early_.end();) {
    const Actor actor = at->first.actor;
    if (Judge(at->first) == Verdict::kNext) {
      std::string mutation = std::move(at->second);
      early_bytes_ -= mutation.size();
      early_.erase(at);
      return mutation;
    }
    at = early_.upper_bound(Dot{actor, UINT64_MAX});
  }
  return std::nullopt;
}

void Tracker::RaiseTo(const VersionVector& to) { applied_.Join(to); }

/// What came by another way meanwhile: the kept ones of an actor are in counter order.
void Tracker::ForgetKnown() {
  for (auto at = early_.begin(); at != early_.end();) {
    if (Judge(at->first) == Verdict::kKnown) {
      early_bytes_ -= at->second.size();
      at = early_.erase(at);
    } else {
      at = early_.upper_bound(Dot{at->first.actor, UINT64_MAX});
    }
  }
}

}  // namespace coterie::leaderless

#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"

namespace coterie::clock {

/// A hybrid logical timestamp: milliseconds since the Unix epoch in the upper 48 bits, a logical
/// counter in the lower 16 [HLC §3]. Order of timestamps respects causality.
using HybridTime = Tagged<struct HybridTimeTag>;
constexpr HybridTime MakeHybridTime(std::uint64_t ms, std::uint16_t logical) {
  return HybridTime(ms << 16 | logical);
}
constexpr std::uint64_t PhysicalMs(HybridTime t) { return t.value >> 16; }

/// One node's hybrid logical clock. Pure: the wall clock is passed in.
class HybridClock {
 public:
  explicit HybridClock(Duration drift_max = std::chrono::milliseconds(10000))
      : drift_max_(drift_max) {}
  /// A timestamp greater than every one given or observed so far.
  HybridTime Next(const WallInterval& wall);
  /// Takes note of another's timestamp. Error kClockTooFarAhead (not applied): it is more than
  /// `drift_max` ahead of what this machine's clock shows, however wide its own bound is; the clock
  /// is unchanged.
  Status Observe(HybridTime seen, const WallInterval& wall);
  HybridTime last() const { return last_; }

 private:
  Duration drift_max_;
  HybridTime last_;
};

}  // namespace coterie::clock

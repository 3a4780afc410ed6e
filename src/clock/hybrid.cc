#include "clock/hybrid.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/assert.h"

namespace coterie::clock {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::uint64_t kMsMax = (std::uint64_t{1} << 48) - 1;

std::uint64_t ClampMs(std::int64_t ns) {
  return std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0) / kNsPerMs), kMsMax);
}

}  // namespace

HybridTime HybridClock::Next(const WallInterval& wall) {
  COT_ASSERT(wall.earliest_ns <= wall.latest_ns);
  const std::int64_t middle = std::midpoint(wall.earliest_ns, wall.latest_ns);
  // A logical part that overflows carries into the milliseconds: still greater, and a clock that
  // gives more than 65536 timestamps a millisecond runs ahead only until it pauses.
  last_ = std::max(last_ + 1, MakeHybridTime(ClampMs(middle), 0));
  return last_;
}

Status HybridClock::Observe(HybridTime seen, const WallInterval& wall) {
  if (seen <= last_) return Ok();
  const std::uint64_t here = ClampMs(std::midpoint(wall.earliest_ns, wall.latest_ns));
  const std::uint64_t drift = static_cast<std::uint64_t>(
      std::max<std::int64_t>(drift_max_ / std::chrono::milliseconds(1), 0));
  if (PhysicalMs(seen) > here + drift) {
    return Fail(ErrorCode::kClockTooFarAhead,
                fmt::format("{} ms ahead; the limit is {} ms", PhysicalMs(seen) - here, drift));
  }
  last_ = seen;
  return Ok();
}

}  // namespace coterie::clock

#include "clock/wall_interval.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coterie::clock {

std::string ToText(const WallInterval& wall) {
  if (!wall.synchronized) return "unsynchronised";
  const double ms = static_cast<double>(wall.latest_ns - wall.earliest_ns) / 2e6;
  // Rounded up: a bound is never made narrower by being printed.
  const auto up = [](double v) { return std::ceil(v * 10 - 1e-6) / 10; };
  return ms < 1000 ? fmt::format("±{:.1f} ms", up(ms)) : fmt::format("±{:.1f} s", up(ms / 1000));
}

std::int64_t MiddleUs(const WallInterval& wall) {
  return std::midpoint(wall.earliest_ns, wall.latest_ns) / 1000;
}

std::uint64_t MiddleMs(const WallInterval& wall) {
  const std::int64_t middle = std::midpoint(wall.earliest_ns, wall.latest_ns);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(middle, 0)) / 1'000'000;
}

}  // namespace coterie::clock

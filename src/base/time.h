#pragma once

#include <chrono>
#include <cstdint>

namespace coterie {

using Duration = std::chrono::nanoseconds;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""us;

/// A node's monotonic time line; its zero has no meaning and nothing here can read it. Only the
/// World does: cores get instants as arguments.
struct MonotonicTimeline {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicTimeline>;
  static constexpr bool is_steady = true;
};
using Instant = std::chrono::time_point<MonotonicTimeline, Duration>;

/// What a clock honestly knows of the date: true time is in [earliest, latest], in nanoseconds
/// since the Unix epoch [TrueTime §3]. An unsynchronised clock has `synchronized == false` and a
/// wide bound.
struct WallInterval {
  std::int64_t earliest_ns = 0;
  std::int64_t latest_ns = 0;
  bool synchronized = false;
};

}  // namespace coterie

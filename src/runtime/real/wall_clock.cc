#include "runtime/real/wall_clock.h"

#include <sys/timex.h>

#include <ctime>

namespace coterie::runtime {
namespace {

/// What is claimed when nothing disciplines the clock: half an hour either way.
constexpr Duration kUnknownBound = 1800s;

}  // namespace

WallInterval WallClock::Read(Instant now) {
  if (!asked_ || now - asked_at_ >= 1s) {
    timex state{};
    const int answer = ::adjtimex(&state);
    synchronized_ = answer >= 0 && answer != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
    bound_ns_ =
        synchronized_ ? static_cast<std::int64_t>(state.maxerror) * 1000 : kUnknownBound.count();
    asked_ = true;
    asked_at_ = now;
  }
  timespec wall{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  const std::int64_t ns = static_cast<std::int64_t>(wall.tv_sec) * 1'000'000'000 + wall.tv_nsec;
  return {ns - bound_ns_, ns + bound_ns_, synchronized_};
}

}  // namespace coterie::runtime

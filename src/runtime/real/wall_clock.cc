#include "runtime/real/wall_clock.h"

#include <sys/timex.h>

#include <cstdlib>
#include <ctime>

namespace coterie::runtime {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
/// What is claimed when nothing disciplines the clock: half an hour either way.
constexpr std::int64_t kUnknownBoundNs = 1800 * kNsPerSecond;
/// The kernel lets an oscillator be wrong, and slews, by 500 parts in a million (MAXFREQ,
/// MAX_TICKADJ).
constexpr std::int64_t kStrayPerMillion = 500;
/// Reading two clocks one after the other takes time.
constexpr std::int64_t kReadingNs = 100'000;

std::int64_t Nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::int64_t>(now.tv_sec) * kNsPerSecond + now.tv_nsec;
}

}  // namespace

ClockDiscipline AskKernel() {
  timex state{};
  const int answer = ::adjtimex(&state);
  ClockDiscipline discipline;
  discipline.synchronized = answer >= 0 && answer != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  discipline.error_max_ns = static_cast<std::int64_t>(state.maxerror) * 1000;
  return discipline;
}

WallInterval WallClock::Read() {
  return Read({Nanoseconds(CLOCK_REALTIME), Nanoseconds(CLOCK_MONOTONIC)});
}

WallInterval WallClock::Read(ClockReading now) {
  std::int64_t elapsed = now.monotonic_ns - asked_at_.monotonic_ns;
  const std::int64_t stray = elapsed * kStrayPerMillion / 1'000'000;
  const bool set = std::abs(now.wall_ns - asked_at_.wall_ns - elapsed) > stray + kReadingNs;
  if (!asked_ || elapsed >= kNsPerSecond || set) {
    discipline_ = ask_();
    asked_ = true;
    asked_at_ = now;
    elapsed = 0;
  }
  const std::int64_t bound = discipline_.synchronized
                                 ? discipline_.error_max_ns + elapsed * kStrayPerMillion / 1'000'000
                                 : kUnknownBoundNs;
  return {now.wall_ns - bound, now.wall_ns + bound, discipline_.synchronized};
}

}  // namespace coterie::runtime

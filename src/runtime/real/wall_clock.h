#pragma once

#include <cstdint>

#include "base/time.h"

namespace coterie::runtime {

/// What the kernel says about its clock's discipline (adjtimex).
struct ClockDiscipline {
  bool synchronized = false;
  std::int64_t error_max_ns = 0;  ///< at the moment of asking; an NTP daemon keeps it small
};
ClockDiscipline AskKernel();

/// Two clocks, read together.
struct ClockReading {
  std::int64_t wall_ns = 0;
  std::int64_t monotonic_ns = 0;
};

/// The system's date with an honest bound on its error. Asks the kernel once a second and whenever
/// the date has been set; in between the bound grows by the most that the kernel lets an
/// undisturbed clock stray.
class WallClock {
 public:
  using Ask = ClockDiscipline (*)();
  explicit WallClock(Ask ask = AskKernel) : ask_(ask) {}

  WallInterval Read();
  /// The same for given readings. Pure but for `ask`.
  WallInterval Read(ClockReading now);

 private:
  Ask ask_;
  bool asked_ = false;
  ClockReading asked_at_;
  ClockDiscipline discipline_;
};

}  // namespace coterie::runtime

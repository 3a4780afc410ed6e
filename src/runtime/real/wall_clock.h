#pragma once

#include "base/time.h"
#include "runtime/executor.h"

namespace coterie::runtime {

/// The system's date with the kernel's own bound on its error (adjtimex's maxerror, which an NTP
/// daemon keeps), asked again once a second of `now`.
class WallClock {
 public:
  WallInterval Read(Instant now);

 private:
  std::int64_t bound_ns_ = 0;
  bool synchronized_ = false;
  bool asked_ = false;
  Instant asked_at_{};
};

}  // namespace coterie::runtime

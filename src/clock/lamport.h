#pragma once

#include <algorithm>
#include <cstdint>

#include "base/ids.h"

namespace coterie::clock {

using LamportTime = Tagged<struct LamportTimeTag>;

/// A logical clock: if one event happened before another, its time is smaller [Lamport-Clocks §2].
/// Ties between nodes are broken by node number where a total order is needed. A value.
class LamportClock {
 public:
  /// The time of the next event here: greater than every one given or observed so far.
  LamportTime Next() { return ++time_; }
  /// Takes note of the time in a message; the event of receiving it is the next Next().
  void Observe(LamportTime seen) { time_ = std::max(time_, seen); }
  LamportTime last() const { return time_; }

 private:
  LamportTime time_;
};

}  // namespace coterie::clock

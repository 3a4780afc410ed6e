#pragma once

#include <cstdint>
#include <vector>

#include "runtime/executor.h"

namespace coterie::runtime {

/// The timers of one Executor: a binary heap by (instant, arming order) with removal of any member
/// in O(log n). Holds pointers; a Timer leaves by itself when destroyed.
class TimerQueue {
 public:
  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  /// The next instant. Requires: !empty().
  Instant next() const { return heap_.front()->at_; }
  void Add(Timer& timer);
  void Remove(Timer& timer);
  /// Removes and returns the first timer. Requires: !empty().
  Timer& Pop();
  /// All timers, in no particular order. Valid until the queue changes.
  const std::vector<Timer*>& members() const { return heap_; }

  /// The order of firing.
  static bool Before(const Timer& a, const Timer& b);

 private:
  void Place(Timer* timer, std::size_t position);
  void SiftUp(std::size_t position);
  void SiftDown(std::size_t position);

  std::vector<Timer*> heap_;
  std::uint64_t next_order_ = 0;
};

}  // namespace coterie::runtime

#include "runtime/timer_queue.h"

namespace coterie::runtime {

bool TimerQueue::Before(const Timer& a, const Timer& b) {
  return a.at_ != b.at_ ? a.at_ < b.at_ : a.order_ < b.order_;
}

void TimerQueue::Place(Timer* timer, std::size_t position) {
  heap_[position] = timer;
  timer->heap_position_ = position;
}

void TimerQueue::SiftUp(std::size_t position) {
  Timer* timer = heap_[position];
  while (position > 0) {
    const std::size_t parent = (position - 1) / 2;
    if (!Before(*timer, *heap_[parent])) break;
    Place(heap_[parent], position);
    position = parent;
  }
  Place(timer, position);
}

void TimerQueue::SiftDown(std::size_t position) {
  Timer* timer = heap_[position];
  for (;;) {
    std::size_t child = 2 * position + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && Before(*heap_[child + 1], *heap_[child])) ++child;
    if (!Before(*heap_[child], *timer)) break;
    Place(heap_[child], position);
    position = child;
  }
  Place(timer, position);
}

void TimerQueue::Add(Timer& timer) {
  timer.order_ = next_order_++;
  heap_.push_back(&timer);
  SiftUp(heap_.size() - 1);
}

void TimerQueue::Remove(Timer& timer) {
  const std::size_t position = timer.heap_position_;
  COT_ASSERT(position < heap_.size());
  COT_ASSERT(heap_[position] == &timer);
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  Place(last, position);
  SiftUp(position);
  SiftDown(last->heap_position_);
}

Timer& TimerQueue::Pop() {
  COT_ASSERT(!heap_.empty());
  Timer& first = *heap_.front();
  Remove(first);
  return first;
}

}  // namespace coterie::runtime

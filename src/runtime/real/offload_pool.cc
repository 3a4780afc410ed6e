#include "runtime/real/offload_pool.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace coterie::runtime {

OffloadPool::OffloadPool(Reactor& reactor, std::size_t threads) : reactor_(reactor) {
  COT_ASSERT(threads > 0);
  event_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  COT_ASSERT(event_ >= 0);
  const Status watched = reactor_.Watch(event_, EPOLLIN | EPOLLET, *this);
  COT_ASSERT(watched.has_value());
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back(&OffloadPool::Work, this);
}

OffloadPool::~OffloadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  for (Ticket* ticket : completed_) {
    COT_ASSERT(ticket->waiter == nullptr);
    delete ticket;
  }
  ::close(event_);
}

void OffloadPool::Submit(Ticket* ticket) {
  {
    const std::lock_guard lock(mutex_);
    COT_ASSERT(!stop_);
    queue_.push_back(ticket);
  }
  wake_.notify_one();
}

void OffloadPool::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Ticket* ticket = queue_.front();
    queue_.pop_front();
    Operation* operation = ticket->operation.get();
    lock.unlock();
    operation->Execute();
    lock.lock();
    const bool first = completed_.empty();
    completed_.push_back(ticket);
    if (!first) continue;
    lock.unlock();  // the reactor wakes at once, and wants it
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(event_, &one, sizeof one);
    lock.lock();
  }
}

void OffloadPool::OnEvents(std::uint32_t) {
  // Edge-triggered: every write is an event of its own, so the counter need not be read.
  {
    const std::lock_guard lock(mutex_);
    taken_.swap(completed_);
  }
  for (Ticket* ticket : taken_) {
    ticket->done = true;
    if (ticket->waiter != nullptr) {
      reactor_.Post(*ticket->waiter);
    } else {
      delete ticket;
    }
  }
  taken_.clear();
}

}  // namespace coterie::runtime

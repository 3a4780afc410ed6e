#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "runtime/executor.h"
#include "runtime/timer_queue.h"

struct epoll_event;

namespace coterie::runtime {

/// Something with a file descriptor in the reactor's epoll set.
class Pollable {
 public:
  /// Notes the epoll `events`. Runs between tasks: it may post work but must not destroy a
  /// Pollable.
  virtual void OnEvents(std::uint32_t events) = 0;

 protected:
  ~Pollable() = default;
};

/// The real world's Executor: one epoll loop on the thread that calls Run. A turn takes the time
/// once, fires the timers that are due, runs what is ready (at most kItemsPerPoll before it looks
/// at the descriptors again), then polls, waiting only when nothing is ready.
class Reactor final : public Executor {
 public:
  static constexpr int kItemsPerPoll = 1024;

  Reactor();
  Reactor(const Reactor&) = delete;
  ~Reactor();

  Instant Now() const override { return now_; }
  void Post(Runnable& item) override { ready_.PushBack(item); }

  /// Adds `fd` with epoll `events`. It leaves the set when it is closed. Errors: kIo.
  Status Watch(int fd, std::uint32_t events, Pollable& target);

  /// Runs turns until Stop, or until `*done` is true at the end of a turn.
  void Run(const bool* done = nullptr);
  /// Ends Run at the end of its turn. May be called on any thread.
  void Stop();

 private:
  void DoArm(Timer& timer) override { timers_.Add(timer); }
  void DoDisarm(Timer& timer) override { timers_.Remove(timer); }
  void TakeTime();
  void FireTimers();
  void RunReady();
  void Poll();
  int WaitForEvents(std::span<epoll_event> events);

  int epoll_ = -1;
  int wake_ = -1;  // an eventfd that Stop writes to
  bool precise_wait_ = true;
  std::atomic<bool> stop_ = false;
  Instant now_{};
  ListNode ready_;
  TimerQueue timers_;
};

}  // namespace coterie::runtime

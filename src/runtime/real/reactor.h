#pragma once

#include <atomic>
#include <coroutine>
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

  /// `co_await reactor.Quiet()`: at the end of this turn, true if nothing is ready and nothing has
  /// arrived: whoever then blocks the loop for a moment holds nobody up. True for one waiter at a
  /// time.
  class [[nodiscard]] QuietAwaiter final : public ListNode {
   public:
    explicit QuietAwaiter(Reactor& reactor) : reactor_(reactor) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      resumer_.handle = awaiting;
      reactor_.quiet_.PushBack(*this);
    }
    bool await_resume() const noexcept { return quiet_; }

   private:
    friend class Reactor;
    Reactor& reactor_;
    Resumer resumer_;
    bool quiet_ = false;
  };
  QuietAwaiter Quiet() { return QuietAwaiter(*this); }

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
  void Dispatch(std::span<const epoll_event> events);
  void AnswerQuiet(bool quiet);
  int WaitForEvents(std::span<epoll_event> events);
  /// A turn has ended that began when the last one ended, or when BeginTurns was called.
  void BeginTurns();
  void EndTurn();

  int epoll_ = -1;
  int wake_ = -1;  // an eventfd that Stop writes to
  bool precise_wait_ = true;
  std::atomic<bool> stop_ = false;
  Instant now_{};
  Instant turn_began_{};
  Duration cpu_before_{};  // of this thread, at BeginTurns or after the last long turn
  ListNode ready_;
  ListNode quiet_;
  TimerQueue timers_;
};

}  // namespace coterie::runtime

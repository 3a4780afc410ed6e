#pragma once

#include <coroutine>
#include <cstddef>

#include "base/assert.h"
#include "base/time.h"

namespace coterie::runtime {

/// A node of an intrusive list; unlinks itself when destroyed, so that a destroyed coroutine frame
/// leaves no pointer behind in a queue.
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { Unlink(); }

  bool linked() const { return next_ != this; }
  void Unlink() {
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = prev_ = this;
  }
  /// Links `node` as the last of the list whose head is this. Requires: node is not linked.
  void PushBack(ListNode& node) {
    COT_ASSERT(!node.linked());
    node.prev_ = prev_;
    node.next_ = this;
    prev_->next_ = &node;
    prev_ = &node;
  }
  ListNode* front() { return next_ == this ? nullptr : next_; }
  /// The member of the list whose head is this that follows `node`, or nullptr.
  ListNode* after(ListNode& node) { return node.next_ == this ? nullptr : node.next_; }

 private:
  ListNode* next_ = this;
  ListNode* prev_ = this;
};

/// Something an Executor runs once, later, on its own thread. Owned by whoever posts it; destroying
/// it before it ran withdraws it.
class Runnable : public ListNode {
 public:
  virtual void Run() = 0;

 protected:
  ~Runnable() = default;
};

class Executor;

/// Something an Executor runs once at an instant. Destroying it disarms it.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual void Fire() = 0;
  bool armed() const { return executor_ != nullptr; }
  Instant at() const { return at_; }

 protected:
  ~Timer();

 private:
  friend class Executor;
  friend class TimerQueue;
  Executor* executor_ = nullptr;
  Instant at_{};
  std::uint64_t order_ = 0;  // ties fire in the order they were armed
  std::size_t heap_position_ = 0;
};

/// Where a reactor's work is queued: run-once items in posting order, and timers in time order.
/// Single-threaded: every call is made on the reactor's thread.
class Executor {
 public:
  /// The reactor's monotonic time. Constant within one loop turn of the real world.
  virtual Instant Now() const = 0;
  /// Queues `item` behind everything posted before. Requires: not linked. Never runs it inline.
  virtual void Post(Runnable& item) = 0;
  /// Arms `timer`; re-arms it when it is armed already. An instant in the past fires on the next
  /// turn.
  void Arm(Timer& timer, Instant at) {
    if (timer.executor_ != nullptr) timer.executor_->DoDisarm(timer);
    timer.executor_ = this;
    timer.at_ = at;
    DoArm(timer);
  }
  void Disarm(Timer& timer) {
    if (timer.executor_ == nullptr) return;
    timer.executor_->DoDisarm(timer);
    timer.executor_ = nullptr;
  }

 protected:
  ~Executor() = default;
  virtual void DoArm(Timer& timer) = 0;
  virtual void DoDisarm(Timer& timer) = 0;
  /// For implementations: marks `timer`, already out of their queue, as disarmed and fires it.
  static void FireNow(Timer& timer) {
    timer.executor_ = nullptr;
    timer.Fire();
  }
  /// For implementations whose queue spans several executors, or runs on another time line than
  /// Now().
  static Executor* OwnerOf(const Timer& timer) { return timer.executor_; }
  static void SetInstant(Timer& timer, Instant at) { timer.at_ = at; }
};

inline Timer::~Timer() {
  if (executor_ != nullptr) executor_->Disarm(*this);
}

/// A Runnable that resumes a suspended coroutine; a member of the awaiter, hence of the frame.
class Resumer final : public Runnable {
 public:
  std::coroutine_handle<> handle;
  void Run() override { handle.resume(); }
};

/// `co_await Sleep(executor, d)`: resumes after `d`. `co_await SleepUntil(...)`: at an instant.
/// `co_await Yield(executor)`: resumes behind everything already queued.
class [[nodiscard]] SleepUntil final : public Timer {
 public:
  SleepUntil(Executor& executor, Instant at) : loop_(executor), when_(at) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    awaiting_ = awaiting;
    loop_.Arm(*this, when_);
  }
  void await_resume() const noexcept {}
  void Fire() override { awaiting_.resume(); }

 private:
  Executor& loop_;
  Instant when_;
  std::coroutine_handle<> awaiting_;
};

inline SleepUntil Sleep(Executor& executor, Duration duration) {
  return SleepUntil(executor, executor.Now() + duration);
}

class [[nodiscard]] Yield {
 public:
  explicit Yield(Executor& executor) : loop_(executor) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    resumer_.handle = awaiting;
    loop_.Post(resumer_);
  }
  void await_resume() const noexcept {}

 private:
  Executor& loop_;
  Resumer resumer_;
};

}  // namespace coterie::runtime

#pragma once

#include <optional>
#include <utility>

#include "runtime/executor.h"
#include "runtime/task.h"

namespace coterie::runtime {

/// A value that one task sets and at most one task awaits. Destroying either side is safe: the
/// waiter's frame may go while it waits; a Slot that goes unset while awaited is our own mistake
/// (asserted).
template <class T>
class Slot {
 public:
  explicit Slot(Executor& executor) : executor_(executor) {}
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() { COT_ASSERT(waiter_ == nullptr); }

  bool set() const { return value_.has_value(); }
  /// Sets the value and queues the waiter. The second and later calls have no effect.
  void Set(T value) {
    if (value_) return;
    value_.emplace(std::move(value));
    if (waiter_ != nullptr) executor_.Post(std::exchange(waiter_, nullptr)->resumer);
  }

  /// `co_await slot.Wait()`: the value. `co_await slot.WaitUntil(t)`: the value, or nullopt at `t`.
  auto Wait() { return Awaiter<false>(*this, {}); }
  auto WaitUntil(Instant deadline) { return Awaiter<true>(*this, deadline); }

 private:
  struct WaiterBase {
    Resumer resumer;
  };

  template <bool kTimed>
  class [[nodiscard]] Awaiter final : public WaiterBase, public Timer {
   public:
    Awaiter(Slot& slot, Instant deadline) : slot_(slot), deadline_(deadline) {}
    ~Awaiter() {
      if (slot_.waiter_ == this) slot_.waiter_ = nullptr;
    }
    bool await_ready() const { return slot_.value_.has_value(); }
    void await_suspend(std::coroutine_handle<> awaiting) {
      COT_ASSERT(slot_.waiter_ == nullptr);
      this->resumer.handle = awaiting;
      slot_.waiter_ = this;
      if constexpr (kTimed) slot_.executor_.Arm(*this, deadline_);
    }
    auto await_resume() {
      if constexpr (kTimed) {
        if (!slot_.value_) return std::optional<T>();
        return std::optional<T>(std::move(*slot_.value_));
      } else {
        return T(std::move(*slot_.value_));
      }
    }
    void Fire() override {
      if (slot_.waiter_ != this) return;  // set in the same turn: the queued resumption follows
      slot_.waiter_ = nullptr;
      this->resumer.handle.resume();
    }

   private:
    Slot& slot_;
    Instant deadline_;
  };

  Executor& executor_;
  std::optional<T> value_;
  WaiterBase* waiter_ = nullptr;
};

/// A condition that tasks wait for: NotifyAll queues every task that waits at that moment. Waiters
/// re-check what they wait for. Must outlive its waiters' frames.
class Notification {
 public:
  explicit Notification(Executor& executor) : executor_(executor) {}
  Notification(const Notification&) = delete;
  Notification& operator=(const Notification&) = delete;

  void NotifyAll() {
    while (ListNode* node = waiters_.front()) {
      node->Unlink();
      executor_.Post(static_cast<Runnable&>(*node));
    }
  }
  bool has_waiters() { return waiters_.front() != nullptr; }

  /// `co_await n.Wait()` resumes after a later NotifyAll; `co_await n.WaitUntil(t)` answers false
  /// if `t` came first.
  auto Wait() { return Awaiter(*this, std::nullopt); }
  auto WaitUntil(Instant deadline) { return Awaiter(*this, deadline); }

 private:
  class [[nodiscard]] Awaiter final : public Timer {
   public:
    Awaiter(Notification& owner, std::optional<Instant> deadline)
        : owner_(owner), deadline_(deadline) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      resumer_.handle = awaiting;
      owner_.waiters_.PushBack(resumer_);
      if (deadline_) owner_.executor_.Arm(*this, *deadline_);
    }
    bool await_resume() const noexcept { return !timed_out_; }
    void Fire() override {
      timed_out_ = true;
      resumer_.Unlink();  // from the waiters, or from the ready queue when notified this turn
      resumer_.handle.resume();
    }

   private:
    Notification& owner_;
    std::optional<Instant> deadline_;
    Resumer resumer_;
    bool timed_out_ = false;
  };

  Executor& executor_;
  ListNode waiters_;
};

/// Runs `task` until it ends or `deadline` comes; then its frame is destroyed and the answer is
/// nullopt.
template <class T>
Task<std::optional<T>> WithDeadline(Executor& executor, Task<T> task, Instant deadline);

}  // namespace coterie::runtime

#include "runtime/sync_inl.h"

#pragma once

#include <utility>

#include "runtime/executor.h"

namespace coterie::runtime {

/// Where at most one task waits for something to change; it re-checks what after each wake-up.
/// `co_await wakeup.Wait()`. Destroying the waiting frame withdraws it.
class Wakeup {
 public:
  explicit Wakeup(Executor* executor = nullptr) : executor_(executor) {}
  Wakeup(const Wakeup&) = delete;
  ~Wakeup() { COT_ASSERT(waiter_ == nullptr); }

  void SetExecutor(Executor& executor) { executor_ = &executor; }
  void Wake() {
    if (waiter_ != nullptr) executor_->Post(*std::exchange(waiter_, nullptr));
  }

  class [[nodiscard]] Awaiter {
   public:
    explicit Awaiter(Wakeup& owner) : owner_(owner) {}
    Awaiter(const Awaiter&) = delete;
    ~Awaiter() {
      if (owner_.waiter_ == &resumer_) owner_.waiter_ = nullptr;
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      COT_ASSERT(owner_.waiter_ == nullptr);
      COT_ASSERT(owner_.executor_ != nullptr);
      resumer_.handle = awaiting;
      owner_.waiter_ = &resumer_;
    }
    void await_resume() const noexcept {}

   private:
    Wakeup& owner_;
    Resumer resumer_;
  };
  Awaiter Wait() { return Awaiter(*this); }

 private:
  Executor* executor_;
  Resumer* waiter_ = nullptr;
};

}  // namespace coterie::runtime

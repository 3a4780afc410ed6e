#include "runtime/scope.h"

namespace coterie::runtime {

/// The outermost coroutine of a spawned task: owns it, and leaves the scope's list when it ends.
struct Scope::Frame {
  struct promise_type : ListNode {
    Scope* scope = nullptr;
    Frame get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept {
      --scope->count_;
      return {};  // the frame destroys itself, and with it the list node
    }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::abort(); }
  };

  std::coroutine_handle<promise_type> handle;

  static Frame Drive(Task<void> task) { co_await std::move(task); }
};

void Scope::Spawn(Task<void> task) {
  Frame frame = Frame::Drive(std::move(task));
  frame.handle.promise().scope = this;
  frames_.PushBack(frame.handle.promise());
  ++count_;
  frame.handle.resume();
}

void Scope::Cancel() {
  while (ListNode* node = frames_.front()) {
    auto& promise = static_cast<Frame::promise_type&>(*node);
    --count_;
    std::coroutine_handle<Frame::promise_type>::from_promise(promise).destroy();
  }
  COT_ASSERT(count_ == 0);
}

}  // namespace coterie::runtime

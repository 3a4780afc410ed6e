#pragma once

#include <coroutine>
#include <cstdlib>

namespace coterie::net {

/// The outermost coroutine of a handler: owned by what answers the request, which destroys it to
/// cancel.
struct HandlerFrame {
  struct promise_type {
    HandlerFrame get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }  // an ended frame frees itself
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::abort(); }
  };
  std::coroutine_handle<promise_type> handle;
};

}  // namespace coterie::net

#pragma once

#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/assert.h"

namespace coterie::runtime {

/// A lazy coroutine on one reactor: it starts when awaited, resumes its awaiter by symmetric
/// transfer, and its frame is destroyed with the Task object. Since a Task lives in the frame that
/// awaits it, destroying an outermost frame (see Scope) unwinds everything below it: that is how a
/// node is killed.
///
/// Rules: parameters by value; no capturing lambda coroutines; preconditions re-checked after each
/// `co_await`; errors are Result values (an exception that leaves a coroutine aborts the process).
template <class T>
class Task;

/// Counts the Task frames that were created while it was current and still live. The simulator
/// keeps one per node: a frame that survives its node's death is a leak. Null (the default) counts
/// nothing.
struct FrameCount {
  std::int64_t live = 0;
};
inline constinit thread_local FrameCount* current_frame_count = nullptr;

namespace internal {

struct FinalAwaiter {
  bool await_ready() noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept {
    const std::coroutine_handle<> next = done.promise().continuation;
    return next ? next : std::noop_coroutine();
  }
  void await_resume() noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> continuation;
  FrameCount* const frame_count = current_frame_count;

  PromiseBase() {
    if (frame_count != nullptr) ++frame_count->live;
  }
  PromiseBase(const PromiseBase&) = delete;
  ~PromiseBase() {
    if (frame_count != nullptr) --frame_count->live;
  }
  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  [[noreturn]] void unhandled_exception() noexcept { std::abort(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
  T Take() {
    COT_ASSERT(value.has_value());
    return std::move(*value);
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() noexcept {}
  void Take() {}
};

}  // namespace internal

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      Handle handle;
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
        handle.promise().continuation = awaiting;
        return handle;
      }
      T await_resume() { return handle.promise().Take(); }
    };
    COT_ASSERT(handle_);
    return Awaiter{handle_};
  }

  explicit operator bool() const { return static_cast<bool>(handle_); }

 private:
  friend class Scope;
  Handle handle_;
};

namespace internal {
template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace internal

}  // namespace coterie::runtime

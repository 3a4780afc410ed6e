#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/timer_queue.h"
#include "runtime/world.h"
#include "storage/testing/test_disk.h"

namespace coterie::storage::testing {

/// Time moves only when nothing is ready.
class TestExecutor final : public runtime::Executor {
 public:
  Instant Now() const override { return now_; }
  void Post(runtime::Runnable& item) override { ready_.PushBack(item); }
  void RunUntilIdle() { RunUntil(Instant::max()); }
  void RunUntil(Instant end) {
    for (;;) {
      while (runtime::ListNode* node = ready_.front()) {
        node->Unlink();
        static_cast<runtime::Runnable*>(node)->Run();
      }
      if (timers_.empty() || timers_.next() > end) {
        if (end != Instant::max()) now_ = end;
        return;
      }
      now_ = std::max(now_, timers_.next());
      FireNow(timers_.Pop());
    }
  }

 private:
  void DoArm(runtime::Timer& timer) override { timers_.Add(timer); }
  void DoDisarm(runtime::Timer& timer) override { timers_.Remove(timer); }
  Instant now_{};
  runtime::ListNode ready_;
  runtime::TimerQueue timers_;
};

/// The smallest World: no network, a TestDisk, offloaded work runs inline, a crash is noted.
class TestWorld final : public runtime::World {
 public:
  explicit TestWorld(DiskImage image = {}, std::uint64_t seed = 1)
      : random_(seed), disk_(executor_, std::move(image)) {}

  TestExecutor& executor() override { return executor_; }
  WallInterval WallNow() override { return {}; }
  Random& random() override { return random_; }
  runtime::Network& network() override { std::abort(); }
  TestDisk& disk() override { return disk_; }
  Logger& log() override { return log_; }
  runtime::Task<void> Offload(std::function<void()> work) override {
    work();
    co_return;
  }
  void Crash(std::string_view reason) override { crashed_ = reason; }
  const std::optional<std::string>& crashed() const { return crashed_; }

  /// Runs everything until nothing is left to do, and returns what `task` answered.
  template <class T>
  T Run(runtime::Task<T> task) {
    std::optional<T> result;
    runtime::Scope scope;
    scope.Spawn(Store(std::move(task), &result));
    executor_.RunUntilIdle();
    COT_ASSERT(result.has_value());
    return std::move(*result);
  }

 private:
  template <class T>
  static runtime::Task<void> Store(runtime::Task<T> task, std::optional<T>* result) {
    T value = co_await std::move(task);
    result->emplace(std::move(value));
  }

  TestExecutor executor_;
  Random random_;
  TestDisk disk_;
  Logger log_;
  std::optional<std::string> crashed_;
};

}  // namespace coterie::storage::testing

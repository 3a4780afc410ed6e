#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/timer_queue.h"

namespace coterie::runtime {
namespace {

/// The smallest Executor: time moves only when nothing is ready.
class ToyExecutor final : public Executor {
 public:
  Instant Now() const override { return now_; }
  void Post(Runnable& item) override { ready_.PushBack(item); }
  void RunUntilIdle() {
    for (;;) {
      while (ListNode* node = ready_.front()) {
        node->Unlink();
        static_cast<Runnable*>(node)->Run();
      }
      if (timers_.empty()) return;
      now_ = std::max(now_, timers_.next());
      FireNow(timers_.Pop());
    }
  }

 private:
  void DoArm(Timer& timer) override { timers_.Add(timer); }
  void DoDisarm(Timer& timer) override { timers_.Remove(timer); }
  Instant now_{};
  ListNode ready_;
  TimerQueue timers_;
};

struct Canary {
  explicit Canary(int* alive) : alive_(alive) { ++*alive_; }
  Canary(const Canary&) = delete;
  ~Canary() { --*alive_; }
  int* alive_;
};

Task<int> AddLater(Executor& executor, int a, int b) {
  co_await Sleep(executor, 10ms);
  co_return a + b;
}

Task<void> Collect(Executor& executor, std::vector<int>* out, int* alive) {
  Canary canary(alive);
  const int first = co_await AddLater(executor, 1, 2);
  out->push_back(first);
  const int second = co_await AddLater(executor, first, 4);
  out->push_back(second);
}

TEST(Task, RunsThroughNestedAwaits) {
  ToyExecutor executor;
  std::vector<int> out;
  int alive = 0;
  Scope scope;
  scope.Spawn(Collect(executor, &out, &alive));
  EXPECT_EQ(alive, 1);
  executor.RunUntilIdle();
  EXPECT_EQ(out, (std::vector<int>{3, 7}));
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(scope.empty());
}

// Cancelling a scope unwinds nested frames and withdraws their timers and queued resumptions.
TEST(Scope, CancelDestroysFramesAtAnySuspension) {
  ToyExecutor executor;
  std::vector<int> out;
  int alive = 0;
  {
    Scope scope;
    for (int i = 0; i < 5; ++i) scope.Spawn(Collect(executor, &out, &alive));
    EXPECT_EQ(alive, 5);
  }
  EXPECT_EQ(alive, 0);
  executor.RunUntilIdle();
  EXPECT_TRUE(out.empty());
}

Task<void> WaitOn(Slot<std::string>* slot, Instant deadline, std::vector<std::string>* out) {
  const auto value = co_await slot->WaitUntil(deadline);
  out->push_back(value ? *value : "timeout");
}

Task<void> SetAfter(Executor& executor, Slot<std::string>* slot, Duration delay) {
  co_await Sleep(executor, delay);
  slot->Set("value");
}

TEST(Slot, DeliversBeforeTheDeadlineAndTimesOutAfter) {
  ToyExecutor executor;
  std::vector<std::string> out;
  Slot<std::string> early(executor);
  Slot<std::string> late(executor);
  Scope scope;
  scope.Spawn(WaitOn(&early, executor.Now() + 50ms, &out));
  scope.Spawn(WaitOn(&late, executor.Now() + 20ms, &out));
  scope.Spawn(SetAfter(executor, &early, 10ms));
  scope.Spawn(SetAfter(executor, &late, 30ms));
  executor.RunUntilIdle();
  EXPECT_EQ(out, (std::vector<std::string>{"value", "timeout"}));
}

Task<void> DeadlineCase(Executor& executor, Duration limit, std::vector<int>* out) {
  const auto value =
      co_await WithDeadline(executor, AddLater(executor, 1, 1), executor.Now() + limit);
  out->push_back(value.value_or(-1));
}

TEST(WithDeadline, DestroysTheTaskThatIsLate) {
  ToyExecutor executor;
  std::vector<int> out;
  Scope scope;
  scope.Spawn(DeadlineCase(executor, 5ms, &out));
  scope.Spawn(DeadlineCase(executor, 50ms, &out));
  executor.RunUntilIdle();
  EXPECT_EQ(out, (std::vector<int>{-1, 2}));
}

Task<void> WaitNotified(Notification* n, int* woken) {
  co_await n->Wait();
  ++*woken;
}

TEST(Notification, WakesAllThatWaitNow) {
  ToyExecutor executor;
  Notification n(executor);
  int woken = 0;
  Scope scope;
  for (int i = 0; i < 3; ++i) scope.Spawn(WaitNotified(&n, &woken));
  n.NotifyAll();
  EXPECT_EQ(woken, 0);
  executor.RunUntilIdle();
  EXPECT_EQ(woken, 3);
}

class CountingTimer final : public Timer {
 public:
  explicit CountingTimer(std::vector<int>* order, int id) : order_(order), id_(id) {}
  void Fire() override { order_->push_back(id_); }

 private:
  std::vector<int>* order_;
  int id_;
};

TEST(TimerQueue, FiresInTimeThenArmingOrderAndForgetsDestroyedTimers) {
  ToyExecutor executor;
  std::vector<int> order;
  CountingTimer a(&order, 1);
  CountingTimer b(&order, 2);
  CountingTimer c(&order, 3);
  {
    CountingTimer gone(&order, 4);
    executor.Arm(gone, Instant(1ms));
  }
  executor.Arm(a, Instant(5ms));
  executor.Arm(b, Instant(5ms));
  executor.Arm(c, Instant(9ms));
  executor.Arm(c, Instant(2ms));
  executor.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<int>{3, 1, 2}));
}

}  // namespace
}  // namespace coterie::runtime

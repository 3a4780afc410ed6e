#include "runtime/sim/scheduler.h"

#include <algorithm>

namespace coterie::runtime {
namespace {

constinit thread_local const Instant* running_now = nullptr;

/// A node that posts this often without time moving spins.
constexpr std::uint64_t kItemsPerInstantMax = 50'000'000;
/// Chaos chooses among so many of the oldest ready items.
constexpr std::uint64_t kChoices = 8;

ListNode* PickFrom(ListNode& list, Random& random) {
  ListNode* node = list.front();
  for (std::uint64_t skip = random.Below(kChoices); skip > 0; --skip) {
    ListNode* next = list.after(*node);
    if (next == nullptr) break;
    node = next;
  }
  return node;
}

}  // namespace

bool SimulationRunning() { return running_now != nullptr; }
Instant SimulationNow() {
  COT_ASSERT(SimulationRunning());
  return *running_now;
}
SimulationScope::SimulationScope(const Instant& now) : outer_(running_now) { running_now = &now; }
SimulationScope::~SimulationScope() { running_now = outer_; }

Scheduler::Scheduler(std::uint64_t seed, bool chaos, Trace::Sink sink)
    : chaos_(chaos), random_(seed), trace_(std::move(sink)) {}

SimExecutor& Scheduler::PickRunnable() {
  ListNode* node = chaos_ ? PickFrom(runnable_, random_) : runnable_.front();
  return static_cast<SimExecutor&>(*node);
}

bool Scheduler::Step(Instant limit) {
  const SimulationScope trapped(now_);
  if (!reapable_.empty()) Reap();
  if (runnable_.front() != nullptr) {
    RunReady(PickRunnable());
    return true;
  }
  if (timers_.empty() || timers_.next() > limit) {
    now_ = std::max(now_, limit);
    return false;
  }
  if (timers_.next() > now_) {
    now_ = timers_.next();
    items_this_instant_ = 0;
  }
  Timer& timer = timers_.Pop();
  auto& owner = *static_cast<SimExecutor*>(SimExecutor::OwnerOf(timer));
  --owner.timers_armed_;
  owner.Note(EventKind::kTimer);
  {
    const SimExecutor::Enter enter(owner);
    SimExecutor::FireNow(timer);
  }
  if (!reapable_.empty()) Reap();
  return true;
}

void Scheduler::RunReady(SimExecutor& executor) {
  {
    const SimExecutor::Enter enter(executor);
    do {
      executor.RunOne();
    } while (!chaos_ && executor.linked() && reapable_.empty());
  }
  if (!reapable_.empty()) {
    Reap();
  } else if (chaos_ && executor.linked()) {
    executor.ListNode::Unlink();
    runnable_.PushBack(executor);
  }
}

void Scheduler::Reap() {
  while (!reapable_.empty()) {
    SimExecutor* executor = reapable_.back();
    reapable_.pop_back();
    COT_ASSERT(reap_ != nullptr);
    reap_(*executor);
  }
}

void SimExecutor::BecomeRunnable() {
  if (!ListNode::linked() && !paused_ && !reap_requested_) scheduler_.runnable_.PushBack(*this);
}

void SimExecutor::Post(Runnable& item) {
  ready_.PushBack(item);
  BecomeRunnable();
}

void SimExecutor::Note(EventKind kind) {
  if (node_ == 0) return;  // the network notes what happens, the harness is not part of it
  scheduler_.trace_.Note(scheduler_.now_, node_, kind);
  if (watched_ != nullptr) scheduler_.trace_.Mix(Random(*watched_).Next());
}

void SimExecutor::RunOne() {
  ListNode* node = ready_.front();
  if (node != nullptr) {
    if (scheduler_.chaos_) node = PickFrom(ready_, scheduler_.random_);
    COT_ASSERT(++scheduler_.items_this_instant_ < kItemsPerInstantMax);
    node->Unlink();
    Note(EventKind::kRun);
    static_cast<Runnable*>(node)->Run();
  }
  if (!ready_.linked()) ListNode::Unlink();
}

void SimExecutor::Pause() {
  COT_ASSERT(!paused_);
  paused_ = true;
  ListNode::Unlink();
  std::vector<Timer*> mine;
  for (Timer* timer : scheduler_.timers_.members()) {
    if (OwnerOf(*timer) == this) mine.push_back(timer);
  }
  std::ranges::sort(mine, [](Timer* a, Timer* b) { return TimerQueue::Before(*a, *b); });
  for (Timer* timer : mine) {
    scheduler_.timers_.Remove(*timer);
    held_.Add(*timer);
  }
}

void SimExecutor::Resume() {
  COT_ASSERT(paused_);
  paused_ = false;
  while (!held_.empty()) scheduler_.timers_.Add(held_.Pop());
  if (ready_.linked()) BecomeRunnable();
}

void SimExecutor::RequestReap() {
  if (std::exchange(reap_requested_, true)) return;
  ListNode::Unlink();
  scheduler_.reapable_.push_back(this);
}

void SimExecutor::DoArm(Timer& timer) {
  ++timers_armed_;
  const Instant at = std::max(ToGlobal(timer.at()), scheduler_.now_);
  SetInstant(timer, at);
  (paused_ ? held_ : scheduler_.timers_).Add(timer);
}

void SimExecutor::DoDisarm(Timer& timer) {
  --timers_armed_;
  (paused_ ? held_ : scheduler_.timers_).Remove(timer);
}

Instant SimExecutor::ToLocal(Instant global) const {
  if (drift_ppb_ == 0 && drift_since_ == drift_since_local_) return global;
  const std::int64_t elapsed = (global - drift_since_).count();
  const auto gained =
      static_cast<std::int64_t>(static_cast<__int128>(elapsed) * drift_ppb_ / 1'000'000'000);
  return drift_since_local_ + Duration(elapsed + gained);
}

Instant SimExecutor::ToGlobal(Instant local) const {
  if (drift_ppb_ == 0 && drift_since_ == drift_since_local_) return local;
  constexpr Duration kFar = std::chrono::hours(24 * 365 * 100);
  const Duration elapsed = local - drift_since_local_;
  if (elapsed > kFar) return drift_since_ + kFar;
  const auto real = static_cast<std::int64_t>(static_cast<__int128>(elapsed.count()) *
                                              1'000'000'000 / (1'000'000'000 + drift_ppb_));
  Instant global = drift_since_ + Duration(real);
  while (ToLocal(global) < local)
    global += Duration(1);  // a timer never fires early by its own clock
  return global;
}

void SimExecutor::SetDrift(std::int64_t ppb) {
  COT_ASSERT(ppb > -1'000'000'000);
  // Armed timers keep their local instants: take them out, change the clock, put them back.
  std::vector<std::pair<Timer*, Instant>> mine;
  TimerQueue& queue = paused_ ? held_ : scheduler_.timers_;
  for (Timer* timer : queue.members()) {
    if (OwnerOf(*timer) == this) mine.emplace_back(timer, ToLocal(timer->at()));
  }
  std::ranges::sort(
      mine, [](const auto& a, const auto& b) { return TimerQueue::Before(*a.first, *b.first); });
  for (auto& [timer, local] : mine) queue.Remove(*timer);
  drift_since_local_ = ToLocal(scheduler_.now_);
  drift_since_ = scheduler_.now_;
  drift_ppb_ = ppb;
  for (auto& [timer, local] : mine) {
    SetInstant(*timer, std::max(ToGlobal(local), scheduler_.now_));
    queue.Add(*timer);
  }
}

}  // namespace coterie::runtime

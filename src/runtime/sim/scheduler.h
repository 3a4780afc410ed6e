#pragma once

#include <functional>
#include <vector>

#include "base/random.h"
#include "runtime/executor.h"
#include "runtime/sim/trace.h"
#include "runtime/task.h"
#include "runtime/timer_queue.h"

namespace coterie::runtime {

class SimExecutor;

/// True on a thread that is inside a simulation's Run: the system's clock and entropy are then
/// trapped.
bool SimulationRunning();
/// The virtual time of this thread's running simulation. Requires: SimulationRunning().
Instant SimulationNow();
/// Makes SimulationRunning true while it lives. `now` outlives it.
class SimulationScope {
 public:
  explicit SimulationScope(const Instant& now);
  SimulationScope(const SimulationScope&) = delete;
  ~SimulationScope();

 private:
  const Instant* const outer_;
};

/// A simulation's time line: one queue of timers for all nodes, and the nodes that have work ready.
/// Time moves to the next timer when nothing is ready.
class Scheduler {
 public:
  /// With `chaos`, ready work of one node runs in a seeded order that need not be the posting
  /// order, and nodes take turns item by item.
  Scheduler(std::uint64_t seed, bool chaos, Trace::Sink sink);

  const Instant& now() const { return now_; }
  bool chaos() const { return chaos_; }
  Trace& trace() { return trace_; }
  Random& random() { return random_; }
  std::uint64_t trace_hash() const { return trace_.hash(); }
  std::uint64_t trace_events() const { return trace_.events(); }
  /// Whose item or timer runs now, or nullptr.
  const SimExecutor* current() const { return current_; }

  /// Runs one ready item, or moves to the next timer and fires it. False, and time is `limit`, when
  /// nothing is left to do until then.
  bool Step(Instant limit);
  /// Called after the item or timer during which `executor` asked to be reaped.
  void OnReap(std::function<void(SimExecutor&)> reap) { reap_ = std::move(reap); }

 private:
  friend class SimExecutor;
  void RunReady(SimExecutor& executor);
  void Reap();
  SimExecutor& PickRunnable();

  Instant now_{};
  const bool chaos_;
  Random random_;
  Trace trace_;
  TimerQueue timers_;
  ListNode runnable_;  // executors that have ready items and are not paused
  std::vector<SimExecutor*> reapable_;
  std::function<void(SimExecutor&)> reap_;
  std::uint64_t items_this_instant_ = 0;
  const SimExecutor* current_ = nullptr;
};

/// The Executor of one node's incarnation, or (node 0) of the simulation itself: network, harness.
class SimExecutor final : public Executor, private ListNode {
 public:
  SimExecutor(Scheduler& scheduler, std::uint32_t node, FrameCount& frames)
      : scheduler_(scheduler), node_(node), frames_(frames) {}
  SimExecutor(const SimExecutor&) = delete;

  Instant Now() const override { return ToLocal(scheduler_.now()); }
  void Post(Runnable& item) override;

  std::uint32_t node() const { return node_; }
  Scheduler& scheduler() { return scheduler_; }
  bool paused() const { return paused_; }
  /// Holds back this node's timers and ready items, until Resume.
  void Pause();
  void Resume();
  /// The monotonic clock gains `ppb` ns a second from now on.
  void SetDrift(std::int64_t ppb);
  /// Asks for OnReap after the current item; runs nothing more.
  void RequestReap();
  bool reap_requested() const { return reap_requested_; }
  /// Makes this node the current one, and its frame count, while it lives.
  class Enter {
   public:
    explicit Enter(SimExecutor& executor)
        : scheduler_(executor.scheduler_),
          frames_before_(current_frame_count),
          executor_before_(scheduler_.current_) {
      current_frame_count = &executor.frames_;
      scheduler_.current_ = &executor;
    }
    Enter(const Enter&) = delete;
    ~Enter() {
      current_frame_count = frames_before_;
      scheduler_.current_ = executor_before_;
    }

   private:
    Scheduler& scheduler_;
    FrameCount* frames_before_;
    const SimExecutor* executor_before_;
  };
  /// A generator whose state goes into the trace with every event of this node. Must outlive it.
  void Watch(const Random& random) { watched_ = &random; }
  bool idle() const { return timers_armed_ == 0 && !ready_.linked(); }

 private:
  friend class Scheduler;
  void DoArm(Timer& timer) override;
  void DoDisarm(Timer& timer) override;
  Instant ToLocal(Instant global) const;
  Instant ToGlobal(Instant local) const;
  void RunOne();
  void Note(EventKind kind);
  void BecomeRunnable();

  Scheduler& scheduler_;
  const std::uint32_t node_;
  FrameCount& frames_;
  const Random* watched_ = nullptr;
  bool paused_ = false;
  bool reap_requested_ = false;
  std::size_t timers_armed_ = 0;
  ListNode ready_;
  TimerQueue held_;  // this node's timers while it is paused
  std::int64_t drift_ppb_ = 0;
  Instant drift_since_{};        // true time
  Instant drift_since_local_{};  // this node's time at that moment
};

}  // namespace coterie::runtime

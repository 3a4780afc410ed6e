#pragma once

#include <compare>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/sim/knobs.h"
#include "runtime/sim/sim_world.h"

namespace coterie::runtime {

/// A simulated machine, from 1.
struct NodeHandle {
  std::uint32_t index = 0;
  friend auto operator<=>(NodeHandle, NodeHandle) = default;
};

struct SimOptions {
  std::uint64_t seed = 1;
  bool chaos = false;  ///< ready work runs in a seeded order instead of the posting order
  LinkKnobs links;
  StreamKnobs streams;
  /// What World::Crash does to the node.
  Death crash_death = Death::kProcess;
  LogLevel log_minimum = LogLevel::kInfo;
  /// Log lines of all nodes: "12.345678901 name info  room: message". None if empty.
  std::function<void(std::string_view line)> log;
  Trace::Sink trace;  ///< one line per event; none if empty
};

/// Any number of nodes on one thread and one virtual time line, with a network and disks that
/// misbehave as told. Everything that happens is a function of the seed and of the calls made here.
///
/// Calls are made between runs, or by harness tasks (Spawn) and callbacks while it runs.
class Simulation {
 public:
  using Main = std::function<Task<void>(World&)>;

  explicit Simulation(SimOptions options);
  Simulation(const Simulation&) = delete;
  /// Kills every node.
  ~Simulation();

  // Nodes. `host` is the node's only address; clients outside a cluster are nodes too.
  NodeHandle AddNode(std::string name, std::string host);
  /// Boots a node that is down: a new World on the surviving disk, in which `main` is spawned.
  void Start(NodeHandle node, Main main);
  /// Start with the main of the last Start.
  void Restart(NodeHandle node);
  /// Destroys the node's frames and sockets, and what `death` says of the rest. A node that kills
  /// itself, like one whose World::Crash is called, goes at the end of its turn. A frame, timer,
  /// socket or file that survives is asserted. Does nothing to a node that is down.
  void Kill(NodeHandle node, Death death = Death::kMachine);
  /// Holds the node's process back (SIGSTOP): the network still takes its bytes, its timers fire
  /// late.
  void Pause(NodeHandle node);
  void Resume(NodeHandle node);
  bool running(NodeHandle node) const { return At(node).world != nullptr; }
  bool paused(NodeHandle node) const;
  /// Whether the main of the running incarnation, and all it spawned in its scope, has ended.
  bool finished(NodeHandle node) const;
  /// The running incarnation's World. Requires: running.
  World& world(NodeHandle node);
  const std::string& name(NodeHandle node) const { return At(node).name; }
  const std::string& host(NodeHandle node) const { return At(node).host; }
  std::size_t nodes() const { return nodes_.size() - 1; }
  /// Called when a World crashed, after its frames are gone; may call Restart.
  void OnCrash(std::function<void(NodeHandle, const std::string& reason)> callback) {
    on_crash_ = std::move(callback);
  }

  // Time.
  Instant Now() const { return scheduler_.now(); }
  void Run(Instant until);
  void RunFor(Duration duration) { Run(Now() + duration); }
  /// Runs until `done` answers true, asked after every event; false if `limit` passes first.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  /// Runs `task` to its end on node 0, the harness; asserts that it ends within `limit`.
  template <class T>
  T BlockOn(Task<T> task, Duration limit = std::chrono::hours(24));
  /// Starts a harness task: a nemesis, say. It may sleep on executor() and call everything here.
  void Spawn(Task<void> task) { scope_.Spawn(std::move(task)); }
  Executor& executor() { return kernel_; }

  // The network. Links are per ordered pair; a cut holds bytes back and drops datagrams.
  void SetLink(NodeHandle from, NodeHandle to, LinkKnobs knobs);
  void SetAllLinks(LinkKnobs knobs) { fabric_.SetAllLinks(knobs); }
  void SetStreams(StreamKnobs knobs) { fabric_.SetStreams(knobs); }
  void Cut(NodeHandle from, NodeHandle to) { fabric_.Cut(from.index, to.index); }
  void CutBoth(NodeHandle a, NodeHandle b);
  void Heal(NodeHandle from, NodeHandle to) { fabric_.Heal(from.index, to.index); }
  void HealAll();
  /// Cuts every link, both ways, between nodes of different groups. Nodes in no group keep their
  /// links.
  void Partition(const std::vector<std::vector<NodeHandle>>& groups);

  // Disks and clocks.
  DiskImage& disk(NodeHandle node) { return At(node).image; }
  void SetDisk(NodeHandle node, DiskKnobs knobs) { At(node).image.knobs = knobs; }
  void SetClock(NodeHandle node, ClockKnobs knobs);

  // Evidence.
  /// Everything that happened so far, and the state of the random streams.
  std::uint64_t trace_hash() const;
  std::uint64_t events() const { return scheduler_.trace_events(); }
  /// For the harness's own draws.
  Random& random() { return random_; }

 private:
  struct Node {
    Node(std::string node_name, std::string node_host, std::uint64_t disk_seed)
        : name(std::move(node_name)), host(std::move(node_host)), image(disk_seed) {}
    std::string name;
    std::string host;
    DiskImage image;
    ClockKnobs clock;
    FrameCount frames;
    Main main;  // must outlive the incarnation: its frames may refer to what it holds
    std::unique_ptr<SimWorld> world;
    std::uint64_t incarnation = 0;
    Death death = Death::kMachine;  // how a requested reaping is to be done
    bool crashed = false;
    std::string crash_reason;
  };

  Node& At(NodeHandle node) { return *nodes_[node.index]; }
  const Node& At(NodeHandle node) const { return *nodes_[node.index]; }
  std::uint64_t SeedFor(std::uint64_t purpose, std::uint64_t which) const;
  void Reap(std::uint32_t index);
  void Destroy(std::uint32_t index, Death death);
  Logger::Sink LogSink(std::uint32_t index);

  const SimOptions options_;
  Scheduler scheduler_;
  FrameCount harness_frames_;
  SimExecutor kernel_;
  Fabric fabric_;
  Random random_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::function<void(NodeHandle, const std::string&)> on_crash_;
  Scope scope_;
};

namespace internal {
template <class T>
Task<void> SimRunInto(Task<T> task, std::optional<T>* result) {
  result->emplace(co_await std::move(task));
}
inline Task<void> SimRunToEnd(Task<void> task, bool* done) {
  co_await std::move(task);
  *done = true;
}
}  // namespace internal

template <class T>
T Simulation::BlockOn(Task<T> task, Duration limit) {
  Scope scope;
  if constexpr (std::is_void_v<T>) {
    bool done = false;
    scope.Spawn(internal::SimRunToEnd(std::move(task), &done));
    const bool ended = RunUntil([&done] { return done; }, limit);
    COT_ASSERT(ended);
  } else {
    std::optional<T> result;
    scope.Spawn(internal::SimRunInto<T>(std::move(task), &result));
    const bool ended = RunUntil([&result] { return result.has_value(); }, limit);
    COT_ASSERT(ended);
    return std::move(*result);
  }
}

}  // namespace coterie::runtime

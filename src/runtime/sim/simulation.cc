#include "runtime/sim/simulation.h"

#include <fmt/format.h>

namespace coterie::runtime {
namespace {

enum Purpose : std::uint64_t { kSchedule = 1, kNetwork, kHarness, kDiskOf, kWorldOf };

}  // namespace

std::uint64_t Simulation::SeedFor(std::uint64_t purpose, std::uint64_t which) const {
  // A stream of its own for each purpose: a draw more in one does not shift the others.
  Random seeds(options_.seed ^ (purpose * 0xd6e8feb86659fd93) ^ (which * 0xa0761d6478bd642f));
  return seeds.Next();
}

Simulation::Simulation(SimOptions options)
    : options_(std::move(options)),
      scheduler_(SeedFor(kSchedule, 0), options_.chaos, options_.trace),
      kernel_(scheduler_, 0, harness_frames_),
      fabric_(scheduler_, kernel_, SeedFor(kNetwork, 0)),
      random_(SeedFor(kHarness, 0)) {
  nodes_.push_back(nullptr);
  fabric_.SetAllLinks(options_.links);
  fabric_.SetStreams(options_.streams);
  scheduler_.OnReap([this](SimExecutor& executor) { Reap(executor.node()); });
}

Simulation::~Simulation() {
  scope_.Cancel();
  on_crash_ = nullptr;
  for (std::uint32_t i = 1; i < nodes_.size(); ++i) {
    if (nodes_[i]->world != nullptr) Destroy(i, Death::kProcess);
  }
}

NodeHandle Simulation::AddNode(std::string name, std::string host) {
  const auto index = static_cast<std::uint32_t>(nodes_.size());
  fabric_.AddHost(index, host);
  nodes_.push_back(
      std::make_unique<Node>(std::move(name), std::move(host), SeedFor(kDiskOf, index)));
  return {index};
}

Logger::Sink Simulation::LogSink(std::uint32_t index) {
  if (!options_.log) return {};
  return [this, index](LogLevel level, std::string_view room, std::string_view message) {
    const auto ns = Now().time_since_epoch().count();
    options_.log(fmt::format("{}.{:09} {} {:5} {}: {}", ns / 1'000'000'000, ns % 1'000'000'000,
                             nodes_[index]->name, NameOf(level), room, message));
  };
}

void Simulation::Start(NodeHandle handle, Main main) {
  Node& node = At(handle);
  COT_ASSERT(node.world == nullptr);
  COT_ASSERT(main != nullptr);
  ++node.incarnation;
  node.main = std::move(main);
  node.crashed = false;
  scheduler_.trace().Note(Now(), handle.index, EventKind::kStart, node.incarnation);
  const auto crash = [this, &node](std::string_view reason) {
    node.death = options_.crash_death;
    node.crashed = true;
    node.crash_reason = reason;
  };
  node.world = std::make_unique<SimWorld>(
      SimWorld::Parts{scheduler_, fabric_, node.image, node.clock, node.frames, handle.index,
                      SeedFor(kWorldOf, handle.index * 1'000'003ull + node.incarnation),
                      options_.log_minimum, LogSink(handle.index), crash});
  fabric_.NodeUp(handle.index);
  const SimulationScope trapped(scheduler_.now());
  const SimExecutor::Enter enter(node.world->sim_executor());
  node.world->scope().Spawn(node.main(*node.world));
}

void Simulation::Restart(NodeHandle node) {
  Main main = At(node).main;
  Start(node, std::move(main));
}

void Simulation::Kill(NodeHandle handle, Death death) {
  Node& node = At(handle);
  if (node.world == nullptr) return;
  SimExecutor& executor = node.world->sim_executor();
  if (scheduler_.current() == &executor) {
    node.death = death;
    executor.RequestReap();
    return;
  }
  if (executor.reap_requested()) return;
  Destroy(handle.index, death);
}

void Simulation::Reap(std::uint32_t index) {
  Node& node = *nodes_[index];
  const bool crashed = node.crashed;
  if (crashed) scheduler_.trace().Note(Now(), index, EventKind::kCrash);
  Destroy(index, node.death);
  if (crashed && on_crash_) on_crash_({index}, node.crash_reason);
}

void Simulation::Destroy(std::uint32_t index, Death death) {
  Node& node = *nodes_[index];
  COT_ASSERT(node.world != nullptr);
  scheduler_.trace().Note(Now(), index, EventKind::kKill, static_cast<std::uint64_t>(death));
  fabric_.NodeDown(index, death);
  node.world->scope().Cancel();
  COT_ASSERT(node.frames.live == 0);                     // a Task outside the node's scope
  COT_ASSERT(fabric_.open_sockets[index] == 0);          // a stream, listener or socket
  COT_ASSERT(node.world->sim_disk().open_files() == 0);  // a file
  COT_ASSERT(node.world->sim_executor().idle());         // an armed timer or posted item
  node.world.reset();
  if (death != Death::kProcess) node.image.Crash();
}

void Simulation::Pause(NodeHandle node) {
  COT_ASSERT(running(node));
  scheduler_.trace().Note(Now(), node.index, EventKind::kPause);
  At(node).world->sim_executor().Pause();
}

void Simulation::Resume(NodeHandle node) {
  COT_ASSERT(running(node));
  scheduler_.trace().Note(Now(), node.index, EventKind::kResume);
  At(node).world->sim_executor().Resume();
}

bool Simulation::paused(NodeHandle node) const {
  return running(node) && At(node).world->sim_executor().paused();
}

bool Simulation::finished(NodeHandle node) const {
  return running(node) && At(node).world->scope().empty();
}

World& Simulation::world(NodeHandle node) {
  COT_ASSERT(running(node));
  return *At(node).world;
}

void Simulation::Run(Instant until) {
  while (scheduler_.Step(until)) {
  }
}

bool Simulation::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Instant until = Now() + limit;
  while (!done()) {
    if (!scheduler_.Step(until)) return done();
  }
  return true;
}

void Simulation::SetLink(NodeHandle from, NodeHandle to, LinkKnobs knobs) {
  fabric_.SetLink(from.index, to.index, knobs);
}

void Simulation::CutBoth(NodeHandle a, NodeHandle b) {
  Cut(a, b);
  Cut(b, a);
}

void Simulation::HealAll() {
  for (std::uint32_t i = 1; i < nodes_.size(); ++i) {
    for (std::uint32_t j = 1; j < nodes_.size(); ++j) fabric_.Heal(i, j);
  }
}

void Simulation::Partition(const std::vector<std::vector<NodeHandle>>& groups) {
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t h = g + 1; h < groups.size(); ++h) {
      for (const NodeHandle a : groups[g]) {
        for (const NodeHandle b : groups[h]) CutBoth(a, b);
      }
    }
  }
}

void Simulation::SetClock(NodeHandle handle, ClockKnobs knobs) {
  Node& node = At(handle);
  scheduler_.trace().Note(Now(), handle.index, EventKind::kClock,
                          static_cast<std::uint64_t>(knobs.offset_ns),
                          static_cast<std::uint64_t>(knobs.drift_ppb));
  node.clock = knobs;
  if (node.world != nullptr) node.world->sim_executor().SetDrift(knobs.drift_ppb);
}

std::uint64_t Simulation::trace_hash() const { return scheduler_.trace_hash(); }

}  // namespace coterie::runtime

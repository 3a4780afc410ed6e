#include "sim/nemesis.h"

#include <algorithm>

namespace coterie::sim {
namespace {

constexpr Duration kRestartAfter = 200ms;  // what a supervisor would wait after a crash

bool Names(const FaultEvent& fault, std::uint32_t replica) {
  return std::ranges::find(fault.replicas, replica) != fault.replicas.end();
}

/// The plan's times as steps: ends before begins, so that a fault may follow itself.
struct Edge {
  Duration at;
  bool begins;
  std::size_t fault;
};

std::vector<Edge> EdgesOf(const Plan& plan) {
  std::vector<Edge> edges;
  for (std::size_t i = 0; i < plan.faults.size(); ++i) {
    const FaultEvent& fault = plan.faults[i];
    edges.push_back({fault.at, true, i});
    edges.push_back({fault.at + fault.length, false, i});
  }
  std::ranges::sort(edges, [](const Edge& a, const Edge& b) {
    return std::tie(a.at, a.begins, a.fault) < std::tie(b.at, b.begins, b.fault);
  });
  return edges;
}

}  // namespace

Nemesis::Nemesis(runtime::Simulation& simulation, Cluster& cluster, const Plan& plan,
                 std::vector<runtime::NodeHandle> clients)
    : simulation_(simulation), cluster_(cluster), plan_(plan), clients_(std::move(clients)) {
  COT_ASSERT(!plan_.core.empty());
  for (std::uint32_t i = 0; i < plan_.replicas; ++i) {
    ApplyDisk(i);
    simulation_.Start(cluster_.node(i), cluster_.MainOf(i));
  }
  ApplyLinks();
  simulation_.OnCrash([this](runtime::NodeHandle node, const std::string&) {
    for (std::uint32_t i = 0; i < plan_.replicas; ++i) {
      if (cluster_.node(i) != node) continue;
      ++crashes_;
      simulation_.Spawn(RestartLater(i));
    }
  });
}

void Nemesis::Play() { simulation_.Spawn(PlayFaults()); }

runtime::Task<void> Nemesis::PlayFaults() {
  const Instant start = simulation_.Now();
  const std::vector<Edge> edges = EdgesOf(plan_);
  for (const Edge& edge : edges) {
    co_await runtime::SleepUntil(simulation_.executor(), start + edge.at);
    if (live_) co_return;
    edge.begins ? Begin(edge.fault) : End(edge.fault);
  }
}

runtime::Task<void> Nemesis::RestartLater(std::uint32_t replica) {
  co_await runtime::Sleep(simulation_.executor(), kRestartAfter);
  ApplyLife(replica, runtime::Death::kProcess);
}

bool Nemesis::Is(FaultKind kind, std::uint32_t replica) const {
  return std::ranges::any_of(on_, [&](std::size_t i) {
    return plan_.faults[i].kind == kind && Names(plan_.faults[i], replica);
  });
}

std::int64_t Nemesis::Amount(FaultKind kind, std::uint32_t replica) const {
  std::int64_t amount = 0;
  for (const std::size_t i : on_) {
    const FaultEvent& fault = plan_.faults[i];
    if (fault.kind == kind && Names(fault, replica)) amount += fault.amount;
  }
  return amount;
}

bool Nemesis::HeldDown(std::uint32_t replica) const {
  return gone_.contains(replica) || Is(FaultKind::kCrashProcess, replica) ||
         Is(FaultKind::kCrashMachine, replica) || Is(FaultKind::kPowerOff, replica);
}

bool Nemesis::Cuts(const FaultEvent& fault, std::uint32_t from, std::uint32_t to) const {
  switch (fault.kind) {
    case FaultKind::kIsolate:
      return Names(fault, from) || Names(fault, to);
    case FaultKind::kPartition:
      return Names(fault, from) != Names(fault, to);
    case FaultKind::kCutOneWay:
      return fault.replicas[0] == from && fault.replicas[1] == to;
    case FaultKind::kBridge: {
      // Without the bridge itself: the lower half of the others against the upper half.
      const std::uint32_t bridge = fault.replicas[0];
      if (from == bridge || to == bridge) return false;
      const auto side = [&](std::uint32_t r) {
        return (r > bridge ? r - 1 : r) < (plan_.replicas - 1) / 2;
      };
      return side(from) != side(to);
    }
    default:
      return false;
  }
}

void Nemesis::Begin(std::size_t fault) {
  const FaultEvent& event = plan_.faults[fault];
  on_.insert(fault);
  ++applied_;
  for (const std::uint32_t r : event.replicas) {
    switch (event.kind) {
      case FaultKind::kCrashProcess:
        ApplyLife(r, runtime::Death::kProcess);
        break;
      case FaultKind::kCrashMachine:
        ApplyLife(r, runtime::Death::kMachine);
        break;
      case FaultKind::kPowerOff:
        ApplyLife(r, runtime::Death::kPowerOff);
        break;
      case FaultKind::kPause:
        ApplyLife(r, runtime::Death::kProcess);
        break;
      case FaultKind::kSyncFailure:
        simulation_.disk(cluster_.node(r)).FailNextSync();
        break;
      case FaultKind::kDiskFull:
      case FaultKind::kSlowDisk:
        ApplyDisk(r);
        break;
      case FaultKind::kClockJump:
      case FaultKind::kClockDrift:
        ApplyClock(r);
        break;
      default:
        break;
    }
  }
  ApplyLinks();
}

void Nemesis::End(std::size_t fault) {
  on_.erase(fault);
  for (const std::uint32_t r : plan_.faults[fault].replicas) {
    ApplyDisk(r);
    ApplyClock(r);
    ApplyLife(r, runtime::Death::kProcess);
  }
  ApplyLinks();
}

void Nemesis::ApplyLife(std::uint32_t replica, runtime::Death death) {
  const runtime::NodeHandle node = cluster_.node(replica);
  if (HeldDown(replica)) {
    simulation_.Kill(node, death);
    return;
  }
  if (!simulation_.running(node)) simulation_.Start(node, cluster_.MainOf(replica));
  const bool pause = Is(FaultKind::kPause, replica);
  if (pause && !simulation_.paused(node)) simulation_.Pause(node);
  if (!pause && simulation_.paused(node)) simulation_.Resume(node);
}

void Nemesis::ApplyDisk(std::uint32_t replica) {
  runtime::DiskKnobs knobs;
  knobs.sync_max = std::chrono::microseconds(std::max<std::int64_t>(plan_.sync_max_us, 100));
  knobs.sync_min = std::min(knobs.sync_min, knobs.sync_max);
  if (const std::int64_t slow = Amount(FaultKind::kSlowDisk, replica); slow > 0) {
    knobs.slow = 0.1;
    knobs.slow_max = std::chrono::microseconds(slow);
  }
  if (Is(FaultKind::kDiskFull, replica)) knobs.capacity_bytes = 0;
  simulation_.SetDisk(cluster_.node(replica), knobs);
}

void Nemesis::ApplyClock(std::uint32_t replica) {
  runtime::ClockKnobs knobs;
  knobs.offset_ns = Amount(FaultKind::kClockJump, replica);
  knobs.drift_ppb = Amount(FaultKind::kClockDrift, replica);
  knobs.honest = knobs.offset_ns == 0;  // nobody has told a clock that jumps
  simulation_.SetClock(cluster_.node(replica), knobs);
}

void Nemesis::ApplyLinks() {
  const auto link = [&](std::int64_t slow_us, std::int64_t loss_permille) {
    runtime::LinkKnobs knobs;
    knobs.delay_max =
        std::chrono::microseconds(std::max<std::int64_t>(plan_.link_delay_max_us, 100));
    knobs.delay_min = std::min(knobs.delay_min, knobs.delay_max);
    knobs.delay_max += std::chrono::microseconds(std::max<std::int64_t>(slow_us, 0));
    const std::int64_t loss = plan_.link_loss_permille + loss_permille;
    knobs.loss = static_cast<double>(std::clamp<std::int64_t>(loss, 0, 900)) / 1000;
    return knobs;
  };
  for (std::uint32_t a = 0; a < plan_.replicas; ++a) {
    for (const runtime::NodeHandle client : clients_) {
      const bool cut = gone_.contains(a);
      const runtime::NodeHandle node = cluster_.node(a);
      cut ? simulation_.CutBoth(node, client)
          : (simulation_.Heal(node, client), simulation_.Heal(client, node));
    }
    for (std::uint32_t b = 0; b < plan_.replicas; ++b) {
      if (a == b) continue;
      const runtime::NodeHandle from = cluster_.node(a);
      const runtime::NodeHandle to = cluster_.node(b);
      const bool cut =
          gone_.contains(a) != gone_.contains(b) ||
          std::ranges::any_of(on_, [&](std::size_t i) { return Cuts(plan_.faults[i], a, b); });
      cut ? simulation_.Cut(from, to) : simulation_.Heal(from, to);
      simulation_.SetLink(
          from, to,
          link(Amount(FaultKind::kSlowLinks, a) + Amount(FaultKind::kSlowLinks, b),
               Amount(FaultKind::kLossyLinks, a) + Amount(FaultKind::kLossyLinks, b)));
    }
  }
}

void Nemesis::EnterLiveness() {
  live_ = true;
  on_.clear();
  for (std::uint32_t i = 0; i < plan_.replicas; ++i) {
    ApplyDisk(i);
    ApplyClock(i);
    ApplyLife(i, runtime::Death::kProcess);
  }
  for (std::uint32_t i = 0; i < plan_.replicas; ++i) {
    if (std::ranges::find(plan_.core, i) != plan_.core.end()) continue;
    gone_.insert(i);
    if (plan_.rest_is_dead) simulation_.Kill(cluster_.node(i), runtime::Death::kPowerOff);
  }
  ApplyLinks();
}

}  // namespace coterie::sim

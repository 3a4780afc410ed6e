#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "sim/cluster.h"
#include "sim/plan.h"

namespace coterie::sim {

/// Applies a plan's faults to the replicas. Overlapping faults add up: links, disks and clocks are
/// at every moment the sum of the faults that are on, and a replica runs when no fault holds it
/// down.
class Nemesis {
 public:
  /// All must outlive the nemesis. Starts every replica; takes over Simulation::OnCrash.
  Nemesis(runtime::Simulation& simulation, Cluster& cluster, const Plan& plan,
          std::vector<runtime::NodeHandle> clients);

  /// Spawns the harness task that plays the faults; those that last longer end with the safety
  /// phase.
  void Play();
  /// The end of the safety phase: every fault is off; the core runs and is connected; the rest is
  /// dead, or cut off from core and clients, for good.
  void EnterLiveness();

  std::uint64_t faults_applied() const { return applied_; }
  /// Replicas that ended themselves (World::Crash), whatever the reason.
  std::uint64_t crashes() const { return crashes_; }

 private:
  runtime::Task<void> PlayFaults();
  runtime::Task<void> RestartLater(std::uint32_t replica);
  void Begin(std::size_t fault);
  void End(std::size_t fault);
  void ApplyLinks();
  void ApplyDisk(std::uint32_t replica);
  void ApplyClock(std::uint32_t replica);
  void ApplyLife(std::uint32_t replica, runtime::Death death);
  bool Cuts(const FaultEvent& fault, std::uint32_t from, std::uint32_t to) const;
  bool HeldDown(std::uint32_t replica) const;  // or dead for good
  bool Is(FaultKind kind, std::uint32_t replica) const;
  std::int64_t Amount(FaultKind kind, std::uint32_t replica) const;

  runtime::Simulation& simulation_;
  Cluster& cluster_;
  const Plan& plan_;
  std::vector<runtime::NodeHandle> clients_;
  std::set<std::size_t> on_;  // indexes into plan_.faults
  std::set<std::uint32_t> gone_;
  bool live_ = false;
  std::uint64_t applied_ = 0;
  std::uint64_t crashes_ = 0;
};

}  // namespace coterie::sim

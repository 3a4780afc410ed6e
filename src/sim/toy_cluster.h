#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "check/simulated_store.h"
#include "sim/cluster.h"

namespace coterie::sim {

/// How a toy replica is broken.
enum class ToyBug : std::uint8_t {
  kNone,
  kCachedReads,     ///< a replica answers gets from a copy that it renews every 300 ms
  kEarlyAck,        ///< a put is answered first and applied 20 ms later, unless the replica dies
  kSkipsEvents,     ///< a watch that resumes skips one change
  kDeafAfterPause,  ///< a replica that was paused for 100 ms answers nothing any more
  kRealEntropy,     ///< an address decides how long an answer takes
};

/// For tests of the framework: replicas that serve one store that stands beside them all, never
/// down and never torn, over a line protocol on simulated streams. Linearizable and live, but for
/// the bug.
class ToyCluster final : public Cluster {
 public:
  ToyCluster(runtime::Simulation& simulation, const Plan& plan, ToyBug bug);
  ~ToyCluster() override;

  runtime::NodeHandle node(std::uint32_t i) const override { return nodes_[i]; }
  runtime::Simulation::Main MainOf(std::uint32_t i) override;
  std::unique_ptr<KvClient> NewClient(runtime::World& world, std::uint32_t i) override;
  std::string Divergence(std::span<const std::uint32_t> core) override;

  ToyBug bug() const { return bug_; }
  /// Applies to the shared store and logs the events.
  void Apply(check::Operation& op);
  const std::vector<check::WatchResponse>& changes() const { return changes_; }
  check::SimulatedStore& store() { return store_; }

 private:
  const ToyBug bug_;
  std::vector<runtime::NodeHandle> nodes_;
  check::SimulatedStore store_;
  std::vector<check::WatchResponse> changes_;
};

ClusterFactory ToyFactory(ToyBug bug);

}  // namespace coterie::sim

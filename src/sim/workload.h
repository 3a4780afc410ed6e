#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "check/history.h"
#include "check/watch_order.h"
#include "runtime/scope.h"
#include "runtime/world.h"
#include "sim/cluster.h"
#include "sim/plan.h"

namespace coterie::sim {

/// Writes down what clients did. Its instants ascend strictly, in the order in which things
/// happened, also where virtual time stands still.
class Recorder {
 public:
  /// The number under which to end the operation.
  std::size_t Begin(check::Operation op, Instant now);
  void End(std::size_t number, const Result<check::Operation>& answer, Instant now);
  /// Something that the environment may do: a lease's expiry.
  void AddUnknown(check::Operation op, Instant now);
  std::int64_t Stamp(Instant now);

  const check::History& history() const { return history_; }

 private:
  check::History history_;
  std::int64_t last_ns_ = 0;
};

/// What clients and watchers share with the runner. Outlives them.
struct WorkloadState {
  explicit WorkloadState(const Plan& p) : plan(p), watches(p.watchers), answered_live(p.clients) {}
  const Plan& plan;
  Recorder recorder;
  std::vector<check::Watch> watches;
  bool live = false;  ///< the liveness phase has begun
  std::uint32_t clients_done = 0;
  std::vector<std::uint32_t> answered_live;  ///< per client
  std::int64_t compacted = 0;                ///< the highest revision that anybody asked to compact
  std::uint64_t renewals = 0;                ///< of held leases, answered
  std::string lease_problem;                 ///< the first lease that ended before its time
};

inline constexpr std::string_view kKeyPrefix = "k";
inline constexpr std::string_view kKeysBegin = "k";
inline constexpr std::string_view kKeysEnd = "l";

/// Plays the planned operations of `client` against changing replicas, then, in the liveness phase,
/// puts and gets against the core until plan.liveness_ops were answered. The main of a client node.
runtime::Task<void> RunClient(runtime::World& world, Cluster& cluster, WorkloadState& state,
                              std::uint32_t client);

/// Watches all keys for ever, resuming at another replica when its stream ends. The main of a
/// watcher node.
runtime::Task<void> RunWatcher(runtime::World& world, Cluster& cluster, WorkloadState& state,
                               std::uint32_t watcher);

/// The highest revision that `watch` has covered.
std::int64_t CoveredBy(const check::Watch& watch);

}  // namespace coterie::sim

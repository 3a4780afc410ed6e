#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/world.h"
#include "sim/cluster.h"
#include "sim/workload.h"

namespace coterie::sim {

/// The databases of a simulated cluster: those of a demo.
inline constexpr std::uint32_t kCartDatabase = 0;
inline constexpr std::uint32_t kLockDatabase = 2;

/// What became of one element that a client added to a collection.
enum class Fate : std::uint8_t {
  kMayBe,    ///< an outcome was unknown
  kMustBe,   ///< added, acknowledged, never removed
  kMustNot,  ///< removed by a client that was told so
};

/// What Redis clients did to the demo keyspaces, and what must therefore be true in the end. Shared
/// by all of them; outlives them.
struct RedisState {
  explicit RedisState(const Plan& p) : plan(p), answered_live(p.redis_clients) {}
  const Plan& plan;
  Recorder locks;                                ///< operations on the paxos keyspace's registers
  std::map<std::string, std::int64_t> counters;  ///< exact: each addition has a name
  std::map<std::string, std::map<std::string, Fate>> sets;  ///< "set" and "hash" by key
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t cart_answered = 0;
  /// The first broken promise: a live node that did not answer, an acknowledged element that the
  /// same node did not have, a wrong final state.
  std::string problem;
  std::string judge;
  bool live = false;
  bool final_reads = false;  ///< the replicas have converged: clients read everything back
  std::uint32_t clients_done = 0;
  std::uint32_t readers_done = 0;
  std::vector<std::uint32_t> answered_live;

  void Break(std::string which, std::string why) {
    if (!problem.empty()) return;
    judge = std::move(which);
    problem = std::move(why);
  }
};

/// Plays plan.redis_ops operations against changing replicas, then, in the liveness phase, until
/// all its additions were acknowledged and plan.liveness_ops more operations were answered; then
/// waits for `final_reads` and checks what it reads. The main of a client node.
runtime::Task<void> RunRedisClient(runtime::World& world, Cluster& cluster, RedisState& state,
                                   std::uint32_t client);

}  // namespace coterie::sim

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "keyspace/promise.h"
#include "node/leaderless/testing/replica_cluster.h"

namespace coterie::node::testing {

struct ChaosOptions {
  keyspace::Durability durability = keyspace::Durability::kQuorumFsync;
  std::size_t history_bytes_max = 1u << 20;
  int rounds = 60;
  bool all_at_once = true;  ///< every machine may lose its unsynced writes in one moment
  bool kills = true;
  bool reuse_actors = false;
};

struct ChaosReport {
  std::vector<std::string> violations;
  std::uint64_t acknowledged = 0;
  std::uint64_t unknown = 0;
  std::uint64_t reconciled = 0;
  std::uint64_t trace_hash = 0;
};

/// Three nodes count and keep sets at W = 2 while links are cut and machines die. In the end all is
/// healed, and then: every replica shows the same; what was acknowledged counts, and what was never
/// asked for does not; what was removed stays removed; and nothing is left of what was removed.
ChaosReport RunChaos(std::uint64_t seed, const ChaosOptions& options);

}  // namespace coterie::node::testing

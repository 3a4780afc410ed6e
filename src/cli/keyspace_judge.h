#pragma once

#include <string>
#include <vector>

#include "cli/cluster_view.h"

namespace coterie::cli {

/// A keyspace as the cluster map has it: what its promise waits for, and on which nodes the active
/// replicas of each shard are.
struct PlacedKeyspace {
  std::string name;
  std::string replication;
  int replicas = 0;
  int read = 0;
  int write = 0;
  std::vector<std::vector<std::string>> shards;  ///< of each, the nodes with an active replica
  int joining = 0;  ///< replicas that are not active yet, of all shards
};
/// Of one of GET /keyspaces' "keyspaces".
PlacedKeyspace ParsePlacedKeyspace(const Json& document);

/// What a keyspace without a leader can do now: a node answers a read, or a
/// write, of a shard if it, or a replica that it reaches, reaches as many active replicas as the
/// promise waits for; of a leaderless write those are of distinct failure domains.
KeyspaceView JudgePlaced(const PlacedKeyspace& keyspace, const Evidence& evidence);

}  // namespace coterie::cli

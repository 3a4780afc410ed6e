#pragma once
#include <vector>

#include "placement/cluster_map.h"

namespace coterie::placement {
struct ShardChange {
  ShardId shard;
  Epoch from;
  std::vector<ShardReplica> replicas;
};
Result<Keyspace> Place(const ClusterMap& map, const keyspace::Promise& promise, ShardId first);
std::vector<ShardChange> NextSteps(const ClusterMap& map);
}  // namespace coterie::placement

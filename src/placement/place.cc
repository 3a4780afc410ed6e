#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "placement/occupancy.h"
#include "placement/plan.h"

namespace coterie::placement {

Result<Keyspace> Place(const ClusterMap& map, const keyspace::Promise& promise, ShardId first) {
  COT_ASSERT(promise.replicas > 0 && promise.shards > 0);
  Occupancy occupancy(map);
  if (occupancy.open_nodes().size() < promise.replicas) {
    return Fail(ErrorCode::kTooFewNodes,
                fmt::format("Keyspace '{}' wants {} replicas, and {} machines take any.",
                            promise.name, promise.replicas, occupancy.open_nodes().size()));
  }
  if (occupancy.open_domains() < promise.write) {
    return Fail(ErrorCode::kTooFewNodes,
                fmt::format("Keyspace '{}' waits for {} replicas in distinct failure domains, and "
                            "there are {} of those.",
                            promise.name, promise.write, occupancy.open_domains()));
  }
  Keyspace keyspace{.promise = promise};
  occupancy.Enter({}, /*counted=*/false);
  for (std::uint32_t i = 0; i < promise.shards; ++i) {
    std::vector<NodeId> nodes;
    while (nodes.size() < promise.replicas) {
      nodes.push_back(*occupancy.Best(nodes, nodes));
      occupancy.Add(nodes.back());
    }
    Shard shard{.id = first + i, .epoch = Epoch(1)};
    for (const NodeId node : nodes) shard.replicas.push_back({.node = node});
    keyspace.shards.push_back(std::move(shard));
  }
  return keyspace;
}

std::vector<NodeId> Drained(const ClusterMap& map) {
  std::vector<NodeId> drained;
  for (const auto& [id, node] : map.nodes) {
    const auto on_it = [&](const Shard& shard) {
      return std::ranges::find(shard.replicas, id, &ShardReplica::node) != shard.replicas.end();
    };
    const bool holds = std::ranges::any_of(map.keyspaces, [&](const auto& entry) {
      return std::ranges::any_of(entry.second.shards, on_it);
    });
    if (node.draining && !holds) drained.push_back(id);
  }
  return drained;
}

}  // namespace coterie::placement

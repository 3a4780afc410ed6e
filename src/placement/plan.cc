#include "placement/plan.h"

#include <algorithm>

namespace coterie::placement {
Result<Keyspace> Place(const ClusterMap& map, const keyspace::Promise& promise, ShardId first) {
  Keyspace out{promise, {}};
  std::vector<NodeId> nodes;
  for (const auto& [id, info] : map.nodes) {
    if (!info.draining) nodes.push_back(id);
  }
  if (nodes.size() < promise.replicas) return Fail(ErrorCode::kTooFewNodes);
  for (std::uint32_t i = 0; i < promise.shards; ++i) {
    Shard shard{first + i, Epoch(1), {}};
    for (std::uint32_t r = 0; r < promise.replicas; ++r) {
      shard.replicas.push_back({nodes[(i + r) % nodes.size()]});
    }
    out.shards.push_back(shard);
  }
  return out;
}
std::vector<ShardChange> NextSteps(const ClusterMap& map) {
  std::vector<ShardChange> out;
  for (const auto& [name, keyspace] : map.keyspaces) {
    for (const Shard& shard : keyspace.shards) {
      std::vector<ShardReplica> replicas;
      std::size_t staying = 0;
      bool moving = false;
      for (ShardReplica replica : shard.replicas) {
        const auto info = map.nodes.find(replica.node);
        if (info == map.nodes.end()) continue;
        if (info->second.draining) replica.phase = Phase::kLeaving;
        moving = moving || replica.phase == Phase::kJoining;
        staying += replica.phase != Phase::kLeaving;
        replicas.push_back(replica);
      }
      for (const auto& [id, info] : map.nodes) {
        if (staying >= keyspace.promise.replicas) break;
        const bool there = std::any_of(replicas.begin(), replicas.end(),
                                       [&](const ShardReplica& r) { return r.node == id; });
        if (there || info.draining) continue;
        replicas.push_back({id, Phase::kJoining});
        ++staying;
      }
      if (replicas != shard.replicas) out.push_back({shard.id, shard.epoch, replicas});
    }
  }
  return out;
}
}  // namespace coterie::placement

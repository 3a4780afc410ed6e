#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "placement/plan.h"

namespace coterie::placement::testing {

/// A cluster of machines n1, n2, ... for tests.
inline void AddNode(ClusterMap& map, std::uint64_t id, std::string domain = "") {
  map.nodes[NodeId(id)] = {
      .id = NodeId(id), .name = "n" + std::to_string(id), .failure_domain = std::move(domain)};
}

inline keyspace::Promise PromiseOf(std::string name, std::uint32_t replicas, std::uint32_t shards) {
  return {.name = std::move(name),
          .replication = keyspace::Replication::kLeaderless,
          .replicas = replicas,
          .read = 1,
          .write = 1,
          .conflict = keyspace::Conflict::kCrdt,
          .shards = shards};
}

/// Places a keyspace and puts it into the map.
inline Status AddKeyspace(ClusterMap& map, const keyspace::Promise& promise) {
  COT_ASSIGN(Keyspace keyspace, Place(map, promise, ShardId(map.next_shard)));
  map.next_shard += promise.shards;
  map.keyspaces[promise.name] = std::move(keyspace);
  return Ok();
}

/// "n1 n2 n3+ n4-": active, joining, leaving; '!' after one that has reported.
inline std::string Text(const std::vector<ShardReplica>& replicas) {
  std::string text;
  for (const ShardReplica& replica : replicas) {
    text += (text.empty() ? "n" : " n") + std::to_string(replica.node.value);
    if (replica.phase == Phase::kJoining) text += '+';
    if (replica.phase == Phase::kLeaving) text += '-';
    if (replica.ready) text += '!';
  }
  return text;
}

/// Replicas of each machine: of one keyspace.
inline std::map<NodeId, std::uint32_t> LoadsOf(const Keyspace& keyspace) {
  std::map<NodeId, std::uint32_t> loads;
  for (const Shard& shard : keyspace.shards) {
    for (const ShardReplica& replica : shard.replicas) ++loads[replica.node];
  }
  return loads;
}

/// The greatest difference between two open machines' replicas of a keyspace.
inline std::uint32_t SkewOf(const ClusterMap& map, const Keyspace& keyspace) {
  std::map<NodeId, std::uint32_t> loads = LoadsOf(keyspace);
  std::uint32_t least = UINT32_MAX;
  std::uint32_t most = 0;
  for (const auto& [id, node] : map.nodes) {
    if (node.draining) continue;
    least = std::min(least, loads[id]);
    most = std::max(most, loads[id]);
  }
  return most - std::min(least, most);
}

}  // namespace coterie::placement::testing

#include "placement/cluster_map.h"

namespace coterie::placement {
const Shard& Keyspace::ShardOf(std::string_view) const { return shards.front(); }
const Keyspace* ClusterMap::Find(std::string_view name) const {
  const auto found = keyspaces.find(name);
  return found == keyspaces.end() ? nullptr : &found->second;
}
const Keyspace* ClusterMap::FindDatabase(std::uint32_t database) const {
  for (const auto& [name, keyspace] : keyspaces) {
    if (keyspace.promise.redis_database == database) return &keyspace;
  }
  return nullptr;
}
const Shard* ClusterMap::FindShard(ShardId id) const {
  for (const auto& [name, keyspace] : keyspaces) {
    for (const Shard& shard : keyspace.shards) {
      if (shard.id == id) return &shard;
    }
  }
  return nullptr;
}
}  // namespace coterie::placement

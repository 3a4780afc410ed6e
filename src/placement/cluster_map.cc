#include "placement/cluster_map.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace coterie::placement {

std::string_view ToText(Phase phase) {
  switch (phase) {
    case Phase::kActive:
      return "active";
    case Phase::kJoining:
      return "joining";
    case Phase::kLeaving:
      return "leaving";
  }
  return "?";
}

std::uint64_t KeyHash(std::string_view key) { return XXH64(key.data(), key.size(), 0); }

std::string_view HashedPart(std::string_view key) {
  const std::size_t open = key.find('{');
  if (open == std::string_view::npos) return key;
  const std::size_t close = key.find('}', open + 1);
  if (close == std::string_view::npos || close == open + 1) return key;
  return key.substr(open + 1, close - open - 1);
}

const Shard& Keyspace::ShardOf(std::string_view key) const {
  COT_ASSERT(std::has_single_bit(shards.size()));
  const int bits = std::countr_zero(shards.size());
  // A shift by all 64 bits is undefined.
  return bits == 0 ? shards[0] : shards[KeyHash(HashedPart(key)) >> (64 - bits)];
}

const Keyspace* ClusterMap::Find(std::string_view name) const {
  const auto found = keyspaces.find(name);
  return found == keyspaces.end() ? nullptr : &found->second;
}

const Keyspace* ClusterMap::FindDatabase(std::uint32_t redis_database) const {
  const auto found = std::ranges::find_if(keyspaces, [&](const auto& entry) {
    return entry.second.promise.redis_database == redis_database;
  });
  return found == keyspaces.end() ? nullptr : &found->second;
}

const Shard* ClusterMap::FindShard(ShardId id) const {
  for (const auto& [name, keyspace] : keyspaces) {
    if (keyspace.shards.empty() || id < keyspace.shards.front().id) continue;
    // Shards of a keyspace are numbered in one go, so that this needs no search.
    const std::uint64_t position = id - keyspace.shards.front().id;
    if (position < keyspace.shards.size() && keyspace.shards[position].id == id) {
      return &keyspace.shards[position];
    }
  }
  return nullptr;
}

}  // namespace coterie::placement

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "keyspace/promise.h"

namespace coterie::placement {

/// A machine as the control keyspace knows it. Addresses are "host:port".
struct NodeInfo {
  NodeId id;
  std::string name;
  std::string peer, etcd, redis, admin;
  std::string failure_domain;  ///< "": its own
  bool draining = false;
  friend bool operator==(const NodeInfo&, const NodeInfo&) = default;
};

/// Where a replica of a shard stands in a move. Writes go to every replica of every phase; reads
/// and acknowledgements count those that are kActive.
enum class Phase : std::uint8_t {
  kActive = 1,
  kJoining = 2,  ///< takes writes and catches up; it reports when it has everything
  kLeaving = 3,  ///< takes writes until its own are everywhere; it reports that, too
};
std::string_view ToText(Phase phase);
struct ShardReplica {
  NodeId node;
  Phase phase = Phase::kActive;
  bool ready = false;  ///< it has reported, in this phase, what the phase waits for
  NodeId replaces{};   ///< kJoining: whose place it takes when it is ready; 0: a lost one's
  friend bool operator==(const ShardReplica&, const ShardReplica&) = default;
};

/// One slice of a keyspace. `epoch` grows with every change of `replicas`; a data message with
/// another epoch is refused with the newer map's.
struct Shard {
  ShardId id;
  Epoch epoch;
  std::vector<ShardReplica> replicas;
  friend bool operator==(const Shard&, const Shard&) = default;
};

struct Keyspace {
  keyspace::Promise promise;
  std::vector<Shard> shards;  ///< a power of two of them, by the top bits of the key's hash
  friend bool operator==(const Keyspace&, const Keyspace&) = default;
  /// The shard `key` falls in, by the hash of its HashedPart. Requires: there are shards.
  const Shard& ShardOf(std::string_view key) const;
};

/// What must never fork: machines, keyspaces, and which replica is where. An immutable value; the
/// control keyspace makes the next version.
struct ClusterMap {
  std::uint64_t version = 0;
  std::uint64_t next_shard = 16;  ///< below it: control (0), main (1), and room
  /// What every node knew when it was last raised: commands, formats and messages of later versions
  /// wait until it is raised again. Never lowered.
  std::uint32_t active_version = 1;
  std::uint64_t next_node = 1;  ///< an id below it that `nodes` lacks is of a removed machine
  std::map<NodeId, NodeInfo> nodes;
  std::map<std::string, Keyspace, std::less<>> keyspaces;
  friend bool operator==(const ClusterMap&, const ClusterMap&) = default;
  // Null: there is none.
  const Keyspace* Find(std::string_view name) const;
  /// The first by name that declares the database.
  const Keyspace* FindDatabase(std::uint32_t redis_database) const;
  const Shard* FindShard(ShardId id) const;
};
using ClusterMapPtr = std::shared_ptr<const ClusterMap>;

/// 64-bit hash of a key (XXH64, seed 0); never changes.
std::uint64_t KeyHash(std::string_view key);
/// "{tag}" in a key hashes alone, as in Redis Cluster: what stands between the first '{' and the
/// next '}', unless it is empty; else the whole key.
std::string_view HashedPart(std::string_view key);

}  // namespace coterie::placement

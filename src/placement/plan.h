#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "placement/cluster_map.h"

namespace coterie::placement {

/// Replicas that one node may receive or hand over at the same time. A node that is asked for all
/// its shards at once serves none of them well.
inline constexpr std::uint32_t kMovesPerNodeMax = 4;

/// Lays out a keyspace: shards `first`, `first` + 1, ... of `promise` (as Complete answers it),
/// each with its replicas on nodes that are not draining, in as many failure domains as there are,
/// and evenly. The same arguments give the same answer. Error kTooFewNodes (not applied): fewer
/// such nodes than replicas, or fewer failure domains than a write's acknowledgement counts.
Result<Keyspace> Place(const ClusterMap& map, const keyspace::Promise& promise, ShardId first);

/// The next replicas of one shard.
struct ShardChange {
  ShardId shard;
  Epoch from;  ///< the epoch that the change was planned for
  std::vector<ShardReplica> replicas;
  friend bool operator==(const ShardChange&, const ShardChange&) = default;
};

/// The changes that may be made now, at most one a shard, in order of shard, on the way to: every
/// shard with its number of active replicas, none on a machine that is draining or gone, in as many
/// failure domains as there are, and each keyspace spread evenly over the machines. A replica moves
/// in three changes, the second and third after a report: joining beside the others; active, and
/// the one that it replaces leaving; that one gone. No change lowers a shard's active replicas
/// below its promise, or below what it had, and none adds or removes more than one voter (an active
/// or leaving replica): one on a removed machine goes only after a joining one has reported, unless
/// a majority is lost. Any of the changes may be made without the others; plan
/// again after each new map. Pure; empty when there is nothing to do but wait.
std::vector<ShardChange> NextSteps(const ClusterMap& map);

/// Makes `change`. False, and nothing changed: the shard is gone or has another epoch.
bool ApplyChange(ClusterMap& map, const ShardChange& change);

/// Notes that the replica on `node` has what its phase waits for. False, and nothing changed: no
/// such joining or leaving replica, another epoch, or noted already.
bool ApplyReport(ClusterMap& map, ShardId shard, Epoch epoch, NodeId node);

/// The draining machines that hold no replica any more, in order.
std::vector<NodeId> Drained(const ClusterMap& map);

}  // namespace coterie::placement

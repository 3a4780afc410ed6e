#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "placement/cluster_map.h"

namespace coterie::placement {

/// Where the replicas of a shard will be when what is under way is over: those that are active and
/// not being replaced, and those that join.
std::vector<NodeId> TargetsOf(const Shard& shard);

/// How many replicas each machine has to carry, and which machine to give the next one.
class Occupancy {
 public:
  /// Counts every keyspace of `map`.
  explicit Occupancy(const ClusterMap& map);

  /// Begins the count of one keyspace. Its replicas are in the totals already if `counted`.
  void Enter(std::span<const Shard> shards, bool counted);
  void Add(NodeId node);
  void Remove(NodeId node);
  /// Replicas of the entered keyspace, and of all.
  std::uint32_t Of(NodeId node) const { return Get(keyspace_, node); }
  std::uint32_t TotalOf(NodeId node) const { return Get(total_, node); }

  /// Machines that take replicas, in order of id.
  const std::vector<NodeId>& open_nodes() const { return open_; }
  bool IsOpen(NodeId node) const;
  bool SameDomain(NodeId a, NodeId b) const;
  /// How many of `nodes` are in the failure domain of `node`.
  std::uint32_t Neighbours(std::span<const NodeId> nodes, NodeId node) const;
  std::size_t open_domains() const;

  /// The open machine, none of `taken`, that has the fewest of `others` in its failure domain, then
  /// the fewest replicas of the keyspace, then of all. nullopt: there is none.
  std::optional<NodeId> Best(std::span<const NodeId> others, std::span<const NodeId> taken) const;

 private:
  using Counts = std::map<NodeId, std::uint32_t>;
  static std::uint32_t Get(const Counts& counts, NodeId node);

  std::vector<NodeId> open_;
  std::map<NodeId, NodeId> domain_;  ///< each machine's: the first machine of the same one
  Counts total_;
  Counts keyspace_;
};

}  // namespace coterie::placement

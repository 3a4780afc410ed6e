#include "placement/occupancy.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>

namespace coterie::placement {

std::vector<NodeId> TargetsOf(const Shard& shard) {
  std::vector<NodeId> targets;
  for (const ShardReplica& replica : shard.replicas) {
    const bool replaced = std::ranges::any_of(shard.replicas, [&](const ShardReplica& other) {
      return other.phase == Phase::kJoining && other.replaces == replica.node;
    });
    if (replica.phase == Phase::kJoining || (replica.phase == Phase::kActive && !replaced)) {
      targets.push_back(replica.node);
    }
  }
  return targets;
}

Occupancy::Occupancy(const ClusterMap& map) {
  std::map<std::string_view, NodeId> named;
  for (const auto& [id, node] : map.nodes) {
    if (!node.draining) open_.push_back(id);
    // A machine without a named domain is one of its own.
    const bool has_name = !node.failure_domain.empty();
    domain_[id] = has_name ? named.try_emplace(node.failure_domain, id).first->second : id;
  }
  for (const auto& [name, keyspace] : map.keyspaces) {
    for (const Shard& shard : keyspace.shards) {
      for (const NodeId node : TargetsOf(shard)) ++total_[node];
    }
  }
}

void Occupancy::Enter(std::span<const Shard> shards, bool counted) {
  keyspace_.clear();
  for (const Shard& shard : shards) {
    for (const NodeId node : TargetsOf(shard)) {
      ++keyspace_[node];
      if (!counted) ++total_[node];
    }
  }
}

void Occupancy::Add(NodeId node) {
  ++keyspace_[node];
  ++total_[node];
}

void Occupancy::Remove(NodeId node) {
  --keyspace_[node];
  --total_[node];
}

std::uint32_t Occupancy::Get(const Counts& counts, NodeId node) {
  const auto found = counts.find(node);
  return found == counts.end() ? 0 : found->second;
}

bool Occupancy::IsOpen(NodeId node) const { return std::ranges::binary_search(open_, node); }

bool Occupancy::SameDomain(NodeId a, NodeId b) const {
  const auto of_a = domain_.find(a);
  const auto of_b = domain_.find(b);
  if (of_a == domain_.end() || of_b == domain_.end()) return a == b;
  return of_a->second == of_b->second;
}

std::uint32_t Occupancy::Neighbours(std::span<const NodeId> nodes, NodeId node) const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(nodes, [&](NodeId other) { return SameDomain(other, node); }));
}

std::size_t Occupancy::open_domains() const {
  std::set<NodeId> domains;
  for (const NodeId node : open_) domains.insert(domain_.at(node));
  return domains.size();
}

std::optional<NodeId> Occupancy::Best(std::span<const NodeId> others,
                                      std::span<const NodeId> taken) const {
  std::optional<NodeId> best;
  const auto cost = [&](NodeId node) {
    return std::tuple(Neighbours(others, node), Of(node), TotalOf(node), node);
  };
  for (const NodeId node : open_) {
    if (std::ranges::find(taken, node) != taken.end()) continue;
    if (!best || cost(node) < cost(*best)) best = node;
  }
  return best;
}

}  // namespace coterie::placement

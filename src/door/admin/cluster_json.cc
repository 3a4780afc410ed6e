#include "door/admin/cluster_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "clock/dot.h"
#include "clock/hybrid.h"
#include "door/admin/json_text.h"
#include "keyspace/explain.h"

namespace coterie::door::admin {
namespace {

using placement::ClusterMap;
using placement::Keyspace;
using placement::NodeInfo;
using placement::Phase;

std::string_view TextOf(node::Health health) {
  switch (health) {
    case node::Health::kAlive:
      return "alive";
    case node::Health::kSuspected:
      return "suspected";
    case node::Health::kDead:
      return "dead";
  }
  return "?";
}

/// A machine that has left the map is told by its number.
std::string NameOf(const ClusterMap& map, NodeId id) {
  const auto found = map.nodes.find(id);
  return found == map.nodes.end() ? fmt::format("#{}", id.value) : found->second.name;
}

void Append(std::string& list, std::string_view item) {
  if (!list.empty()) list += ',';
  list += item;
}

std::string HealthMembers(const ClusterMap& map, const node::NodeHealth& health, Instant now) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now - health.since);
  const auto round_trip = std::chrono::duration_cast<std::chrono::microseconds>(health.round_trip);
  return fmt::format(
      R"("state":"{}","since_ms":{},"by":{},"round_trip_us":{},"route_around":{})",
      TextOf(health.health), since.count(),
      health.suspected_by == NodeId() ? "null" : Quote(NameOf(map, health.suspected_by)),
      health.round_trip == Duration::zero() ? "null" : fmt::to_string(round_trip.count()),
      health.route_around);
}

std::string NodeJson(const ClusterMap& map, const NodeInfo& node,
                     const std::vector<node::NodeHealth>& health, Instant now) {
  std::size_t replicas = 0;
  for (const auto& [name, keyspace] : map.keyspaces) {
    for (const placement::Shard& shard : keyspace.shards) {
      replicas += static_cast<std::size_t>(
          std::ranges::count(shard.replicas, node.id, &placement::ShardReplica::node));
    }
  }
  const auto believed = std::ranges::find(health, node.id, &node::NodeHealth::node);
  return fmt::format(
      R"({{"id":{},"name":{},"peer":{},"etcd":{},"redis":{},"admin":{},"failure_domain":{},)"
      R"("draining":{},"replicas":{},"health":{}}})",
      node.id.value, Quote(node.name), Quote(node.peer), Quote(node.etcd), Quote(node.redis),
      Quote(node.admin), Quote(node.failure_domain), node.draining, replicas,
      believed == health.end() ? "null" : "{" + HealthMembers(map, *believed, now) + "}");
}

std::string ShardJson(const ClusterMap& map, const placement::Shard& shard) {
  std::string replicas;
  for (const placement::ShardReplica& replica : shard.replicas) {
    Append(replicas, fmt::format(R"({{"node":{},"name":{},"phase":"{}"}})", replica.node.value,
                                 Quote(NameOf(map, replica.node)), ToText(replica.phase)));
  }
  return fmt::format(R"({{"id":{},"epoch":{},"replicas":[{}]}})", shard.id.value, shard.epoch.value,
                     replicas);
}

}  // namespace

std::string PromiseJson(const keyspace::Promise& promise) {
  const keyspace::Quorums quorums = keyspace::QuorumsOf(promise);
  return fmt::format(R"({{"replicas":{},"read":{},"write":{},"conflict":"{}","durability":"{}"}})",
                     quorums.replicas, quorums.read, quorums.write, ToText(promise.conflict),
                     ToText(promise.durability));
}

std::string KeyspaceJson(const ClusterMap& map, const Keyspace& keyspace) {
  std::string shards;
  for (const placement::Shard& shard : keyspace.shards) Append(shards, ShardJson(map, shard));
  return fmt::format(
      R"({{"name":{},"replication":"{}","promise":{},"shards":[{}],"redis_database":{}}})",
      Quote(keyspace.promise.name), ToText(keyspace.promise.replication),
      PromiseJson(keyspace.promise), shards, keyspace.promise.redis_database);
}

std::string KeyspacesJson(const ClusterMap& map) {
  std::string keyspaces;
  for (const auto& [name, keyspace] : map.keyspaces) Append(keyspaces, KeyspaceJson(map, keyspace));
  return fmt::format("{{\"version\":{},\"keyspaces\":[{}]}}\n", map.version, keyspaces);
}

std::string NodesJson(const ClusterMap& map, const std::vector<node::NodeHealth>& health,
                      Instant now) {
  std::string nodes;
  for (const auto& [id, node] : map.nodes) Append(nodes, NodeJson(map, node, health, now));
  return fmt::format("{{\"version\":{},\"nodes\":[{}]}}\n", map.version, nodes);
}

std::string HealthJson(const ClusterMap& map, const std::vector<node::NodeHealth>& health,
                       Instant now) {
  std::string list;
  for (const node::NodeHealth& one : health) {
    Append(list, fmt::format(R"({{"node":{},"id":{},{}}})", Quote(NameOf(map, one.node)),
                             one.node.value, HealthMembers(map, one, now)));
  }
  return "[" + list + "]";
}

std::string DigestJson(const ClusterMap& map, const Keyspace& keyspace,
                       const std::vector<node::ShardDigest>& digests) {
  std::string list;
  for (const placement::Shard& shard : keyspace.shards) {
    for (const placement::ShardReplica& replica : shard.replicas) {
      if (replica.phase != Phase::kActive) continue;
      const auto found = std::ranges::find_if(digests, [&](const node::ShardDigest& digest) {
        return digest.shard == shard.id && digest.node == replica.node;
      });
      const std::string head = fmt::format(R"({{"shard":{},"node":{},)", shard.id.value,
                                           Quote(NameOf(map, replica.node)));
      Append(list, found == digests.end()
                       ? head + R"("digest":null,"applied":null})"
                       : head + fmt::format(R"("digest":"{:016x}","applied":{}}})", found->digest,
                                            Quote(found->applied)));
    }
  }
  return fmt::format("{{\"keyspace\":{},\"digests\":[{}]}}\n", Quote(keyspace.promise.name), list);
}

std::string ConflictsJson(std::string_view node, const Keyspace& keyspace,
                          const node::Leaderless::Conflicts& conflicts) {
  std::string list;
  for (const cells::Conflict& one : conflicts.newest) {
    Append(
        list,
        fmt::format(
            R"({{"shard":{},"key":{},"element":{},"dot":{},"time_ms":{},"value":{},"winner":{}}})",
            one.shard.value, Quote(one.key), Quote(one.element), Quote(clock::ToText(one.dot)),
            clock::PhysicalMs(one.time), Quote(one.value), Quote(clock::ToText(one.winner))));
  }
  return fmt::format("{{\"keyspace\":{},\"node\":{},\"count\":{},\"newest\":[{}]}}\n",
                     Quote(keyspace.promise.name), Quote(node), conflicts.count, list);
}

}  // namespace coterie::door::admin

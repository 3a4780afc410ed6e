#pragma once

#include <map>
#include <string>

#include "node/config.h"

namespace coterie::node::testing {

/// Nodes 1 .. `size` of one new cluster, on 10.0.0.1 and so on, with the usual ports. Small
/// numbers, so that a short test cuts logs and sends snapshots.
inline std::map<NodeId, NodeConfig> ClusterConfigs(int size) {
  NodeConfig shared;
  shared.cluster = "test";
  shared.data_dir = "/data";
  shared.wal_segment_bytes = 1u << 20;
  shared.snapshot_every_entries = 100;
  shared.log_entries_kept = 20;
  for (int i = 1; i <= size; ++i) {
    const std::string host = "10.0.0." + std::to_string(i);
    const NodeId id(static_cast<std::uint64_t>(i));
    shared.members.push_back(
        {.id = id, .name = "n" + std::to_string(i), .peer = {host, 7071}, .etcd = {host, 2379}});
  }
  std::map<NodeId, NodeConfig> configs;
  for (const MemberConfig& member : shared.members) {
    NodeConfig& config = configs[member.id] = shared;
    config.id = member.id;
    config.name = member.name;
    config.peer_listen = member.peer;
    config.etcd_listen = member.etcd;
    config.admin_listen = {member.peer.host, 7070};
  }
  return configs;
}

/// A new machine, "n<number>" on 10.0.0.<number>, that is to join the cluster of `configs`.
inline NodeConfig JoinerConfig(const std::map<NodeId, NodeConfig>& configs, std::uint64_t number) {
  NodeConfig config = configs.begin()->second;
  const std::string host = "10.0.0." + std::to_string(number);
  config.id = NodeId();
  config.name = "n" + std::to_string(number);
  config.peer_listen = {host, 7071};
  config.etcd_listen = {host, 2379};
  config.admin_listen = {host, 7070};
  config.members.clear();
  for (const auto& [id, there] : configs) config.join.push_back(there.peer_listen);
  return config;
}

}  // namespace coterie::node::testing

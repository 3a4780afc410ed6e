#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coterie/control.pb.h"
#include "placement/cluster_map.h"

namespace coterie::node {

/// All that the control keyspace holds.
struct ControlData {
  placement::ClusterMap map;
  std::map<ShardId, std::vector<NodeId>> founders;  ///< of raft keyspaces made after `main`
  std::map<NodeId, std::uint64_t> tokens;           ///< of nodes that joined
};

// Between values and their messages. The inverse answers nullopt for what this version cannot mean:
// an unknown phase or kind, an id of 0, or a name twice.
void ToProto(const placement::NodeInfo& node, control::Node* out);
placement::NodeInfo FromProto(const control::Node& node);
void ToProto(const keyspace::Promise& promise, control::Promise* out);
keyspace::Promise FromProto(const control::Promise& promise);
void ToProto(const placement::ShardReplica& replica, control::Replica* out);
std::optional<placement::ShardReplica> FromProto(const control::Replica& replica);
void ToProto(const placement::ClusterMap& map, control::Map* out);
std::optional<placement::ClusterMap> FromProto(const control::Map& map);

std::string EncodeControlData(const ControlData& data);
std::optional<ControlData> DecodeControlData(std::string_view bytes);

}  // namespace coterie::node

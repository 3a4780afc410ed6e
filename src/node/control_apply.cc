// What each command of the control keyspace does to the cluster map.

#include "node/control_apply.h"

#include <fmt/format.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "placement/plan.h"

namespace coterie::node {
namespace {

using placement::ClusterMap;
using placement::Keyspace;
using placement::NodeInfo;
using placement::Shard;
using placement::ShardReplica;

/// An actor's node number has 16 bits.
constexpr std::uint64_t kNodeIdMax = 65535;

ControlOutcome Refused(ErrorCode code, std::string message) {
  return {.status = Fail(code, std::move(message)), .node = {}, .changed = false};
}
ControlOutcome Unchanged() { return {}; }
ControlOutcome Changed() { return {.status = Ok(), .node = {}, .changed = true}; }

std::size_t StayingNodes(const ClusterMap& map) {
  return static_cast<std::size_t>(std::count_if(map.nodes.begin(), map.nodes.end(),
                                                [](const auto& n) { return !n.second.draining; }));
}

std::size_t VotersMax(const ClusterMap& map) {
  return map.active_version >= 2 ? kVotersMax : kFirstVotersMax;
}
std::size_t NodesMax(const ClusterMap& map) {
  return map.active_version >= 2 ? kNodesMax : kFirstNodesMax;
}

/// `main` is on every node; its shard names those that are to vote, in it and in the control group.
/// Who does, keeps it; a place that is free goes to the node that is here the longest.
void PlaceVoters(ClusterMap& map) {
  Keyspace& main = map.keyspaces.find(kMainKeyspace)->second;
  Shard& shard = main.shards.front();
  std::vector<ShardReplica> voters;
  const auto stays = [&](NodeId id) {
    const auto found = map.nodes.find(id);
    return found != map.nodes.end() && !found->second.draining;
  };
  for (const ShardReplica& replica : shard.replicas) {
    if (stays(replica.node)) voters.push_back(replica);
  }
  for (const auto& [id, info] : map.nodes) {
    const bool votes = std::any_of(voters.begin(), voters.end(),
                                   [&](const ShardReplica& r) { return r.node == id; });
    if (voters.size() < VotersMax(map) && stays(id) && !votes) voters.push_back({.node = id});
  }
  if (voters == shard.replicas) return;
  shard.replicas = std::move(voters);
  main.promise.replicas = static_cast<std::uint32_t>(shard.replicas.size());
  ++shard.epoch;
}

/// Gives the promise a Redis database of its own: the one it asks for, or, if it did not choose,
/// the lowest that is free.
Status ChooseDatabase(const ClusterMap& map, keyspace::Promise& promise) {
  const Keyspace* const other = map.FindDatabase(promise.redis_database);
  if (other == nullptr) return Ok();
  if (promise.redis_database != 0) {
    return Fail(ErrorCode::kPromiseContradiction,
                fmt::format("redis database {} against keyspace '{}', which has it.",
                            promise.redis_database, other->promise.name));
  }
  while (map.FindDatabase(promise.redis_database) != nullptr) ++promise.redis_database;
  return Ok();
}

ControlOutcome CreateKeyspace(ControlData& data, keyspace::Promise wanted) {
  ClusterMap& map = data.map;
  if (map.version == 0) return Refused(ErrorCode::kTooFewNodes, "the cluster has no map yet");
  auto promise = keyspace::Complete(std::move(wanted));
  if (!promise) return {.status = std::unexpected(std::move(promise.error()))};
  if (map.Find(promise->name) != nullptr || promise->name == "control") {
    return Refused(ErrorCode::kKeyspaceExists, promise->name);
  }
  if (auto chosen = ChooseDatabase(map, *promise); !chosen) {
    return {.status = std::move(chosen)};
  }
  auto placed = placement::Place(map, *promise, ShardId(map.next_shard));
  if (!placed) return {.status = std::unexpected(std::move(placed.error()))};
  map.next_shard += placed->shards.size();
  if (promise->replication == keyspace::Replication::kRaft) {
    for (const Shard& shard : placed->shards) {
      for (const ShardReplica& replica : shard.replicas) {
        data.founders[shard.id].push_back(replica.node);
      }
    }
  }
  map.keyspaces.emplace(promise->name, std::move(*placed));
  return Changed();
}

ControlOutcome Apply(ControlData& data, const control::Bootstrap& command) {
  ClusterMap& map = data.map;
  if (map.version != 0 || command.nodes().empty()) return Unchanged();
  for (const control::Node& node : command.nodes()) {
    NodeInfo info = FromProto(node);
    if (info.id == NodeId() || info.id.value > kNodeIdMax) continue;
    map.next_node = std::max(map.next_node, info.id.value + 1);
    map.nodes.emplace(info.id, std::move(info));
  }
  map.version = 1;
  keyspace::Promise promise;
  promise.name = kMainKeyspace;
  promise.replicas = 0;
  promise.shards = 1;
  promise.redis_database = 1;
  map.keyspaces.emplace(promise.name, Keyspace{promise, {Shard{kMainShard, Epoch(0), {}}}});
  PlaceVoters(map);
  // One that does not fit this cluster is left out; its owner can declare another.
  for (const control::Promise& wanted : command.keyspaces()) {
    (void)CreateKeyspace(data, FromProto(wanted));
  }
  return Changed();
}

ControlOutcome DropKeyspace(ControlData& data, const std::string& name) {
  const auto found = data.map.keyspaces.find(name);
  if (found == data.map.keyspaces.end()) return Refused(ErrorCode::kNoKeyspace, name);
  if (name == kMainKeyspace) {
    return Refused(ErrorCode::kPromiseContradiction,
                   "Dropping 'main' against the etcd door, which serves it.");
  }
  for (const Shard& shard : found->second.shards) data.founders.erase(shard.id);
  data.map.keyspaces.erase(found);
  return Changed();
}

/// What a node says of itself. One that was removed must not become a new node by it.
ControlOutcome Announce(ClusterMap& map, NodeInfo info) {
  const auto self = map.nodes.find(info.id);
  if (self == map.nodes.end()) {
    return Refused(ErrorCode::kNoNode, fmt::format("node {}", info.id.value));
  }
  for (const auto& [id, other] : map.nodes) {
    if (id == info.id || other.peer != info.peer) continue;
    return Refused(ErrorCode::kInvalidArgument,
                   fmt::format("{} is node '{}''s address", info.peer, other.name));
  }
  info.name = self->second.name;
  info.draining = self->second.draining;
  if (self->second == info) return Unchanged();
  self->second = std::move(info);
  return Changed();
}

ControlOutcome RaiseVersion(ClusterMap& map, std::uint32_t version) {
  if (map.version == 0 || version <= map.active_version) return Unchanged();
  map.active_version = version;
  PlaceVoters(map);
  return Changed();
}

ControlOutcome Apply(ControlData& data, const control::AddNode& command) {
  ClusterMap& map = data.map;
  NodeInfo info = FromProto(command.node());
  if (map.active_version >= 2 && info.id != NodeId()) return Announce(map, std::move(info));
  if (map.version == 0) return Refused(ErrorCode::kTooFewNodes, "the cluster has no map yet");
  if (info.name.empty() || info.peer.empty()) {
    return Refused(ErrorCode::kInvalidArgument, "a node needs a name and a peer address");
  }
  for (auto& [id, known] : map.nodes) {
    if (known.name == info.name) {
      const auto token = data.tokens.find(id);
      const bool same = command.token() == 0
                            ? known.peer == info.peer
                            : token != data.tokens.end() && token->second == command.token();
      if (!same) {
        return Refused(ErrorCode::kInvalidArgument,
                       fmt::format("the cluster has another node named '{}'", info.name));
      }
      info.id = id;
      info.draining = known.draining;
      const bool moved = known != info;
      known = std::move(info);
      return {.status = Ok(), .node = id, .changed = moved};
    }
    if (known.peer == info.peer) {
      return Refused(ErrorCode::kInvalidArgument,
                     fmt::format("{} is node '{}''s address", info.peer, known.name));
    }
  }
  if (map.nodes.size() >= NodesMax(map) || map.next_node > kNodeIdMax) {
    return Refused(ErrorCode::kInvalidArgument,
                   fmt::format("a cluster has at most {} nodes", NodesMax(map)));
  }
  const NodeId id(map.next_node++);
  info.id = id;
  info.draining = false;
  map.nodes.emplace(id, std::move(info));
  if (command.token() != 0) data.tokens[id] = command.token();
  PlaceVoters(map);
  return {.status = Ok(), .node = id, .changed = true};
}

/// Whether every keyspace still finds its replicas without `node`.
Status CanSpare(const ClusterMap& map, const NodeInfo& node) {
  const std::size_t left = StayingNodes(map) - (node.draining ? 0 : 1);
  if (left == 0) return Fail(ErrorCode::kTooFewNodes, "no node would be left");
  for (const auto& [name, keyspace] : map.keyspaces) {
    if (name == kMainKeyspace || keyspace.promise.replicas <= left) continue;
    return Fail(ErrorCode::kTooFewNodes,
                fmt::format("{} would be left, keyspace '{}' promises {} replicas", left, name,
                            keyspace.promise.replicas));
  }
  return Ok();
}

ControlOutcome DrainNode(ControlData& data, NodeId id) {
  const auto found = data.map.nodes.find(id);
  if (found == data.map.nodes.end()) {
    return Refused(ErrorCode::kNoNode, fmt::format("node {}", id.value));
  }
  if (found->second.draining) return Unchanged();
  if (auto can = CanSpare(data.map, found->second); !can) return {.status = std::move(can)};
  found->second.draining = true;
  PlaceVoters(data.map);
  return Changed();
}

ControlOutcome RemoveNode(ControlData& data, NodeId id) {
  const auto found = data.map.nodes.find(id);
  if (found == data.map.nodes.end()) {
    return Refused(ErrorCode::kNoNode, fmt::format("node {}", id.value));
  }
  if (auto can = CanSpare(data.map, found->second); !can) return {.status = std::move(can)};
  data.map.nodes.erase(found);
  data.tokens.erase(id);
  PlaceVoters(data.map);
  return Changed();
}

ControlOutcome ForgetNode(ControlData& data, NodeId id) {
  const auto found = data.map.nodes.find(id);
  if (found == data.map.nodes.end() || !found->second.draining) return Unchanged();
  for (const auto& [name, keyspace] : data.map.keyspaces) {
    for (const Shard& shard : keyspace.shards) {
      for (const ShardReplica& replica : shard.replicas) {
        if (replica.node == id) return Refused(ErrorCode::kInvalidArgument, "it holds replicas");
      }
    }
  }
  data.map.nodes.erase(found);
  data.tokens.erase(id);
  return Changed();
}

ControlOutcome Apply(ControlData& data, const control::SetReplicas& command) {
  placement::ShardChange change{ShardId(command.shard()), Epoch(command.from_epoch()), {}};
  const Shard* const shard = data.map.FindShard(change.shard);
  if (shard == nullptr || shard->id == kMainShard) {
    return Refused(ErrorCode::kInvalidArgument, "no such shard can be moved");
  }
  for (const control::Replica& wanted : command.replicas()) {
    const auto replica = FromProto(wanted);
    // A removed machine keeps its place until nothing rests on its vote.
    const bool known =
        replica && (data.map.nodes.contains(replica->node) ||
                    std::any_of(shard->replicas.begin(), shard->replicas.end(),
                                [&](const ShardReplica& r) { return r.node == replica->node; }));
    const bool sound =
        known && std::none_of(change.replicas.begin(), change.replicas.end(),
                              [&](const ShardReplica& r) { return r.node == replica->node; });
    if (!sound) return Refused(ErrorCode::kInvalidArgument, "a replica that cannot be");
    change.replicas.push_back(*replica);
  }
  if (change.replicas.empty()) return Refused(ErrorCode::kInvalidArgument, "no replicas");
  const bool anew =
      std::none_of(shard->replicas.begin(), shard->replicas.end(),
                   [&](const ShardReplica& r) { return data.map.nodes.contains(r.node); });
  if (!placement::ApplyChange(data.map, change)) {
    return Refused(ErrorCode::kStaleEpoch, "the shard was changed meanwhile");
  }
  if (const auto founders = data.founders.find(change.shard);
      anew && founders != data.founders.end()) {  // every replica is lost: the group begins again
    founders->second.clear();
    for (const ShardReplica& replica : change.replicas) founders->second.push_back(replica.node);
  }
  return Changed();
}

ControlOutcome Apply(ControlData& data, const control::ReportReplica& command) {
  const bool noted = placement::ApplyReport(data.map, ShardId(command.shard()),
                                            Epoch(command.epoch()), NodeId(command.node()));
  return noted ? Changed() : Unchanged();
}

ControlOutcome Dispatch(ControlData& data, const control::Command& command) {
  switch (command.operation_case()) {
    case control::Command::kBootstrap:
      return Apply(data, command.bootstrap());
    case control::Command::kCreateKeyspace:
      return CreateKeyspace(data, FromProto(command.create_keyspace()));
    case control::Command::kDropKeyspace:
      return DropKeyspace(data, command.drop_keyspace());
    case control::Command::kAddNode:
      return Apply(data, command.add_node());
    case control::Command::kDrainNode:
      return DrainNode(data, NodeId(command.drain_node()));
    case control::Command::kRemoveNode:
      return RemoveNode(data, NodeId(command.remove_node()));
    case control::Command::kSetReplicas:
      return Apply(data, command.set_replicas());
    case control::Command::kReportReplica:
      return Apply(data, command.report_replica());
    case control::Command::kForgetNode:
      return ForgetNode(data, NodeId(command.forget_node()));
    case control::Command::kRaiseVersion:
      return RaiseVersion(data.map, command.raise_version());
    case control::Command::OPERATION_NOT_SET:
      break;
  }
  return Refused(ErrorCode::kMalformed, "a command without an operation");
}

bool HasUnknownFields(const google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (!reflection.GetUnknownFields(message).empty()) return true;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const auto& part = field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                              : reflection.GetMessage(message, field);
      if (HasUnknownFields(part)) return true;
    }
  }
  return false;
}

bool HasUnknownKinds(const control::Promise& promise) {
  const auto above = [](std::uint32_t value, auto last) {
    return value > static_cast<std::uint32_t>(last);
  };
  return above(promise.replication(), keyspace::Replication::kLeaderless) ||
         above(promise.conflict(), keyspace::Conflict::kCrdt) ||
         above(promise.durability(), keyspace::Durability::kMemory);
}

}  // namespace

Status Understands(const control::Command& command, std::uint32_t version) {
  bool newer = HasUnknownFields(command) || command.raise_version() > version ||
               (version < 2 && command.operation_case() == control::Command::kRaiseVersion) ||
               HasUnknownKinds(command.create_keyspace());
  for (const control::Promise& promise : command.bootstrap().keyspaces()) {
    newer = newer || HasUnknownKinds(promise);
  }
  if (!newer) return Ok();
  return Fail(ErrorCode::kNewerCommand, "a change of the cluster map");
}

ControlOutcome ApplyControl(ControlData& data, const control::Command& command) {
  ControlOutcome outcome = Dispatch(data, command);
  // The first map is made with its number.
  if (outcome.changed && command.operation_case() != control::Command::kBootstrap) {
    ++data.map.version;
  }
  return outcome;
}

}  // namespace coterie::node

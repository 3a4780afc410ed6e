#include "node/control_codec.h"

namespace coterie::node {

using placement::ClusterMap;
using placement::Keyspace;
using placement::NodeInfo;
using placement::Phase;
using placement::Shard;
using placement::ShardReplica;

void ToProto(const NodeInfo& node, control::Node* out) {
  out->set_id(node.id.value);
  out->set_name(node.name);
  out->set_peer(node.peer);
  out->set_etcd(node.etcd);
  out->set_redis(node.redis);
  out->set_admin(node.admin);
  out->set_failure_domain(node.failure_domain);
  out->set_draining(node.draining);
}

NodeInfo FromProto(const control::Node& node) {
  return {.id = NodeId(node.id()),
          .name = node.name(),
          .peer = node.peer(),
          .etcd = node.etcd(),
          .redis = node.redis(),
          .admin = node.admin(),
          .failure_domain = node.failure_domain(),
          .draining = node.draining()};
}

void ToProto(const keyspace::Promise& promise, control::Promise* out) {
  out->set_name(promise.name);
  out->set_replication(static_cast<std::uint32_t>(promise.replication));
  out->set_replicas(promise.replicas);
  out->set_read(promise.read);
  out->set_write(promise.write);
  out->set_conflict(static_cast<std::uint32_t>(promise.conflict));
  out->set_durability(static_cast<std::uint32_t>(promise.durability));
  out->set_shards(promise.shards);
  out->set_redis_database(promise.redis_database);
}

// Kinds of a newer version are kept as they are: keyspace::Complete refuses what it does not know.
keyspace::Promise FromProto(const control::Promise& promise) {
  const auto byte = [](std::uint32_t n) { return static_cast<std::uint8_t>(n < 255 ? n : 255); };
  keyspace::Promise out;
  out.name = promise.name();
  out.replication = static_cast<keyspace::Replication>(byte(promise.replication()));
  out.replicas = promise.replicas();
  out.read = promise.read();
  out.write = promise.write();
  out.conflict = static_cast<keyspace::Conflict>(byte(promise.conflict()));
  out.durability = static_cast<keyspace::Durability>(byte(promise.durability()));
  out.shards = promise.shards();
  out.redis_database = promise.redis_database();
  return out;
}

void ToProto(const ShardReplica& replica, control::Replica* out) {
  out->set_node(replica.node.value);
  out->set_phase(static_cast<std::uint32_t>(replica.phase));
  out->set_ready(replica.ready);
  out->set_replaces(replica.replaces.value);
}

std::optional<ShardReplica> FromProto(const control::Replica& replica) {
  if (replica.node() == 0) return std::nullopt;
  if (replica.phase() < static_cast<std::uint32_t>(Phase::kActive) ||
      replica.phase() > static_cast<std::uint32_t>(Phase::kLeaving)) {
    return std::nullopt;
  }
  return ShardReplica{.node = NodeId(replica.node()),
                      .phase = static_cast<Phase>(replica.phase()),
                      .ready = replica.ready(),
                      .replaces = NodeId(replica.replaces())};
}

namespace {

void ToProto(const Keyspace& keyspace, control::Keyspace* out) {
  node::ToProto(keyspace.promise, out->mutable_promise());
  for (const Shard& shard : keyspace.shards) {
    control::Shard* const to = out->add_shards();
    to->set_id(shard.id.value);
    to->set_epoch(shard.epoch.value);
    for (const ShardReplica& replica : shard.replicas) node::ToProto(replica, to->add_replicas());
  }
}

std::optional<Keyspace> FromProto(const control::Keyspace& keyspace) {
  Keyspace out;
  out.promise = node::FromProto(keyspace.promise());
  if (keyspace.shards().empty()) return std::nullopt;
  for (const control::Shard& from : keyspace.shards()) {
    Shard shard{ShardId(from.id()), Epoch(from.epoch()), {}};
    if (from.id() == 0) return std::nullopt;
    for (const control::Replica& replica : from.replicas()) {
      const auto known = node::FromProto(replica);
      if (!known) return std::nullopt;
      shard.replicas.push_back(*known);
    }
    out.shards.push_back(std::move(shard));
  }
  return out;
}

}  // namespace

void ToProto(const ClusterMap& map, control::Map* out) {
  out->set_version(map.version);
  out->set_next_shard(map.next_shard);
  out->set_next_node(map.next_node);
  if (map.active_version > 1) out->set_active_version(map.active_version);
  for (const auto& [id, node] : map.nodes) ToProto(node, out->add_nodes());
  for (const auto& [name, keyspace] : map.keyspaces) ToProto(keyspace, out->add_keyspaces());
}

std::optional<ClusterMap> FromProto(const control::Map& map) {
  ClusterMap out;
  out.version = map.version();
  out.next_shard = map.next_shard();
  out.next_node = map.next_node();
  out.active_version = map.active_version() == 0 ? 1 : map.active_version();
  for (const control::Node& node : map.nodes()) {
    NodeInfo info = FromProto(node);
    if (info.id == NodeId() || !out.nodes.emplace(info.id, info).second) return std::nullopt;
  }
  for (const control::Keyspace& from : map.keyspaces()) {
    auto keyspace = FromProto(from);
    if (!keyspace) return std::nullopt;
    std::string name = keyspace->promise.name;
    if (!out.keyspaces.emplace(std::move(name), std::move(*keyspace)).second) return std::nullopt;
  }
  return out;
}

std::string EncodeControlData(const ControlData& data) {
  control::State state;
  ToProto(data.map, state.mutable_map());
  for (const auto& [shard, nodes] : data.founders) {
    control::Founders* const founders = state.add_founders();
    founders->set_shard(shard.value);
    for (const NodeId node : nodes) founders->add_nodes(node.value);
  }
  for (const auto& [node, token] : data.tokens) {
    control::Token* const entry = state.add_tokens();
    entry->set_node(node.value);
    entry->set_token(token);
  }
  return state.SerializeAsString();
}

std::optional<ControlData> DecodeControlData(std::string_view bytes) {
  control::State state;
  if (!state.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  ControlData data;
  auto map = FromProto(state.map());
  if (!map) return std::nullopt;
  data.map = std::move(*map);
  for (const control::Founders& founders : state.founders()) {
    for (const std::uint64_t node : founders.nodes()) {
      data.founders[ShardId(founders.shard())].push_back(NodeId(node));
    }
  }
  for (const control::Token& entry : state.tokens()) {
    data.tokens[NodeId(entry.node())] = entry.token();
  }
  return data;
}

}  // namespace coterie::node

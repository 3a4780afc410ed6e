#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "door/admin/admin_door.h"
#include "door/admin/cluster_json.h"
#include "door/admin/json_text.h"
#include "keyspace/explain.h"
#include "node/raft_replica.h"
#include "node/transport.h"

namespace coterie::door::admin {
namespace {

std::string_view RoleOf(const node::ReplicaStatus& status, raft::Role role) {
  if (status.learner) return "learner";
  switch (role) {
    case raft::Role::kLeader:
      return "leader";
    case raft::Role::kFollower:
      return "follower";
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate:
      return "candidate";
  }
  return "follower";
}

std::int64_t Millis(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

std::string PeerJson(const node::PeerStatus& peer, const raft::Raft& core) {
  std::string faults;
  if (peer.fault.cut) faults = "\"cut\"";
  if (peer.fault.delay > Duration::zero()) {
    faults += fmt::format("{}\"delay {}ms\"", faults.empty() ? "" : ",", Millis(peer.fault.delay));
  }
  return fmt::format(
      R"({{"id":{},"name":{},"connected":{},"last_heard_ms":{},"match":{},"faults":[{}]}})",
      peer.id.value, Quote(peer.name), peer.connected,
      peer.silent_for == Duration::max() ? -1 : Millis(peer.silent_for),
      core.MatchIndex(peer.id).value, faults);
}

/// `main` as its own replica knows it: true also before there is a map.
std::string MainJson(const raft::Raft& core) {
  const std::size_t voters = core.configuration().voters.size();
  return fmt::format(R"({{"name":"main","replication":"raft","replicas":{},"tolerates":{}}})",
                     voters, voters == 0 ? 0 : (voters - 1) / 2);
}

std::string SummariesJson(const placement::ClusterMap* map, const raft::Raft& core) {
  std::string list = MainJson(core);
  if (map == nullptr) return list;
  for (const auto& [name, keyspace] : map->keyspaces) {
    if (name == "main") continue;
    const keyspace::Quorums quorums = keyspace::QuorumsOf(keyspace.promise);
    list += fmt::format(R"(,{{"name":{},"replication":"{}","replicas":{},"tolerates":{}}})",
                        Quote(name), ToText(keyspace.promise.replication), quorums.replicas,
                        std::min(quorums.ReadsSurvive(), quorums.WritesSurvive()));
  }
  return list;
}

std::string IdsJson(const std::vector<NodeId>& ids) {
  std::string list;
  for (const NodeId id : ids) list += fmt::format("{}{}", list.empty() ? "" : ",", id.value);
  return "[" + list + "]";
}

/// The replica's part in its Raft group. The configuration is the newest that it has: the leader's
/// decides, and not the map, which moves before the group does or after it.
std::string GroupJson(std::string_view keyspace, const node::RaftReplica& replica, bool ready) {
  const node::ReplicaStatus status = replica.status();
  const raft::Raft& core = replica.core();
  const raft::Configuration& configuration = core.configuration();
  return fmt::format(
      R"({{"keyspace":{},"role":"{}","leader":{},"term":{},"ready":{},"voters":{},"outgoing":{},)"
      R"("learners":{}}})",
      Quote(keyspace), RoleOf(status, core.role()), status.leader.value, status.term.value, ready,
      IdsJson(configuration.voters), IdsJson(configuration.outgoing),
      IdsJson(configuration.learners));
}

/// Of every raft keyspace, this node's replica if it has one.
std::string GroupsJson(node::Node& node, const placement::ClusterMap& map) {
  std::string list = GroupJson("main", node.raft_replica(), node.ready());
  for (const auto& [name, keyspace] : map.keyspaces) {
    if (name == "main" || keyspace.promise.replication != keyspace::Replication::kRaft) continue;
    const node::RaftReplica* replica = node.raft_replica(keyspace.shards.front().id);
    if (replica == nullptr) continue;
    list += "," + GroupJson(name, *replica, replica->status().leader != NodeId());
  }
  return list;
}

std::string ConditionsJson(runtime::World& world) {
  std::string list;
  for (const auto& [key, condition] : world.conditions().all()) {
    const ConditionInfo& info = InfoOf(key.first);
    if (!list.empty()) list += ',';
    list += fmt::format(R"({{"name":"{}","severity":"{}","subject":{},"since_ms":{},"text":{},)"
                        R"("meaning":{},"hint":{}}})",
                        info.name, NameOf(info.severity), Quote(key.second),
                        Millis(world.Now() - condition.since), Quote(condition.text),
                        Quote(info.meaning), Quote(info.hint));
  }
  return list;
}

std::string ClockJson(const WallInterval& wall) {
  const std::int64_t bound_ns = (wall.latest_ns - wall.earliest_ns) / 2;
  return fmt::format(R"({{"synchronized":{},"bound_ns":{},"bound_ms":{:.3f}}})", wall.synchronized,
                     bound_ns, static_cast<double>(bound_ns) / 1e6);
}

}  // namespace

Status CheckKeyspaces(node::Node& node, const AdminParts& parts) {
  if (parts.control == nullptr) return Ok();
  const placement::ClusterMapPtr map = parts.control->map();
  if (map->version == 0) return Fail(ErrorCode::kNoKeyspace, "The cluster is being made.");
  if (parts.leaderless == nullptr) return Ok();
  for (const auto& [name, keyspace] : map->keyspaces) {
    if (keyspace.promise.replication != keyspace::Replication::kLeaderless) continue;
    for (const placement::Shard& shard : keyspace.shards) {
      const auto here = std::ranges::find_if(shard.replicas, [&node](const auto& replica) {
        return replica.node == node.config().id && replica.phase == placement::Phase::kActive;
      });
      if (here != shard.replicas.end() && !parts.leaderless->Serves(shard)) {
        return Fail(ErrorCode::kNotReplica, fmt::format("A shard of {} is not open yet.", name));
      }
    }
  }
  return Ok();
}

std::string StatusJson(node::Node& node, std::string_view version, const AdminParts& parts) {
  const node::ReplicaStatus status = node.replica().status();
  const raft::Raft& core = node.raft_replica().core();
  const node::NodeConfig& config = node.config();
  std::string peers;
  for (const node::PeerStatus& peer : node.transport().peers()) {
    if (!peers.empty()) peers += ',';
    peers += PeerJson(peer, core);
  }
  const placement::ClusterMapPtr map =
      parts.control == nullptr ? std::make_shared<placement::ClusterMap>() : parts.control->map();
  const auto health =
      parts.detector == nullptr ? std::vector<node::NodeHealth>() : parts.detector->view();
  return fmt::format(
      R"({{"node":{},"id":{},"version":{},"cluster":{},"cluster_id":"{:016x}","role":"{}",)"
      R"("leader":{},"term":{},"commit":{},"applied":{},"revision":{},"ready":{},"demo":{},)"
      R"("clock":{},"redis":{},"failure_domain":{},"map_version":{},"peers":[{}],"health":{},)"
      R"("keyspaces":[{}],"groups":[{}],"conditions":[{}],"state_bytes":{}}})"
      "\n",
      Quote(config.name), status.self.value, Quote(version), Quote(config.cluster),
      node.cluster_id(), RoleOf(status, core.role()), status.leader.value, status.term.value,
      status.commit.value, status.applied.value, node.store().revision(),
      node.ready() && CheckKeyspaces(node, parts).has_value(), config.demo,
      ClockJson(node.world().WallNow()),
      config.redis_listen.port == 0 ? "null" : Quote(ToText(config.redis_listen)),
      Quote(config.failure_domain), map->version, peers,
      HealthJson(*map, health, node.world().Now()), SummariesJson(map.get(), core),
      GroupsJson(node, *map), ConditionsJson(node.world()), node.store().approximate_bytes());
}

}  // namespace coterie::door::admin

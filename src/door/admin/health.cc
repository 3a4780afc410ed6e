#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "door/admin/admin_door.h"
#include "keyspace/explain.h"
#include "node/raft_replica.h"
#include "node/transport.h"

namespace coterie::door::admin {
namespace {

/// Gossip makes every peer speak about once a second.
constexpr Duration kSilenceMax = 3s;

std::set<NodeId> Reachable(node::Node& node) {
  std::set<NodeId> reachable{node.config().id};
  for (const node::PeerStatus& peer : node.transport().peers()) {
    if (peer.connected && peer.silent_for <= kSilenceMax && !peer.fault.cut) {
      reachable.insert(peer.id);
    }
  }
  return reachable;
}

/// Whether reads and writes of every shard find as many active replicas as the promise waits for;
/// acknowledgements of a leaderless write count each failure domain once. Error kTooFewReplicas.
Status CheckReplicas(const placement::ClusterMap& map, const placement::Keyspace& keyspace,
                     const std::set<NodeId>& reachable) {
  const keyspace::Quorums quorums = keyspace::QuorumsOf(keyspace.promise);
  for (const placement::Shard& shard : keyspace.shards) {
    std::uint32_t reads = 0;
    std::set<std::string> domains;
    for (const placement::ShardReplica& replica : shard.replicas) {
      if (replica.phase != placement::Phase::kActive || !reachable.contains(replica.node)) continue;
      ++reads;
      const auto info = map.nodes.find(replica.node);
      const bool named = info != map.nodes.end() && !info->second.failure_domain.empty();
      domains.insert(named ? "domain " + info->second.failure_domain
                           : fmt::format("node {}", replica.node.value));
    }
    const bool by_domain = keyspace.promise.replication == keyspace::Replication::kLeaderless;
    const auto writes = by_domain ? static_cast<std::uint32_t>(domains.size()) : reads;
    if (reads >= quorums.read && writes >= quorums.write) continue;
    return Fail(
        ErrorCode::kTooFewReplicas,
        fmt::format("{}: of a shard's replicas this node reaches {}; reads wait for {}, "
                    "writes for {}.",
                    keyspace.promise.name, std::min(reads, writes), quorums.read, quorums.write));
  }
  return Ok();
}

}  // namespace

runtime::Task<net::HttpResponse> AdminDoor::Health() {
  if (const auto* trouble = node_.world().conditions().critical()) {
    const ConditionInfo& info = InfoOf(trouble->first.first);
    co_return net::HttpResponse{.status = 503,
                                .body = fmt::format("{}: {} {} {}\n", info.name, info.meaning,
                                                    trouble->second.text, info.hint)};
  }
  Status able = co_await CheckPromises(node_.world().Now() + 1s);
  if (able) co_return net::HttpResponse{.body = "ok\n"};
  // Nothing was asked for, so whether it happened is not said.
  const Error& error = able.error();
  co_return net::HttpResponse{.status = 503,
                              .body = fmt::format("{} {} {}\n", CodeText(error.code),
                                                  InfoOf(error.code).cause, error.message)};
}

/// What the doors would meet: a read barrier of every raft keyspace with a replica here, and of
/// the others enough replicas that are reached.
runtime::Task<Status> AdminDoor::CheckPromises(Instant deadline) {
  COT_CO_TRY(co_await node_.replica().ReadBarrier(deadline));
  COT_CO_TRY(CheckKeyspaces(node_, parts_));
  if (parts_.control == nullptr) co_return Ok();
  const placement::ClusterMapPtr map = parts_.control->map();
  const std::set<NodeId> reachable = Reachable(node_);
  for (const auto& [name, keyspace] : map->keyspaces) {
    if (name == "main") continue;
    if (keyspace.promise.replication != keyspace::Replication::kRaft) {
      COT_CO_TRY(CheckReplicas(*map, keyspace, reachable));
      continue;
    }
    node::RaftReplica* const replica = node_.raft_replica(keyspace.shards.front().id);
    if (replica == nullptr) continue;  // requests are passed on
    Status read = co_await replica->ReadBarrier(deadline);
    if (read) continue;
    read.error().message = name + ": " + read.error().message;
    co_return read;
  }
  co_return Ok();
}

}  // namespace coterie::door::admin

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "node/failure_detector.h"
#include "node/leaderless/leaderless.h"
#include "placement/cluster_map.h"

namespace coterie::door::admin {

// What the cluster's map and its keyspaces look like as JSON. Pure.

/// {"replicas":3,"read":1,"write":1,"conflict":"crdt","durability":"quorum-fsync"}; R and W of a
/// raft or paxos keyspace are its majority.
std::string PromiseJson(const keyspace::Promise& promise);
/// {"version":7,"keyspaces":[...]}
std::string KeyspacesJson(const placement::ClusterMap& map);
std::string KeyspaceJson(const placement::ClusterMap& map, const placement::Keyspace& keyspace);

/// {"version":7,"nodes":[...]}, each with what is believed about its health, if anything is.
std::string NodesJson(const placement::ClusterMap& map, const std::vector<node::NodeHealth>& health,
                      Instant now);
/// [{"node":"n3","id":3,"state":"suspected","since_ms":4200,"by":"n1",...}]
std::string HealthJson(const placement::ClusterMap& map,
                       const std::vector<node::NodeHealth>& health, Instant now);

/// Every active replica's digest; of those that did not answer, that.
std::string DigestJson(const placement::ClusterMap& map, const placement::Keyspace& keyspace,
                       const std::vector<node::ShardDigest>& digests);
std::string ConflictsJson(std::string_view node, const placement::Keyspace& keyspace,
                          const node::Leaderless::Conflicts& conflicts);

/// A promise from {"name":..,"replication":..,...}, all but the name optional. `names_database`:
/// "redis_database" is there, also if it is 0. Errors: kInvalidArgument naming the member.
Result<keyspace::Promise> ParsePromise(std::string_view body, bool* names_database = nullptr);

}  // namespace coterie::door::admin

#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "node/config.h"
#include "node/peer_types.h"
#include "placement/cluster_map.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::node {

/// This node as `config` describes it, for the cluster map. The id is `config`'s, or 0.
placement::NodeInfo SelfInfo(const NodeConfig& config);
/// A member as the configuration names it, for the first cluster map.
placement::NodeInfo InfoOf(const MemberConfig& member);
/// The inverse, as far as the transport needs it; nullopt if the peer address cannot be read.
std::optional<MemberConfig> MemberOf(const placement::NodeInfo& info);

/// What a new node was told: who it is, and whom it may speak with until its own log tells.
struct Joined {
  NodeId id;
  std::uint64_t cluster_id = 0;
  placement::ClusterMap map;
};

/// Asks the nodes at `config.join`, one after the other and again, until one of them has taken this
/// machine into the cluster. The same data directory is always given the same id, also when a crash
/// cuts the conversation short. Errors: kWrongCluster, kInvalidArgument (the name or address is
/// another node's, or the cluster is full), kIo, kDiskFull.
runtime::Task<Result<Joined>> JoinCluster(runtime::World* world, const NodeConfig* config);

/// The one question of a machine that is no node yet, to the node at `to` of the cluster named
/// `cluster`. Errors: kConnectFailed, kConnectionClosed, kMalformed, and what was answered.
runtime::Task<Result<std::string>> AskAsGuest(runtime::World* world, runtime::Address to,
                                              std::string cluster, Method method, std::string body);

/// A number drawn once for this data directory, durably, in `<data_dir>/<file>`; never 0.
runtime::Task<Result<std::uint64_t>> DrawnToken(runtime::World* world, std::string data_dir,
                                                std::string file);

/// What a guest names a cluster by, who does not know its id: a checksum of its name; never 0.
std::uint64_t NameIdOf(std::string_view cluster);

/// The same map kept in `<data_dir>/book`, for a start before the log has brought a newer one.
runtime::Task<Status> WriteBook(runtime::Disk& disk, std::string data_dir,
                                placement::ClusterMap map);
/// An empty map if there is none. Error kCorruptState.
runtime::Task<Result<placement::ClusterMap>> ReadBook(runtime::Disk& disk, std::string data_dir);

}  // namespace coterie::node

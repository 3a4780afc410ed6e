#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "keyspace/promise.h"
#include "placement/cluster_map.h"
#include "runtime/sync.h"
#include "runtime/task.h"

namespace coterie::node {

/// The control keyspace as the rest of a node sees it: the newest cluster map that this node knows,
/// and the ways to change it. Every change goes through the log of the control shard's Raft group.
class Control {
 public:
  virtual ~Control() = default;
  /// Never null; version 0 before anything is known.
  virtual placement::ClusterMapPtr map() const = 0;
  /// Notified after every new map.
  virtual runtime::Notification& changed() = 0;

  // Errors of all: kNoLeader, kTimedOut and those of Replica::Propose; and, not applied, what is
  // named. They answer once this node knows the map that has the change.

  /// kKeyspaceExists, kPromiseContradiction, kTooFewNodes.
  virtual runtime::Task<Status> CreateKeyspace(keyspace::Promise promise, Instant deadline) = 0;
  /// kNoKeyspace; kPromiseContradiction for `main`.
  virtual runtime::Task<Status> DropKeyspace(std::string name, Instant deadline) = 0;
  /// Gives a new machine an id and a place in the map; shards move to it by themselves. The name of
  /// one that is there already answers its id.
  virtual runtime::Task<Result<NodeId>> AddNode(placement::NodeInfo info, Instant deadline) = 0;
  /// Moves everything off a machine, then forgets it; answers when the drain is recorded, not when
  /// it is over (see the map). kNoNode, kTooFewNodes.
  virtual runtime::Task<Status> DrainNode(NodeId node, Instant deadline) = 0;
  /// Ends a machine that will not come back: its replicas are made anew from the others. kNoNode,
  /// kTooFewNodes.
  virtual runtime::Task<Status> RemoveNode(NodeId node, Instant deadline) = 0;
  /// A joining replica has everything, or a leaving one has handed everything over, as of `epoch`.
  /// A report about another epoch changes nothing.
  virtual runtime::Task<Status> ReportReplica(ShardId shard, Epoch epoch, NodeId node,
                                              Instant deadline) = 0;
};

}  // namespace coterie::node

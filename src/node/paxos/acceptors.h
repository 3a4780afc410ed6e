#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "node/control.h"
#include "node/paxos/codec.h"
#include "node/paxos/register_store.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::node::registers {

/// Who decides about `shard` according to the map: active and leaving replicas vote, joining ones
/// learn.
paxos::Replicas ReplicasOf(const placement::Shard& shard);

/// The acceptors of all shards that have a replica on this node: paxos keyspaces' and, for
/// conditional writes, leaderless ones'.
class Acceptors {
 public:
  Acceptors(runtime::World& world, NodeId self, Control& control, RegisterStore& store)
      : world_(world), self_(self), control_(control), store_(store) {}

  /// Takes the request's step, and answers once what the reply tells is durable. A request of an
  /// epoch that this node has not heard of waits for the map, shortly. Errors, not applied:
  /// kNotReplica, kOverloaded.
  runtime::Task<Result<paxos::Reply>> Answer(ShardId shard, std::string key,
                                             paxos::Request request);
  runtime::Task<Result<KeysReport>> Keys(KeysAsked asked);

  /// Fences shards in their newest epoch, and forgets registers of shards that have left this node.
  /// After every new map.
  void FollowMap();

 private:
  /// This node's acceptor of the shard in the newest epoch known here.
  Result<Epoch> EpochOf(ShardId shard) const;
  runtime::Task<Result<Epoch>> AwaitEpoch(ShardId shard, Epoch asked);
  template <class T>
  Result<T> Crash(const Error& error);

  runtime::World& world_;
  const NodeId self_;
  Control& control_;
  RegisterStore& store_;
  placement::ClusterMapPtr followed_;
  std::size_t waiting_ = 0;
};

}  // namespace coterie::node::registers

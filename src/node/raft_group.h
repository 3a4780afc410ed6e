#pragma once

#include <memory>
#include <string>
#include <vector>

#include "consensus/raft/messages.h"
#include "model/state_machine.h"
#include "node/config.h"
#include "node/lost_memory.h"
#include "node/raft_replica.h"
#include "node/transport.h"
#include "runtime/world.h"
#include "storage/engine_home.h"
#include "storage/wal.h"

namespace coterie::node {

/// What the groups of one node share. All of it outlives them.
struct GroupHost {
  runtime::World& world;
  const NodeConfig& config;
  NodeId self;
  storage::Wal& wal;
  Transport& transport;
  LostMemory* lost;
};

/// Where a group's state is: `<data_dir>/shards/<shard>`.
std::string GroupDir(const NodeConfig& config, ShardId shard);

/// This node's replica of one ordered shard: the Engine that holds its state, and the Raft replica
/// that feeds `machine` into it. Destroying it ends the replica; what is on disk stays.
class RaftGroup {
 public:
  /// Opens or creates the engine, loads `machine` from it and joins it with what the WAL held.
  /// `first` is the configuration of a group that nobody has spoken in yet; empty on a node that
  /// was not one of its first replicas: it waits for the leader. `machine` outlives the group.
  /// Errors: kCorruptState, kCorruptLog, kNewerData, kIo, kDiskFull.
  static runtime::Task<Result<std::unique_ptr<RaftGroup>>> Open(
      const GroupHost* host, ShardId shard, model::StateMachine* machine,
      storage::EngineFactory engines, storage::WalShard recovered, raft::Configuration first);

  /// Takes part from now on.
  void Start() { replica_->Start(); }
  ShardId shard() const { return shard_; }
  RaftReplica& replica() { return *replica_; }
  /// A leader is known and this replica has caught up with what was committed when it was opened.
  bool ready() const;
  /// As RaftReplica::Stop; the object stays for those that still hold it.
  void Stop() { replica_->Stop(); }
  /// Makes the state durable in the engine.
  runtime::Task<Status> Flush();
  /// Hands leadership to the best connected voter (of `among`, unless empty), if this one leads.
  runtime::Task<void> HandOver(std::vector<NodeId> among, Instant deadline);

 private:
  RaftGroup(const GroupHost& host, ShardId shard) : host_(host), shard_(shard) {}

  const GroupHost& host_;
  const ShardId shard_;
  std::unique_ptr<storage::EngineHome> home_;
  std::unique_ptr<RaftReplica> replica_;
  LogIndex committed_at_start_;
};

}  // namespace coterie::node

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "node/control_state.h"
#include "node/identity.h"
#include "node/kv_group.h"
#include "node/membership.h"
#include "node/raft_group.h"

namespace coterie::node {

/// Every Raft group that this node has a replica of: control and `main`, always, and those of the
/// raft keyspaces that the cluster map places here, which come and go with it.
class RaftGroups {
 public:
  /// `recovered`: what the WAL held; what is no group's stays for TakeJournal. All outlive this.
  RaftGroups(const GroupHost& host, storage::EngineFactory engines, std::uint64_t cluster_id,
             std::vector<NodeId> founders, std::map<ShardId, storage::WalShard> recovered,
             KvGroup::Machines machines);
  ~RaftGroups();

  /// Opens what the map found on disk says. Errors: as RaftGroup::Open.
  runtime::Task<Status> Open();
  void Start();

  ControlState& control_state() { return control_state_; }
  RaftGroup& control() { return *control_; }
  KvGroup& main() { return *kv_.at(main_shard_); }
  /// nullptr: no replica here.
  KvGroup* kv(ShardId shard);
  storage::WalShard TakeJournal(ShardId place);

  void OnRaft(NodeId from, std::string_view body);
  void OnUnreachable(NodeId peer);
  /// Whether `node` is in the newest configuration of a group that is here.
  bool IsMember(NodeId node) const;
  /// Whether `node` votes in one of the two groups that are on every node.
  bool HasVote(NodeId node) const;
  /// Hands over every group that this node leads.
  runtime::Task<void> HandOver(Instant deadline);

  /// A replica that moved, as its group's leader knows it: joined, or gone.
  struct Move {
    ShardId shard;
    Epoch epoch;
    NodeId node;
  };
  std::vector<Move> FinishedMoves();

  /// Opens and closes groups until they are those of the map. Errors: as Open.
  runtime::Task<Status> Follow();

 private:
  runtime::Task<void> PublishLoop();
  runtime::Task<Status> OpenKv(ShardId shard, raft::Configuration first);
  void StartKv(ShardId shard);
  runtime::Task<Status> RemoveLeftovers();
  runtime::Task<void> Retire(ShardId shard);
  std::optional<GroupPlan> PlanOf(ShardId shard) const;
  bool IsHere(ShardId shard) const;
  storage::WalShard TakeRecovered(ShardId shard);

  const GroupHost& host_;
  const storage::EngineFactory engines_;
  const std::uint64_t cluster_id_;
  const raft::Configuration first_;
  const ShardId main_shard_;
  const KvGroup::Machines machines_;
  std::map<ShardId, storage::WalShard> recovered_;
  ControlState control_state_;
  std::unique_ptr<RaftGroup> control_;
  std::map<ShardId, std::unique_ptr<KvGroup>> kv_;
  std::map<ShardId, std::unique_ptr<KvGroup>> retired_;  // still held by requests, perhaps
  std::map<ShardId, std::unique_ptr<Membership>> memberships_;
  runtime::Scope scope_;
};

}  // namespace coterie::node

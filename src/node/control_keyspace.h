#pragma once

#include <functional>
#include <string>

#include "node/config.h"
#include "node/control.h"
#include "node/control_state.h"
#include "node/raft_group.h"
#include "runtime/scope.h"

namespace coterie::node {

/// The control keyspace on one node: its replica's map, and proposals to its group. While this node
/// leads the group it also carries out what the map asks for: makes the first map, moves shards
/// step by step, and forgets nodes that are drained.
class ControlKeyspace final : public Control {
 public:
  /// Whether a drained node has left the Raft groups that are on every node.
  using HasVote = std::function<bool(NodeId)>;
  /// The newest version that all nodes of a map say to know; 0 while one cannot be asked.
  using KnownByAll = std::function<std::uint32_t(const placement::ClusterMap&)>;

  /// All outlive this. `founders`: the first map's nodes; empty unless this node is one of them.
  ControlKeyspace(runtime::World& world, const NodeConfig& config, NodeId self,
                  std::uint64_t cluster_id, std::vector<placement::NodeInfo> founders,
                  ControlState& state, RaftGroup& group, HasVote has_vote, KnownByAll known_by_all);
  void Start();

  // Control
  placement::ClusterMapPtr map() const override { return state_.map(); }
  runtime::Notification& changed() override { return state_.changed(); }
  runtime::Task<Status> CreateKeyspace(keyspace::Promise promise, Instant deadline) override;
  runtime::Task<Status> DropKeyspace(std::string name, Instant deadline) override;
  runtime::Task<Result<NodeId>> AddNode(placement::NodeInfo info, Instant deadline) override;
  runtime::Task<Status> DrainNode(NodeId node, Instant deadline) override;
  runtime::Task<Status> RemoveNode(NodeId node, Instant deadline) override;
  runtime::Task<Status> ReportReplica(ShardId shard, Epoch epoch, NodeId node,
                                      Instant deadline) override;

  /// A machine's request to be a node (control.proto AddNode) and its answer (JoinReply).
  runtime::Task<Result<std::string>> OnJoin(std::string body, Instant deadline);

 private:
  runtime::Task<Result<NodeId>> Propose(std::string command, Instant deadline);
  runtime::Task<void> LeadLoop();
  runtime::Task<Status> Advance();
  runtime::Task<void> AnnounceLoop();

  runtime::World& world_;
  const NodeConfig& config_;
  const NodeId self_;
  const std::uint64_t cluster_id_;
  const std::vector<placement::NodeInfo> founders_;
  ControlState& state_;
  RaftGroup& group_;
  const HasVote has_vote_;
  const KnownByAll known_by_all_;
  runtime::Scope scope_;
};

}  // namespace coterie::node

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/state_machine.h"
#include "placement/cluster_map.h"
#include "runtime/sync.h"

namespace coterie::node {

struct ControlData;

/// What the control keyspace holds: the cluster map, folded from its log. The whole of it is one
/// record of the Engine; it is small. Everything that follows the map sees only what is durable
/// here: a replica that a map gave must not answer anybody before a restart would find that map.
class ControlState final : public model::StateMachine {
 public:
  struct Answer final : model::StateMachine::Answer {
    Status status = Ok();
    NodeId node;
    std::uint64_t version = 0;  ///< of the map after the command
  };

  /// `version`: what this node knows.
  ControlState(runtime::Executor& executor, std::uint32_t version);
  ~ControlState() override;

  // model::StateMachine
  Status Load(storage::Engine& engine) override;
  bool watched() const override { return true; }  // by the node itself
  LogIndex applied() const override { return applied_; }
  Result<std::vector<std::unique_ptr<model::StateMachine::Answer>>> Apply(
      std::span<const Command> commands, LogIndex upto, Term upto_term) override;

  /// The newest durable map; never null.
  placement::ClusterMapPtr map() const { return map_; }
  /// After every new map().
  runtime::Notification& changed() { return changed_; }

  /// What was applied since map(): to be made durable, then published; null: nothing.
  std::shared_ptr<const ControlData> unpublished() const;
  runtime::Notification& applied_more() { return applied_more_; }
  void Publish(std::shared_ptr<const ControlData> durable);

  /// Whether `node` was one of the first replicas of a raft keyspace's shard.
  bool IsFounder(ShardId shard, NodeId node) const;
  /// Those first replicas, in ascending order; empty if the shard is not such a one.
  std::vector<NodeId> Founders(ShardId shard) const;

 private:
  std::unique_ptr<ControlData> data_;             // as applied
  std::shared_ptr<const ControlData> published_;  // as durable
  placement::ClusterMapPtr map_;                  // published_'s
  const std::uint32_t version_;
  LogIndex applied_;
  storage::Engine* engine_ = nullptr;
  runtime::Notification changed_;
  runtime::Notification applied_more_;
};

}  // namespace coterie::node

#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "consensus/raft/configuration.h"
#include "node/raft_group.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::node {

/// Whom the cluster map wants in a Raft group.
struct GroupPlan {
  std::vector<NodeId> voters;    ///< to be, or to become
  std::vector<NodeId> learners;  ///< to have the log without a vote
  /// May keep a vote until every voter to be has one.
  std::vector<NodeId> leaving;
  friend bool operator==(const GroupPlan&, const GroupPlan&) = default;
};

/// The next configuration on the way from `current`, which is settled, to `plan`; nullopt: it is
/// there, or waits for a learner to catch up. New members learn first, so that no quorum ever waits
/// for an empty log [Raft-thesis §4.2.1]. Pure.
std::optional<raft::Configuration> NextConfiguration(const raft::Configuration& current,
                                                     const GroupPlan& plan,
                                                     const std::function<bool(NodeId)>& caught_up);

/// Moves one group to its plan while this node leads it; a leader that the plan leaves out hands
/// over first.
class Membership {
 public:
  /// nullopt: leave the group as it is.
  using Wanted = std::function<std::optional<GroupPlan>()>;

  /// `map_changed` is notified when the plan may have changed. All outlive this.
  Membership(runtime::World& world, RaftGroup& group, runtime::Notification& map_changed,
             Wanted wanted);
  void Start() { scope_.Spawn(Loop()); }

 private:
  runtime::Task<void> Loop();
  /// Something may have to be done again soon.
  runtime::Task<bool> Step();
  bool CaughtUp(NodeId node) const;

  runtime::World& world_;
  RaftGroup& group_;
  runtime::Notification& map_changed_;
  const Wanted wanted_;
  runtime::Scope scope_;
};

}  // namespace coterie::node

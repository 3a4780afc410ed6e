#pragma once

#include "node/control_codec.h"

namespace coterie::node {

inline constexpr ShardId kControlShard{0};
inline constexpr ShardId kMainShard{1};
/// Every node is a member of the control group and of `main`'s; so many of them vote.
inline constexpr std::size_t kVotersMax = 7;
inline constexpr std::size_t kNodesMax = 100;
/// Before version 2 is active, and of the first nodes.
inline constexpr std::size_t kFirstVotersMax = 5;
inline constexpr std::size_t kFirstNodesMax = 7;
inline constexpr std::string_view kMainKeyspace = "main";

/// What one command came to.
struct ControlOutcome {
  Status status = Ok();
  NodeId node;           ///< AddNode: the node's id
  bool changed = false;  ///< there is a new map
};

/// Whether a node that knows `version` can apply it: to pass it over would make this replica differ
/// from the others. Error kNewerCommand.
Status Understands(const control::Command& command, std::uint32_t version);

/// Changes `data` by `command`, or refuses it and changes nothing: the same on every replica.
/// Errors: those of node::Control; kStaleEpoch (another change of the shard was first).
ControlOutcome ApplyControl(ControlData& data, const control::Command& command);

}  // namespace coterie::node

#pragma once

#include <cstddef>
#include <vector>

#include "consensus/raft/messages.h"

namespace coterie::raft {

/// Bound on each of the three sets.
inline constexpr std::size_t kMembersMax = 128;

inline bool IsJoint(const Configuration& configuration) { return !configuration.outgoing.empty(); }
/// True if `node` votes in either half.
bool IsVoter(const Configuration& configuration, NodeId node);
/// Everyone who gets the log: voters of both halves and learners, in ascending order, once each.
std::vector<NodeId> MembersOf(const Configuration& configuration);
/// True if voters are given, no id is 0 or named twice across voters and learners, and none of the
/// sets is over kMembersMax.
bool IsWellFormed(const Configuration& configuration);

}  // namespace coterie::raft

// Joint consensus [Raft §6]: from C_old over C_old,new to C_new, each in force from its append on.

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/configuration.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

const Configuration& Core::configuration() const {
  if (COT_MUTANT(R13)) return log_.ConfigurationAt(log_.commit());
  return log_.configuration();
}

Result<LogIndex> Core::ProposeConfiguration(std::vector<NodeId> voters,
                                            std::vector<NodeId> learners) {
  auto* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return Fail(ErrorCode::kNotLeader);
  Configuration next{.voters = std::move(voters), .outgoing = {}, .learners = std::move(learners)};
  if (!IsWellFormed(next)) {
    return Fail(ErrorCode::kInvalidArgument, "voters and learners must be given once each");
  }
  if (leader->transfer) {
    return Fail(ErrorCode::kProposalDropped, "a leadership transfer is under way");
  }
  if (!COT_MUTANT(R12)) {
    // Two changes at once, or one on top of another that may not survive, could leave two
    // majorities that do not meet (Ongaro's note on the thesis §4.1, raft-dev, July 2015).
    const bool under_way = IsJoint(configuration()) || log_.configuration_index() > log_.commit();
    if (under_way) return Fail(ErrorCode::kProposalDropped, "a membership change is under way");
    if (log_.commit() < leader->first_index) {
      return Fail(ErrorCode::kProposalDropped, "nothing of this term is committed yet");
    }
  }
  next.outgoing = configuration().voters;
  COT_ASSERT(IsJoint(next));
  return AppendAsLeader(EntryKind::kConfiguration, Encode(next));
}

void Core::OnConfigurationAppended() {
  Leader& leader = std::get<Leader>(role_);
  const std::vector<NodeId> members = MembersOf(configuration());
  std::erase_if(leader.peers, [&](const auto& peer) {
    return !std::binary_search(members.begin(), members.end(), peer.first);
  });
  for (NodeId node : members) {
    if (node != config_.self) leader.peers.try_emplace(node, log_.last() + 1, now_);
  }
  if (leader.transfer && !IsVoter(configuration(), leader.transfer->target)) {
    leader.transfer.reset();
  }
  COT_ASSERT(leader.peers.size() <= members.size());
}

void Core::OnConfigurationCommitted() {
  if (COT_MUTANT(R13)) OnConfigurationAppended();
  if (!IsJoint(configuration())) {
    StepDownIfRemoved();
    return;
  }
  if (COT_MUTANT(R13) && log_.configuration_index() > log_.commit()) return;
  // Both halves have agreed to leave the joint phase, so the new half may go on alone.
  Configuration alone = configuration();
  alone.outgoing.clear();
  COT_ASSERT(!alone.voters.empty());
  COT_ASSERT(!IsJoint(alone));
  AppendAsLeader(EntryKind::kConfiguration, Encode(alone));
}

// A leader may manage a group it is not part of until the change is committed [Raft §6]; then it
// hands over to the most advanced voter instead of letting the group run into its election timeout.
void Core::StepDownIfRemoved() {
  if (IsVoter(configuration(), config_.self)) return;
  Leader& leader = std::get<Leader>(role_);
  const std::pair<const NodeId, Progress>* heir = nullptr;
  for (const auto& peer : leader.peers) {
    if (!IsVoter(configuration(), peer.first)) continue;
    if (heir == nullptr || peer.second.match() > heir->second.match()) heir = &peer;
  }
  if (heir != nullptr) SendNow(heir->first, TimeoutNow{term_});
  BecomeFollower(term_, NodeId(0));
}

}  // namespace coterie::raft

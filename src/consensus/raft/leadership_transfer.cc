// Handing over on purpose [thesis §3.10]: bring the target up to date, then tell it to campaign
// now.

#include "base/assert.h"
#include "consensus/raft/configuration.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

Status Core::TransferLeadership(NodeId to) {
  auto* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return Fail(ErrorCode::kNotLeader);
  const bool votes = IsVoter(configuration(), to);
  if (!votes || to == config_.self) {
    return Fail(ErrorCode::kBadTransferee, "the target must be another voter");
  }
  COT_ASSERT(leader->peers.contains(to));
  if (leader->peers.at(to).recovering) {
    return Fail(ErrorCode::kBadTransferee, "the target may have forgotten its promises");
  }
  if (leader->transfer && leader->transfer->target == to) return Ok();
  // Proposals stop until then, so a target that never catches up must not hold the group for long.
  leader->transfer = Transfer{.target = to, .give_up_at = now_ + config_.election_timeout};
  MaybeTransfer(*leader);
  return Ok();
}

void Core::MaybeTransfer(Leader& leader) {
  if (!leader.transfer || leader.transfer->told) return;
  const auto at = leader.peers.find(leader.transfer->target);
  COT_ASSERT(at != leader.peers.end());
  COT_ASSERT(at->second.match() <= log_.last());
  if (at->second.match() < log_.last()) return;
  leader.transfer->told = true;
  SendNow(at->first, TimeoutNow{term_});
}

void Core::On(Follower& role, NodeId from, const TimeoutNow& message) {
  if (message.term != term_ || from != role.leader || !Promotable()) return;
  // No pre-vote and no waiting for the leader to fall silent: it asked for this.
  BecomeCandidate(true);
}

}  // namespace coterie::raft

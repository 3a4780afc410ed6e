// Granting votes and pre-votes [Raft §5.2, §5.4.1; thesis §4.2.3, §9.6].

#include "base/assert.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

// [Raft §5.4.1]: the later last term wins, then the longer log. This is what keeps committed
// entries: a candidate that lacks one cannot get a majority.
bool Core::IsUpToDate(LogIndex last_index, Term last_term) const {
  if (COT_MUTANT(R4)) return true;
  if (last_term != log_.last_term()) return last_term > log_.last_term();
  return last_index >= log_.last();
}

void Core::OnRequestVote(NodeId from, const RequestVote& message) {
  // It may have voted already, or lack what it acknowledged: see recovery.cc.
  if (recovering_) return;
  // Whoever hears a leader does not help to depose it: a node that was removed, or cut off and
  // back, cannot disturb a healthy group [thesis §4.2.3]. The leader itself asked for a transfer.
  if (!message.leadership_transfer && HasLiveLeader()) return;

  if (message.pre_vote) {
    // Would a vote be given in that term? Nothing is promised, so nothing changes here.
    const bool term_ok = message.term > term_ || (message.term == term_ && vote_ == NodeId(0));
    const bool granted = term_ok && IsUpToDate(message.last_log_index, message.last_log_term);
    const Term term = granted ? message.term : term_;
    SendDurably(from, RequestVoteReply{.term = term, .pre_vote = true, .granted = granted});
    return;
  }

  if (message.term > term_) BecomeFollower(message.term, NodeId(0));
  COT_ASSERT(message.term <= term_);
  const bool free = vote_ == NodeId(0) || vote_ == from;
  const bool granted = message.term == term_ && free && leader() == NodeId(0) &&
                       IsUpToDate(message.last_log_index, message.last_log_term);
  if (granted) {
    vote_ = from;
    if (auto* follower = std::get_if<Follower>(&role_)) follower->election_at = NextElection();
  }
  SendDurably(from, RequestVoteReply{.term = term_, .pre_vote = false, .granted = granted});
}

}  // namespace coterie::raft

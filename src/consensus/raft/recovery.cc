// A replica that may have forgotten what it promised takes part again without harm
// [Alagappan et al., Protocol-Aware Recovery, FAST'18].

#include <algorithm>

#include "base/assert.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

// Why it is safe. Whatever was committed with this replica's forgotten acknowledgement, another
// member of that majority has; every leader elected without this replica's vote has it. A leader
// confirmed by a majority without this replica is of the newest term that anybody was elected in,
// so following it breaks no promise made to a later one. With its log up to the last index, all
// that this replica could have acknowledged and that still counts is here again.

void Core::NoteRecovering(NodeId member) {
  auto* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  const auto at = leader->peers.find(member);
  if (at != leader->peers.end()) at->second.recovering = true;
}

LogIndex Core::agreed_index() const {
  return agreed_term_ == term_ ? std::min(agreed_, log_.durable()) : LogIndex(0);
}

void Core::EndRecovery() {
  COT_ASSERT(recovering_);
  recovering_ = false;
  auto* follower = std::get_if<Follower>(&role_);
  COT_ASSERT(follower != nullptr);
  // A vote in this term may be among what is forgotten. Its leader has all it needs.
  if (vote_ == NodeId(0)) vote_ = follower->leader;
  follower->election_at = NextElection();
}

}  // namespace coterie::raft

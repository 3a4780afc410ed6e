// The passive role [Raft §5.2]: believe a leader, and campaign when it falls silent.

#include "base/assert.h"
#include "consensus/raft/configuration.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

Instant Core::NextElection() {
  const auto spread = static_cast<std::uint64_t>(config_.election_timeout.count());
  COT_ASSERT(spread > 0);
  // Randomness breaks ties between candidates [Raft §5.2].
  const std::uint64_t extra = COT_MUTANT(R19) ? 0 : random_->Below(spread);
  return now_ + config_.election_timeout + Duration(static_cast<std::int64_t>(extra));
}

void Core::BecomeFollower(Term term, NodeId leader) {
  COT_ASSERT(term >= term_);
  COT_ASSERT(leader != config_.self);
  if (auto* leads = std::get_if<Leader>(&role_)) FailReads(*leads);
  if (term > term_) {
    term_ = term;
    vote_ = NodeId(0);
  }
  // A follower that merely learns of a term keeps its patience: only a vote or a leader renews it.
  const auto* follower = std::get_if<Follower>(&role_);
  const Instant election_at =
      follower && leader == NodeId(0) ? follower->election_at : NextElection();
  role_ = Follower{.leader = leader, .heard = now_, .election_at = election_at};
}

void Core::HeardFromLeader(NodeId leader) {
  Follower& follower = std::get<Follower>(role_);
  COT_ASSERT(leader != NodeId(0));
  follower.leader = leader;
  follower.heard = now_;
  follower.election_at = NextElection();
}

bool Core::HasLiveLeader() const {
  if (std::holds_alternative<Leader>(role_)) return true;
  const auto* follower = std::get_if<Follower>(&role_);
  if (follower == nullptr || follower->leader == NodeId(0)) return false;
  return now_ < follower->heard + config_.election_timeout;
}

// A replica that its newest configuration leaves out must still campaign until that configuration
// is committed: the others may need its vote, which they cannot get while its log is longer than
// theirs. It leads without counting itself, commits its own removal, and goes [thesis §4.2.2].
bool Core::Promotable() const {
  if (recovering_) return false;
  if (IsVoter(configuration(), config_.self)) return true;
  return IsVoter(log_.ConfigurationAt(log_.commit()), config_.self);
}

}  // namespace coterie::raft

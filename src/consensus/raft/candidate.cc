// Elections: first a poll that costs nobody a term (pre-vote), then the vote [Raft §5.2; thesis
// §9.6].

#include <utility>

#include "base/assert.h"
#include "consensus/raft/configuration.h"
#include "consensus/raft/state.h"

namespace coterie::raft {
namespace {

VoteResult Tally(const Configuration& configuration, const std::map<NodeId, Ballot>& ballots) {
  return QuorumVote(configuration, [&](NodeId voter) {
    const auto at = ballots.find(voter);
    return at == ballots.end() ? Ballot::kNone : at->second;
  });
}

}  // namespace

void Core::BecomePreCandidate() {
  COT_ASSERT(Promotable());
  COT_ASSERT(!std::holds_alternative<Leader>(role_));
  PreCandidate asking{.ballots = {{config_.self, Ballot::kGranted}}, .retry_at = NextElection()};
  role_ = std::move(asking);
  const RequestVote request{.term = term_ + 1,
                            .last_log_index = log_.last(),
                            .last_log_term = log_.last_term(),
                            .pre_vote = true};
  for (NodeId node : MembersOf(configuration())) {
    if (node != config_.self && IsVoter(configuration(), node)) SendDurably(node, request);
  }
  CountVotes();
}

void Core::BecomeCandidate(bool leadership_transfer) {
  COT_ASSERT(Promotable());
  COT_ASSERT(!std::holds_alternative<Leader>(role_));
  ++term_;
  vote_ = config_.self;
  role_ = Candidate{
      .ballots = {}, .leadership_transfer = leadership_transfer, .retry_at = NextElection()};
  const RequestVote request{.term = term_,
                            .last_log_index = log_.last(),
                            .last_log_term = log_.last_term(),
                            .leadership_transfer = leadership_transfer};
  for (NodeId node : MembersOf(configuration())) {
    if (node != config_.self && IsVoter(configuration(), node)) SendDurably(node, request);
  }
}

void Core::CountVotes() {
  if (const auto* asking = std::get_if<PreCandidate>(&role_)) {
    const VoteResult result = Tally(configuration(), asking->ballots);
    if (result == VoteResult::kWon) BecomeCandidate(false);
    if (result == VoteResult::kLost) BecomeFollower(term_, NodeId(0));
    return;
  }
  auto* candidate = std::get_if<Candidate>(&role_);
  COT_ASSERT(candidate != nullptr);
  // Our own vote is a promise like any other: it counts once a crash cannot take it back.
  if (!HardStateDurable()) return;
  candidate->ballots[config_.self] = Ballot::kGranted;
  const VoteResult result = Tally(configuration(), candidate->ballots);
  if (result == VoteResult::kWon) BecomeLeader();
  if (result == VoteResult::kLost) BecomeFollower(term_, NodeId(0));
}

void Core::On(PreCandidate& role, NodeId from, const RequestVoteReply& message) {
  if (!message.pre_vote) return;
  if (message.granted && message.term != term_ + 1) return;  // of an earlier poll
  if (!IsVoter(configuration(), from)) return;
  role.ballots[from] = message.granted ? Ballot::kGranted : Ballot::kRefused;
  CountVotes();
}

void Core::On(Candidate& role, NodeId from, const RequestVoteReply& message) {
  if (message.pre_vote || message.term != term_) return;
  if (!IsVoter(configuration(), from)) return;
  role.ballots[from] = message.granted ? Ballot::kGranted : Ballot::kRefused;
  CountVotes();
}

}  // namespace coterie::raft

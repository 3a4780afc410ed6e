// Claim: the quorum arithmetic agrees with a deliberately dumb second implementation on many random
// configurations, joint ones included, and two quorums always share a member.

#include "consensus/raft/quorum.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>

#include "base/random.h"

namespace coterie::raft {
namespace {

constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();

std::vector<NodeId> Draw(Random& random, std::size_t count_max) {
  std::set<NodeId> nodes;
  const std::size_t count = random.Below(count_max + 1);
  while (nodes.size() < count) nodes.insert(NodeId(1 + random.Below(9)));
  return {nodes.begin(), nodes.end()};
}

/// Tries every value from the top: the first that more than half have reached.
std::uint64_t DumbMajority(const std::vector<NodeId>& voters,
                           const std::map<NodeId, std::uint64_t>& at) {
  if (voters.empty()) return kTop;
  for (std::uint64_t value = 20;; --value) {
    std::size_t reached = 0;
    for (NodeId voter : voters) reached += at.at(voter) >= value;
    if (2 * reached > voters.size()) return value;
  }
}

/// Plays out every way the open ballots could fall.
VoteResult DumbVote(const Configuration& configuration, const std::map<NodeId, Ballot>& ballots) {
  const auto can = [&](Ballot open) {
    for (const auto* half : {&configuration.voters, &configuration.outgoing}) {
      std::size_t granted = 0;
      for (NodeId voter : *half) {
        const Ballot ballot = ballots.at(voter);
        granted += (ballot == Ballot::kNone ? open : ballot) == Ballot::kGranted;
      }
      if (!half->empty() && 2 * granted <= half->size()) return false;
    }
    return true;
  };
  if (can(Ballot::kRefused)) return VoteResult::kWon;
  return can(Ballot::kGranted) ? VoteResult::kPending : VoteResult::kLost;
}

TEST(Quorum, ValueAgreesWithTheDumbOne) {
  Random random(1);
  for (int i = 0; i < 50000; ++i) {
    const Configuration configuration{Draw(random, 7), Draw(random, 7), {}};
    std::map<NodeId, std::uint64_t> at;
    for (std::uint64_t node = 1; node <= 9; ++node) at[NodeId(node)] = random.Below(20);
    const std::uint64_t expected =
        std::min(DumbMajority(configuration.voters, at), DumbMajority(configuration.outgoing, at));
    ASSERT_EQ(QuorumValue(configuration, kTop, [&](NodeId node) { return at.at(node); }), expected);
  }
}

TEST(Quorum, VoteAgreesWithTheDumbOne) {
  Random random(2);
  for (int i = 0; i < 50000; ++i) {
    const Configuration configuration{Draw(random, 7), Draw(random, 7), {}};
    std::map<NodeId, Ballot> ballots;
    for (std::uint64_t node = 1; node <= 9; ++node) {
      ballots[NodeId(node)] = static_cast<Ballot>(random.Below(3));
    }
    const auto ballot_of = [&](NodeId node) { return ballots.at(node); };
    ASSERT_EQ(QuorumVote(configuration, ballot_of), DumbVote(configuration, ballots));
  }
}

TEST(Quorum, TwoMajoritiesMeet) {
  for (std::size_t n = 1; n <= 64; ++n) {
    EXPECT_GT(2 * MajorityOf(n), n);
    EXPECT_LE(2 * (MajorityOf(n) - 1), n) << "no more than needed";
  }
}

}  // namespace
}  // namespace coterie::raft

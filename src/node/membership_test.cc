// The steps from one configuration to the planned one.

#include "node/membership.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace coterie::node {
namespace {

std::vector<NodeId> Ids(std::initializer_list<std::uint64_t> ids) {
  std::vector<NodeId> out;
  for (const std::uint64_t id : ids) out.push_back(NodeId(id));
  return out;
}
raft::Configuration Of(std::initializer_list<std::uint64_t> voters,
                       std::initializer_list<std::uint64_t> learners = {}) {
  return {.voters = Ids(voters), .outgoing = {}, .learners = Ids(learners)};
}
bool Nobody(NodeId) { return false; }
bool Everybody(NodeId) { return true; }

// A new member learns first, votes when it has caught up, and then nothing is left to do.
TEST(NextConfiguration, LearnsThenVotes) {
  const GroupPlan plan{.voters = Ids({1, 2, 3, 4}), .learners = {}, .leaving = {}};
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3}), plan, Everybody), Of({1, 2, 3}, {4}));
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3}, {4}), plan, Nobody), std::nullopt);
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3}, {4}), plan, Everybody), Of({1, 2, 3, 4}));
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3, 4}), plan, Nobody), std::nullopt);
}

// One that leaves votes until the one in its place does; the exchange is one change.
TEST(NextConfiguration, LeavingWaitsForTheOneInItsPlace) {
  const GroupPlan plan{.voters = Ids({1, 2, 4}), .learners = {}, .leaving = Ids({3})};
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3}), plan, Everybody), Of({1, 2, 3}, {4}));
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3}, {4}), plan, Nobody), std::nullopt);
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3}, {4}), plan, Everybody), Of({1, 2, 4}));
}

// One that is drained on every node's group keeps learning until the map forgets it.
TEST(NextConfiguration, DrainedVoterLearnsOn) {
  const GroupPlan plan{.voters = Ids({1, 2, 3, 4, 6}), .learners = Ids({5}), .leaving = {}};
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3, 4, 5}, {6}), plan, Nobody), std::nullopt);
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3, 4, 5}, {6}), plan, Everybody), Of({1, 2, 3, 4, 6}, {5}));
}

// One that nobody plans with goes at once, but never the last voter.
TEST(NextConfiguration, RemovedGoesAtOnce) {
  const GroupPlan plan{.voters = Ids({1, 2, 4}), .learners = {}, .leaving = {}};
  EXPECT_EQ(NextConfiguration(Of({1, 2, 3}), plan, Nobody), Of({1, 2}, {4}));
  const GroupPlan others{.voters = Ids({4, 5}), .learners = {}, .leaving = {}};
  EXPECT_EQ(NextConfiguration(Of({1, 2}), others, Nobody), std::nullopt);
}

// From any configuration to any plan: no step gives a vote to one that has not learned, none takes
// more voters away than the plan's own leave, and once everybody catches up the steps end there.
TEST(NextConfiguration, AlwaysArrives) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    raft::Configuration now;
    GroupPlan plan;
    for (std::uint64_t id = 1; id <= 7; ++id) {
      if (const auto place = random.Below(3); place == 0)
        now.voters.push_back(NodeId(id));
      else if (place == 1)
        now.learners.push_back(NodeId(id));
      if (const auto place = random.Below(3); place == 0)
        plan.voters.push_back(NodeId(id));
      else if (place == 1)
        plan.learners.push_back(NodeId(id));
    }
    // One that stays, so that the group can hand itself over.
    const bool meets = std::ranges::any_of(plan.voters, [&](NodeId id) {
      return std::ranges::find(now.voters, id) != now.voters.end();
    });
    if (!meets) continue;
    for (int steps = 0;; ++steps) {
      ASSERT_LT(steps, 10);
      const auto caught_up = [&](NodeId) { return steps > 5 || random.Below(2) == 0; };
      const auto next = NextConfiguration(now, plan, caught_up);
      if (!next && steps > 5) break;
      if (!next) continue;
      ASSERT_TRUE(raft::IsWellFormed(*next));
      for (const NodeId voter : next->voters) {
        const bool knew = std::ranges::find(now.voters, voter) != now.voters.end() ||
                          std::ranges::find(now.learners, voter) != now.learners.end();
        ASSERT_TRUE(knew);
      }
      now = *next;
    }
    EXPECT_EQ(now.voters, plan.voters);
    EXPECT_EQ(now.learners, plan.learners);
  }
}

}  // namespace
}  // namespace coterie::node

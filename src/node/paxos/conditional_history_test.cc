// Claim: conditional commands on a leaderless keyspace are linearizable against each other, and all
// commands on a paxos keyspace, at every node, at any R and W, at high contention, with faults and
// without: what one takes nobody else takes, and what one set is there until it is taken.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "node/paxos/testing/taking_history.h"

namespace coterie::node {
namespace {

using testing::RunTaking;

void Judge(const testing::TakingWorld& world, std::uint64_t seeds) {
  int successes = 0;
  if (const char* more = std::getenv("TAKING_SEEDS")) seeds = std::strtoull(more, nullptr, 10);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    ASSERT_EQ(RunTaking(seed, world, &successes), "") << "seed " << seed;
  }
  std::printf("%d successes\n", successes);
  EXPECT_GT(successes, 300);
}

TEST(ConditionalHistory, IsOneWithoutFaults) {
  Judge({.read = 2, .write = 2}, 4);
  Judge({.read = 1, .write = 1}, 4);
  Judge({.read = 1, .write = 3}, 4);
}

TEST(ConditionalHistory, IsOneOnSlowLinks) { Judge({.slow = 0.05}, 8); }

TEST(ConditionalHistory, IsOneUnderFaults) {
  Judge({.faults = true}, 8);
  Judge({.read = 1, .write = 1, .faults = true, .slow = 0.05}, 8);
}

TEST(ConditionalHistory, IsOneOnPaxosKeyspaces) {
  Judge({.paxos = true, .slow = 0.2}, 40);
  Judge({.paxos = true, .faults = true}, 30);
}

}  // namespace
}  // namespace coterie::node

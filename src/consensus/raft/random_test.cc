// Claim: under loss, duplication, reordering, crashes with torn disks, partitions, membership
// changes, transfers and compaction, no promise of [Raft fig. 3] breaks, no read is stale, and once
// faults end the group makes progress. Each seed draws its own mix of faults.

#include <gtest/gtest.h>

#include <cstdlib>

#include "consensus/raft/simulated_group.h"

namespace coterie::raft {
namespace {

constexpr std::uint64_t kSeeds = 2000;
constexpr int kSteps = 2500;

TEST(RaftRandom, PromisesHoldOverManySeeds) {
  SimulatedGroup::Coverage total;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimulatedGroup group(seed);
    const std::string failure = group.Run(kSteps);
    ASSERT_EQ(failure, "") << "seed " << seed;
    total.elections += group.coverage().elections;
    total.committed += group.coverage().committed;
    total.reads += group.coverage().reads;
    total.snapshots += group.coverage().snapshots;
    total.changes += group.coverage().changes;
    total.crashes += group.coverage().crashes;
    total.transfers += group.coverage().transfers;
  }
  // A harness that does nothing would pass too.
  EXPECT_GT(total.elections, 2 * kSeeds);
  EXPECT_GT(total.committed, 10 * kSeeds);
  EXPECT_GT(total.reads, kSeeds);
  EXPECT_GT(total.snapshots, kSeeds / 20);
  EXPECT_GT(total.changes, kSeeds / 4);
  EXPECT_GT(total.crashes, kSeeds);
  EXPECT_GT(total.transfers, kSeeds / 4);
  std::printf(
      "elections %lu committed %lu reads %lu snapshots %lu changes %lu crashes %lu transfers %lu\n",
      total.elections, total.committed, total.reads, total.snapshots, total.changes, total.crashes,
      total.transfers);
}

// `RAFT_SEED=n raft_random_test --gtest_filter=*OneSeed*` prints every event of one run.
TEST(RaftRandom, OneSeedIsTheSameTwice) {
  const char* asked = std::getenv("RAFT_SEED");
  const std::uint64_t seed = asked ? std::strtoull(asked, nullptr, 10) : 7;
  SimulatedGroup first(seed);
  first.trace = asked != nullptr;
  SimulatedGroup second(seed);
  ASSERT_EQ(first.Run(kSteps), second.Run(kSteps));
  EXPECT_EQ(first.digest(), second.digest());
}

}  // namespace
}  // namespace coterie::raft

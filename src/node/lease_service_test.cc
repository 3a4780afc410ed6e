// Lease time over a whole cluster: who counts, who may prolong, and that no lease ends early.

#include <gtest/gtest.h>

#include "node/testing/lease_cluster.h"

namespace coterie::node {
namespace {

using testing::kTtl;

class LeaseServiceTest : public ::testing::TestWithParam<std::uint64_t>,
                         protected testing::LeaseCluster {
 protected:
  LeaseServiceTest() : LeaseCluster(GetParam()) {}
};

// A lease nobody renews ends after its time, not before, with the keys bound to it.
TEST_P(LeaseServiceTest, ExpiresAndNotEarly) {
  Grant();
  EXPECT_FALSE(Gone(leader, 4900ms));
  EXPECT_TRUE(Gone(leader, 2s));
  EXPECT_EQ(cluster.Value(leader, "bound"), "");
  EXPECT_EQ(Renew(leader).value_or(-9), 0);
  EXPECT_EQ(Remaining(follower).value_or(-9), -1);
}

// Renewed through a follower it lives on; the count is the leader's and the same everywhere.
TEST_P(LeaseServiceTest, RenewedThroughAFollower) {
  Grant();
  for (int i = 0; i < 6; ++i) {
    cluster.sim().RunFor(3s);
    const auto renewed = Renew(follower);
    ASSERT_TRUE(renewed.has_value()) << Describe(renewed.error());
    EXPECT_EQ(*renewed, kTtl);
    EXPECT_GE(Remaining(follower).value_or(-9), kTtl - 1);
    EXPECT_TRUE(Alive(leader));
  }
  EXPECT_TRUE(Gone(follower, 8s));
}

// The leader dies when the lease is about to end: the next one gives it its whole time again.
TEST_P(LeaseServiceTest, NoEarlyEndOverALeaderChange) {
  Grant();
  cluster.sim().RunFor(4500ms);
  ASSERT_TRUE(Alive(leader));
  cluster.Kill(leader, runtime::Death::kPowerOff);
  const NodeId next = cluster.AwaitNewLeader(leader);
  EXPECT_FALSE(Gone(next, 4900ms));
  EXPECT_TRUE(Gone(next, 3s));
}

// Leaders change more often than the lease's time: it is prolonged by the first change alone, also
// when whoever leads next was down meanwhile.
TEST_P(LeaseServiceTest, ManyLeaderChangesProlongOnce) {
  Grant();
  EXPECT_FALSE(OutlivesItsLeaders());
}

// A renewal that was answered holds under the next leader, for the lease's whole time.
TEST_P(LeaseServiceTest, RenewalIsKnownToTheNextLeader) {
  Grant();
  EXPECT_FALSE(EndsEarlyAfterARenewal());
  EXPECT_TRUE(Gone(cluster.AwaitLeader(), 6s));
}

// A deposed leader that does not know it yet cannot prolong a lease: the renewal is not answered
// by its own count.
TEST_P(LeaseServiceTest, DeposedLeaderDoesNotRenew) {
  Grant();
  const NodeId third = cluster.Other(leader, follower);
  cluster.sim().Partition(
      {{cluster.handle(leader)}, {cluster.handle(follower), cluster.handle(third)}});
  const auto renewed = Renew(leader);
  ASSERT_FALSE(renewed.has_value()) << *renewed;
  cluster.AwaitNewLeader(leader);
  EXPECT_TRUE(Gone(follower, 20s));
  cluster.sim().HealAll();
  EXPECT_TRUE(Gone(leader, 20s));
}

INSTANTIATE_TEST_SUITE_P(Seeds, LeaseServiceTest, ::testing::Range<std::uint64_t>(21, 31));

}  // namespace
}  // namespace coterie::node

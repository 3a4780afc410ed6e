// Lease time over a whole cluster: who counts, who may prolong, and that no lease ends early.

#include <gtest/gtest.h>

#include "node/testing/node_cluster.h"

namespace coterie::node {
namespace {

using testing::NodeCluster;

constexpr std::int64_t kLease = 77;
constexpr std::int64_t kTtl = 5;  // seconds

using Seconds = std::shared_ptr<std::optional<Result<std::int64_t>>>;

runtime::Task<void> RunRenew(Node* node, Seconds out) {
  const Instant deadline = node->world().Now() + 5s;
  auto seconds = co_await node->LeaseRenew(kLease, deadline);
  *out = std::move(seconds);
}
runtime::Task<void> RunRemaining(Node* node, Seconds out) {
  const Instant deadline = node->world().Now() + 5s;
  auto seconds = co_await node->LeaseRemaining(kLease, deadline);
  *out = std::move(seconds);
}

class LeaseServiceTest : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  void SetUp() override {
    cluster.StartAll();
    leader = cluster.AwaitLeader();
    follower = cluster.Other(leader);
  }
  void Grant() {
    kv::Command command;
    command.mutable_lease_grant()->set_id(kLease);
    command.mutable_lease_grant()->set_ttl(kTtl);
    ASSERT_TRUE(cluster.Propose(leader, command).has_value());
    kv::Command put;
    put.mutable_put()->set_key("bound");
    put.mutable_put()->set_value("v");
    put.mutable_put()->set_lease(kLease);
    ASSERT_TRUE(cluster.Propose(leader, put).has_value());
  }
  Result<std::int64_t> Await(const Seconds& out) {
    EXPECT_TRUE(cluster.RunUntil([&] { return out->has_value(); }, 10s));
    return *out ? **out : Fail(ErrorCode::kStopped);
  }
  Result<std::int64_t> Renew(NodeId at) {
    const auto out = std::make_shared<std::optional<Result<std::int64_t>>>();
    cluster.On(at, [out](Node& node) { return RunRenew(&node, out); });
    return Await(out);
  }
  Result<std::int64_t> Remaining(NodeId at) {
    const auto out = std::make_shared<std::optional<Result<std::int64_t>>>();
    cluster.On(at, [out](Node& node) { return RunRemaining(&node, out); });
    return Await(out);
  }
  bool Alive(NodeId at) { return cluster.node(at)->store().FindLease(kLease, false).has_value(); }
  bool Gone(NodeId at, Duration limit) {
    return cluster.RunUntil([&] { return !Alive(at); }, limit);
  }

  NodeCluster cluster{GetParam(), 3};
  NodeId leader, follower;
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
  for (int i = 0; i < 5; ++i) {
    cluster.sim().RunFor(1500ms);
    const NodeId old = cluster.AwaitLeader();
    cluster.Kill(old, runtime::Death::kPowerOff);
    cluster.AwaitNewLeader(old);
    cluster.sim().RunFor(500ms);
    cluster.Start(old);
    if (!Alive(cluster.AwaitLeader())) return;
  }
  FAIL() << "still there after five leaders, twice its time";
}

// A renewal that was answered holds under the next leader, for the lease's whole time.
TEST_P(LeaseServiceTest, RenewalIsKnownToTheNextLeader) {
  Grant();
  cluster.sim().RunFor(4s);
  cluster.Kill(leader, runtime::Death::kPowerOff);  // prolongs it
  NodeId next = cluster.AwaitNewLeader(leader);
  cluster.Start(leader);
  cluster.sim().RunFor(3s);
  ASSERT_EQ(Renew(next).value_or(-9), kTtl);
  const NodeId old = std::exchange(next, NodeId());
  cluster.Kill(old, runtime::Death::kPowerOff);
  next = cluster.AwaitNewLeader(old);
  EXPECT_FALSE(Gone(next, 4s));
  EXPECT_TRUE(Gone(next, 4s));
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

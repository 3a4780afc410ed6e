#pragma once

#include <memory>
#include <optional>

#include "node/testing/node_cluster.h"

namespace coterie::node::testing {

inline constexpr std::int64_t kLease = 77;
inline constexpr std::int64_t kTtl = 5;  // seconds

/// Three nodes, and one lease with a key on it once it is granted.
class LeaseCluster {
 public:
  explicit LeaseCluster(std::uint64_t seed) : cluster(seed, 3) {
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
  Result<std::int64_t> Renew(NodeId at) {
    return cluster.Run<std::int64_t>(
        at, [](Node& node) { return node.LeaseRenew(kLease, node.world().Now() + 5s); }, 10s);
  }
  Result<std::int64_t> Remaining(NodeId at) {
    return cluster.Run<std::int64_t>(
        at, [](Node& node) { return node.LeaseRemaining(kLease, node.world().Now() + 5s); }, 10s);
  }
  bool Alive(NodeId at) { return cluster.node(at)->store().FindLease(kLease, false).has_value(); }
  bool Gone(NodeId at, Duration limit) {
    return cluster.RunUntil([&] { return !Alive(at); }, limit);
  }
  /// The leader dies; who leads next. The dead one is started again.
  NodeId ChangeLeader() {
    const NodeId old = cluster.AwaitLeader();
    cluster.Kill(old, runtime::Death::kPowerOff);
    const NodeId next = cluster.AwaitNewLeader(old);
    cluster.sim().RunFor(500ms);
    cluster.Start(old);
    return next;
  }
  /// Whether the lease outlives five leaders, twice its time, without a renewal.
  bool OutlivesItsLeaders() {
    for (int i = 0; i < 5; ++i) {
      cluster.sim().RunFor(1500ms);
      if (!Alive(ChangeLeader())) return false;
    }
    return true;
  }
  /// Whether it ends early that was renewed by a leader that has prolonged it, and died.
  bool EndsEarlyAfterARenewal() {
    cluster.sim().RunFor(4s);
    const NodeId renewer = ChangeLeader();
    cluster.sim().RunFor(2500ms);
    EXPECT_EQ(Renew(renewer).value_or(-9), kTtl);
    cluster.Kill(renewer, runtime::Death::kPowerOff);
    const NodeId next = cluster.AwaitNewLeader(renewer);
    return Gone(next, 3s);
  }

  NodeCluster cluster;
  NodeId leader, follower;
};

}  // namespace coterie::node::testing

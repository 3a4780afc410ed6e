// Convergent replicas of three to five nodes in the simulated world.

#include <gtest/gtest.h>

#include "node/leaderless/testing/replica_cluster.h"

namespace coterie::node {
namespace {

using keyspace::Conflict;
using keyspace::Durability;
using runtime::Death;
using testing::ReplicaCluster;

[[maybe_unused]] const NodeId kA(1), kB(2), kC(3), kD(4);

/// Three nodes, one keyspace "ks" over all of them.
struct Three : ReplicaCluster {
  explicit Three(std::uint64_t seed, std::uint32_t read, std::uint32_t write,
                 Durability durability = Durability::kQuorumFsync,
                 Conflict conflict = Conflict::kCrdt)
      : ReplicaCluster(seed, 3) {
    AddKeyspace(Promise("ks", read, write, conflict, durability), {kA, kB, kC});
    StartAll();
  }
};

// A write acknowledged at W = 2 is on two replicas, and soon on all.
TEST(Leaderless, AWriteSpreads) {
  for (const Durability durability : {Durability::kQuorumFsync, Durability::kOneFsync,
                                      Durability::kInterval, Durability::kMemory}) {
    Three cluster(1, 1, 2, durability);
    const Status put = cluster.Put(kA, "ks", "k", "v");
    ASSERT_TRUE(put.has_value()) << Describe(put.error());
    int have = 0;
    for (const NodeId node : cluster.Nodes()) have += cluster.Get(node, "ks", "k") == "v" ? 1 : 0;
    EXPECT_GE(have, 2);
    EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 2s));
    for (const NodeId node : cluster.Nodes()) EXPECT_EQ(cluster.Get(node, "ks", "k"), "v");
  }
}

// A node that nobody reaches takes writes at W = 1, and the others get them after it heals; at
// W = 2 it says that they may have happened.
TEST(Leaderless, ACutOffNodeKeepsWriting) {
  Three cluster(2, 1, 1);
  cluster.Isolate(kA);
  cluster.sim().RunFor(3s);
  ASSERT_TRUE(cluster.Put(kA, "ks", "a", "lonely").has_value());
  ASSERT_TRUE(cluster.Put(kB, "ks", "b", "majority").has_value());
  cluster.control.Change([](placement::ClusterMap& map) { map.keyspaces["ks"].promise.write = 2; });
  const Status put = cluster.Put(kA, "ks", "a2", "lonely");
  ASSERT_FALSE(put.has_value());
  EXPECT_EQ(put.error().outcome, Outcome::kUnknown);
  EXPECT_TRUE(put.error().code == ErrorCode::kTimedOut ||
              put.error().code == ErrorCode::kTooFewReplicas);
  EXPECT_TRUE(cluster.Put(kB, "ks", "b2", "majority").has_value());
  EXPECT_EQ(cluster.Get(kA, "ks", "b"), std::nullopt);
  cluster.sim().HealAll();
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 15s));
  for (const NodeId node : cluster.Nodes()) {
    EXPECT_EQ(cluster.Get(node, "ks", "a"), "lonely");
    EXPECT_EQ(cluster.Get(node, "ks", "a2"), "lonely");
    EXPECT_EQ(cluster.Get(node, "ks", "b2"), "majority");
  }
}

}  // namespace
}  // namespace coterie::node

// Replicas that come and go, and what their reports and quorums wait for.

#include <gtest/gtest.h>

#include <algorithm>

#include "node/leaderless/testing/replica_cluster.h"

namespace coterie::node {
namespace {

using keyspace::Conflict;
using keyspace::Durability;
using placement::Phase;
using testing::ReplicaCluster;

const NodeId kA(1), kB(2), kC(3), kD(4);

/// Four nodes, "ks" on the first three.
struct Four : ReplicaCluster {
  Four(std::uint64_t seed, std::uint32_t read, std::uint32_t write, Conflict conflict)
      : ReplicaCluster(seed, 4) {
    AddKeyspace(Promise("ks", read, write, conflict, Durability::kQuorumFsync, 1), {kA, kB, kC});
    StartAll();
    sim().RunFor(2s);
  }
  placement::Shard shard() const { return keyspace("ks").shards.front(); }
  void ChangeShard(const std::function<void(placement::Shard&)>& change) {
    control.Change([&](placement::ClusterMap& map) {
      placement::Shard& shard = map.keyspaces["ks"].shards.front();
      ++shard.epoch;
      change(shard);
    });
  }
};

// A joining replica, and then a leaving one, has all cells long before what else the node keeps of
// the shard has followed: neither is reported until that has, too, in this very epoch.
TEST(LeaderlessMoves, ReportsWaitForTheRegisters) {
  Four cluster(21, 1, 2, Conflict::kLww);
  std::optional<Epoch> follows;
  cluster.followed = [&](NodeId, const placement::Shard& shard) { return follows == shard.epoch; };
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "v").has_value());
  cluster.ChangeShard([](auto& shard) { shard.replicas.push_back({kD, Phase::kJoining}); });
  cluster.sim().RunFor(10s);
  EXPECT_EQ(cluster.Get(kD, "ks", "k"), "v");
  EXPECT_TRUE(cluster.control.reports.empty());
  follows = cluster.shard().epoch;
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.control.reports.size() == 1; }, 10s));
  cluster.ChangeShard([](auto& shard) { shard.replicas[2].phase = Phase::kLeaving; });
  cluster.sim().RunFor(10s);
  EXPECT_EQ(cluster.control.reports.size(), 1u);
  follows = cluster.shard().epoch;
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.control.reports.size() == 2; }, 10s));
  EXPECT_EQ(cluster.shard().replicas.size(), 3u);
}

// Only last-writer-wins keyspaces have such registers: others are not held up by them.
TEST(LeaderlessMoves, OtherCellsHaveNoRegisters) {
  Four cluster(22, 1, 2, Conflict::kCrdt);
  cluster.followed = [](NodeId, const placement::Shard&) { return false; };
  cluster.ChangeShard([](auto& shard) { shard.replicas.push_back({kD, Phase::kJoining}); });
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.control.reports.size() == 1; }, 10s));
}

// A write is acknowledged by A and B; then B leaves and D, which has missed it like C, is active. C
// and D are R of the new replicas, but they do not answer before D has heard from A or B.
TEST(LeaderlessMoves, AReadMeetsWhatWasAcknowledgedBeforeTheMove) {
  Four cluster(23, 2, 2, Conflict::kLww);
  cluster.followed = [](NodeId, const placement::Shard&) { return false; };
  cluster.ChangeShard([](auto& shard) { shard.replicas.push_back({kD, Phase::kJoining}); });
  cluster.sim().RunFor(5s);
  cluster.sim().Partition(
      {{cluster.handle(kA), cluster.handle(kB)}, {cluster.handle(kC), cluster.handle(kD)}});
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "v").has_value());
  cluster.ChangeShard([](auto& shard) {
    shard.replicas[1].phase = Phase::kLeaving;
    shard.replicas[3].phase = Phase::kActive;
  });
  cluster.sim().RunFor(3s);
  EXPECT_FALSE(cluster.at(kD).Serves(cluster.shard()));
  EXPECT_FALSE(cluster.Refresh(kC, "ks", "k", 2).has_value());
  cluster.sim().HealAll();
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.at(kD).Serves(cluster.shard()); }, 20s));
  ASSERT_TRUE(cluster.Refresh(kC, "ks", "k", 2).has_value());
  EXPECT_EQ(cluster.Get(kC, "ks", "k"), "v");
}

// While B leaves, A and B may not know it yet and answer a reader as two of three: what C and D,
// two of the new three, have is not acknowledged before one of them has it, too.
TEST(LeaderlessMoves, AWriteMeetsWhoHasNotHeardOfTheMove) {
  Four cluster(24, 2, 2, Conflict::kLww);
  cluster.followed = [](NodeId, const placement::Shard&) { return false; };
  cluster.ChangeShard([](auto& shard) { shard.replicas.push_back({kD, Phase::kJoining}); });
  cluster.sim().RunFor(5s);
  cluster.ChangeShard([](auto& shard) {
    shard.replicas[1].phase = Phase::kLeaving;
    shard.replicas[3].phase = Phase::kActive;
  });
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.at(kD).Serves(cluster.shard()); }, 20s));
  cluster.sim().Partition(
      {{cluster.handle(kA), cluster.handle(kB)}, {cluster.handle(kC), cluster.handle(kD)}});
  const auto answer =
      cluster.WriteLater(kC, "ks", "k", [](cells::Edit& edit) { edit.SetString("k", "v"); }, 30s);
  cluster.sim().RunFor(5s);
  EXPECT_EQ(cluster.Get(kD, "ks", "k"), "v");
  EXPECT_FALSE(answer->has_value());
  cluster.sim().HealAll();
  ASSERT_TRUE(cluster.RunUntil([&] { return answer->has_value(); }, 30s));
  EXPECT_TRUE((*answer)->has_value());
}

}  // namespace
}  // namespace coterie::node

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
  Four(std::uint64_t seed, std::uint32_t read, std::uint32_t write, Conflict conflict,
       std::size_t history_bytes_max = 64u << 20)
      : ReplicaCluster(seed, 4) {
    options.history_bytes_max = history_bytes_max;
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

// A replica that heard neither of its going nor of what was removed meanwhile, and is told to join
// again, begins anew: what the others have forgotten is not shown by it.
TEST(LeaderlessMoves, AMissedAbsenceIsAnAbsence) {
  Four cluster(24, 1, 1, Conflict::kCrdt, 64);
  ASSERT_TRUE(cluster.Put(kA, "ks", "doomed", "v").has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }));
  cluster.control.deaf = {kC};
  cluster.Isolate(kC);
  cluster.ChangeShard([](auto& shard) { shard.replicas.pop_back(); });
  cluster.sim().RunFor(1s);
  ASSERT_TRUE(cluster
                  .Write(kA, "ks", "doomed",
                         [](cells::Edit& edit) { EXPECT_TRUE(edit.RemoveKey("doomed")); })
                  .has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.at(kA).stats().tombstones == 0; }));
  ASSERT_TRUE(cluster.Put(kA, "ks", "later", std::string(1000, 'v')).has_value());
  cluster.ChangeShard([](auto& shard) { shard.replicas.push_back({kC, Phase::kJoining}); });
  cluster.control.deaf.clear();
  cluster.control.Tell();
  cluster.sim().HealAll();
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.control.reports.size() == 1; }));
  EXPECT_EQ(cluster.Get(kC, "ks", "doomed"), std::nullopt);
  EXPECT_TRUE(cluster.Converged("ks"));
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

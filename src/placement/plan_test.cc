// Golden walks: what happens to a shard, change by change.

#include "placement/plan.h"

#include <gtest/gtest.h>

#include "placement/test_map.h"

namespace coterie::placement {
namespace {

using testing::AddKeyspace;
using testing::AddNode;
using testing::PromiseOf;
using testing::Text;

class PlanTest : public ::testing::Test {
 protected:
  void Begin(int nodes, std::uint32_t replicas, std::uint32_t shards) {
    for (int id = 1; id <= nodes; ++id) AddNode(map, id);
    ASSERT_TRUE(AddKeyspace(map, PromiseOf("k", replicas, shards)).has_value());
  }
  /// Makes the next changes; "16: n1 n2" each.
  std::string Step() {
    std::string text;
    for (const ShardChange& change : NextSteps(map)) {
      EXPECT_TRUE(ApplyChange(map, change));
      text += (text.empty() ? "" : "; ") + std::to_string(change.shard.value) + ": " +
              Text(change.replicas);
    }
    return text;
  }
  bool Report(std::uint64_t node, std::uint64_t shard = 16) {
    return ApplyReport(map, ShardId(shard), map.FindShard(ShardId(shard))->epoch, NodeId(node));
  }
  /// Reports whatever waits for a report, and steps, until nothing changes. Answers the joins.
  int Settle() {
    int joins = 0;
    for (int round = 0; round < 1000; ++round) {
      const auto changes = NextSteps(map);
      for (const ShardChange& change : changes) {
        for (const ShardReplica& replica : change.replicas) {
          const auto& old = map.FindShard(change.shard)->replicas;
          const auto was = std::ranges::find(old, replica.node, &ShardReplica::node);
          if (was == old.end()) ++joins;
        }
        EXPECT_TRUE(ApplyChange(map, change));
      }
      bool reported = false;
      for (const Shard& shard : map.Find("k")->shards) {
        for (const ShardReplica& replica : std::vector(shard.replicas)) {
          reported |= ApplyReport(map, shard.id, shard.epoch, replica.node);
        }
      }
      if (changes.empty() && !reported) return joins;
    }
    ADD_FAILURE() << "does not settle";
    return joins;
  }
  void Drain(std::uint64_t id) { map.nodes[NodeId(id)].draining = true; }
  void Remove(std::uint64_t id) { map.nodes.erase(NodeId(id)); }

  ClusterMap map;
};

// A drained machine's replica: joining beside it, then active while the old one leaves, then gone.
// Without a report nothing moves on, and each change has the next epoch.
TEST_F(PlanTest, DrainInThreeChanges) {
  Begin(4, 3, 1);
  EXPECT_EQ(Text(map.FindShard(ShardId(16))->replicas), "n1 n2 n3");
  EXPECT_EQ(Step(), "");
  Drain(2);
  EXPECT_EQ(Step(), "16: n1 n2 n3 n4+");
  EXPECT_EQ(map.FindShard(ShardId(16))->epoch, Epoch(2));
  EXPECT_EQ(Step(), "");
  EXPECT_TRUE(Report(4));
  EXPECT_EQ(map.FindShard(ShardId(16))->epoch, Epoch(2));
  EXPECT_EQ(Step(), "16: n1 n2- n3 n4");
  EXPECT_EQ(Step(), "");
  EXPECT_TRUE(Drained(map).empty());
  EXPECT_TRUE(Report(2));
  EXPECT_EQ(Step(), "16: n1 n3 n4");
  EXPECT_EQ(map.FindShard(ShardId(16))->epoch, Epoch(4));
  EXPECT_EQ(Drained(map), std::vector{NodeId(2)});
  EXPECT_EQ(Step(), "");
}

// A machine that will not come back: its replica is made anew from the others. It is a voter until
// the new one has seen to it that nothing rests on the vote; then that is one change, and the new
// one's vote, after another report, the next.
TEST_F(PlanTest, RemovedMachineIsReplacedDirectly) {
  Begin(4, 3, 1);
  Remove(1);
  EXPECT_EQ(Step(), "16: n1 n2 n3 n4+");
  EXPECT_EQ(Step(), "");
  EXPECT_TRUE(Report(4));
  EXPECT_EQ(Step(), "16: n2 n3 n4+");
  EXPECT_EQ(Step(), "");
  EXPECT_TRUE(Report(4));
  EXPECT_EQ(Step(), "16: n2 n3 n4");
  EXPECT_EQ(Step(), "");
}

// A Raft group changes its members by its own log: a removed one need not be waited for.
TEST_F(PlanTest, RemovedMemberOfARaftGroupGoesAtOnce) {
  for (int id = 1; id <= 4; ++id) AddNode(map, static_cast<std::uint64_t>(id));
  keyspace::Promise promise = PromiseOf("k", 3, 1);
  promise.replication = keyspace::Replication::kRaft;
  ASSERT_TRUE(AddKeyspace(map, promise).has_value());
  Remove(1);
  EXPECT_EQ(Step(), "16: n2 n3 n4+");
  EXPECT_TRUE(Report(4));
  EXPECT_EQ(Step(), "16: n2 n3 n4");
  EXPECT_EQ(Step(), "");
}

// Two of five are lost: one after the other goes, then one after the other joins, each after a
// report that is about the voters of then. Two at a time could lose what three had decided.
TEST_F(PlanTest, TwoRemovedMachinesGoOneByOne) {
  Begin(7, 5, 1);
  Remove(1);
  Remove(2);
  EXPECT_EQ(Step(), "16: n1 n2 n3 n4 n5 n6+ n7+");
  EXPECT_TRUE(Report(6));
  EXPECT_TRUE(Report(7));
  EXPECT_EQ(Step(), "16: n2 n3 n4 n5 n6+ n7+");
  EXPECT_EQ(Step(), "");
  EXPECT_TRUE(Report(7));
  EXPECT_EQ(Step(), "16: n3 n4 n5 n6+ n7+");
  EXPECT_TRUE(Report(6));
  EXPECT_TRUE(Report(7));
  EXPECT_EQ(Step(), "16: n3 n4 n5 n6 n7+");
  EXPECT_EQ(Step(), "");
  EXPECT_TRUE(Report(7));
  EXPECT_EQ(Step(), "16: n3 n4 n5 n6 n7");
  EXPECT_EQ(Step(), "");
}

// Without a majority no report can come, and nothing is waited for; still one at a time.
TEST_F(PlanTest, LostMajorityIsNotWaitedFor) {
  Begin(5, 3, 1);
  Remove(1);
  Remove(2);
  EXPECT_EQ(Step(), "16: n2 n3 n4+ n5+");
  EXPECT_EQ(Step(), "16: n3 n4+ n5+");
  EXPECT_EQ(Step(), "");
}

// A joining machine that drains, or is removed, is given up and another one found; the replaced one
// has stayed active.
TEST_F(PlanTest, JoiningMachineIsGivenUp) {
  Begin(5, 3, 1);
  Drain(1);
  EXPECT_EQ(Step(), "16: n1 n2 n3 n4+");
  Drain(4);
  EXPECT_EQ(Step(), "16: n1 n2 n3 n5+");
  Remove(5);
  EXPECT_EQ(Step(), "16: n1 n2 n3");
  EXPECT_EQ(Step(), "");
}

// A leaving replica still takes writes, so it fills in at once for one that is lost; then its
// machine, which still drains, is left anew.
TEST_F(PlanTest, LeavingReplicaComesBack) {
  Begin(5, 3, 1);
  Drain(2);
  EXPECT_EQ(Step(), "16: n1 n2 n3 n4+");
  EXPECT_TRUE(Report(4));
  EXPECT_EQ(Step(), "16: n1 n2- n3 n4");
  Remove(3);
  EXPECT_EQ(Step(), "16: n1 n2 n3 n4 n5+");
  EXPECT_TRUE(Report(5));
  EXPECT_EQ(Step(), "16: n1 n2 n4 n5+");
  EXPECT_EQ(Step(), "");
}

// The machine that is being replaced is lost: the joining one fills its place, nobody else leaves.
TEST_F(PlanTest, ReplacedMachineIsLost) {
  Begin(4, 3, 1);
  Drain(2);
  EXPECT_EQ(Step(), "16: n1 n2 n3 n4+");
  Remove(2);
  EXPECT_EQ(Step(), "");
  EXPECT_TRUE(Report(4));
  EXPECT_EQ(Step(), "16: n1 n3 n4+");
  EXPECT_TRUE(Report(4));
  EXPECT_EQ(Step(), "16: n1 n3 n4");
}

// With nobody left to copy from, the shard goes on with what there is, and begins again when that
// is nothing.
TEST_F(PlanTest, EveryReplicaIsLost) {
  Begin(4, 1, 1);
  Drain(1);
  EXPECT_EQ(Step(), "16: n1 n2+");
  Remove(1);
  EXPECT_EQ(Step(), "16: n2");
  Remove(2);
  EXPECT_EQ(Step(), "16: n3");
}

// A report counts once, for the epoch it is about, and only of a replica that waits for one.
TEST_F(PlanTest, ReportsOfOtherEpochsChangeNothing) {
  Begin(4, 3, 1);
  Drain(2);
  Step();
  const ClusterMap before = map;
  EXPECT_FALSE(ApplyReport(map, ShardId(16), Epoch(1), NodeId(4)));
  EXPECT_FALSE(ApplyReport(map, ShardId(16), Epoch(3), NodeId(4)));
  EXPECT_FALSE(ApplyReport(map, ShardId(16), Epoch(2), NodeId(1)));
  EXPECT_FALSE(ApplyReport(map, ShardId(16), Epoch(2), NodeId(9)));
  EXPECT_FALSE(ApplyReport(map, ShardId(17), Epoch(2), NodeId(4)));
  EXPECT_EQ(map, before);
  EXPECT_TRUE(Report(4));
  EXPECT_FALSE(Report(4));
}

// A change that was planned for an older epoch is not made.
TEST_F(PlanTest, StaleChangesAreRefused) {
  Begin(4, 3, 1);
  Drain(2);
  const auto changes = NextSteps(map);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(ApplyChange(map, changes[0]));
  EXPECT_FALSE(ApplyChange(map, changes[0]));
}

// A new machine takes its share and no more: 48 replicas on 3 machines, 12 of them move to the
// fourth, at most four at a time, and nothing moves between the old ones.
TEST_F(PlanTest, NewMachineTakesItsShare) {
  Begin(3, 3, 16);
  AddNode(map, 4);
  const auto first = NextSteps(map);
  EXPECT_EQ(first.size(), kMovesPerNodeMax);
  for (const ShardChange& change : first) EXPECT_TRUE(Text(change.replicas).ends_with("n4+"));
  EXPECT_EQ(Settle(), 12);
  for (const auto& [node, load] : testing::LoadsOf(*map.Find("k"))) EXPECT_EQ(load, 12u);
}

// Too few machines: what is there stays active, a removed one keeps its vote, and the rest waits
// for a new one.
TEST_F(PlanTest, TooFewMachinesWait) {
  Begin(3, 3, 2);
  Drain(3);
  EXPECT_EQ(Step(), "");
  Remove(2);
  EXPECT_EQ(Step(), "");
  AddNode(map, 4);
  AddNode(map, 5);
  Settle();
  for (const Shard& shard : map.Find("k")->shards) {
    EXPECT_EQ(shard.replicas.size(), 3u);
    EXPECT_EQ(Text(shard.replicas).find("n3"), std::string::npos) << Text(shard.replicas);
  }
}

// Shards that share a failure domain for want of another one move out when it comes.
TEST_F(PlanTest, NewFailureDomainIsUsed) {
  AddNode(map, 1, "a");
  AddNode(map, 2, "a");
  AddNode(map, 3, "b");
  ASSERT_TRUE(AddKeyspace(map, PromiseOf("k", 3, 4)).has_value());
  EXPECT_EQ(Step(), "");
  AddNode(map, 4, "c");
  EXPECT_EQ(Settle(), 4);
  for (const Shard& shard : map.Find("k")->shards) {
    const std::string text = Text(shard.replicas);
    EXPECT_NE(text.find("n1") == std::string::npos, text.find("n2") == std::string::npos) << text;
  }
}

}  // namespace
}  // namespace coterie::placement

#include <gtest/gtest.h>

#include "node/leaderless/mutants.h"
#include "node/leaderless/testing/chaos.h"
#include "node/leaderless/testing/writer_comes_back.h"

// The driver with planted mistakes. Claim: the runs that find nothing on it as it is find each of
// its classic mistakes.

namespace coterie::node {
namespace {

using testing::ChaosOptions;
using testing::RunChaos;

/// How many seeds it took; 0: none of them found anything.
std::uint64_t SeedsUntilViolation(std::uint64_t first, std::uint64_t last, ChaosOptions options) {
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    if (!RunChaos(seed, options).violations.empty()) return seed - first + 1;
  }
  return 0;
}

class LeaderlessMutants : public ::testing::Test {
 protected:
  ~LeaderlessMutants() override { active_leaderless_mutant = LeaderlessMutant::kNone; }
};

TEST_F(LeaderlessMutants, NoneFindsNothing) {
  EXPECT_EQ(SeedsUntilViolation(1, 8, {.history_bytes_max = 2048}), 0u);
}

TEST_F(LeaderlessMutants, AckBeforeJournalIsFound) {
  active_leaderless_mutant = LeaderlessMutant::kAckBeforeJournal;
  EXPECT_GT(SeedsUntilViolation(1, 80, {}), 0u);
}

TEST_F(LeaderlessMutants, PurgeWithoutStableIsFound) {
  active_leaderless_mutant = LeaderlessMutant::kPurgeWithoutStable;
  EXPECT_GT(SeedsUntilViolation(1, 12, {.history_bytes_max = 2048}), 0u);
}

TEST_F(LeaderlessMutants, SkipGapIsFound) {
  active_leaderless_mutant = LeaderlessMutant::kSkipGap;
  EXPECT_GT(SeedsUntilViolation(1, 80, {}), 0u);
}

TEST_F(LeaderlessMutants, ReuseOfAnActorIsFound) {
  EXPECT_GT(SeedsUntilViolation(1, 12, {.reuse_actors = true}), 0u);
}

// W = 2 over two machines that fail together is no more than W = 1.
TEST_F(LeaderlessMutants, CountingFailureDomainsTwiceIsFound) {
  for (const bool mutant : {false, true}) {
    active_leaderless_mutant =
        mutant ? LeaderlessMutant::kCountFailureDomains : LeaderlessMutant::kNone;
    testing::ReplicaCluster cluster(1, 3);
    cluster.control.Change([](placement::ClusterMap& map) {
      for (auto& [id, node] : map.nodes) node.failure_domain = id == NodeId(3) ? "b" : "a";
    });
    cluster.AddKeyspace(testing::ReplicaCluster::Promise("ks", 1, 2, keyspace::Conflict::kCrdt,
                                                         keyspace::Durability::kMemory),
                        cluster.Nodes());
    cluster.StartAll();
    EXPECT_TRUE(cluster.Put(NodeId(1), "ks", "k", "v").has_value());
    cluster.Isolate(NodeId(3));
    EXPECT_EQ(cluster.Put(NodeId(1), "ks", "k", "w").has_value(), mutant);
  }
}

// What the second of two mutations under one dot did is missing on who had heard of the first.
TEST_F(LeaderlessMutants, ReuseOfDotsIsFound) {
  active_leaderless_mutant = LeaderlessMutant::kReuseDots;
  testing::WriterComesBack cluster(16);
  cluster.Run();
  EXPECT_NE(cluster.Values(), (std::vector<std::string>{"8", "8", "8"}));
}

}  // namespace
}  // namespace coterie::node

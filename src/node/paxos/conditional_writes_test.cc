// Conditional writes on a leaderless keyspace of whole nodes in the simulated world.

#include "node/paxos/conditional_writes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "node/paxos/testing/conditional_history.h"

namespace coterie::node {
namespace {

using testing::PaxosCluster;
using testing::PaxosNode;
constexpr NodeId kA{1}, kB{2}, kC{3};

Registers::Change SetIfAbsent(const std::optional<Registers::Value>& current, std::string value) {
  return current ? Registers::Change{} : Registers::Change{true, Registers::Value{value, 0}};
}

std::string TextOf(const PaxosCluster::Answer& answer) {
  if (!answer) return std::string(InfoOf(answer.error().code).name);
  return *answer ? (*answer)->bytes : "(nothing)";
}

// Of many that set a key if it is absent, on all nodes at once, exactly one does; the others see
// its value; and every replica has it.
TEST(ConditionalWrites, OneOfManySetsIfAbsent) {
  PaxosCluster cluster(1, 3, 3);
  cluster.StartAll();
  ASSERT_TRUE(cluster.RunUntil([&] {
    return std::ranges::all_of(std::vector{kA, kB, kC}, [&](NodeId id) {
      return cluster.node(id)->leaderless->Serves(cluster.map().keyspaces.at("c").shards[0]);
    });
  }));
  std::vector<std::string> answers;
  for (int i = 0; i < 12; ++i) {
    const std::string value = "v" + std::to_string(i);
    cluster.On(NodeId(static_cast<std::uint64_t>(1 + i % 3)), [&answers, value](PaxosNode& node) {
      return testing::Conditionally(
          &node, "k",
          [value](const std::optional<Registers::Value>& now) { return SetIfAbsent(now, value); },
          [&answers](const PaxosCluster::Answer& answer) { answers.push_back(TextOf(answer)); });
    });
  }
  ASSERT_TRUE(cluster.RunUntil([&] { return answers.size() == 12; }));
  for (const std::string& answer : answers) EXPECT_EQ(answer, answers[0]);
  cluster.sim().RunFor(1s);
  for (const NodeId node : {kA, kB, kC}) {
    EXPECT_EQ(cluster.node(node)->leaderless->store().GetString(ShardId(17), "k"), answers[0]);
  }
}

// A plain write is seen by the conditional writes after it, and the other way round; a plain
// removal ends what was decided.
TEST(ConditionalWrites, MixesWithPlainWrites) {
  PaxosCluster cluster(2, 3, 3);
  cluster.StartAll();
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kA, "k", "locked")), "locked");
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kB, "k", "other")), "locked");
  ASSERT_TRUE(testing::Plain(cluster, kC, [](cells::Edit& edit) { edit.RemoveKey("k"); }));
  cluster.sim().RunFor(50ms);
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kB, "k", "again")), "again");
  ASSERT_TRUE(testing::Plain(cluster, kC, [](cells::Edit& edit) { edit.SetString("k", "plain"); }));
  cluster.sim().RunFor(50ms);
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kA, "k", "late")), "plain");
}

// A value past its time is absent.
TEST(ConditionalWrites, Expire) {
  PaxosCluster cluster(3, 3, 3);
  cluster.StartAll();
  const std::int64_t now_ms = cluster.node(kA)->world->WallNow().latest_ns / 1'000'000;
  const auto until = static_cast<std::uint64_t>(now_ms + 500);
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kA, "k", "short", until)), "short");
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kB, "k", "next")), "short");
  cluster.sim().RunFor(700ms);
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kB, "k", "next")), "next");
}

// A replica that was cut off removes what has expired: not what was set elsewhere meanwhile.
TEST(ConditionalWrites, OutliveTheRemovalOfWhatExpired) {
  PaxosCluster cluster(5, 3, 3);
  cluster.StartAll();
  const std::int64_t now_ms = cluster.node(kA)->world->WallNow().latest_ns / 1'000'000;
  const auto until = static_cast<std::uint64_t>(now_ms + 500);
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kA, "k", "short", until)), "short");
  cluster.sim().RunFor(50ms);
  cluster.sim().Partition({{cluster.handle(kA)}, {cluster.handle(kB), cluster.handle(kC)}});
  cluster.sim().RunFor(460ms);
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kB, "k", "next")), "next");
  cluster.sim().RunFor(7s);
  EXPECT_GT(cluster.node(kA)->leaderless->stats().written, 1u);
  cluster.sim().HealAll();
  cluster.sim().RunFor(3s);
  for (const NodeId node : {kA, kB, kC}) {
    EXPECT_EQ(cluster.node(node)->leaderless->store().GetString(ShardId(17), "k"), "next");
  }
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kC, "k", "third")), "next");
}

// Without a majority nobody sets anything.
TEST(ConditionalWrites, MinorityRefuses) {
  PaxosCluster cluster(4, 3, 3);
  cluster.StartAll();
  cluster.sim().Partition({{cluster.handle(kA)}, {cluster.handle(kB), cluster.handle(kC)}});
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kA, "k", "lonely")), "kTooFewReplicas");
  EXPECT_EQ(TextOf(testing::Conditional(cluster, kB, "k", "many")), "many");
}

// Conditional writers on all nodes, while nodes die and come back: one history of each key.
TEST(ConditionalWrites, OneHistoryUnderFaults) {
  int successes = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    ASSERT_EQ(testing::RunConditional(seed, &successes), "") << "seed " << seed;
  }
  std::printf("%d successes\n", successes);
  EXPECT_GT(successes, 300);
}

}  // namespace
}  // namespace coterie::node

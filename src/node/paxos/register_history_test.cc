// Claim: whatever one node's death, cut links, lost power, slow disks and moving replicas do, all
// answers about a register tell one history in real-time order, every change in it exactly once;
// nothing that was said not to be applied is; and one dead machine never makes a gap.

#include "node/paxos/testing/register_history.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace coterie::node {
namespace {

using testing::History;
using testing::PaxosCluster;
using testing::RunFaults;
using testing::RunMoves;
using testing::StartClients;

TEST(RegisterHistory, IsOneUnderFaults) {
  int successes = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const int nodes = seed % 2 == 0 ? 3 : 5;
    ASSERT_EQ(RunFaults(seed, nodes, seed % 4 == 3 ? 3 : nodes, &successes), "") << "seed " << seed;
  }
  std::printf("%d successes\n", successes);
  EXPECT_GT(successes, 1000);  // a cluster that refuses everything would pass, too
}

// Any one machine dies, with power or without: the clients on the others go on without a gap, and
// so they do when it comes back.
void KillOne(int nodes, NodeId victim, runtime::Death death) {
  PaxosCluster cluster(victim.value * 31, nodes, nodes);
  // Clocks that differ by seconds starve nobody.
  for (int i = 1; i <= nodes; ++i) {
    runtime::ClockKnobs knobs;
    knobs.offset_ns = std::int64_t{i} * 1'500'000'000;
    cluster.sim().SetClock(cluster.handle(NodeId(static_cast<std::uint64_t>(i))), knobs);
  }
  History history(cluster);
  cluster.StartAll();
  for (int i = 1; i <= nodes; ++i) {
    const NodeId node(static_cast<std::uint64_t>(i));
    StartClients(cluster, history, node, victim.value, 5ms);
  }
  cluster.sim().RunFor(500ms);
  history.BeginGap();
  cluster.Kill(victim, death);
  cluster.sim().RunFor(1500ms);
  EXPECT_LT(history.TakeGap(), 300ms);
  EXPECT_EQ(history.failures(), 0);
  cluster.Start(victim);
  cluster.sim().RunFor(1s);
  EXPECT_LT(history.TakeGap(), 300ms);
  EXPECT_EQ(history.failures(), 0);
  EXPECT_GT(history.successes(), 300);
  EXPECT_EQ(history.failure(), "");
}

TEST(RegisterHistory, OneDeathMakesNoGap) {
  for (std::uint64_t victim = 1; victim <= 3; ++victim) {
    KillOne(3, NodeId(victim), runtime::Death::kPowerOff);
    KillOne(3, NodeId(victim), runtime::Death::kMachine);
  }
  KillOne(5, NodeId(4), runtime::Death::kPowerOff);
}

TEST(RegisterHistory, IsOneWhileReplicasMove) {
  int moves = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    ASSERT_EQ(RunMoves(seed, &moves), "") << "seed " << seed;
  }
  EXPECT_EQ(moves, 24);
}

}  // namespace
}  // namespace coterie::node

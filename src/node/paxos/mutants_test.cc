// Claim: the simulated histories are strong enough to notice each of these mistakes of the driver
// within a bounded number of seeds.

#include "node/paxos/mutants.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>

#include "node/paxos/testing/conditional_history.h"
#include "node/paxos/testing/register_history.h"
#include "node/paxos/testing/taking_history.h"

namespace coterie::node {
namespace {

using registers::active_mutant;
using registers::Mutant;

class RegistersMutant : public ::testing::Test {
 protected:
  void TearDown() override { active_mutant = Mutant::kNone; }
  static void ExpectKilled(Mutant mutant, const std::function<std::string(std::uint64_t)>& run) {
    active_mutant = mutant;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      const std::string failure = run(seed);
      if (failure.empty()) continue;
      std::printf("killed by seed %lu: %.200s\n", seed, failure.c_str());
      return;
    }
    FAIL() << "survives";
  }
  int count_ = 0;
};

/// All machines lose power again and again while clients write.
std::string RunPowerLoss(std::uint64_t seed) {
  testing::PaxosCluster cluster(seed, 3, 3);
  runtime::DiskKnobs slow;
  slow.sync_min = 5ms;
  slow.sync_max = 20ms;
  for (std::uint64_t id = 1; id <= 3; ++id) cluster.sim().SetDisk(cluster.handle(NodeId(id)), slow);
  testing::History history(cluster);
  for (int life = 0; life < 4 && history.failure().empty(); ++life) {
    cluster.StartAll();
    for (std::uint64_t id = 1; id <= 3; ++id) {
      testing::StartClients(cluster, history, NodeId(id), seed + 10, 1ms);
    }
    cluster.sim().RunFor(100ms);
    for (std::uint64_t id = 1; id <= 3; ++id) {
      cluster.Kill(NodeId(id), runtime::Death::kPowerOff);
    }
  }
  return history.failure();
}

TEST_F(RegistersMutant, NoneIsQuietOnLostPower) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) ASSERT_EQ(RunPowerLoss(seed), "");
}

TEST_F(RegistersMutant, ReplyBeforeDurable) {
  ExpectKilled(Mutant::kReplyBeforeDurable, RunPowerLoss);
}

// Only A and C took a value, for B was down; then C's replica moves to D. If the registers do not
// follow, B and D are a majority that knows nothing.
TEST_F(RegistersMutant, NoSweep) {
  using placement::Phase;
  constexpr NodeId kA{1}, kB{2}, kC{3}, kD{4};
  for (const bool planted : {false, true}) {
    active_mutant = planted ? Mutant::kNoSweep : Mutant::kNone;
    testing::PaxosCluster cluster(7, 4, 3);
    cluster.StartAll();
    cluster.Kill(kB);
    ASSERT_TRUE(cluster.Set(kA, "k", "v").has_value());
    cluster.Start(kB);
    cluster.AwaitConnected();
    cluster.SetReplicas({{kA}, {kB}, {kC}, {kD, Phase::kJoining, false, kC}});
    cluster.TellAll();
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Reported(kD); }));
    cluster.SetReplicas({{kA}, {kB}, {kC, Phase::kLeaving}, {kD}});
    cluster.TellAll();
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Reported(kC); }));
    cluster.SetReplicas({{kA}, {kB}, {kD}});
    cluster.TellAll();
    cluster.sim().RunFor(100ms);
    cluster.Kill(kA, runtime::Death::kPowerOff);
    EXPECT_EQ(cluster.Text(kD, "k"), planted ? "(nothing)" : "v");
  }
}

TEST_F(RegistersMutant, StaleReplicas) {
  ExpectKilled(Mutant::kStaleReplicas,
               [this](std::uint64_t seed) { return testing::RunConditional(seed, &count_); });
}

TEST_F(RegistersMutant, RemovesWhatIsHere) {
  ExpectKilled(Mutant::kRemovesWhatIsHere,
               [this](std::uint64_t seed) { return testing::RunTaking(seed, {}, &count_); });
}

TEST_F(RegistersMutant, LastCallCounts) {
  ExpectKilled(Mutant::kLastCallCounts, [this](std::uint64_t seed) {
    return testing::RunTaking(seed, {.paxos = true, .faults = true}, &count_);
  });
}

TEST_F(RegistersMutant, ForgetPending) {
  ExpectKilled(Mutant::kForgetPending,
               [this](std::uint64_t seed) { return testing::RunConditional(seed, &count_); });
}

// One clock is behind the other: what one node read as nothing the other must not read as a value.
TEST_F(RegistersMutant, ExpiredIsNothing) {
  for (const bool planted : {false, true}) {
    active_mutant = planted ? Mutant::kExpiredIsNothing : Mutant::kNone;
    testing::PaxosCluster cluster(6, 3, 3);
    runtime::ClockKnobs slow;
    slow.offset_ns = -2'000'000'000;
    cluster.sim().SetClock(cluster.handle(NodeId(2)), slow);
    cluster.StartAll();
    const std::int64_t now_ms = cluster.node(NodeId(1))->world->WallNow().latest_ns / 1'000'000;
    const auto until = static_cast<std::uint64_t>(now_ms + 1000);
    ASSERT_TRUE(cluster.Set(NodeId(1), "k", "v", until).has_value());
    cluster.sim().RunFor(1500ms);
    EXPECT_EQ(cluster.Text(NodeId(1), "k"), "(nothing)");
    EXPECT_EQ(cluster.Text(NodeId(2), "k"), planted ? "v" : "(nothing)");
  }
}

}  // namespace
}  // namespace coterie::node

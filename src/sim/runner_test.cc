#include "sim/runner.h"

#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "sim/shrink.h"
#include "sim/toy_cluster.h"

namespace coterie::sim {
namespace {

const PlanLimits kSmall{.safety_max = 8s, .ops_max = 150, .faults_max = 16};

/// Runs seeds until one is condemned; its plan, or nullopt.
std::optional<Plan> FindFailure(ToyBug bug, std::uint64_t seeds, std::string* judge) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const Plan plan = DrawPlan(seed, kSmall);
    const RunReport report = RunPlan(plan, ToyFactory(bug));
    if (report.answer != check::Answer::kViolation) continue;
    *judge = report.judge;
    return plan;
  }
  return std::nullopt;
}

// A cluster without a bug is never condemned, whatever faults the seeds bring; and the seeds do
// bring some.
TEST(Runner, SoundClusterPasses) {
  std::uint64_t faults = 0;
  std::uint64_t doubtful = 0;
  std::uint64_t answered = 0;
  std::uint64_t watched = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const Plan plan = DrawPlan(seed, kSmall);
    const RunReport report = RunPlan(plan, ToyFactory(ToyBug::kNone));
    ASSERT_TRUE(report.ok()) << Summary(plan, report) << "\n" << report.explanation;
    faults += report.faults;
    doubtful += report.unknown;
    answered += report.answered;
    watched += report.watch_events;
  }
  EXPECT_GT(faults, 100U);
  EXPECT_GT(doubtful, 20U);
  EXPECT_GT(answered, 3000U);
  EXPECT_GT(watched, 500U);
}

// A plan is a whole run: played twice it gives the same events and the same history.
TEST(Runner, PlansAreDeterministic) {
  for (std::uint64_t seed = 100; seed < 120; ++seed) {
    const Plan plan = DrawPlan(seed, kSmall);
    const RunReport report = RunTwice(plan, ToyFactory(ToyBug::kNone));
    EXPECT_TRUE(report.ok()) << report.explanation;
    EXPECT_NE(report.trace_hash,
              RunSeed(seed + 1000, ToyFactory(ToyBug::kNone), kSmall).trace_hash);
  }
}

// Entropy that does not come from the World shows as two runs that differ.
TEST(Runner, ForeignEntropyIsCaught) {
  const RunReport report = RunTwice(DrawPlan(3, kSmall), ToyFactory(ToyBug::kRealEntropy));
  EXPECT_EQ(report.judge, "determinism");
}

// Each seeded bug is condemned, by the right judge, within a few seeds.
TEST(Runner, StaleReadsAreCaught) {
  std::string judge;
  EXPECT_TRUE(FindFailure(ToyBug::kCachedReads, 10, &judge));
  EXPECT_EQ(judge, "linearizable");
}
TEST(Runner, AcknowledgedBeforeAppliedIsCaught) {
  std::string judge;
  EXPECT_TRUE(FindFailure(ToyBug::kEarlyAck, 10, &judge));
  EXPECT_EQ(judge, "linearizable");
}
TEST(Runner, MissedEventsAreCaught) {
  std::string judge;
  EXPECT_TRUE(FindFailure(ToyBug::kSkipsEvents, 20, &judge));
  EXPECT_EQ(judge, "watches");
}
TEST(Runner, LostLivenessIsCaught) {
  std::string judge;
  EXPECT_TRUE(FindFailure(ToyBug::kDeafAfterPause, 40, &judge));
  EXPECT_EQ(judge, "liveness");
}

// A condemned plan shrinks to something a person can read, and still fails before the same judge,
// also after it was printed and read back.
TEST(Runner, FailuresShrink) {
  std::string judge;
  const std::optional<Plan> plan = FindFailure(ToyBug::kCachedReads, 10, &judge);
  ASSERT_TRUE(plan.has_value());
  const auto fails = [&](const Plan& p) {
    return RunPlan(p, ToyFactory(ToyBug::kCachedReads)).judge == judge;
  };
  const ShrinkResult small = Shrink(*plan, fails, 150);
  EXPECT_LE(small.plan.faults.size(), 1U);
  EXPECT_LE(small.plan.ops.size(), 8U);
  const Result<Plan> back = PlanFromJson(ToJson(small.plan));
  ASSERT_TRUE(back.has_value());
  const RunReport report = RunPlan(*back, ToyFactory(ToyBug::kCachedReads));
  EXPECT_EQ(report.judge, judge);
  EXPECT_NE(report.explanation.find("cannot be placed"), std::string::npos);
}

}  // namespace
}  // namespace coterie::sim

#include "sim/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "sim/shrink.h"

namespace coterie::sim {
namespace {

// Every drawn plan keeps the budget, survives printing, and is the same when drawn again.
TEST(Plan, DrawnPlansAreValidAndRoundTrip) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Plan plan = DrawPlan(seed);
    ASSERT_TRUE(Validate(plan).has_value()) << Validate(plan).error().message;
    const Result<Plan> back = PlanFromJson(ToJson(plan));
    ASSERT_TRUE(back.has_value()) << Describe(back.error());
    EXPECT_EQ(*back, plan);
    EXPECT_EQ(DrawPlan(seed), plan);
  }
}

// Swarm: over many seeds every kind occurs, and every kind is missing from about half of the plans.
TEST(Plan, SwarmLeavesKindsOut) {
  std::vector<int> faults(kFaultKinds, 0);
  std::vector<int> ops(kOpKinds, 0);
  constexpr int kSeeds = 400;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Plan plan = DrawPlan(seed);
    std::set<FaultKind> fault_kinds;
    std::set<OpKind> op_kinds;
    for (const FaultEvent& f : plan.faults) fault_kinds.insert(f.kind);
    for (const PlannedOp& op : plan.ops) op_kinds.insert(op.kind);
    for (const FaultKind k : fault_kinds) ++faults[static_cast<std::size_t>(k)];
    for (const OpKind k : op_kinds) ++ops[static_cast<std::size_t>(k)];
    EXPECT_TRUE(op_kinds.contains(OpKind::kPut));
    EXPECT_TRUE(op_kinds.contains(OpKind::kGet));
  }
  for (const int n : faults) EXPECT_TRUE(n > kSeeds / 20 && n < kSeeds * 3 / 5) << n;
  EXPECT_LT(ops[static_cast<std::size_t>(OpKind::kRange)], kSeeds * 3 / 5);
}

TEST(Plan, BeyondTheBudgetIsRefused) {
  Plan plan = DrawPlan(1);
  plan.redis_clients = 0;  // their core would be all replicas
  plan.replicas = 3;
  plan.core = {0, 1};
  plan.faults = {{.kind = FaultKind::kCrashMachine, .at = 1s, .length = 5s, .replicas = {0}},
                 {.kind = FaultKind::kDiskFull, .at = 3s, .length = 1s, .replicas = {1}}};
  EXPECT_FALSE(Validate(plan).has_value());
  plan.faults[1].at = 8s;
  EXPECT_TRUE(Validate(plan).has_value());
  plan.faults[1].replicas = {3};
  EXPECT_FALSE(Validate(plan).has_value());
}

TEST(Plan, BadTextIsRefused) {
  const std::string good = ToJson(DrawPlan(2));
  EXPECT_FALSE(PlanFromJson("").has_value());
  EXPECT_FALSE(PlanFromJson("{}").has_value());
  std::string misnamed = good;
  misnamed.replace(misnamed.find("\"get\""), 5, "\"got\"");
  EXPECT_FALSE(PlanFromJson(misnamed).has_value());
  std::string no_core = good;
  no_core.replace(no_core.find("\"core\""), 6, "\"cord\"");
  EXPECT_FALSE(PlanFromJson(no_core).has_value());
}

// Of a plan that fails because of one fault and one operation, the shrinker leaves just these.
TEST(Shrink, LeavesWhatMatters) {
  Plan plan;
  for (std::uint64_t seed = 0; plan.faults.size() < 12; ++seed) plan = DrawPlan(seed);
  const FaultEvent fault = plan.faults[7];
  const PlannedOp op = plan.ops[plan.ops.size() / 2];
  const auto fails = [&](const Plan& p) {
    return std::ranges::find(p.faults, fault) != p.faults.end() &&
           std::ranges::find(p.ops, op) != p.ops.end();
  };
  const ShrinkResult result = Shrink(plan, fails, 300);
  EXPECT_EQ(result.plan.faults, std::vector<FaultEvent>{fault});
  EXPECT_EQ(result.plan.ops, std::vector<PlannedOp>{op});
  EXPECT_EQ(result.plan.watchers, 0U);
  EXPECT_LE(result.runs, 300U);
}

}  // namespace
}  // namespace coterie::sim

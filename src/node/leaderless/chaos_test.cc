#include <gtest/gtest.h>

#include "node/leaderless/testing/chaos.h"

namespace coterie::node {
namespace {

using keyspace::Durability;
using testing::ChaosOptions;
using testing::ChaosReport;
using testing::RunChaos;

std::uint64_t ExpectKept(std::uint64_t first, std::uint64_t last, const ChaosOptions& options) {
  std::uint64_t acknowledged = 0;
  std::uint64_t reconciled = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const ChaosReport report = RunChaos(seed, options);
    EXPECT_TRUE(report.violations.empty()) << "seed " << seed << ": " << report.violations.size()
                                           << ", first " << report.violations.front();
    if (!report.violations.empty()) return 0;
    acknowledged += report.acknowledged;
    reconciled += report.reconciled;
  }
  EXPECT_GT(acknowledged, (last - first) * 50);
  return reconciled;
}

// Claim: what is acknowledged at W = 2 with quorum-fsync survives cuts, deaths of processes and
// machines, also of all of them at once; counters are exact; what is removed stays removed.
TEST(LeaderlessChaos, QuorumFsyncKeepsItsPromise) { ExpectKept(1, 25, {}); }

// Claim: the same when the window of recent mutations is so small that whole cells must be
// compared.
TEST(LeaderlessChaos, ReconciliationKeepsThePromise) {
  EXPECT_GT(ExpectKept(101, 120, {.history_bytes_max = 2048}), 100u);
}

// Claim: with interval durability what two replicas have acknowledged survives the loss of one
// machine at a time.
TEST(LeaderlessChaos, IntervalSurvivesOneMachineAtATime) {
  ExpectKept(201, 212, {.durability = Durability::kInterval, .all_at_once = false});
}

// Claim: one seed is one history.
TEST(LeaderlessChaos, IsDeterministic) {
  const ChaosReport first = RunChaos(7, {});
  const ChaosReport second = RunChaos(7, {});
  EXPECT_EQ(first.trace_hash, second.trace_hash);
  EXPECT_EQ(first.acknowledged, second.acknowledged);
}

}  // namespace
}  // namespace coterie::node

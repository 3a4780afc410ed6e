// The first simulation: whole processes, clients at their etcd doors, every kind of fault within
// the budget. COTERIE_SIM_SEEDS says how many seeds (default 500), COTERIE_SIM_FIRST the first one.

#include <gtest/gtest.h>

#include <cstdlib>

#include "sim/etcd_cluster.h"
#include "sim/runner.h"

namespace coterie::sim {
namespace {

std::uint64_t Setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

// Every seed is linearizable, keeps its watches in order, converges and answers again once healed;
// and one in twenty, run again, takes exactly the same course.
TEST(ClusterSim, KeepsItsPromiseUnderFaults) {
  const std::uint64_t first = Setting("COTERIE_SIM_FIRST", 1);
  const std::uint64_t count = Setting("COTERIE_SIM_SEEDS", 500);
  const ClusterFactory factory = EtcdClusterFactory();
  int failures = 0;
  std::uint64_t answered = 0;
  for (std::uint64_t seed = first; seed < first + count && failures < 5; ++seed) {
    const Plan plan = DrawPlan(seed);
    const RunReport report = seed % 20 == 0 ? RunTwice(plan, factory) : RunPlan(plan, factory);
    answered += report.answered;
    if (!report.ok()) {
      ++failures;
      ADD_FAILURE() << Summary(plan, report) << "\n"
                    << report.explanation << "\n"
                    << ReproCommand(plan);
    }
  }
  EXPECT_GT(answered, count * 20);
}

}  // namespace
}  // namespace coterie::sim

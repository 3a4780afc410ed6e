// Claim: the randomized test is strong enough to notice each of these classic mistakes within a bounded
// number of seeds; and it stays quiet about the core without a mistake.

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "consensus/raft/mutants.h"
#include "consensus/raft/simulated_group.h"

namespace coterie::raft {
namespace {

struct Case {
  Mutant mutant;
  const char* name;
  std::uint64_t seeds_max;
};

class RaftMutant : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override { active_mutant = Mutant::kNone; }
};

TEST_P(RaftMutant, IsKilled) {
  active_mutant = GetParam().mutant;
  for (std::uint64_t seed = 1; seed <= GetParam().seeds_max; ++seed) {
    SimulatedGroup group(seed);
    const std::string failure = group.Run(2500);
    if (failure.empty()) continue;
    std::printf("killed by seed %lu: %s\n", seed, failure.c_str());
    return;
  }
  FAIL() << GetParam().name << " survives " << GetParam().seeds_max << " seeds";
}

INSTANTIATE_TEST_SUITE_P(
    All, RaftMutant,
    testing::Values(Case{Mutant::R1, "R1", 5000}, Case{Mutant::R3, "R3", 5000},
                    Case{Mutant::R4, "R4", 5000}, Case{Mutant::R5, "R5", 5000},
                    Case{Mutant::R6, "R6", 5000}, Case{Mutant::R7, "R7", 5000},
                    Case{Mutant::R8, "R8", 5000}, Case{Mutant::R9, "R9", 5000},
                    Case{Mutant::R10, "R10", 5000}, Case{Mutant::R12, "R12", 5000},
                    Case{Mutant::R13, "R13", 5000}, Case{Mutant::R14, "R14", 5000},
                    Case{Mutant::R15, "R15", 5000}, Case{Mutant::R16, "R16", 5000},
                    Case{Mutant::R21, "R21", 5000}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

TEST(RaftMutant, NoneIsQuiet) {
  active_mutant = Mutant::kNone;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    ASSERT_EQ(SimulatedGroup(seed).Run(2500), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace coterie::raft

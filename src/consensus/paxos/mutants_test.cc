// Claim: the randomized test is strong enough to notice each of these classic mistakes within a
// bounded number of seeds; and it stays quiet about the core without a mistake.

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "consensus/paxos/mutants.h"
#include "consensus/paxos/simulated_register.h"

namespace coterie::paxos {
namespace {

struct Case {
  Mutant mutant;
  const char* name;
};

class PaxosMutant : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override { active_mutant = Mutant::kNone; }
};

TEST_P(PaxosMutant, IsKilled) {
  active_mutant = GetParam().mutant;
  for (std::uint64_t seed = 1; seed <= 5000; ++seed) {
    SimulatedRegister sim(seed);
    const std::string failure = sim.Run(2000);
    if (failure.empty()) continue;
    std::printf("killed by seed %lu: %s\n", seed, failure.c_str());
    return;
  }
  FAIL() << GetParam().name << " survives";
}

INSTANTIATE_TEST_SUITE_P(All, PaxosMutant,
                         testing::Values(Case{Mutant::kAcceptNotPersisted, "AcceptNotPersisted"},
                                         Case{Mutant::kPromiseNotPersisted, "PromiseNotPersisted"},
                                         Case{Mutant::kPromiseForgetsValue, "PromiseForgetsValue"},
                                         Case{Mutant::kAcceptBelowPromise, "AcceptBelowPromise"},
                                         Case{Mutant::kNextNotStored, "NextNotStored"},
                                         Case{Mutant::kAnyEpoch, "AnyEpoch"},
                                         Case{Mutant::kWrongValue, "WrongValue"},
                                         Case{Mutant::kHalfIsMajority, "HalfIsMajority"},
                                         Case{Mutant::kReadOfMinority, "ReadOfMinority"},
                                         Case{Mutant::kKeepUndecided, "KeepUndecided"},
                                         Case{Mutant::kReadOfCache, "ReadOfCache"},
                                         Case{Mutant::kAppliedTwice, "AppliedTwice"},
                                         Case{Mutant::kNoSweep, "NoSweep"}),
                         [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

TEST(PaxosMutant, NoneIsQuiet) {
  active_mutant = Mutant::kNone;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    ASSERT_EQ(SimulatedRegister(seed).Run(2000), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace coterie::paxos

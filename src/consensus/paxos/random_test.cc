// Claim: under loss, duplication, reordering, crashes that lose what was not synced, givings-up and
// replicas that move, all answers tell one history in real-time order, no change is folded in
// twice, none that was said not to be, and the numbered invariants hold. Each seed draws its own
// mix.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "consensus/paxos/simulated_register.h"

namespace coterie::paxos {
namespace {

constexpr std::uint64_t kSeeds = 2500;
constexpr int kSteps = 2000;

TEST(PaxosRandom, OneHistoryOverManySeeds) {
  SimulatedRegister::Coverage total;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimulatedRegister sim(seed);
    const std::string failure = sim.Run(kSteps);
    ASSERT_EQ(failure, "") << "seed " << seed;
    const SimulatedRegister::Coverage& c = sim.coverage();
    total.decided += c.decided;
    total.one_trip += c.one_trip;
    total.kept += c.kept;
    total.quick_reads += c.quick_reads;
    total.slow_reads += c.slow_reads;
    total.unknown += c.unknown;
    total.refused += c.refused;
    total.crashes += c.crashes;
    total.moves += c.moves;
  }
  std::printf(
      "decided %lu one-trip %lu kept %lu reads %lu+%lu unknown %lu refused %lu crashes %lu "
      "moves %lu\n",
      total.decided, total.one_trip, total.kept, total.quick_reads, total.slow_reads, total.unknown,
      total.refused, total.crashes, total.moves);
  // A harness that does nothing would pass too.
  EXPECT_GT(total.decided, 4 * kSeeds);
  EXPECT_GT(total.one_trip, kSeeds);
  EXPECT_GT(total.kept, kSeeds / 2);
  EXPECT_GT(total.quick_reads, 2 * kSeeds);
  EXPECT_GT(total.slow_reads, kSeeds / 10);
  EXPECT_GT(total.unknown, kSeeds / 20);
  EXPECT_GT(total.refused, kSeeds / 100);
  EXPECT_GT(total.crashes, kSeeds);
  EXPECT_GT(total.moves, kSeeds / 10);
}

// `PAXOS_SEED=n paxos_random_test --gtest_filter=*OneSeed*` prints every event of one run.
TEST(PaxosRandom, OneSeedIsTheSameTwice) {
  const char* asked = std::getenv("PAXOS_SEED");
  const std::uint64_t seed = asked ? std::strtoull(asked, nullptr, 10) : 7;
  SimulatedRegister first(seed);
  first.trace = asked != nullptr;
  SimulatedRegister second(seed);
  ASSERT_EQ(first.Run(kSteps), second.Run(kSteps));
  EXPECT_EQ(first.digest(), second.digest());
}

}  // namespace
}  // namespace coterie::paxos

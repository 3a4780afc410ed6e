// Claim: each of these mistakes with lease time shows in the scenario that was made for it.

#include <gtest/gtest.h>

#include "node/mutants.h"
#include "node/testing/lease_cluster.h"

namespace coterie::node {
namespace {

class LeaseMutants : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  ~LeaseMutants() override { active_mutant = Mutant::kNone; }
};

TEST_P(LeaseMutants, LeasesAnewAtElection) {
  for (const Mutant mutant : {Mutant::kNone, Mutant::kLeasesAnewAtElection}) {
    active_mutant = mutant;
    testing::LeaseCluster leases(GetParam());
    leases.Grant();
    EXPECT_EQ(leases.OutlivesItsLeaders(), mutant != Mutant::kNone);
  }
}

TEST_P(LeaseMutants, RenewUnheard) {
  for (const Mutant mutant : {Mutant::kNone, Mutant::kRenewUnheard}) {
    active_mutant = mutant;
    testing::LeaseCluster leases(GetParam());
    leases.Grant();
    EXPECT_EQ(leases.EndsEarlyAfterARenewal(), mutant != Mutant::kNone);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, LeaseMutants, ::testing::Range<std::uint64_t>(41, 46));

}  // namespace
}  // namespace coterie::node

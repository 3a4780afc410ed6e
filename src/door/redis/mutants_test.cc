// Claim: the properties of this room notice each of these mistakes.

#include "door/redis/mutants.h"

#include <gtest/gtest.h>

#include "door/redis/ordered_batches.h"

namespace coterie::door::redis {
namespace {

using ordered::active_mutant;
using ordered::Mutant;

class OrderedMutants : public OrderedBatches {
 protected:
  void TearDown() override { active_mutant = Mutant::kNone; }
};

TEST_F(OrderedMutants, NoneIsQuiet) { EXPECT_EQ(RunRaft(1, 100), ""); }

TEST_F(OrderedMutants, WatchTheStore) {
  active_mutant = Mutant::kWatchTheStore;
  EXPECT_NE(RunRaft(1, 100), "") << "survives";
}

TEST_F(OrderedMutants, PipelineApart) {
  active_mutant = Mutant::kPipelineApart;
  EXPECT_NE(RunPipelines("main", 1, 60), "") << "survives";
}

}  // namespace
}  // namespace coterie::door::redis

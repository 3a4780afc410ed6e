#include "replication/leaderless/knowledge.h"

#include <gtest/gtest.h>

namespace coterie::leaderless {
namespace {

using clock::Actor;

const NodeId kB(2), kC(3);
const Actor kA1 = clock::MakeActor(NodeId(1), 1);
const Actor kB1 = clock::MakeActor(kB, 1);

VersionVector Vector(std::uint64_t a, std::uint64_t b) {
  VersionVector vector;
  if (a > 0) vector.Include({kA1, a});
  if (b > 0) vector.Include({kB1, b});
  return vector;
}
Knowledge::Account Says(std::uint64_t time, VersionVector applied, VersionVector durable) {
  return {Epoch(1), HybridTime(time), std::move(applied), std::move(durable)};
}

// Claim: stable is what all replicas have for good; with one of them silent, or gone and not yet
// dropped from the map, nothing is.
TEST(Knowledge, StableIsWhatAllHaveForGood) {
  Knowledge knowledge;
  knowledge.SetOthers({kB, kC});
  knowledge.Hear(kB, Says(1, Vector(9, 9), Vector(5, 7)), Vector(9, 9));
  EXPECT_TRUE(knowledge.Stable(Vector(9, 9)).empty());
  knowledge.Hear(kC, Says(1, Vector(9, 9), Vector(6, 4)), Vector(9, 9));
  EXPECT_EQ(knowledge.Stable(Vector(9, 9)), Vector(5, 4));
  EXPECT_EQ(knowledge.Stable(Vector(3, 9)), Vector(3, 4));
  knowledge.SetOthers({kB});
  EXPECT_EQ(knowledge.Stable(Vector(9, 9)), Vector(5, 7));
  knowledge.SetOthers({kB, kC});  // a new replica under an old name knows nothing yet
  EXPECT_TRUE(knowledge.Stable(Vector(9, 9)).empty());
}

// Claim: what another has for good counts only once all that it had by then is here: it may have
// been made without knowing what is to be forgotten.
TEST(Knowledge, StableWaitsForWhatTheOthersMadeBefore) {
  Knowledge knowledge;
  knowledge.SetOthers({kB});
  knowledge.Hear(kB, Says(1, Vector(5, 3), Vector(5, 3)), Vector(5, 2));
  EXPECT_TRUE(knowledge.Stable(Vector(5, 2)).empty());
  knowledge.Advance(Vector(5, 3));
  EXPECT_EQ(knowledge.Stable(Vector(5, 3)), Vector(5, 3));
  knowledge.Hear(kB, Says(2, Vector(7, 4), Vector(7, 4)), Vector(7, 3));
  EXPECT_EQ(knowledge.Stable(Vector(7, 3)), Vector(5, 3));
}

// Claim: time is stable up to the earliest of the clocks whose owners' accounts are all applied
// here, and not before each was heard.
TEST(Knowledge, StableTimeWaitsForWhatWasKnownThen) {
  Knowledge knowledge;
  knowledge.SetOthers({kB, kC});
  EXPECT_EQ(knowledge.StableTime(HybridTime(99)), HybridTime(0));
  knowledge.Hear(kB, Says(10, Vector(0, 5), {}), Vector(0, 5));
  knowledge.Hear(kC, Says(20, Vector(0, 6), {}), Vector(0, 5));
  EXPECT_EQ(knowledge.StableTime(HybridTime(99)), HybridTime(0));  // C has 6, which is not here
  knowledge.Hear(kC, Says(30, Vector(0, 9), {}), Vector(0, 5));
  knowledge.Advance(Vector(0, 6));
  EXPECT_EQ(knowledge.StableTime(HybridTime(99)), HybridTime(10));
  knowledge.Hear(kB, Says(40, Vector(0, 6), {}), Vector(0, 6));
  EXPECT_EQ(knowledge.StableTime(HybridTime(99)), HybridTime(20));
  knowledge.Advance(Vector(0, 9));
  EXPECT_EQ(knowledge.StableTime(HybridTime(99)), HybridTime(30));
  EXPECT_EQ(knowledge.StableTime(HybridTime(25)), HybridTime(25));
}

// Claim: under a steady stream of writes, where the newest account is never covered, time still
// becomes stable.
TEST(Knowledge, StableTimeMovesUnderLoad) {
  Knowledge knowledge;
  knowledge.SetOthers({kB});
  for (std::uint64_t i = 1; i <= 50; ++i) {
    knowledge.Hear(kB, Says(i, Vector(0, i * 10), {}), Vector(0, i * 10 - 5));
    knowledge.Advance(Vector(0, i * 10 - 5));
  }
  EXPECT_GE(knowledge.StableTime(HybridTime(99)), HybridTime(48));
}

}  // namespace
}  // namespace coterie::leaderless

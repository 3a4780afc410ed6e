#include "node/proposals.h"

#include <gtest/gtest.h>

#include "runtime/sim/simulation.h"

namespace coterie::node {
namespace {

using Waiter = Proposals::Waiter;

struct Fixture : testing::Test {
  runtime::Simulation sim{{.seed = 1}};
  Proposals proposals;

  Proposals::Answer Take(Waiter& waiter) {
    COT_ASSERT(waiter.slot().set());
    return sim.BlockOn(Await(&waiter));
  }
  static runtime::Task<Proposals::Answer> Await(Waiter* waiter) {
    Proposals::Answer answer = co_await waiter->slot().Wait();
    co_return answer;
  }
};
using ProposalsTest = Fixture;

// The entry applied at its place is another leader's: the command is not in the log, nor will it
// be.
TEST_F(ProposalsTest, LostPlaceIsNotApplied) {
  Waiter waiter(proposals, sim.executor(), 7);
  waiter.PlacedAt(LogIndex(5), Term(2));
  proposals.OnApplied(LogIndex(4), Term(2));
  EXPECT_FALSE(waiter.slot().set());
  proposals.OnApplied(LogIndex(5), Term(3));
  const auto answer = Take(waiter);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kProposalDropped);
  EXPECT_EQ(answer.error().outcome, Outcome::kNotApplied);
}

// Only those at lost places are lost; one further up still waits.
TEST_F(ProposalsTest, LaterPlacesGoOnWaiting) {
  Waiter lost(proposals, sim.executor(), 1);
  Waiter waits(proposals, sim.executor(), 2);
  lost.PlacedAt(LogIndex(5), Term(2));
  waits.PlacedAt(LogIndex(6), Term(2));
  proposals.OnApplied(LogIndex(5), Term(3));
  EXPECT_TRUE(lost.slot().set());
  EXPECT_FALSE(waits.slot().set());
}

// The leader's word on the place comes after other entries were applied there: still lost.
TEST_F(ProposalsTest, PlaceLearnedAfterItWasLost) {
  Waiter waiter(proposals, sim.executor(), 7);
  proposals.OnApplied(LogIndex(9), Term(3));
  waiter.PlacedAt(LogIndex(5), Term(2));
  const auto answer = Take(waiter);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().outcome, Outcome::kNotApplied);
}

// What a snapshot covers was not seen being applied: the command may be in it.
TEST_F(ProposalsTest, SnapshotSkipIsUnknown) {
  Waiter waiter(proposals, sim.executor(), 7);
  waiter.PlacedAt(LogIndex(5), Term(2));
  proposals.OnSkipped(LogIndex(8), Term(1));
  const auto answer = Take(waiter);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kLeaderChanged);
  EXPECT_EQ(answer.error().outcome, Outcome::kUnknown);
}

// The same when the place is learned only after the snapshot, whatever is applied behind it:
// calling it lost would have it proposed, and perhaps applied, a second time.
TEST_F(ProposalsTest, PlaceLearnedAfterTheSnapshotIsUnknown) {
  Waiter waiter(proposals, sim.executor(), 7);
  proposals.OnSkipped(LogIndex(8), Term(1));
  proposals.OnApplied(LogIndex(9), Term(3));
  waiter.PlacedAt(LogIndex(5), Term(2));
  proposals.OnApplied(LogIndex(10), Term(3));
  const auto answer = Take(waiter);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().outcome, Outcome::kUnknown);
}

// One that was sent, whose place is not known, may be in a snapshot of the term it was sent in: the
// first entry of the next term must not call it lost.
TEST_F(ProposalsTest, SentInTheSnapshotsOwnTermIsUnknown) {
  Waiter waiter(proposals, sim.executor(), 7);
  proposals.OnApplied(LogIndex(3), Term(2));
  waiter.SentIn(Term(2));
  proposals.OnSkipped(LogIndex(8), Term(2));
  proposals.OnApplied(LogIndex(9), Term(3));
  const auto answer = Take(waiter);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().outcome, Outcome::kUnknown);
}

// Without a snapshot between, an entry of a later term proves that it is lost.
TEST_F(ProposalsTest, SentInAnEarlierTermIsLost) {
  Waiter waiter(proposals, sim.executor(), 7);
  proposals.OnApplied(LogIndex(3), Term(2));
  waiter.SentIn(Term(2));
  proposals.OnApplied(LogIndex(4), Term(3));
  const auto answer = Take(waiter);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().outcome, Outcome::kNotApplied);
}

// A command applied before the leader's answer came has its answer, and keeps it.
TEST_F(ProposalsTest, AppliedBeforeItsPlaceIsKnown) {
  Waiter waiter(proposals, sim.executor(), 7);
  proposals.Resolve(7, std::unique_ptr<model::StateMachine::Answer>());
  proposals.OnApplied(LogIndex(5), Term(2));
  waiter.PlacedAt(LogIndex(5), Term(2));
  EXPECT_TRUE(Take(waiter).has_value());
}

// A waiter that goes is forgotten wherever it was known; what comes for it later is dropped.
TEST_F(ProposalsTest, WithdrawnWaiter) {
  {
    Waiter waiter(proposals, sim.executor(), 7);
    waiter.PlacedAt(LogIndex(5), Term(2));
    EXPECT_EQ(proposals.size(), 1U);
    EXPECT_TRUE(proposals.Waiting(7));
  }
  EXPECT_EQ(proposals.size(), 0U);
  EXPECT_FALSE(proposals.Waiting(7));
  proposals.OnApplied(LogIndex(5), Term(3));
  proposals.OnSkipped(LogIndex(9), Term(1));
  proposals.Resolve(7, std::unique_ptr<model::StateMachine::Answer>());
}

TEST(ProposalHeader, SplitsWhatItJoined) {
  const std::string payload = WithHeader({NodeId(3), 99}, "command");
  const auto split = Split(payload);
  ASSERT_TRUE(split.has_value());
  EXPECT_EQ(split->id.node, NodeId(3));
  EXPECT_EQ(split->id.number, 99U);
  EXPECT_EQ(split->command, "command");
  EXPECT_FALSE(Split(std::string(kProposalHeaderBytes - 1, 'x')).has_value());
}

}  // namespace
}  // namespace coterie::node

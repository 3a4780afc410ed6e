#include "node/proposals.h"

#include <gtest/gtest.h>

#include "runtime/sim/simulation.h"

namespace coterie::node {
namespace {

/// Runs `body` with an executor to wait on.
void InWorld(const std::function<void(runtime::Executor&)>& body) {
  runtime::Simulation simulation(runtime::SimOptions{});
  body(simulation.executor());
}

Error ErrorOf(Proposals::Waiter& waiter) {
  // The slot is set already: nothing is waited for.
  auto wait = waiter.slot().Wait();
  EXPECT_TRUE(wait.await_ready());
  return wait.await_resume().error();
}

// Another entry at the place means that the command was not applied: it may be tried again.
TEST(Proposals, AnotherEntryAtItsPlaceLosesIt) {
  InWorld([](runtime::Executor& executor) {
    Proposals proposals;
    Proposals::Waiter waiter(proposals, executor, 1);
    waiter.PlacedAt(LogIndex(100), Term(5));
    proposals.OnApplied(LogIndex(100), Term(6));
    ASSERT_TRUE(waiter.slot().set());
    const Error error = ErrorOf(waiter);
    EXPECT_EQ(error.code, ErrorCode::kProposalDropped);
    EXPECT_EQ(error.outcome, Outcome::kNotApplied);
  });
}

// A state that came as a snapshot may hold the command: nobody can say, so it must not be tried
// again; also when the leader's word about the place comes only after the snapshot.
TEST(Proposals, ASnapshotOverItsPlaceLeavesItUnknown) {
  InWorld([](runtime::Executor& executor) {
    Proposals proposals;
    Proposals::Waiter before(proposals, executor, 1);
    Proposals::Waiter after(proposals, executor, 2);
    before.PlacedAt(LogIndex(100), Term(5));
    proposals.OnSkipped(LogIndex(120));
    after.PlacedAt(LogIndex(101), Term(5));
    proposals.OnApplied(LogIndex(121), Term(6));
    for (Proposals::Waiter* waiter : {&before, &after}) {
      ASSERT_TRUE(waiter->slot().set());
      EXPECT_EQ(ErrorOf(*waiter).outcome, Outcome::kUnknown);
    }
  });
}

}  // namespace
}  // namespace coterie::node

#include "replication/leaderless/tracker.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/random.h"

namespace coterie::leaderless {
namespace {

const Actor kA = clock::MakeActor(NodeId(1), 1);
const Actor kB = clock::MakeActor(NodeId(2), 1);

// Claim: what comes in order is next, what came is known, what skips is early.
TEST(Tracker, JudgesByTheVector) {
  Tracker tracker;
  EXPECT_EQ(tracker.Judge({kA, 1}), Tracker::Verdict::kNext);
  EXPECT_EQ(tracker.Judge({kA, 2}), Tracker::Verdict::kEarly);
  tracker.Include({kA, 1});
  EXPECT_EQ(tracker.Judge({kA, 1}), Tracker::Verdict::kKnown);
  EXPECT_EQ(tracker.Judge({kA, 2}), Tracker::Verdict::kNext);
  EXPECT_EQ(tracker.Judge({kB, 2}), Tracker::Verdict::kEarly);
}

// Claim: early mutations take their turn when the gap before them is filled, by a mutation or by
// the cells of another replica, and what that made known is forgotten.
TEST(Tracker, ReleasesWhatCameEarly) {
  Tracker tracker;
  EXPECT_TRUE(tracker.Keep({kA, 3}, "a3"));
  EXPECT_TRUE(tracker.Keep({kA, 2}, "a2"));
  EXPECT_TRUE(tracker.Keep({kB, 7}, "b7"));
  EXPECT_TRUE(tracker.Keep({kB, 9}, "b9"));
  EXPECT_FALSE(tracker.TakeReady().has_value());
  tracker.Include({kA, 1});
  EXPECT_EQ(tracker.TakeReady(), "a2");
  tracker.Include({kA, 2});
  EXPECT_EQ(tracker.TakeReady(), "a3");
  tracker.Include({kA, 3});
  EXPECT_FALSE(tracker.TakeReady().has_value());
  VersionVector to;
  to.Include({kB, 8});
  tracker.RaiseTo(to);
  EXPECT_EQ(tracker.TakeReady(), "b9");
  tracker.Include({kB, 9});
  EXPECT_FALSE(tracker.TakeReady().has_value());
  EXPECT_EQ(tracker.early_bytes(), 0u);
}

// Claim: what is kept early is bounded in bytes.
TEST(Tracker, KeepsABoundedNumberOfBytes) {
  Tracker tracker(10);
  EXPECT_TRUE(tracker.Keep({kA, 3}, "12345678"));
  EXPECT_FALSE(tracker.Keep({kA, 4}, "12345678"));
  EXPECT_TRUE(tracker.Keep({kA, 3}, "12345678"));  // kept already
  EXPECT_EQ(tracker.early_bytes(), 8u);
}

// Claim: whatever the order, the losses and the repetitions of delivery, each actor's mutations are
// applied exactly once and in order, and all of them once each was delivered after the last loss.
TEST(Tracker, AppliesEachOnceInOrder) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    Tracker tracker(random.Below(200));
    std::map<Actor, std::uint64_t> applied;
    const auto apply = [&](Dot dot) {
      ASSERT_EQ(dot.counter, applied[dot.actor] + 1);
      applied[dot.actor] = dot.counter;
      tracker.Include(dot);
    };
    const auto text = [](Dot dot) {
      return std::to_string(dot.actor.value) + ":" + std::to_string(dot.counter);
    };
    std::map<std::string, Dot> named;
    for (int step = 0; step < 300; ++step) {
      const Dot dot{random.Chance(0.5) ? kA : kB, 1 + random.Below(40)};
      named[text(dot)] = dot;
      switch (tracker.Judge(dot)) {
        case Tracker::Verdict::kNext:
          apply(dot);
          break;
        case Tracker::Verdict::kEarly:
          (void)tracker.Keep(dot, text(dot));
          break;
        case Tracker::Verdict::kKnown:
          EXPECT_LE(dot.counter, applied[dot.actor]);
      }
      while (auto ready = tracker.TakeReady()) apply(named.at(*ready));
    }
    for (const Actor actor : {kA, kB}) {
      for (std::uint64_t counter = 1; counter <= 40; ++counter) {
        if (tracker.Judge({actor, counter}) == Tracker::Verdict::kNext) apply({actor, counter});
      }
      EXPECT_EQ(tracker.applied().Get(actor), 40u);
    }
  }
}

}  // namespace
}  // namespace coterie::leaderless

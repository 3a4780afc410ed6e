// Whole groups on virtual time.

#include <gtest/gtest.h>

#include "membership/testing/group.h"

namespace coterie::membership {
namespace {

using testing::Group;

// Nothing is lost, nothing is suspected, and the load is a handful of messages a second a member.
TEST(Group, QuietWhenAllIsWell) {
  Group group(1, 5);
  group.RunFor(60s);
  EXPECT_EQ(group.EventsText(), "");
  // Per member and second: 4 probes, 4 answers.
  EXPECT_NEAR(static_cast<double>(group.messages()) / (60.0 * 5), 8, 0.5);
}

// A member that dies is declared dead by everybody within five seconds, in groups of up to 16, and
// nobody else is ever suspected.
TEST(Group, TheDeadAreDeclaredWithinFiveSeconds) {
  for (std::uint64_t size = 2; size <= 16; ++size) {
    for (std::uint64_t seed = 0; seed < 25; ++seed) {
      Group group(seed, size);
      group.RunFor(3s + std::chrono::milliseconds(seed * 37));
      group.Kill(size);
      group.RunFor(5s);
      EXPECT_TRUE(group.AllBelieve(size, State::kDead))
          << "size " << size << " seed " << seed << "\n"
          << group.EventsText();
      for (const Group::Event& event : group.events()) EXPECT_EQ(event.member.node.value, size);
    }
  }
}

// With more than a quarter of all messages lost nobody is declared dead in ten minutes. (Members
// are suspected all the time, and refute.)
TEST(Group, NoFalseDeathsUnderHeavyLoss) {
  std::size_t suspicions = 0;
  for (const std::uint64_t size : {2, 3, 5, 8, 16}) {
    Group group(size, size);
    group.network.loss = 0.29;
    group.network.delay_max = 40ms;
    group.RunFor(600s);
    for (const Group::Event& event : group.events()) {
      if (event.member.state == State::kSuspect) ++suspicions;
      ASSERT_NE(event.member.state, State::kDead) << "size " << size;
    }
  }
  EXPECT_GT(suspicions, 100U);
}

// A restart, a partition and a long pause end with everybody alive in everybody's eyes.
TEST(Group, WhoComesBackIsAlive) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Group group(seed, 5);
    group.network.loss = seed % 2 == 0 ? 0 : 0.1;
    group.RunFor(3s);
    group.Isolate(5);
    group.RunFor(10s);
    EXPECT_TRUE(group.AllBelieve(5, State::kDead));
    EXPECT_EQ(group.StateOf(1, 5), State::kDead);
    group.HealAll();
    group.Kill(4);
    group.RunFor(8s);
    EXPECT_TRUE(group.AllBelieve(5, State::kAlive)) << group.EventsText();
    EXPECT_TRUE(group.AllBelieve(4, State::kDead));
    // It comes back not knowing that it was declared dead.
    group.Restart(4);
    group.RunFor(6s);
    for (std::uint64_t node = 1; node <= 5; ++node) {
      EXPECT_TRUE(group.AllBelieve(node, State::kAlive)) << node << "\n" << group.EventsText();
    }
  }
}

// A process that stood still is suspected, refutes when it goes on, and does not take the others
// for dead meanwhile.
TEST(Group, AStoppedMemberRefutesAndAccusesNobody) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Group group(seed, 5);
    group.RunFor(3s);
    group.Pause(2);
    group.RunFor(2500ms);
    EXPECT_FALSE(group.AllBelieve(2, State::kAlive));
    group.Resume(2);
    group.RunFor(1s);
    EXPECT_TRUE(group.AllBelieve(2, State::kAlive)) << group.EventsText();
    EXPECT_GT(group[2].incarnation(), 0U);
    for (const Group::Event& event : group.events()) {
      EXPECT_EQ(event.member.node.value, 2U);
      EXPECT_NE(event.member.state, State::kDead) << group.EventsText();
    }
  }
}

// One broken path between two members is not a broken member: helpers reach it [SWIM §3.1].
TEST(Group, HelpersBridgeABrokenPath) {
  Group group(4, 4);
  group.Cut(1, 2);
  group.Cut(2, 1);
  group.RunFor(60s);
  EXPECT_EQ(group.EventsText(), "");
}

// Under random faults: incarnations never fall, and once an observer has heard a refutation, that
// suspicion does not end in death there: the dead have the incarnation that they were suspected in.
TEST(Group, RefutedSuspicionsNeverEndInDeath) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Random random(seed);
    Group group(seed, 3 + seed % 6);
    for (int step = 0; step < 40; ++step) {
      const std::uint64_t node = 1 + random.Below(3);
      switch (random.Below(6)) {
        case 0:
          group.Isolate(node);
          break;
        case 1:
          group.Cut(node, 1 + random.Below(3));
          break;
        case 2:
          group.Pause(node);
          break;
        case 3:
          group.network.loss = random.Unit() * 0.7;
          break;
        default:
          group.HealAll();
          group.Resume(node);
          break;
      }
      group.RunFor(std::chrono::milliseconds(random.Between(100, 4000)));
    }
    std::map<std::pair<NodeId, NodeId>, Member> last;
    for (const Group::Event& event : group.events()) {
      const auto pair = std::pair(event.observer, event.member.node);
      const Member before = last.contains(pair) ? last[pair] : Member{};
      ASSERT_GE(event.member.incarnation, before.incarnation);
      if (event.member.state == State::kAlive) {
        ASSERT_GT(event.member.incarnation, before.incarnation);
      }
      last[pair] = event.member;
    }
    group.HealAll();
    for (std::uint64_t node = 1; node <= 3; ++node) group.Resume(node);
    group.network.loss = 0;
    group.RunFor(15s);
    for (std::uint64_t node = 1; node <= 3 + seed % 6; ++node) {
      ASSERT_TRUE(group.AllBelieve(node, State::kAlive)) << group.EventsText();
    }
  }
}

// The same seed gives the same history.
TEST(Group, IsDeterministic) {
  std::string texts[2];
  for (std::string& text : texts) {
    Group group(7, 6);
    group.network.loss = 0.5;
    group.RunFor(30s);
    text = group.EventsText();
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_NE(texts[0], "");
}

}  // namespace
}  // namespace coterie::membership

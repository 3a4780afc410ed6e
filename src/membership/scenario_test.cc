// One member, message by message; and the messages' bytes.

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "membership/swim.h"

namespace coterie::membership {
namespace {

using Kind = Message::Kind;

std::string TextOf(const Message& message) {
  static constexpr std::string_view kKinds[] = {"", "ping", "ping-req", "ack", "nack"};
  std::string text = fmt::format("{} {}", kKinds[static_cast<int>(message.kind)], message.sequence);
  if (message.kind == Kind::kPingReq) text += fmt::format(" for n{}", message.target.value);
  for (const Update& update : message.updates) {
    if (update.state == State::kAlive && update.incarnation == 0) continue;
    text += fmt::format(", n{} {} {}", update.node.value, ToText(update.state), update.incarnation);
    if (update.by != NodeId()) text += fmt::format(" by n{}", update.by.value);
  }
  return text;
}

class Scenario : public ::testing::Test {
 protected:
  Scenario() : swim_(Config{.self = NodeId(1)}, random_, Instant{}) {}
  void Members(std::initializer_list<std::uint64_t> ids) {
    std::vector<NodeId> nodes;
    for (const std::uint64_t id : ids) nodes.emplace_back(id);
    swim_.SetMembers(nodes, now_);
  }
  /// What the member does until `ms`, a line each.
  std::string Until(int ms) {
    std::string text;
    const Instant end{std::chrono::milliseconds(ms)};
    for (;;) {
      text += Drain();
      if (swim_.NextDeadline() > end) break;
      now_ = std::max(now_, swim_.NextDeadline());
      swim_.Tick(now_);
    }
    now_ = end;
    return text;
  }
  std::string Hears(std::uint64_t from, Message message) {
    swim_.Step(NodeId(from), message, now_);
    return Drain();
  }
  std::string Drain() {
    std::string text;
    const auto at = now_.time_since_epoch() / std::chrono::milliseconds(1);
    Output output = swim_.TakeOutput();
    for (const Envelope& envelope : output.messages) {
      text += fmt::format("{} -> n{} {}\n", at, envelope.to.value, TextOf(envelope.message));
    }
    for (const Member& change : output.changes) {
      text += fmt::format("{} n{} is {}\n", at, change.node.value, ToText(change.state));
    }
    return text;
  }

  Random random_{1};
  Instant now_{};
  Swim swim_;
};

// Two members: a probe is repeated, then becomes a suspicion that the suspect is told of ten times
// a second; without an answer it ends in death. [SWIM §3.1, §4.2]
TEST_F(Scenario, FromSilenceToDeath) {
  Members({1, 2});
  EXPECT_EQ(Until(800),
            "0 -> n2 ping 1\n"
            "250 -> n2 ping 1\n"
            "500 -> n2 ping 1\n"
            "750 n2 is suspect\n"
            "750 -> n2 ping 2, n2 suspect 0 by n1\n");
  Until(2740);
  EXPECT_EQ(Until(2750), "2750 n2 is dead\n");
  // It goes on being probed, and is told.
  EXPECT_EQ(Until(3100), "3000 -> n2 ping 24, n2 dead 0 by n1\n");
  EXPECT_EQ(Hears(2, {.kind = Kind::kAck,
                      .sequence = 24,
                      .updates = {{.node = NodeId(2), .incarnation = 1}}}),
            "3100 n2 is alive\n");
}

// From the second attempt on others are asked; their word counts as the member's own.
TEST_F(Scenario, AnswersThroughAHelper) {
  Members({1, 2, 3});
  const std::string start = Until(300);
  const std::uint64_t silent = start.find("0 -> n2") == 0 ? 2 : 3;
  EXPECT_EQ(start, fmt::format("0 -> n{0} ping 1\n"
                               "250 -> n{0} ping 1\n"
                               "250 -> n{1} ping-req 1 for n{0}\n",
                               silent, 5 - silent));
  EXPECT_EQ(Hears(5 - silent, {.kind = Kind::kAck, .sequence = 1}), "");
  EXPECT_EQ(swim_.health(), 0);
  EXPECT_EQ(Until(499), "");
}

// Asked for another, it asks, passes the answer on, and says so when there is none.
TEST_F(Scenario, HelpsOthers) {
  Members({1, 2, 3});
  Until(10);
  const Message request{.kind = Kind::kPingReq, .sequence = 77, .target = NodeId(3)};
  EXPECT_EQ(Hears(2, request), "10 -> n3 ping 2\n");
  EXPECT_EQ(Hears(3, {.kind = Kind::kAck, .sequence = 2}), "10 -> n2 ack 77\n");
  EXPECT_EQ(Hears(2, request), "10 -> n3 ping 3\n");
  const std::string later = Until(215);
  EXPECT_NE(later.find("210 -> n2 nack 77"), std::string::npos) << later;
  // A late answer is still passed on.
  EXPECT_EQ(Hears(3, {.kind = Kind::kAck, .sequence = 3}), "215 -> n2 ack 77\n");
}

// Who hears that it is suspected refutes in a greater incarnation, to everybody and at once, and
// takes it as a sign that it is slow itself.
TEST_F(Scenario, Refutes) {
  Members({1, 2, 3});
  Until(1);
  const std::vector<Update> accusation = {{NodeId(1), State::kSuspect, 4, NodeId(3)}};
  EXPECT_EQ(Hears(2, {.kind = Kind::kPing, .sequence = 9, .updates = accusation}),
            "1 -> n2 ack 0, n1 alive 5\n"
            "1 -> n3 ack 0, n1 alive 5\n"
            "1 -> n2 ack 9, n1 alive 5\n");
  EXPECT_EQ(swim_.health(), 1);
  EXPECT_EQ(swim_.incarnation(), 5U);
  // The same again is old.
  Hears(2, {.kind = Kind::kPing, .sequence = 10, .updates = accusation});
  EXPECT_EQ(swim_.incarnation(), 5U);
}

// The order of statements: by incarnation, then alive < suspect < dead; and strangers are nothing.
TEST_F(Scenario, OlderNewsChangesNothing) {
  Members({1, 2});
  Until(1);
  const auto hear = [&](State state, std::uint32_t incarnation) {
    return Hears(2, {.kind = Kind::kAck,
                     .updates = {{NodeId(2), state, incarnation, NodeId(2)},
                                 {NodeId(99), State::kDead, 7, NodeId(2)}}});
  };
  EXPECT_EQ(hear(State::kSuspect, 3), "1 n2 is suspect\n");
  EXPECT_EQ(hear(State::kAlive, 3), "");
  EXPECT_EQ(hear(State::kDead, 2), "");
  EXPECT_EQ(hear(State::kAlive, 4), "1 n2 is alive\n");
  EXPECT_EQ(hear(State::kSuspect, 3), "");
  EXPECT_EQ(hear(State::kDead, 4), "1 n2 is dead\n");
  EXPECT_EQ(hear(State::kSuspect, 4), "");
  EXPECT_EQ(swim_.members().size(), 1U);
  EXPECT_EQ(Hears(99, {.kind = Kind::kPing, .sequence = 1}), "");
}

// Confirmations shorten the wait: four seconds alone, half as long once three more agree
// [Lifeguard §IV-B].
TEST_F(Scenario, ConfirmationsShortenTheWait) {
  Members({1, 2, 3, 4, 5, 6});
  const auto accuse = [&](std::uint64_t by) {
    Hears(by, {.kind = Kind::kAck, .updates = {{NodeId(6), State::kSuspect, 0, NodeId(by)}}});
  };
  const auto died_at = [&](int until) {
    const std::string text = Until(until);
    const auto end = text.find(" n6 is dead");
    if (end == std::string::npos) return std::string("never");
    const auto begin = text.rfind('\n', end);
    return text.substr(begin + 1, end - begin - 1);
  };
  accuse(2);
  accuse(2);
  EXPECT_EQ(died_at(100), "never");
  accuse(3);
  accuse(4);
  accuse(5);
  EXPECT_EQ(died_at(4100), "2000");
}

// Whoever wakes up late has not listened: nobody is accused for it.
TEST_F(Scenario, AStallAccusesNobody) {
  Members({1, 2});
  Until(10);
  now_ = Instant{20s};
  swim_.Tick(now_);
  const std::string text = Drain();
  EXPECT_EQ(text.find("suspect"), std::string::npos) << text;
  EXPECT_EQ(swim_.health(), 1);
}

// Members that leave take with them what was under way about them.
TEST_F(Scenario, MembersComeAndGo) {
  Members({1, 2, 3});
  Until(800);
  Members({1, 3, 4});
  const std::string text = Until(1700);
  EXPECT_EQ(text.find("n2"), std::string::npos) << text;
  EXPECT_NE(text.find("-> n4 ping"), std::string::npos) << text;
  EXPECT_FALSE(swim_.Find(NodeId(2)).has_value());
  Members({});
  EXPECT_EQ(swim_.NextDeadline(), Instant::max());
}

// News rides on a bounded number of messages, the least told first.
TEST(DisseminationTest, EachUpdateRidesABoundedNumberOfTimes) {
  Dissemination news;
  for (std::uint64_t node = 1; node <= 5; ++node) {
    news.Add({NodeId(node), State::kSuspect, 0, NodeId(9)});
  }
  std::map<NodeId, int> told;
  for (int message = 0; message < 100; ++message) {
    const auto updates = news.Take(2, 4);
    EXPECT_LE(updates.size(), 2U);
    for (const Update& update : updates) ++told[update.node];
  }
  for (const auto& [node, times] : told) EXPECT_EQ(times, 4);
  EXPECT_EQ(told.size(), 5U);
  EXPECT_EQ(news.size(), 0U);
}

// Every message comes back from its bytes, and no proper prefix does.
TEST(MessageCodec, RoundTripsAndRefusesPrefixes) {
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    Message message{.kind = static_cast<Kind>(1 + random.Below(4)), .sequence = random.Next()};
    if (message.kind == Kind::kPingReq) message.target = NodeId(1 + random.Below(300));
    for (std::uint64_t left = random.Below(5); left > 0; --left) {
      message.updates.push_back({NodeId(1 + random.Below(300)), static_cast<State>(random.Below(3)),
                                 static_cast<std::uint32_t>(random.Next()),
                                 NodeId(random.Below(300))});
    }
    const std::string bytes = Encode(message);
    EXPECT_EQ(Decode(bytes), message);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(Decode(std::string_view(bytes).substr(0, size)).has_value());
    }
    EXPECT_FALSE(Decode(bytes + "x").has_value());
  }
  EXPECT_FALSE(Decode(std::string("\x01\x01\x00\xff\x7f", 5)).has_value());
}

}  // namespace
}  // namespace coterie::membership

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "clock/dot.h"
#include "clock/hybrid.h"
#include "clock/lamport.h"
#include "clock/wall_interval.h"

namespace coterie::clock {
namespace {

using Model = std::map<Actor, std::uint64_t>;

VersionVector FromModel(const Model& model) {
  VersionVector vector;
  for (const auto& [actor, counter] : model) vector.Include({actor, counter});
  return vector;
}

Model ToModel(const VersionVector& vector) {
  return Model(vector.entries().begin(), vector.entries().end());
}

Model RandomModel(Random& random) {
  Model model;
  const std::uint64_t count = random.Below(6);
  for (std::uint64_t i = 0; i < count; ++i) {
    model[MakeActor(NodeId(random.Below(4)), static_cast<std::uint16_t>(random.Below(2)))] =
        1 + random.Below(5);
  }
  return model;
}

TEST(Actor, HoldsNodeAndIncarnation) {
  const Actor actor = MakeActor(NodeId(2), 1);
  EXPECT_EQ(NodeOf(actor), NodeId(2));
  EXPECT_EQ(ToText(Dot{actor, 57}), "n2.1:57");
  EXPECT_LT(MakeActor(NodeId(2), 9), MakeActor(NodeId(3), 0));
}

// Join, Meet, Covers and Get are pointwise maximum, minimum, order and lookup of a map.
TEST(VersionVector, AgreesWithAMap) {
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    const Model a = RandomModel(random);
    const Model b = RandomModel(random);
    Model join = a;
    Model meet;
    bool covers = true;
    for (const auto& [actor, counter] : b) {
      join[actor] = std::max(join[actor], counter);
      const auto mine = a.find(actor);
      if (mine != a.end()) meet[actor] = std::min(mine->second, counter);
      covers = covers && mine != a.end() && mine->second >= counter;
    }
    VersionVector joined = FromModel(a);
    joined.Join(FromModel(b));
    EXPECT_EQ(ToModel(joined), join);
    VersionVector met = FromModel(a);
    met.Meet(FromModel(b));
    EXPECT_EQ(ToModel(met), meet);
    EXPECT_EQ(FromModel(a).Covers(FromModel(b)), covers);
    for (const auto& [actor, counter] : join) {
      EXPECT_EQ(joined.Get(actor), counter);
      EXPECT_TRUE(joined.Covers(Dot{actor, counter}));
      EXPECT_FALSE(joined.Covers(Dot{actor, counter + 1}));
    }
  }
}

// A joined vector is its own encoding's decoding, and every proper prefix is refused.
TEST(VersionVector, RoundTripsAndRefusesPrefixes) {
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    const VersionVector vector = FromModel(RandomModel(random));
    std::string bytes;
    Put(bytes, vector);
    std::string_view in = bytes;
    VersionVector again;
    ASSERT_TRUE(Get(in, again));
    EXPECT_TRUE(in.empty());
    EXPECT_EQ(again, vector);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      std::string_view cut = std::string_view(bytes).substr(0, size);
      EXPECT_FALSE(Get(cut, again));
    }
  }
}

TEST(VersionVector, RefusesWhatNoEncoderWrites) {
  using namespace std::literals;
  VersionVector vector;
  for (std::string_view bytes :
       {"\x02\x02\x01\x01\x01"sv, "\x02\x01\x01\x01\x01"sv, "\x01\x01\x00"sv,
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv, "\x01\x80\x80\x80\x80\x10\x01"sv, ""sv}) {
    EXPECT_FALSE(Get(bytes, vector));
  }
}

WallInterval WallMs(std::int64_t ms, std::int64_t bound_ms = 2) {
  return {(ms - bound_ms) * 1'000'000, (ms + bound_ms) * 1'000'000, true};
}

// Timestamps of one clock only grow, whatever the wall clock does; with a clock that moves on they
// follow it.
TEST(HybridClock, GrowsThoughTheWallClockGoesBack) {
  HybridClock clock;
  const HybridTime first = clock.Next(WallMs(1000));
  EXPECT_EQ(first, MakeHybridTime(1000, 0));
  EXPECT_EQ(clock.Next(WallMs(1000)), MakeHybridTime(1000, 1));
  EXPECT_EQ(clock.Next(WallMs(400)), MakeHybridTime(1000, 2));
  EXPECT_EQ(clock.Next(WallMs(1001)), MakeHybridTime(1001, 0));
  EXPECT_EQ(PhysicalMs(clock.last()), 1001U);
}

// A date before the epoch, or past the 48 bits, breaks neither growth nor the fields.
TEST(HybridClock, SurvivesAbsurdDates) {
  HybridClock clock;
  EXPECT_EQ(clock.Next(WallMs(-5000)), HybridTime(1));
  EXPECT_EQ(clock.Next({INT64_MIN / 2, INT64_MIN / 2, false}), HybridTime(2));
  EXPECT_GT(clock.Next({INT64_MAX - 2, INT64_MAX, false}), HybridTime(2));
}

TEST(WallInterval, SaysItsBoundAndNeverANarrowerOne) {
  EXPECT_EQ(ToText(WallInterval{-3'200'000, 3'200'000, true}), "±3.2 ms");
  EXPECT_EQ(ToText(WallInterval{0, 6'410'000, true}), "±3.3 ms");
  EXPECT_EQ(ToText(WallInterval{0, 100'000, true}), "±0.1 ms");
  EXPECT_EQ(ToText(WallInterval{0, 3'000'000'000, true}), "±1.5 s");
  EXPECT_EQ(ToText(WallInterval{-10, 10, false}), "unsynchronised");
}

// The next timestamp follows one that was observed [HLC §3]; one too far ahead of what the
// clock shows is refused, and moves nothing; that the clock admits a wide error widens nothing.
TEST(HybridClock, FollowsWhatItObservesWithinTheBound) {
  HybridClock clock(std::chrono::milliseconds(100));
  ASSERT_TRUE(clock.Observe(MakeHybridTime(1100, 7), WallMs(1000)).has_value());
  EXPECT_EQ(clock.Next(WallMs(1000)), MakeHybridTime(1100, 8));
  const Status refused = clock.Observe(MakeHybridTime(1101, 0), WallMs(1000));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kClockTooFarAhead);
  EXPECT_EQ(refused.error().outcome, Outcome::kNotApplied);
  EXPECT_EQ(clock.last(), MakeHybridTime(1100, 8));
  const WallInterval wide{-1'799'000'000'000, 1'801'000'000'000, false};
  EXPECT_FALSE(clock.Observe(MakeHybridTime(1101, 0), wide).has_value());
  EXPECT_TRUE(clock.Observe(MakeHybridTime(10, 0), WallMs(1000)).has_value());
  EXPECT_EQ(clock.last(), MakeHybridTime(1100, 8));
}

// The 65537th timestamp of one millisecond borrows from the next, and order holds.
TEST(HybridClock, LogicalPartCarries) {
  HybridClock clock;
  HybridTime last = clock.Next(WallMs(1));
  for (int i = 0; i < 70000; ++i) {
    const HybridTime next = clock.Next(WallMs(1));
    ASSERT_GT(next, last);
    last = next;
  }
  EXPECT_EQ(PhysicalMs(last), 2U);
}

// On random exchanges of messages between three nodes, happened-before implies a smaller time, for
// both clocks [Lamport-Clocks §2; HLC §3].
TEST(Clocks, RespectCausality) {
  Random random(3);
  struct Node {
    LamportClock lamport;
    HybridClock hybrid;
    VersionVector known;
    std::int64_t skew_ms = 0;
  };
  struct Event {
    Dot dot;
    VersionVector past;
    LamportTime lamport;
    HybridTime hybrid;
  };
  std::vector<Node> nodes(3);
  for (Node& node : nodes) node.skew_ms = random.Between(-300, 300);
  std::vector<Event> events;
  for (int now = 10000; now < 10600; ++now) {
    const std::uint64_t at = random.Below(nodes.size());
    Node& node = nodes[at];
    const WallInterval wall = WallMs(now / 7 + node.skew_ms);
    if (!events.empty() && random.Chance(0.6)) {
      const Event& message = events[random.Below(events.size())];
      node.lamport.Observe(message.lamport);
      ASSERT_TRUE(node.hybrid.Observe(message.hybrid, wall).has_value());
      node.known.Join(message.past);
    }
    const Actor self = MakeActor(NodeId(at + 1), 0);
    const Dot dot{self, node.known.Get(self) + 1};
    node.known.Include(dot);
    events.push_back({dot, node.known, node.lamport.Next(), node.hybrid.Next(wall)});
  }
  for (const Event& later : events) {
    for (const Event& earlier : events) {
      if (earlier.dot == later.dot || !later.past.Covers(earlier.dot)) continue;
      EXPECT_LT(earlier.lamport, later.lamport);
      EXPECT_LT(earlier.hybrid, later.hybrid);
    }
  }
}

}  // namespace
}  // namespace coterie::clock

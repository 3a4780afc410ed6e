#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "runtime/sim/simulation.h"
#include "runtime/sync.h"

namespace coterie::runtime {
namespace {

constexpr std::uint16_t kPort = 7071;

struct Observed {
  std::string bytes;
  std::optional<ErrorCode> error;
  bool ended = false;
  int connections = 0;
};

Task<void> Receive(std::unique_ptr<Stream> stream, Observed* inbox) {
  char buffer[512];
  for (;;) {
    const auto got = co_await stream->Read(buffer);
    if (!got) {
      inbox->error = got.error().code;
      co_return;
    }
    if (*got == 0) {
      inbox->ended = true;
      co_return;
    }
    inbox->bytes.append(buffer, *got);
  }
}

Task<void> Sink(World* world, Observed* inbox) {
  auto listener = world->network().Listen({"0.0.0.0", kPort});
  COT_ASSERT(listener.has_value());
  Scope scope;
  for (;;) {
    auto stream = co_await (*listener)->Accept();
    COT_ASSERT(stream.has_value());
    ++inbox->connections;
    scope.Spawn(Receive(std::move(*stream), inbox));
  }
}

/// Sends "." every millisecond; notes how it ended.
Task<void> Ticker(World* world, std::string host, Observed* outbox) {
  auto connected = co_await world->network().Connect({host, kPort}, 1s);
  if (!connected) {
    outbox->error = connected.error().code;
    co_return;
  }
  const std::unique_ptr<Stream> stream = std::move(*connected);
  ++outbox->connections;
  for (;;) {
    const Status written = co_await stream->Write(".");
    if (!written) {
      outbox->error = written.error().code;
      co_return;
    }
    outbox->bytes += '.';
    co_await Sleep(world->executor(), 1ms);
  }
}

Task<void> SleepLong(World* world) { co_await Sleep(world->executor(), 3600s); }

class Faults : public ::testing::Test {
 protected:
  static SimOptions Options() {
    SimOptions options;
    options.seed = 42;
    return options;
  }
  void StartBoth() {
    sim_.Start(sink_, [this](World& world) { return Sink(&world, &received_); });
    sim_.Start(ticker_, [this](World& world) { return Ticker(&world, "10.0.0.1", &sent_); });
    sim_.RunFor(100ms);
  }
  Simulation sim_{Options()};
  NodeHandle sink_ = sim_.AddNode("sink", "10.0.0.1");
  NodeHandle ticker_ = sim_.AddNode("ticker", "10.0.0.2");
  Observed received_;
  Observed sent_;
};

// A cut link holds a stream's bytes back; healing delivers every one of them.
TEST_F(Faults, ACutHoldsBytesAndHealingDeliversThem) {
  StartBoth();
  EXPECT_GT(received_.bytes.size(), 50u);
  sim_.Cut(ticker_, sink_);
  sim_.RunFor(10ms);
  const std::size_t before = received_.bytes.size();
  sim_.RunFor(500ms);
  EXPECT_EQ(received_.bytes.size(), before);
  EXPECT_GT(sent_.bytes.size(), before + 400);  // the sender's buffer takes them
  sim_.Heal(ticker_, sink_);
  sim_.RunFor(10ms);
  EXPECT_GE(received_.bytes.size() + 20, sent_.bytes.size());
  EXPECT_FALSE(received_.error.has_value());
}

// A cut of the other direction only lets bytes through, until the sender misses the
// acknowledgements.
TEST_F(Faults, AOneWayCutStopsAcknowledgements) {
  StreamKnobs knobs;
  knobs.buffer_bytes = 200;
  sim_.SetStreams(knobs);
  StartBoth();
  sim_.Cut(sink_, ticker_);
  sim_.RunFor(1s);
  EXPECT_GT(received_.bytes.size(), 200u);
  const std::size_t stuck = sent_.bytes.size();
  sim_.RunFor(1s);
  EXPECT_EQ(sent_.bytes.size(), stuck);
  sim_.Heal(sink_, ticker_);
  sim_.RunFor(1s);
  EXPECT_GT(sent_.bytes.size(), stuck + 900);
}

// With reset_on_heal both sides see a dead connection instead.
TEST_F(Faults, HealingMayReset) {
  StreamKnobs knobs;
  knobs.reset_on_heal = 1;
  sim_.SetStreams(knobs);
  StartBoth();
  sim_.CutBoth(ticker_, sink_);
  sim_.RunFor(50ms);
  sim_.HealAll();
  sim_.RunFor(50ms);
  EXPECT_EQ(received_.error, ErrorCode::kConnectionClosed);
  EXPECT_EQ(sent_.error, ErrorCode::kConnectionClosed);
}

// Connecting: refused at a machine without the listener, timed out across a cut and at a machine
// that is off.
TEST_F(Faults, ConnectIsRefusedOrTimesOut) {
  const auto connect = [&] {
    Network& network = sim_.world(ticker_).network();
    const Instant start = sim_.Now();
    const auto result = sim_.BlockOn(network.Connect({"10.0.0.1", kPort}, 3s));
    EXPECT_FALSE(result.has_value());
    if (!result) EXPECT_EQ(result.error().code, ErrorCode::kConnectFailed);
    return sim_.Now() - start;
  };
  sim_.Start(ticker_, [](World& world) { return SleepLong(&world); });
  sim_.Start(sink_, [](World& world) { return SleepLong(&world); });
  EXPECT_LT(connect(), 10ms);
  sim_.Cut(sink_, ticker_);
  EXPECT_GE(connect(), 3s);
  sim_.HealAll();
  sim_.Kill(sink_, Death::kProcess);
  EXPECT_LT(connect(), 10ms);
  sim_.Start(sink_, [](World& world) { return SleepLong(&world); });
  sim_.Kill(sink_, Death::kPowerOff);
  EXPECT_GE(connect(), 3s);
}

// A killed node's peers see a reset; a node without power says nothing until it is back.
TEST_F(Faults, DeathResetsPeersUnlessThePowerIsOff) {
  StartBoth();
  sim_.Kill(sink_, Death::kMachine);
  sim_.RunFor(20ms);
  EXPECT_EQ(sent_.error, ErrorCode::kConnectionClosed);
  sim_.Kill(ticker_);
  received_ = sent_ = {};
  StartBoth();
  sim_.Kill(sink_, Death::kPowerOff);
  sim_.RunFor(1s);
  EXPECT_FALSE(sent_.error.has_value());
  sim_.Restart(sink_);
  sim_.RunFor(20ms);
  EXPECT_EQ(sent_.error, ErrorCode::kConnectionClosed);
}

// A paused node takes bytes but does nothing; afterwards it does all of it.
TEST_F(Faults, APausedNodeCatchesUp) {
  StartBoth();
  sim_.Pause(ticker_);
  const std::size_t before = sent_.bytes.size();
  sim_.RunFor(500ms);
  EXPECT_EQ(sent_.bytes.size(), before);
  sim_.Resume(ticker_);
  sim_.Pause(sink_);
  sim_.RunFor(500ms);
  const std::size_t seen = received_.bytes.size();
  EXPECT_LE(seen, before);
  sim_.Resume(sink_);
  sim_.RunFor(10ms);
  EXPECT_GT(received_.bytes.size(), seen + 400);
}

Task<void> CrashSoon(World* world, Notification* never) {
  co_await Sleep(world->executor(), 5ms);
  world->Crash("the disk refused a sync");
  co_await never->Wait();
}

// World::Crash destroys the node at the end of its turn and tells the harness, which may restart
// it.
TEST_F(Faults, CrashTellsTheHarness) {
  Notification never(sim_.executor());
  std::vector<std::string> reasons;
  sim_.OnCrash([&](NodeHandle node, const std::string& reason) {
    EXPECT_EQ(node, sink_);
    EXPECT_FALSE(sim_.running(node));
    reasons.push_back(reason);
    if (reasons.size() < 3) sim_.Restart(node);
  });
  sim_.Start(sink_, [&never](World& world) { return CrashSoon(&world, &never); });
  sim_.RunFor(1s);
  EXPECT_EQ(reasons, std::vector<std::string>(3, "the disk refused a sync"));
  EXPECT_FALSE(sim_.running(sink_));
}

struct Leak {
  std::optional<Scope> scope;
};
Task<void> LeakFrame(World* world, Leak* leak) {
  leak->scope.emplace();
  leak->scope->Spawn(SleepLong(world));
  co_return;
}

// A frame that outlives its node is found at the kill.
TEST(FaultsDeathTest, AFrameThatSurvivesItsNodeIsFound) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Simulation sim(SimOptions{});
        Leak leak;
        const NodeHandle node = sim.AddNode("node", "10.0.0.1");
        sim.Start(node, [&leak](World& world) { return LeakFrame(&world, &leak); });
        sim.RunFor(1s);
        sim.Kill(node);
      },
      "frames.live == 0");
}

Task<void> CountDatagrams(World* world, std::vector<std::string>* got) {
  auto socket = world->network().Bind({"0.0.0.0", kPort});
  COT_ASSERT(socket.has_value());
  for (;;) {
    const auto datagram = co_await (*socket)->Receive();
    COT_ASSERT(datagram.has_value());
    got->push_back(datagram->payload);
  }
}

Task<void> SendDatagrams(World* world, int count) {
  auto socket = world->network().Bind({"0.0.0.0", 0});
  COT_ASSERT(socket.has_value());
  for (int i = 0; i < count; ++i) {
    const Status sent = (*socket)->Send({"10.0.0.1", kPort}, std::to_string(1000 + i));
    COT_ASSERT(sent.has_value());
    co_await Sleep(world->executor(), 100us);
  }
}

// Datagrams are lost, doubled and reordered as told, and dropped by a cut; never by default.
TEST_F(Faults, DatagramsAreLostDoubledAndReordered) {
  std::vector<std::string> got;
  const auto send = [&] {
    got.clear();
    sim_.Start(ticker_, [](World& world) { return SendDatagrams(&world, 1000); });
    sim_.RunFor(2s);
    sim_.Kill(ticker_);
    return std::set<std::string>(got.begin(), got.end()).size();
  };
  sim_.Start(sink_, [&got](World& world) { return CountDatagrams(&world, &got); });
  LinkKnobs knobs;
  knobs.delay_min = knobs.delay_max = 200us;
  sim_.SetAllLinks(knobs);
  EXPECT_EQ(send(), 1000u);
  EXPECT_TRUE(std::ranges::is_sorted(got));
  EXPECT_EQ(got.size(), 1000u);
  knobs.loss = 0.2;
  sim_.SetAllLinks(knobs);
  const std::size_t left = send();
  EXPECT_GT(left, 700u);
  EXPECT_LT(left, 900u);
  knobs.loss = 0;
  knobs.duplicate = 0.2;
  knobs.slow = 0.2;
  sim_.SetAllLinks(knobs);
  EXPECT_EQ(send(), 1000u);
  EXPECT_GT(got.size(), 1100u);
  EXPECT_FALSE(std::ranges::is_sorted(got));
  sim_.Cut(ticker_, sink_);
  EXPECT_EQ(send(), 0u);
}

// Groups of a partition lose each other only.
TEST_F(Faults, APartitionCutsBetweenGroups) {
  const NodeHandle third = sim_.AddNode("third", "10.0.0.3");
  sim_.Start(sink_, [this](World& world) { return Sink(&world, &received_); });
  sim_.Start(ticker_, [this](World& world) { return Ticker(&world, "10.0.0.1", &sent_); });
  Observed other;
  sim_.Start(third, [&other](World& world) { return Ticker(&world, "10.0.0.1", &other); });
  sim_.Partition({{sink_, third}, {ticker_}});
  sim_.RunFor(2s);
  EXPECT_EQ(sent_.error, ErrorCode::kConnectFailed);
  EXPECT_EQ(other.connections, 1);
  EXPECT_FALSE(other.error.has_value());
}

// Drift moves both clocks of its node and only them, and no timer fires early by its own clock.
TEST_F(Faults, ClocksDriftAndJump) {
  StartBoth();
  World& fast = sim_.world(sink_);
  World& slow = sim_.world(ticker_);
  ClockKnobs knobs;
  knobs.drift_ppb = 1'000'000;  // a millisecond a second
  sim_.SetClock(sink_, knobs);
  knobs.drift_ppb = -1'000'000;
  sim_.SetClock(ticker_, knobs);
  const Instant fast_before = fast.Now();
  const Instant slow_before = slow.Now();
  const auto middle = [](World& world) {
    const WallInterval wall = world.WallNow();
    return wall.earliest_ns + (wall.latest_ns - wall.earliest_ns) / 2;
  };
  const std::int64_t wall_before = middle(fast);
  sim_.RunFor(10s);
  EXPECT_EQ(fast.Now() - fast_before, 10'010ms);
  EXPECT_EQ(slow.Now() - slow_before, 9'990ms);
  EXPECT_EQ(middle(fast) - wall_before, 10'010'000'000);
  const auto sleep = [](World* world) -> Task<Duration> {
    const Instant wanted = world->Now() + 1s;
    co_await SleepUntil(world->executor(), wanted);
    const Duration late = world->Now() - wanted;
    co_return late;
  };
  for (World* world : {&fast, &slow}) {
    const Duration late = sim_.BlockOn(sleep(world));
    EXPECT_GE(late, Duration::zero());
    EXPECT_LT(late, Duration(10));
  }
  knobs.offset_ns = 5'000'000'000;
  knobs.bound_ns = 7;
  knobs.synchronized = false;
  knobs.honest = false;
  sim_.SetClock(ticker_, knobs);
  const WallInterval wall = slow.WallNow();
  EXPECT_EQ(wall.latest_ns - wall.earliest_ns, 14);
  EXPECT_FALSE(wall.synchronized);
}

// An honest clock's interval holds true time whatever it has drifted and jumped; only one that lies
// shows a narrow interval somewhere else.
TEST_F(Faults, HonestBoundsHoldTrueTime) {
  StartBoth();
  World& exact = sim_.world(sink_);
  World& wrong = sim_.world(ticker_);
  ClockKnobs knobs;
  knobs.bound_ns = 0;
  sim_.SetClock(sink_, knobs);
  knobs.bound_ns = 3'000'000;
  for (const std::int64_t offset_ns : {0LL, 40'000'000LL, -2'000'000'000LL}) {
    for (const std::int64_t drift_ppb : {0, 900'000, -900'000}) {
      knobs.offset_ns = offset_ns;
      knobs.drift_ppb = drift_ppb;
      sim_.SetClock(ticker_, knobs);
      sim_.RunFor(7s);
      const std::int64_t now = exact.WallNow().earliest_ns;
      const WallInterval wall = wrong.WallNow();
      EXPECT_LE(wall.earliest_ns, now);
      EXPECT_GE(wall.latest_ns, now);
      EXPECT_GE(wall.latest_ns - wall.earliest_ns, 6'000'000);
    }
  }
  knobs.honest = false;
  sim_.SetClock(ticker_, knobs);
  EXPECT_LT(wrong.WallNow().latest_ns, exact.WallNow().earliest_ns);
}

}  // namespace
}  // namespace coterie::runtime

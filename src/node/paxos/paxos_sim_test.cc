// Registers on whole nodes in the simulated world: what one client sees, one fault at a time. See
// register_history_test.cc for many clients and many faults.

#include <gtest/gtest.h>

#include "node/paxos/testing/paxos_cluster.h"

namespace coterie::node {
namespace {

using testing::PaxosCluster;
constexpr NodeId kA{1}, kB{2}, kC{3}, kD{4};

Registers::Decide Append(std::string text) {
  return [text](const std::optional<Registers::Value>& current) {
    const std::string before = current ? current->bytes : "";
    return Registers::Change{true, Registers::Value{before + text, 0}};
  };
}

// What one node wrote is read on every other, also on one without a replica; nothing was there.
TEST(Paxos, ReadsWhatWasWrittenAnywhere) {
  PaxosCluster cluster(1, 4, 3);
  cluster.StartAll();
  EXPECT_EQ(cluster.Text(kD, "k"), "(nothing)");
  const auto set = cluster.Set(kA, "k", "v");
  ASSERT_TRUE(set.has_value()) << Describe(set.error());
  EXPECT_EQ((**set).bytes, "v");
  for (const NodeId node : {kA, kB, kC, kD}) EXPECT_EQ(cluster.Text(node, "k"), "v");
  ASSERT_TRUE(cluster.Set(kD, "k", "w").has_value());
  for (const NodeId node : {kA, kB, kC, kD}) EXPECT_EQ(cluster.Text(node, "k"), "w");
  EXPECT_EQ(cluster.node(kB)->paxos->Find("other"), nullptr);
}

// The same writer's next change of a key is one round trip, and a read takes no ballot.
TEST(Paxos, RepeatsInOneRoundTrip) {
  PaxosCluster cluster(2, 3, 3);
  cluster.StartAll();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(cluster.Update(kA, "k", Append("x")).has_value());
  EXPECT_EQ(cluster.Text(kB, "k"), "xxxxxxxxxx");
  EXPECT_EQ(cluster.node(kA)->paxos->stats().rounds, 10u);
  EXPECT_EQ(cluster.node(kA)->paxos->stats().one_trip, 9u);
  EXPECT_EQ(cluster.node(kB)->paxos->stats().reads_settled, 0u);
}

// Changes of one key that arrive together are folded into few rounds, each exactly once, in order.
TEST(Paxos, FoldsWhatWaits) {
  PaxosCluster cluster(3, 3, 3);
  cluster.StartAll();
  int left = 100;
  for (int i = 0; i < 100; ++i) {
    cluster.On(kA, [&left](testing::PaxosNode& node) -> runtime::Task<void> {
      return [](testing::PaxosNode* n, int* count) -> runtime::Task<void> {
        const Instant deadline = n->world->Now() + 5s;
        auto done = co_await n->paxos->Find("r")->Update("k", Append("x"), deadline);
        EXPECT_TRUE(done.has_value());
        --*count;
      }(&node, &left);
    });
  }
  ASSERT_TRUE(cluster.RunUntil([&] { return left == 0; }));
  EXPECT_EQ(cluster.Text(kB, "k"), std::string(100, 'x'));
  EXPECT_LE(cluster.node(kA)->paxos->stats().rounds, 5u);
}

// A deleted register holds nothing, and can be set again.
TEST(Paxos, DeletesAndCompares) {
  PaxosCluster cluster(4, 3, 3);
  cluster.StartAll();
  ASSERT_TRUE(cluster.Set(kA, "k", "v").has_value());
  const auto set_if_absent = [](const std::optional<Registers::Value>& current) {
    return current ? Registers::Change{} : Registers::Change{true, Registers::Value{"new", 0}};
  };
  const auto refused = cluster.Update(kB, "k", set_if_absent);
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ((**refused).bytes, "v");
  const auto removed = cluster.Update(kB, "k", [](const std::optional<Registers::Value>&) {
    return Registers::Change{true, std::nullopt};
  });
  ASSERT_TRUE(removed.has_value());
  EXPECT_FALSE(removed->has_value());
  EXPECT_EQ(cluster.Text(kC, "k"), "(nothing)");
  const auto set = cluster.Update(kC, "k", set_if_absent);
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ((**set).bytes, "new");
}

// Keys of all shards come in order, pages fit together, deleted ones are left out.
TEST(Paxos, ListsKeys) {
  PaxosCluster cluster(5, 4, 3);
  cluster.StartAll();
  std::vector<std::string> expected;
  for (int i = 100; i < 140; ++i) {
    const std::string key = "k" + std::to_string(i);
    ASSERT_TRUE(cluster.Set(kA, key, "v").has_value());
    if (i % 4 != 0) expected.push_back(key);
    if (i % 4 != 0) continue;
    ASSERT_TRUE(cluster
                    .Update(kB, key,
                            [](const std::optional<Registers::Value>&) {
                              return Registers::Change{true, std::nullopt};
                            })
                    .has_value());
  }
  cluster.Kill(kC);
  std::vector<std::string> found;
  for (;;) {
    const auto page = cluster.Keys(kD, found.empty() ? "" : found.back(), 7);
    ASSERT_TRUE(page.has_value()) << Describe(page.error());
    found.insert(found.end(), page->begin(), page->end());
    if (page->size() < 7) break;
  }
  EXPECT_EQ(found, expected);
}

// What has expired is not listed, though nobody has touched it; and where one replica was away for
// many changes, what it does not agree on is read all at once.
TEST(Paxos, ListsWhatIsThere) {
  PaxosCluster cluster(8, 3, 3);
  cluster.StartAll();
  const std::int64_t now_ms = cluster.node(kA)->world->WallNow().latest_ns / 1'000'000;
  cluster.Kill(kC);
  std::vector<std::string> expected;
  for (int i = 100; i < 400; ++i) {
    const std::string key = "k" + std::to_string(i);
    const std::uint64_t until = i % 3 == 0 ? static_cast<std::uint64_t>(now_ms + 2000) : 0;
    ASSERT_TRUE(cluster.Set(kA, key, "v", until).has_value());
    if (i % 3 != 0) expected.push_back(key);
  }
  cluster.Start(kC);
  cluster.AwaitConnected();
  cluster.sim().RunFor(3s);
  cluster.Kill(kA);
  const auto page = cluster.Keys(kB, "", 1000);
  ASSERT_TRUE(page.has_value()) << Describe(page.error());
  EXPECT_EQ(*page, expected);
}

// Past its time a value is nothing for everybody at once, however the clocks differ: whoever's
// clock still says otherwise finds it deleted.
TEST(Paxos, ExpiresForEverybodyAtOnce) {
  PaxosCluster cluster(6, 3, 3);
  runtime::ClockKnobs slow;
  slow.offset_ns = -2'000'000'000;
  cluster.sim().SetClock(cluster.handle(kB), slow);
  cluster.StartAll();
  const std::int64_t now_ms = cluster.node(kA)->world->WallNow().latest_ns / 1'000'000;
  ASSERT_TRUE(cluster.Set(kA, "k", "v", static_cast<std::uint64_t>(now_ms + 1000)).has_value());
  EXPECT_EQ(cluster.Text(kA, "k"), "v");
  cluster.sim().RunFor(1500ms);
  EXPECT_EQ(cluster.Text(kB, "k"), "v");
  EXPECT_EQ(cluster.Text(kA, "k"), "(nothing)");
  EXPECT_EQ(cluster.Text(kB, "k"), "(nothing)");
}

// With a minority reachable nothing is read and nothing written, the refusal says so soon, and
// healing is enough.
TEST(Paxos, MinorityRefuses) {
  PaxosCluster cluster(7, 3, 3);
  cluster.StartAll();
  ASSERT_TRUE(cluster.Set(kA, "k", "v").has_value());
  cluster.sim().Partition({{cluster.handle(kA)}, {cluster.handle(kB), cluster.handle(kC)}});
  // The accept of this one is on its way: it may yet arrive.
  const auto repeated = cluster.Set(kA, "k", "lonely");
  ASSERT_FALSE(repeated.has_value());
  EXPECT_EQ(repeated.error().outcome, Outcome::kUnknown);
  // From here on the loss is known: all are refused at once, whatever they ask for.
  const Instant known = cluster.sim().Now();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(cluster.Text(kA, i % 2 == 0 ? "k" : "other"), "kTooFewReplicas");
    const auto fresh = cluster.Set(kA, i % 3 == 0 ? "k" : "fresh", "v");
    ASSERT_FALSE(fresh.has_value());
    EXPECT_EQ(fresh.error().code, ErrorCode::kTooFewReplicas);
    EXPECT_EQ(fresh.error().outcome, Outcome::kNotApplied);
    EXPECT_FALSE(cluster.Keys(kA, "", 10).has_value());
  }
  EXPECT_LT(cluster.sim().Now() - known, 10ms);
  EXPECT_EQ(cluster.Text(kB, "k"), "v");
  ASSERT_TRUE(cluster.Set(kC, "k", "w").has_value());
  cluster.sim().HealAll();
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Text(kA, "k") == "w"; }));
}

// Everything answered is there after all machines have lost power, whether it was in the journal
// or in the engine.
TEST(Paxos, SurvivesPowerLoss) {
  PaxosOptions options;
  options.write_back_interval = 20ms;
  options.cache_bytes_max = 4096;
  PaxosCluster cluster(8, 3, 3, options);
  cluster.StartAll();
  std::map<std::string, std::string> expected;
  for (int life = 0; life < 4; ++life) {
    for (int i = 0; i < 60; ++i) {
      const std::string key = "k" + std::to_string((i * 7 + life) % 90);
      const auto set = cluster.Update(NodeId(1 + i % 3), key, Append(std::to_string(life)));
      ASSERT_TRUE(set.has_value()) << Describe(set.error());
      expected[key] = (**set).bytes;
    }
    for (const NodeId node : {kA, kB, kC}) cluster.Kill(node, runtime::Death::kPowerOff);
    for (const NodeId node : {kA, kB, kC}) cluster.Start(node);
    cluster.AwaitConnected();
    for (const auto& [key, value] : expected) ASSERT_EQ(cluster.Text(kA, key), value) << key;
  }
}

// A replica moves from C to D while every machine is written to; then C and A are gone for good,
// and nothing is lost with them.
TEST(Paxos, ReplicaMoves) {
  using placement::Phase;
  PaxosCluster cluster(9, 4, 3);
  cluster.StartAll();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(cluster.Set(NodeId(1 + i % 4), "k" + std::to_string(i), "v").has_value());
  }
  cluster.SetReplicas({{kA}, {kB}, {kC}, {kD, Phase::kJoining, false, kC}});
  cluster.TellAll();
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Reported(kD); }));
  EXPECT_GE(cluster.node(kD)->paxos->stats().carried, 50u);
  ASSERT_TRUE(cluster.Set(kA, "k0", "w").has_value());
  cluster.SetReplicas({{kA}, {kB}, {kC, Phase::kLeaving}, {kD}});
  cluster.TellAll();
  ASSERT_TRUE(cluster.Set(kB, "k1", "w").has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Reported(kC); }));
  cluster.SetReplicas({{kA}, {kB}, {kD}});
  cluster.TellAll();
  ASSERT_TRUE(cluster.Set(kC, "k2", "w").has_value());
  cluster.Kill(kC, runtime::Death::kPowerOff);
  cluster.Kill(kA, runtime::Death::kPowerOff);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(cluster.Text(kD, "k" + std::to_string(i)), i < 3 ? "w" : "v") << i;
  }
}

// A node whose map is old is told so, waits for the newer one and then succeeds.
TEST(Paxos, WaitsForTheNewerMap) {
  PaxosCluster cluster(10, 4, 3);
  cluster.StartAll();
  ASSERT_TRUE(cluster.Set(kA, "k", "v").has_value());
  cluster.SetReplicas({{kA}, {kB}, {kC}, {kD}});
  for (const NodeId node : {kB, kC, kD}) cluster.Tell(node);
  cluster.sim().RunFor(10ms);
  std::optional<PaxosCluster::Answer> read;
  cluster.sim().Spawn([](PaxosCluster* c) -> runtime::Task<void> {
    co_await runtime::Sleep(c->sim().executor(), 400ms);
    c->Tell(kA);
  }(&cluster));
  const auto set = cluster.Set(kA, "k", "w");
  ASSERT_TRUE(set.has_value()) << Describe(set.error());
  EXPECT_EQ(cluster.Text(kD, "k"), "w");
}

}  // namespace
}  // namespace coterie::node

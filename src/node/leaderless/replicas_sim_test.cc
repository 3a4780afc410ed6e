// Convergent replicas of three to five nodes in the simulated world.

#include <gtest/gtest.h>

#include <algorithm>

#include "node/leaderless/testing/replica_cluster.h"
#include "node/leaderless/testing/writer_comes_back.h"

namespace coterie::node {
namespace {

using keyspace::Conflict;
using keyspace::Durability;
using runtime::Death;
using testing::ReplicaCluster;

const NodeId kA(1), kB(2), kC(3), kD(4);

/// Three nodes, one keyspace "ks" over all of them.
struct Three : ReplicaCluster {
  explicit Three(std::uint64_t seed, std::uint32_t read, std::uint32_t write,
                 Durability durability = Durability::kQuorumFsync,
                 Conflict conflict = Conflict::kCrdt)
      : ReplicaCluster(seed, 3) {
    AddKeyspace(Promise("ks", read, write, conflict, durability), {kA, kB, kC});
    StartAll();
  }
};

// A write acknowledged at W = 2 is on two replicas, and soon on all.
TEST(Leaderless, AWriteSpreads) {
  for (const Durability durability : {Durability::kQuorumFsync, Durability::kOneFsync,
                                      Durability::kInterval, Durability::kMemory}) {
    Three cluster(1, 1, 2, durability);
    const Status put = cluster.Put(kA, "ks", "k", "v");
    ASSERT_TRUE(put.has_value()) << Describe(put.error());
    int have = 0;
    for (const NodeId node : cluster.Nodes()) have += cluster.Get(node, "ks", "k") == "v" ? 1 : 0;
    EXPECT_GE(have, 2);
    EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 2s));
    for (const NodeId node : cluster.Nodes()) EXPECT_EQ(cluster.Get(node, "ks", "k"), "v");
  }
}

// A node that nobody reaches takes writes at W = 1, and the others get them after it heals; at
// W = 2 it says whether they may have happened.
TEST(Leaderless, ACutOffNodeKeepsWriting) {
  Three cluster(2, 1, 1);
  cluster.Isolate(kA);
  cluster.sim().RunFor(3s);
  ASSERT_TRUE(cluster.Put(kA, "ks", "a", "lonely").has_value());
  ASSERT_TRUE(cluster.Put(kB, "ks", "b", "majority").has_value());
  cluster.control.Change([](placement::ClusterMap& map) { map.keyspaces["ks"].promise.write = 2; });
  const Status put = cluster.Put(kA, "ks", "a2", "lonely");
  ASSERT_FALSE(put.has_value());
  EXPECT_TRUE(put.error().code == ErrorCode::kTimedOut ||
              put.error().code == ErrorCode::kTooFewReplicas);
  EXPECT_TRUE(cluster.Put(kB, "ks", "b2", "majority").has_value());
  EXPECT_EQ(cluster.Get(kA, "ks", "b"), std::nullopt);
  cluster.sim().HealAll();
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 15s));
  for (const NodeId node : cluster.Nodes()) {
    EXPECT_EQ(cluster.Get(node, "ks", "a"), "lonely");
    EXPECT_EQ(cluster.Get(node, "ks", "a2").has_value(), put.error().outcome == Outcome::kUnknown);
    EXPECT_EQ(cluster.Get(node, "ks", "b2"), "majority");
  }
}

// Fifty thousand mutations made while a node was away are there seconds after it is back.
TEST(Leaderless, CatchesUpInSeconds) {
  Three cluster(3, 1, 1, Durability::kInterval);
  cluster.Isolate(kC);
  cluster.sim().RunFor(1s);
  std::vector<ReplicaCluster::Answer> answers;
  for (int i = 0; i < 50'000; ++i) {
    const std::string key = "k" + std::to_string(i % 5000);
    const std::string value = std::to_string(i) + std::string(40, 'v');
    answers.push_back(
        cluster.WriteLater(i % 2 == 0 ? kA : kB, "ks", key,
                           [key, value](cells::Edit& edit) { edit.SetString(key, value); }));
    if (i % 100 == 0) cluster.sim().RunFor(1ms);
  }
  cluster.sim().RunFor(1s);
  for (const auto& answer : answers) ASSERT_TRUE(*answer && (*answer)->has_value());
  cluster.sim().HealAll();
  EXPECT_TRUE(cluster.RunUntil(
      [&] {
        for (const auto& shard : cluster.keyspace("ks").shards) {
          if (cluster.at(kC).store().Applied(shard.id) != cluster.at(kA).store().Applied(shard.id))
            return false;
        }
        return true;
      },
      5s));
  EXPECT_TRUE(cluster.Converged("ks"));
  EXPECT_EQ(cluster.at(kC).stats().reconciled, 0u);
}

// What one replica alone had from a machine that is gone for good, the others get from it.
TEST(Leaderless, MutationsOfTheDeadSpread) {
  Three cluster(4, 1, 1);
  cluster.Isolate(kC);
  cluster.sim().RunFor(1s);
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "v").has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Get(kB, "ks", "k") == "v"; }));
  cluster.Kill(kA, Death::kPowerOff);
  cluster.sim().HealAll();
  cluster.sim().RunFor(1ms);
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Get(kC, "ks", "k") == "v"; }, 10s));
  EXPECT_GT(cluster.at(kC).stats().pulled, 0u);
}

// Beyond the window of recent mutations, whole cells are compared and only those that differ are
// sent.
TEST(Leaderless, ReconcilesBeyondTheHistory) {
  ReplicaCluster cluster(5, 3);
  cluster.options.history_bytes_max = 8192;
  cluster.AddKeyspace(ReplicaCluster::Promise("ks", 1, 1, Conflict::kCrdt, Durability::kInterval),
                      cluster.Nodes());
  cluster.StartAll();
  cluster.sim().RunFor(1s);
  for (int i = 0; i < 2000; ++i)
    (void)cluster.WriteLater(kA, "ks", "base" + std::to_string(i), [i](cells::Edit& edit) {
      edit.SetString("base" + std::to_string(i), "x");
    });
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }));
  cluster.sim().RunFor(5s);
  const std::uint64_t before = cluster.at(kC).stats().reconciled;
  EXPECT_EQ(before, 0u);
  cluster.Isolate(kC);
  cluster.sim().RunFor(10s);  // longer than connections last
  for (int i = 0; i < 300; ++i) {
    const std::string key = "base" + std::to_string(i * 3);
    ASSERT_TRUE(cluster.Put(i % 2 == 0 ? kA : kB, "ks", key, std::string(100, 'y')).has_value());
  }
  ASSERT_TRUE(cluster.Put(kC, "ks", "mine", "z").has_value());
  cluster.sim().HealAll();
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 20s));
  const std::uint64_t fetched = cluster.at(kC).stats().reconciled - before;
  EXPECT_GT(fetched, 100u);
  EXPECT_LE(fetched, 700u);
  EXPECT_EQ(cluster.Get(kA, "ks", "mine"), "z");
}

// A removal that a replica missed is not undone by it, however long it was away, and the tombstone
// goes when it, too, has it.
TEST(Leaderless, TheRemovedStaysRemoved) {
  for (const std::size_t history : {std::size_t{64} << 20, std::size_t{1024}}) {
    ReplicaCluster cluster(6, 3);
    cluster.options.history_bytes_max = history;
    cluster.options.write_back_interval = 1s;
    cluster.AddKeyspace(
        ReplicaCluster::Promise("ks", 1, 1, Conflict::kCrdt, Durability::kQuorumFsync, 1),
        cluster.Nodes());
    cluster.StartAll();
    ASSERT_TRUE(cluster.Put(kA, "ks", "doomed", "v").has_value());
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }));
    cluster.Isolate(kC);
    cluster.sim().RunFor(1s);
    ASSERT_TRUE(cluster
                    .Write(kA, "ks", "doomed",
                           [](cells::Edit& edit) { EXPECT_TRUE(edit.RemoveKey("doomed")); })
                    .has_value());
    for (int i = 0; i < 100; ++i)
      ASSERT_TRUE(cluster.Put(kB, "ks", "other" + std::to_string(i), std::string(50, 'o')));
    cluster.sim().RunFor(600s);
    EXPECT_GT(cluster.at(kA).stats().tombstones, 0u);  // C may still have it
    cluster.sim().HealAll();
    EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 20s));
    for (const NodeId node : cluster.Nodes())
      EXPECT_EQ(cluster.Get(node, "ks", "doomed"), std::nullopt);
    EXPECT_TRUE(cluster.RunUntil(
        [&] {
          for (const NodeId node : cluster.Nodes()) {
            if (cluster.at(node).stats().tombstones > 0) return false;
          }
          return true;
        },
        20s));
  }
}

// A read at R = 2 sees what another reader at R = 2 was shown, wherever each of them asks, and what
// it was shown is on two replicas.
TEST(Leaderless, ReadsAtTwoRepairFirst) {
  Three cluster(7, 2, 1);
  cluster.Isolate(kA);
  cluster.sim().RunFor(1s);
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "v").has_value());
  const Status alone = cluster.Refresh(kA, "ks", "k", 2);
  ASSERT_FALSE(alone.has_value());
  EXPECT_EQ(alone.error().outcome, Outcome::kNotApplied);
  cluster.sim().HealAll();
  // Until the connections are back it is refused.
  Status fresh = Fail(ErrorCode::kTooFewReplicas);
  for (int i = 0; i < 1000 && !fresh; ++i) {
    cluster.sim().RunFor(1ms);
    fresh = cluster.Refresh(kB, "ks", "k", 3);
  }
  ASSERT_TRUE(fresh.has_value()) << Describe(fresh.error());
  EXPECT_EQ(cluster.Get(kB, "ks", "k"), "v");
  EXPECT_EQ(cluster.Get(kC, "ks", "k"), "v");
}

// Cells that a read joined ahead of their mutations are passed on by the next read, too.
TEST(Leaderless, ReadsPassOnWhatReadsHaveJoined) {
  ReplicaCluster cluster(8, 3);
  cluster.options.account_interval = 3600s;  // nothing comes by itself
  cluster.options.resend_after = 3600s;
  cluster.AddKeyspace(
      ReplicaCluster::Promise("ks", 2, 1, Conflict::kCrdt, Durability::kQuorumFsync, 1),
      cluster.Nodes());
  cluster.StartAll();
  cluster.sim().RunFor(1s);
  ASSERT_TRUE(cluster.Put(kA, "ks", "warm", "up").has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }));
  cluster.control.deaf = {kB, kC};
  // A refuses nobody, but B and C are told to be behind A's epoch: A's mutations reach them not.
  cluster.control.Change([](placement::ClusterMap& map) {
    for (auto& shard : map.keyspaces["ks"].shards) shard.epoch = Epoch(2);
  });
  cluster.sim().RunFor(1s);
  cluster.sim().Cut(cluster.handle(kA), cluster.handle(kC));
  cluster.sim().Cut(cluster.handle(kC), cluster.handle(kA));
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "v").has_value());
  ASSERT_TRUE(cluster.Refresh(kA, "ks", "k", 2, 1s).has_value());
  EXPECT_EQ(cluster.Get(kB, "ks", "k"), "v");
  ASSERT_TRUE(cluster.Refresh(kC, "ks", "k", 2, 1s).has_value());
  EXPECT_EQ(cluster.Get(kC, "ks", "k"), "v");
}

// A node whose clock has jumped ahead of the others' refuses what they would not take, says so, and
// goes on as soon as its clock is right again.
TEST(Leaderless, AClockFarAheadIsRefused) {
  for (const bool cut : {false, true}) {
    Three cluster(9, 1, 1);
    ASSERT_TRUE(cluster.Put(kA, "ks", "k", "before").has_value());
    cluster.sim().RunFor(3s);
    if (cut) cluster.Isolate(kA);
    cluster.sim().SetClock(cluster.handle(kA), {.offset_ns = 3'600'000'000'000});
    cluster.sim().RunFor(1ms);
    for (int i = 0; i < 3; ++i) {
      const Status ahead = cluster.Put(kA, "ks", "k", "ahead");
      ASSERT_FALSE(ahead.has_value());
      EXPECT_EQ(ahead.error().code, ErrorCode::kClockTooFarAhead);
      EXPECT_EQ(ahead.error().outcome, Outcome::kNotApplied);
      cluster.sim().RunFor(2s);
    }
    EXPECT_EQ(cluster.at(kA).clocks().writes_refused, 3u);
    for (const auto& [node, ms] : cluster.at(kA).clocks().ahead_ms) EXPECT_NEAR(ms, 3'600'000, 500);
    EXPECT_TRUE(
        cluster.sim().world(cluster.handle(kA)).conditions().Holds(ConditionKind::kClockSkew));
    ASSERT_TRUE(cluster.Put(kB, "ks", "k", "right").has_value());
    cluster.sim().SetClock(cluster.handle(kA), {});
    cluster.sim().RunFor(1ms);
    const Status again = cluster.Put(kA, "ks", "k2", "again");
    ASSERT_TRUE(again.has_value()) << Describe(again.error());
    cluster.sim().HealAll();
    EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 20s));
    EXPECT_EQ(cluster.Get(kA, "ks", "k"), "right");
    EXPECT_EQ(cluster.Get(kC, "ks", "k2"), "again");
    cluster.sim().RunFor(3s);
    EXPECT_FALSE(
        cluster.sim().world(cluster.handle(kA)).conditions().Holds(ConditionKind::kClockSkew));
  }
}

// Before it has heard of anybody a node cannot know; what it stamps then is not applied elsewhere
// until the others' clocks get there. The limit is the same for a clock that nothing disciplines.
TEST(Leaderless, AStampFarAheadIsNotTaken) {
  Three cluster(22, 1, 1);
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "before").has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }));
  cluster.Kill(kA, Death::kProcess);
  cluster.Isolate(kA);
  cluster.sim().SetClock(cluster.handle(kA), {.offset_ns = 60'000'000'000});
  for (const NodeId node : {kB, kC})
    cluster.sim().SetClock(cluster.handle(node), {.bound_ns = 1'800'000'000'000});
  cluster.Start(kA);
  ASSERT_TRUE(cluster.RunUntil([&] {
    return cluster.up(kA) && cluster.at(kA).Serves(cluster.keyspace("ks").ShardOf("k"));
  }));
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "ahead").has_value());
  cluster.sim().HealAll();
  cluster.sim().RunFor(5s);
  EXPECT_EQ(cluster.Get(kB, "ks", "k"), "before");
  EXPECT_GT(cluster.at(kB).stats().clock_refused, 0u);
  EXPECT_EQ(cluster.Put(kA, "ks", "k", "more").error().code, ErrorCode::kClockTooFarAhead);
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Get(kB, "ks", "k") == "ahead"; }, 120s));
}

// A replica joins while writes go on, and has everything when it is counted; one that leaves goes
// when what it coordinated is elsewhere; no write fails meanwhile.
TEST(Leaderless, ReplicasMoveUnderWrites) {
  for (const std::size_t history : {std::size_t{64} << 20, std::size_t{2048}}) {
    ReplicaCluster cluster(10, 4);
    cluster.options.history_bytes_max = history;
    cluster.AddKeyspace(
        ReplicaCluster::Promise("ks", 1, 2, Conflict::kCrdt, Durability::kQuorumFsync),
        {kA, kB, kC});
    cluster.StartAll();
    int written = 0;
    std::vector<ReplicaCluster::Answer> answers;
    const auto write = [&](int count) {
      for (int i = 0; i < count; ++i) {
        const std::string key = "k" + std::to_string(written % 700);
        const NodeId at = written % 2 == 0 ? kA : kB;
        ++written;
        answers.push_back(cluster.WriteLater(
            at, "ks", key, [key](cells::Edit& edit) { (void)edit.Increment(key, 1); }, 5s));
        cluster.sim().RunFor(500us);
      }
    };
    write(1000);
    cluster.control.Change([](placement::ClusterMap& map) {
      for (auto& shard : map.keyspaces["ks"].shards) {
        ++shard.epoch;
        shard.replicas.push_back({kD, placement::Phase::kJoining});
      }
    });
    write(1500);
    const auto phase_of = [&](NodeId node) {
      std::set<int> phases;
      for (const auto& shard : cluster.keyspace("ks").shards) {
        int phase = 0;
        for (const auto& replica : shard.replicas)
          if (replica.node == node) phase = static_cast<int>(replica.phase);
        phases.insert(phase);
      }
      return phases;
    };
    ASSERT_TRUE(cluster.RunUntil([&] { return phase_of(kD) == std::set<int>{1}; }, 20s));
    cluster.control.Change([](placement::ClusterMap& map) {
      for (auto& shard : map.keyspaces["ks"].shards) {
        ++shard.epoch;
        for (auto& replica : shard.replicas)
          if (replica.node == kC) replica.phase = placement::Phase::kLeaving;
      }
    });
    write(500);
    ASSERT_TRUE(cluster.RunUntil([&] { return phase_of(kC) == std::set<int>{0}; }, 20s));
    write(100);
    cluster.sim().RunFor(6s);
    for (const auto& answer : answers) {
      ASSERT_TRUE(answer->has_value());
      ASSERT_TRUE((*answer)->has_value()) << Describe((*answer)->error());
    }
    EXPECT_TRUE(cluster.Converged("ks"));
    std::int64_t total = 0;
    for (int i = 0; i < 700; ++i)
      total += std::stoll(cluster.Get(kD, "ks", "k" + std::to_string(i)).value_or("0"));
    EXPECT_EQ(total, written);
    for (const auto& shard : cluster.keyspace("ks").shards)
      EXPECT_FALSE(cluster.at(kC).store().HasShard(shard.id));
  }
}

// A shard leaves a node that has written to it and comes back to the same process: the node learns
// its own mutations anew, goes on counting after them, and nothing is lost.
TEST(Leaderless, AShardComesBackToItsWriter) {
  ReplicaCluster cluster(12, 4);
  cluster.AddKeyspace(ReplicaCluster::Promise("ks", 1, 1, Conflict::kCrdt, Durability::kInterval),
                      {kA, kB, kC});
  cluster.StartAll();
  const auto add = [&](NodeId at, int times) {
    for (int i = 0; i < times; ++i) {
      const Status added =
          cluster.Write(at, "ks", "n", [](cells::Edit& edit) { (void)edit.Increment("n", 1); });
      ASSERT_TRUE(added.has_value()) << Describe(added.error());
    }
  };
  const auto move = [&](NodeId from, NodeId to) {
    const auto change = [&](auto edit) {
      cluster.control.Change([&](placement::ClusterMap& map) {
        for (auto& shard : map.keyspaces["ks"].shards) {
          ++shard.epoch;
          edit(shard.replicas);
        }
      });
    };
    const auto everywhere = [&](NodeId node, int phase) {
      return cluster.RunUntil(
          [&] {
            for (const auto& shard : cluster.keyspace("ks").shards) {
              int found = 0;
              for (const auto& replica : shard.replicas)
                if (replica.node == node) found = static_cast<int>(replica.phase);
              if (found != phase) return false;
            }
            return true;
          },
          20s);
    };
    change([&](auto& replicas) { replicas.push_back({to, placement::Phase::kJoining}); });
    ASSERT_TRUE(everywhere(to, 1));
    change([&](auto& replicas) {
      for (auto& replica : replicas)
        if (replica.node == from) replica.phase = placement::Phase::kLeaving;
    });
    ASSERT_TRUE(everywhere(from, 0));
  };
  add(kC, 5);
  cluster.sim().RunFor(2s);
  move(kC, kD);
  add(kA, 3);
  move(kD, kC);
  add(kC, 4);
  cluster.sim().RunFor(3s);
  EXPECT_TRUE(cluster.Converged("ks"));
  EXPECT_EQ(cluster.Get(kA, "ks", "n"), "12");
  EXPECT_EQ(cluster.Get(kC, "ks", "n"), "12");
}

// As above, but who has its last mutation is down when it comes back, so that those who are up know
// of fewer than it has made: what it makes then is told from what it made before.
TEST(Leaderless, AWriterThatComesBackUsesNoDotTwice) {
  testing::WriterComesBack cluster(16);
  cluster.Run();
  EXPECT_EQ(cluster.Values(), (std::vector<std::string>{"8", "8", "8"}));
  EXPECT_TRUE(cluster.Converged("ks"));
}

// A coordinator that has not heard of the newest map is refused, waits for it, and its write is
// then acknowledged; nothing is written twice.
TEST(Leaderless, AStaleMapIsWaitedFor) {
  Three cluster(11, 1, 2);
  cluster.control.deaf = {kA};
  cluster.control.Change([](placement::ClusterMap& map) {
    for (auto& shard : map.keyspaces["ks"].shards) ++shard.epoch;
  });
  cluster.sim().RunFor(100ms);
  const auto answer = cluster.WriteLater(
      kA, "ks", "n", [](cells::Edit& edit) { (void)edit.Increment("n", 1); }, 5s);
  cluster.sim().RunFor(1s);
  EXPECT_FALSE(answer->has_value());
  EXPECT_EQ(cluster.Get(kB, "ks", "n"), std::nullopt);
  cluster.control.deaf.clear();
  cluster.control.Tell();
  ASSERT_TRUE(cluster.RunUntil([&] { return answer->has_value(); }, 5s));
  EXPECT_TRUE((*answer)->has_value());
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 5s));
  EXPECT_EQ(cluster.Get(kC, "ks", "n"), "1");
}

// What expired is removed, once, and its tombstones go.
TEST(Leaderless, TheExpiredIsRemoved) {
  Three cluster(12, 1, 2);
  const std::uint64_t now = cluster.at(kA).store().wall_ms();
  ASSERT_TRUE(cluster
                  .Write(kA, "ks", "k",
                         [now](cells::Edit& edit) {
                           edit.SetString("k", "v");
                           edit.SetExpiry("k", now + 2000);
                         })
                  .has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Get(kC, "ks", "k") == "v"; }));
  cluster.sim().RunFor(2500ms);
  for (const NodeId node : cluster.Nodes()) EXPECT_EQ(cluster.Get(node, "ks", "k"), std::nullopt);
  EXPECT_TRUE(cluster.RunUntil(
      [&] {
        for (const NodeId node : cluster.Nodes()) {
          if (cluster.at(node).stats().tombstones > 0) return false;
        }
        return cluster.Converged("ks");
      },
      20s));
  std::uint64_t written = 0;
  for (const NodeId node : cluster.Nodes()) written += cluster.at(node).stats().written;
  EXPECT_EQ(written, 2u);  // the write and one removal
}

// A set of very many members is deleted, and expires, for every reader at once; a write to it waits
// until it is gone; what was added without knowledge of the deletion stays.
TEST(Leaderless, LargeSetsGoInParts) {
  Three cluster(17, 1, 2);
  const auto fill = [](cells::Edit& edit) {
    for (int i = 0; i < 25'000; ++i) edit.SetAdd("set", "m" + std::to_string(i));
  };
  const auto size_at = [&](NodeId node) {
    return cluster.at(node).store().Size(cluster.keyspace("ks").ShardOf("set").id, "set",
                                         cells::ObjectType::kSet);
  };
  const auto all_show = [&](std::uint64_t size) {
    return std::ranges::all_of(cluster.Nodes(), [&](NodeId node) { return size_at(node) == size; });
  };
  ASSERT_TRUE(cluster.Write(kA, "ks", "set", fill).has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return all_show(25'000); }));
  cluster.Isolate(kC);
  ASSERT_TRUE(
      cluster.Write(kA, "ks", "set", [](cells::Edit& edit) { EXPECT_TRUE(edit.RemoveKey("set")); })
          .has_value());
  EXPECT_EQ(size_at(kA), 0u);
  EXPECT_EQ(size_at(kB), 0u);
  const auto late = cluster.WriteLater(
      kC, "ks", "set", [](cells::Edit& edit) { edit.SetAdd("set", "new"); }, 30s);
  const Status early =
      cluster.Write(kB, "ks", "set", [](cells::Edit& edit) { edit.SetAdd("set", "x"); });
  ASSERT_FALSE(early.has_value());
  EXPECT_EQ(early.error().code, ErrorCode::kBeingRemoved);
  EXPECT_EQ(early.error().outcome, Outcome::kNotApplied);
  cluster.sim().HealAll();
  ASSERT_TRUE(cluster.RunUntil([&] { return late->has_value() && all_show(1); }, 20s));
  EXPECT_TRUE((*late)->has_value());
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }));
  const auto fill_again = [&](cells::Edit& edit) {
    fill(edit);
    edit.SetExpiry("set", cluster.at(kA).store().wall_ms() + 2000);
  };
  ASSERT_TRUE(cluster.Write(kA, "ks", "set", fill_again).has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return all_show(25'001); }));
  ASSERT_TRUE(cluster.RunUntil([&] { return all_show(0); }));
  EXPECT_TRUE(cluster.RunUntil(
      [&] {
        return std::ranges::all_of(
            cluster.Nodes(), [&](NodeId node) { return cluster.at(node).stats().tombstones == 0; });
      },
      100s));
}

// Who deletes such a set dies in the middle: nobody shows half of it, and the others end it.
TEST(Leaderless, ADeletionInPartsIsEnded) {
  Three cluster(18, 1, 2);
  ASSERT_TRUE(cluster
                  .Write(kA, "ks", "set",
                         [](cells::Edit& edit) {
                           for (int i = 0; i < 25'000; ++i)
                             edit.SetAdd("set", "m" + std::to_string(i));
                         })
                  .has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }));
  ASSERT_TRUE(
      cluster.Write(kA, "ks", "set", [](cells::Edit& edit) { edit.RemoveKey("set"); }).has_value());
  cluster.sim().RunFor(5ms);
  cluster.Kill(kA, Death::kProcess);
  const ShardId shard = cluster.keyspace("ks").ShardOf("set").id;
  for (const NodeId node : {kB, kC}) {
    EXPECT_TRUE(cluster.RunUntil(
        [&] { return cluster.at(node).store().TypeOf(shard, "set") == cells::ObjectType::kNone; }));
    EXPECT_GT(cluster.at(node).store().LeavingOf(shard, "set").since_ms, 0u);
  }
  EXPECT_TRUE(cluster.RunUntil(
      [&] {
        return cluster
            .Write(
                kB, "ks", "set", [](cells::Edit& edit) { edit.SetAdd("set", "x"); }, 10ms)
            .has_value();
      },
      120s));
}

// What one mutation may not hold is refused as not applied, and nothing of it is kept.
TEST(Leaderless, TheTooLargeIsRefused) {
  Three cluster(19, 1, 2);
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "small").has_value());
  const Status refused = cluster.Write(kA, "ks", "k", [](cells::Edit& edit) {
    edit.SetString("k", "large");
    for (int i = 0; i < 40; ++i) edit.HashSet("h", std::to_string(i), std::string(1 << 20, 'x'));
  });
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(refused.error().outcome, Outcome::kNotApplied);
  EXPECT_EQ(cluster.Get(kA, "ks", "k"), "small");
  EXPECT_EQ(cluster.Put(kA, "ks", "k", std::string(34u << 20, 'x')).error().code,
            ErrorCode::kTooLarge);
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", std::string(30u << 20, 'x'), 20s).has_value());
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 20s));
}

// A restart finds all that was journaled, goes on under a new incarnation, and a clean stop leaves
// nothing to replay.
TEST(Leaderless, RestartsWithEverything) {
  ReplicaCluster cluster(13, 1);
  cluster.AddKeyspace(
      ReplicaCluster::Promise("ks", 1, 1, Conflict::kCrdt, Durability::kQuorumFsync), {kA});
  cluster.StartAll();
  for (int life = 1; life <= 5; ++life) {
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(
          cluster.Write(kA, "ks", "n", [](cells::Edit& edit) { (void)edit.Increment("n", 1); })
              .has_value());
    }
    if (life % 2 == 0) cluster.sim().RunFor(10s);
    if (life == 4) {
      bool stopped = false;
      cluster.On(kA, [&stopped](LeaderlessReplicas& replicas, runtime::World& world) {
        return [](LeaderlessReplicas* r, Instant deadline, bool* done) -> runtime::Task<void> {
          co_await r->PrepareToStop(deadline);
          *done = true;
        }(&replicas, world.Now() + 5s, &stopped);
      });
      ASSERT_TRUE(cluster.RunUntil([&] { return stopped; }));
    }
    cluster.Kill(kA, Death::kMachine);
    cluster.StartAll();
    ASSERT_FALSE(cluster.failure(kA).has_value());
    EXPECT_EQ(cluster.Get(kA, "ks", "n"), std::to_string(50 * life));
  }
}

// What last-writer-wins dropped is reported; digests tell replicas apart; lag says who lacks how
// much; stable time follows the clocks.
TEST(Leaderless, SaysWhatItKnows) {
  Three cluster(14, 1, 1, Durability::kQuorumFsync, Conflict::kLww);
  cluster.Isolate(kC);
  cluster.sim().RunFor(1s);
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "from A").has_value());
  ASSERT_TRUE(cluster.Put(kC, "ks", "k", "from C").has_value());
  cluster.sim().RunFor(2s);
  const auto& keyspace = cluster.keyspace("ks");
  const auto& shard = keyspace.ShardOf("k");
  for (const auto& lag : cluster.at(kA).lag(keyspace)) {
    EXPECT_EQ(lag.mutations, lag.node == kC ? 1u : 0u);
    EXPECT_EQ(lag.bytes > 0, lag.node == kC);
  }
  const auto before = cluster.at(kA).StableTime(shard);
  cluster.sim().RunFor(5s);
  EXPECT_EQ(cluster.at(kA).StableTime(shard), before);  // C may be writing
  cluster.sim().HealAll();
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }, 15s));
  cluster.sim().RunFor(3s);
  EXPECT_GT(cluster.at(kA).StableTime(shard), before);
  std::uint64_t reported = 0;
  for (const NodeId node : cluster.Nodes()) {
    const auto conflicts = cluster.at(node).conflicts(keyspace);
    reported += conflicts.count;
    for (const auto& conflict : conflicts.newest) {
      EXPECT_EQ(conflict.key, "k");
      EXPECT_EQ(conflict.value, "from A");
    }
  }
  EXPECT_GT(reported, 0u);
  std::optional<Result<std::vector<ShardDigest>>> digests;
  cluster.On(kB, [&](LeaderlessReplicas& replicas, runtime::World& world) {
    return [](LeaderlessReplicas* r, const placement::Keyspace* k, Instant deadline,
              std::optional<Result<std::vector<ShardDigest>>>* out) -> runtime::Task<void> {
      auto answer = co_await r->Digests(*k, deadline);
      out->emplace(std::move(answer));
    }(&replicas, &keyspace, world.Now() + 5s, &digests);
  });
  ASSERT_TRUE(cluster.RunUntil([&] { return digests.has_value(); }));
  ASSERT_TRUE(digests->has_value());
  ASSERT_EQ((*digests)->size(), 3 * keyspace.shards.size());
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_EQ((**digests)[i].digest, (**digests)[0].digest);
    EXPECT_EQ((**digests)[i].applied, (**digests)[0].applied);
  }
}

// Who lost is known after all nodes have been restarted, each counted once, however often, and
// whether the journal or the engine has it.
TEST(Leaderless, LosersOutliveRestarts) {
  Three cluster(20, 1, 2, Durability::kQuorumFsync, Conflict::kLww);
  cluster.sim().RunFor(2s);  // they are connected
  const auto race = [&](int round) {
    cluster.Isolate(kC);
    cluster.sim().RunFor(1s);
    const std::string key = "k" + std::to_string(round);
    const auto late = cluster.WriteLater(
        kC, "ks", key, [key](cells::Edit& edit) { edit.SetString(key, "from C"); }, 30s);
    cluster.sim().RunFor(1s);
    EXPECT_TRUE(cluster.Put(kA, "ks", key, "from A").has_value());
    cluster.sim().HealAll();
    EXPECT_TRUE(
        cluster.RunUntil([&] { return late->has_value() && cluster.Converged("ks"); }, 30s));
  };
  const auto seen = [&] {
    std::vector<std::string> all;
    for (const NodeId node : cluster.Nodes()) {
      const auto of = cluster.at(node).conflicts(cluster.keyspace("ks"));
      std::string text = std::to_string(of.count);
      for (const auto& one : of.newest) text += " " + one.key + "=" + one.value;
      all.push_back(std::move(text));
    }
    return all;
  };
  for (int round = 0; round < 6; ++round) {
    race(round);
    cluster.sim().RunFor(round % 2 == 0 ? 30s : 1s);  // it is written back, or journaled
    const std::vector<std::string> before = seen();
    EXPECT_EQ(before[0].substr(0, 1), std::to_string(round + 1));
    for (int times = 0; times < 2; ++times) {
      for (const NodeId node : cluster.Nodes()) cluster.Kill(node, Death::kMachine);
      cluster.StartAll();
      cluster.sim().RunFor(times * 30s);
      EXPECT_EQ(seen(), before);
    }
  }
}

// While all are up again, a quorum read is answered at once, whatever was lost on the way before;
// and while they are not, reads and writes are refused as soon as it is known.
TEST(Leaderless, QuorumsAreAnsweredOrRefusedSoon) {
  for (int fault = 0; fault < 3; ++fault) {
    Three cluster(23, 2, 2);
    ASSERT_TRUE(cluster.Put(kA, "ks", "k", "v").has_value());
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.Converged("ks"); }));
    const auto took = [&](const std::function<void()>& what) {
      const Instant before = cluster.sim().Now();
      what();
      return cluster.sim().Now() - before;
    };
    if (fault == 0) {
      cluster.Isolate(kA);
    } else {
      for (const NodeId node : {kB, kC})
        cluster.Kill(node, fault == 1 ? Death::kProcess : Death::kPowerOff);
    }
    cluster.sim().RunFor(12s);
    for (int i = 0; i < 2; ++i) {
      Status put, read;
      EXPECT_LT(took([&] { put = cluster.Put(kA, "ks", "k", "w", 5s); }), 100ms);
      EXPECT_LT(took([&] { read = cluster.Refresh(kA, "ks", "k", 2, 5s); }), 100ms);
      ASSERT_FALSE(put.has_value());
      ASSERT_FALSE(read.has_value());
      EXPECT_EQ(put.error().code, ErrorCode::kTooFewReplicas);
      EXPECT_EQ(put.error().outcome, Outcome::kNotApplied);
      EXPECT_EQ(read.error().outcome, Outcome::kNotApplied);
    }
    if (fault == 0) cluster.sim().HealAll();
    for (const NodeId node : {kB, kC}) {
      if (fault > 0) cluster.Start(node);
    }
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.up(kB) && cluster.up(kC); }));
    cluster.sim().RunFor(2s);
    Status put, read;
    EXPECT_LT(took([&] { read = cluster.Refresh(kA, "ks", "k", 2, 5s); }), 1s);
    EXPECT_LT(took([&] { put = cluster.Put(kA, "ks", "k", "x", 5s); }), 1s);
    EXPECT_TRUE(read.has_value()) << fault << Describe(read.error());
    EXPECT_TRUE(put.has_value()) << fault << Describe(put.error());
  }
}

// A write that waits for replicas that cannot be reached is not kept until its deadline.
TEST(Leaderless, AWriteDoesNotWaitForTheLost) {
  Three cluster(24, 1, 2);
  ASSERT_TRUE(cluster.Put(kA, "ks", "k", "v").has_value());
  for (const NodeId node : {kB, kC}) cluster.Kill(node, Death::kProcess);
  const Instant before = cluster.sim().Now();
  const Status put = cluster.Put(kA, "ks", "k", "w", 30s);
  ASSERT_FALSE(put.has_value());
  EXPECT_EQ(put.error().code, ErrorCode::kTooFewReplicas);
  EXPECT_LT(cluster.sim().Now() - before, 2s);
}

// Writes that W replicas do not have are bounded; over it they are refused as not applied, and a
// keyspace that asks for less goes on.
TEST(Leaderless, UnacknowledgedWritesAreBounded) {
  ReplicaCluster cluster(15, 3);
  cluster.options.unacknowledged_max = 100;
  cluster.AddKeyspace(
      ReplicaCluster::Promise("ks", 1, 2, Conflict::kCrdt, Durability::kInterval, 1),
      cluster.Nodes());
  cluster.AddKeyspace(
      ReplicaCluster::Promise("other", 1, 1, Conflict::kCrdt, Durability::kInterval, 1),
      cluster.Nodes());
  cluster.StartAll();
  cluster.Isolate(kA);
  std::vector<ReplicaCluster::Answer> answers;
  for (int i = 0; i < 150; ++i) {
    answers.push_back(cluster.WriteLater(
        kA, "ks", "n", [](cells::Edit& edit) { (void)edit.Increment("n", 1); }, 30s));
  }
  ASSERT_TRUE(cluster.Put(kA, "other", "k", "v").has_value());
  cluster.sim().HealAll();
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return std::ranges::all_of(answers, [](const auto& a) { return a->has_value(); }); },
      15s));
  int acknowledged = 0;
  for (const auto& answer : answers) {
    ASSERT_TRUE(answer->has_value());
    acknowledged += (*answer)->has_value() ? 1 : 0;
    if (**answer) continue;
    EXPECT_EQ((*answer)->error().code, ErrorCode::kOverloaded);
    EXPECT_EQ((*answer)->error().outcome, Outcome::kNotApplied);
  }
  EXPECT_EQ(acknowledged, 100);
  EXPECT_EQ(cluster.Get(kB, "ks", "n"), "100");
}

}  // namespace
}  // namespace coterie::node

// Replicas of whole nodes in the simulated world: proposals, reads, leadership, whole states.

#include <gtest/gtest.h>

#include "node/raft_codec.h"
#include "node/testing/node_cluster.h"

namespace coterie::node {
namespace {

using testing::NodeCluster;

/// The state is several chunks of a snapshot.
constexpr int kValues = 80;
constexpr std::size_t kValueBytes = 64u << 10;

void PutMany(NodeCluster& cluster, NodeId at, int count, std::size_t bytes) {
  for (int i = 0; i < count; ++i) {
    const std::string key = "key" + std::to_string(i);
    const auto put = cluster.Put(at, key, key + std::string(bytes, 'x'));
    ASSERT_TRUE(put.has_value()) << Describe(put.error());
  }
}

std::uint64_t ChunksTaken(NodeCluster& cluster, NodeId id) {
  Node* node = cluster.node(id);
  return node == nullptr ? 0 : node->raft_replica().snapshots().chunks_taken();
}

bool Same(NodeCluster& cluster, NodeId a, NodeId b) {
  const auto left = cluster.node(a)->store().HashKv(0);
  const auto right = cluster.node(b)->store().HashKv(0);
  return left && right && left->hash == right->hash &&
         cluster.node(a)->store().revision() == cluster.node(b)->store().revision();
}

// A follower passes a proposal on and answers with what applying it here gave.
TEST(RaftReplica, ForwardedProposalIsAnsweredWhereItWasMade) {
  NodeCluster cluster(1, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId follower = cluster.Other(leader);
  const auto put = cluster.Put(follower, "k", "v");
  ASSERT_TRUE(put.has_value()) << Describe(put.error());
  EXPECT_EQ(*put, 2);
  EXPECT_EQ(cluster.Value(follower, "k"), "v");
}

// A barrier on a follower covers every write acknowledged before it, though nobody told the
// follower.
TEST(RaftReplica, ReadBarrierOnAFollower) {
  NodeCluster cluster(2, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId follower = cluster.Other(leader);
  for (int i = 0; i < 20; ++i) {
    const std::string value = std::to_string(i);
    ASSERT_TRUE(cluster.Put(leader, "k", value).has_value());
    ASSERT_TRUE(cluster.ReadBarrier(follower).has_value());
    EXPECT_EQ(cluster.Value(follower, "k"), value);
  }
}

// Where nobody waits, reads or watches, what is committed is applied a little later, together; who
// looks, and who watches, sees it at once.
TEST(RaftReplica, GathersWhatNobodyWaitsFor) {
  NodeCluster cluster(5, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId id = cluster.Other(leader);
  Node& follower = *cluster.node(id);
  const auto put_and_tell = [&](const std::string& value) {
    const auto put = cluster.Put(leader, "k", value);
    ASSERT_TRUE(put.has_value()) << Describe(put.error());
    const LogIndex index = cluster.node(leader)->replica().status().commit;
    ASSERT_TRUE(cluster.RunUntil([&] { return follower.replica().status().commit >= index; }));
    cluster.sim().RunFor(100us);
  };
  const auto behind = [&] {
    const ReplicaStatus status = follower.replica().status();
    return status.commit - status.applied;
  };
  put_and_tell("gathered");
  EXPECT_GT(behind(), 0u);
  cluster.sim().RunFor(10ms);
  EXPECT_EQ(behind(), 0u);

  put_and_tell("seen");
  EXPECT_GT(behind(), 0u);
  follower.replica().CatchUp();
  EXPECT_EQ(behind(), 0u);
  EXPECT_EQ(cluster.Value(id, "k"), "seen");

  runtime::Notification wake(follower.world().executor());
  const auto watcher = follower.store().Watch({.key = "k", .range_end = {}}, wake);
  put_and_tell("watched");
  EXPECT_EQ(behind(), 0u);
  EXPECT_TRUE(watcher->pending());
}

// Without a majority neither a barrier nor a proposal is answered with success; what was proposed
// to the lonely leader may yet happen, and says so.
TEST(RaftReplica, MinorityRefusesAndSaysWhetherItHappened) {
  NodeCluster cluster(3, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId a = cluster.Other(leader);
  const NodeId b = cluster.Other(leader, a);
  cluster.sim().Partition({{cluster.handle(leader)}, {cluster.handle(a), cluster.handle(b)}});
  const auto put = cluster.Put(leader, "k", "lonely", 3s);
  ASSERT_FALSE(put.has_value());
  EXPECT_EQ(put.error().outcome, Outcome::kUnknown);
  const Status barrier = cluster.ReadBarrier(leader);
  ASSERT_FALSE(barrier.has_value());
  const auto late = cluster.Put(leader, "k", "later", 6s);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kNoLeader);
  EXPECT_EQ(late.error().outcome, Outcome::kNotApplied);
  cluster.sim().HealAll();
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.node(leader)->replica().status().leader != NodeId(); }));
  const auto after = cluster.Put(leader, "k", "healed");
  ASSERT_TRUE(after.has_value()) << Describe(after.error());
  EXPECT_EQ(cluster.Value(leader, "k"), "healed");
}

// Once no leader has been known for a second, nobody waits to find that out anew; as soon as there
// is one again, requests are served.
TEST(RaftReplica, RefusesAtOnceWithoutALeader) {
  NodeCluster cluster(4, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId a = cluster.Other(leader);
  const NodeId b = cluster.Other(leader, a);
  ASSERT_TRUE(cluster.Put(a, "k", "v").has_value());
  cluster.Kill(leader);
  cluster.Kill(b);
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.node(a)->replica().status().leader == NodeId(); }, 10s));
  cluster.sim().RunFor(1s);
  for (int i = 0; i < 3; ++i) {
    const Instant asked = cluster.node(a)->world().Now();
    const auto put = cluster.Put(a, "k", "v");
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error().code, ErrorCode::kNoLeader);
    EXPECT_EQ(put.error().outcome, Outcome::kNotApplied);
    EXPECT_EQ(cluster.ReadBarrier(a).error().code, ErrorCode::kNoLeader);
    EXPECT_LT(cluster.node(a)->world().Now() - asked, 100ms);  // the simulation's time
  }
  cluster.Start(b);
  ASSERT_TRUE(
      cluster.RunUntil([&] { return cluster.node(a)->replica().status().leader != NodeId(); }));
  EXPECT_TRUE(cluster.Put(a, "k", "v").has_value());
}

runtime::Task<void> StopSoon(Node* node, bool* done) {
  const Instant deadline = node->world().Now() + 5s;
  co_await node->PrepareToStop(deadline);
  *done = true;
}

// A read whose index was learned just before its replica was cut off: the reads after it are
// refused in time, and do not wait for that index.
TEST(RaftReplica, ReadOfACutReplicaDoesNotHoldTheNext) {
  for (int step = 0; step < 40; ++step) {
    NodeCluster cluster(40, 3);
    cluster.StartAll();
    const NodeId leader = cluster.AwaitLeader();
    const NodeId follower = cluster.Other(leader);
    ASSERT_TRUE(cluster.Put(leader, "k", "v").has_value());
    kv::Command command;
    command.mutable_put()->set_key("k");
    command.mutable_put()->set_value("w");
    (void)cluster.ProposeLater(leader, command, 5s);
    cluster.On(follower, [](Node& node) -> runtime::Task<void> {
      (void)co_await node.replica().ReadBarrier(node.world().Now() + 60s);
    });
    cluster.sim().RunFor(std::chrono::microseconds(100 * step));
    const NodeId third = cluster.Other(leader, follower);
    cluster.sim().Partition(
        {{cluster.handle(follower)}, {cluster.handle(leader), cluster.handle(third)}});
    const Status read = cluster.ReadBarrier(follower, 30s);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::kNoLeader) << step << ": " << Describe(read.error());
  }
}

// A leader that is about to stop hands over: the next term is the transfer's own, and no proposal
// made meanwhile on another node fails.
TEST(RaftReplica, TransferOfLeadership) {
  NodeCluster cluster(4, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  ASSERT_TRUE(cluster.Put(leader, "k", "v").has_value());
  const Term before = cluster.node(leader)->replica().status().term;
  bool done = false;
  cluster.On(leader, [&](Node& node) { return StopSoon(&node, &done); });
  kv::Command command;
  command.mutable_put()->set_key("meanwhile");
  const auto meanwhile = cluster.ProposeLater(cluster.Other(leader), command, 10s);
  ASSERT_TRUE(cluster.RunUntil([&] { return done && meanwhile->has_value(); }));
  EXPECT_TRUE((*meanwhile)->has_value());
  EXPECT_FALSE(cluster.node(leader)->replica().status().leading);
  const NodeId next = cluster.AwaitNewLeader(leader);
  EXPECT_EQ(cluster.node(next)->replica().status().term, before + 1);
}

// A message that denies what is committed, or is none, is counted and changes nothing.
TEST(RaftReplica, CountsWhatNoSoundNodeSays) {
  NodeCluster cluster(6, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId follower = cluster.Other(leader);
  ASSERT_TRUE(cluster.Put(follower, "k", "v").has_value());
  const RaftReplica& replica = cluster.node(follower)->raft_replica();
  const LogIndex committed = replica.core().commit_index();
  Transport& transport = cluster.node(leader)->transport();
  transport.Send(follower, FrameType::kRaft, "\xff\xff");
  cluster.sim().RunFor(1s);
  EXPECT_EQ(replica.malformed_messages(), 1U);
  EXPECT_GE(replica.core().commit_index(), committed);
  ASSERT_TRUE(cluster.Put(follower, "k", "w").has_value());
  EXPECT_EQ(cluster.Value(follower, "k"), "w");
}

// The disk of one node fills up: that node ends, with a message that says so; the others go on with
// all that was acknowledged; with room again it starts and catches up.
void FillDiskOf(bool of_leader, std::uint64_t seed) {
  NodeCluster cluster(seed, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId full = of_leader ? leader : cluster.Other(leader);
  const NodeId asked = cluster.Other(full);
  ASSERT_TRUE(cluster.Put(leader, "before", "kept").has_value());
  runtime::DiskKnobs knobs;
  knobs.capacity_bytes = 5u << 20;
  cluster.sim().SetDisk(cluster.handle(full), knobs);
  std::map<std::string, std::string> acknowledged;
  for (int i = 0; i < 400 && cluster.crash(full).empty(); ++i) {
    const std::string key = "key" + std::to_string(i);
    const auto put = cluster.Put(asked, key, key + std::string(30'000, 'x'));
    if (put) acknowledged[key] = key;
  }
  ASSERT_NE(cluster.crash(full).find("COT-2002"), std::string::npos) << cluster.crash(full);
  EXPECT_FALSE(cluster.sim().running(cluster.handle(full)));
  if (of_leader) cluster.AwaitNewLeader(full);
  auto after = cluster.Put(asked, "after", "kept");
  // One that was passed to the leader as it died may have to be asked again.
  const bool unknown = !after && after.error().outcome == Outcome::kUnknown;
  if (of_leader && unknown) after = cluster.Put(asked, "after", "kept");
  ASSERT_TRUE(after.has_value()) << Describe(after.error());

  // Started again without room it ends again, and says the same.
  cluster.Start(full);
  cluster.RunUntil([&] { return cluster.failure(full) || !cluster.crash(full).empty(); }, 20s);
  const bool said_so = cluster.failure(full)
                           ? cluster.failure(full)->code == ErrorCode::kDiskFull
                           : cluster.crash(full).find("COT-2002") != std::string::npos;
  EXPECT_TRUE(said_so) << (cluster.failure(full) ? Describe(*cluster.failure(full))
                                                 : cluster.crash(full));
  cluster.Kill(full);

  cluster.sim().SetDisk(cluster.handle(full), {});
  cluster.Start(full);
  ASSERT_TRUE(cluster.RunUntil([&] {
    return cluster.node(full) != nullptr &&
           cluster.node(full)->store().revision() == cluster.node(asked)->store().revision();
  }));
  EXPECT_TRUE(Same(cluster, full, asked));
  EXPECT_EQ(cluster.Value(full, "before"), "kept");
  for (const auto& [key, start] : acknowledged) {
    ASSERT_TRUE(cluster.Value(full, key).starts_with(start)) << key;
  }
}
TEST(FullDisk, Follower) { FillDiskOf(false, 31); }
TEST(FullDisk, Leader) { FillDiskOf(true, 32); }

class SnapshotTest : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  /// Three nodes, of which `away` needs a state of several chunks, and has taken `chunks` of them.
  void Begin(std::uint64_t chunks) {
    cluster.StartAll();
    leader = cluster.AwaitLeader();
    away = cluster.Other(leader);
    third = cluster.Other(leader, away);
    cluster.Kill(away);
    PutMany(cluster, leader, kValues, kValueBytes);
    for (int i = 0; i < 60; ++i) {  // and the log has forgotten the first of them
      ASSERT_TRUE(cluster.Put(leader, "small", std::to_string(i)).has_value());
    }
    ASSERT_GT(cluster.node(leader)->raft_replica().core().compacted_index().value, 20U);
    cluster.Start(away);
    ASSERT_TRUE(cluster.RunUntil([&] { return ChunksTaken(cluster, away) >= chunks; }));
    ASSERT_EQ(cluster.node(away)->raft_replica().snapshots().installed(), 0U);
  }
  void ExpectCaughtUp(NodeId with) {
    ASSERT_TRUE(cluster.RunUntil(
        [&] {
          return cluster.node(away) != nullptr &&
                 cluster.node(away)->store().revision() == cluster.node(with)->store().revision();
        },
        120s));
    EXPECT_TRUE(Same(cluster, away, with));
  }

  NodeCluster cluster{GetParam(), 3};
  NodeId leader, away, third;
};

// The whole way, undisturbed.
TEST_P(SnapshotTest, Laggard) {
  Begin(1);
  ExpectCaughtUp(leader);
  EXPECT_EQ(cluster.node(away)->raft_replica().snapshots().installed(), 1U);
}

// The connection goes for longer than either side waits for a sign of life: the transfer goes on
// with the chunk that is missing, none is taken twice.
TEST_P(SnapshotTest, InterruptedAndResumed) {
  Begin(2);
  const std::uint64_t before = ChunksTaken(cluster, away);
  cluster.sim().CutBoth(cluster.handle(away), cluster.handle(leader));
  cluster.sim().RunFor(8s);
  ASSERT_EQ(cluster.node(away)->raft_replica().snapshots().installed(), 0U);
  EXPECT_LE(ChunksTaken(cluster, away), before + 1);
  cluster.sim().HealAll();
  ExpectCaughtUp(leader);
  // 80 values of 64 KiB and their records are 6 chunks of 1 MiB.
  EXPECT_LE(ChunksTaken(cluster, away), 7U);
}

// The receiver dies half-way: it begins anew, from a clean state.
TEST_P(SnapshotTest, ReceiverDies) {
  Begin(2);
  cluster.Kill(away);
  cluster.sim().RunFor(1s);
  cluster.Start(away);
  ExpectCaughtUp(leader);
}

// The sender dies half-way: the next leader sends its own state.
TEST_P(SnapshotTest, LeaderDiesWhileItSends) {
  Begin(2);
  cluster.Kill(leader, runtime::Death::kPowerOff);
  const NodeId next = cluster.AwaitNewLeader(leader);
  EXPECT_EQ(next, third);
  ExpectCaughtUp(next);
  ASSERT_TRUE(cluster.Put(away, "after", "both").has_value());
}

// The receiver dies at any moment around the switch of engines and the reset of the log; from what
// is left it always comes back, and catches up.
TEST_P(SnapshotTest, ReceiverDiesAroundTheSwitch) {
  Begin(5);
  for (int death = 0; death < 12; ++death) {
    cluster.sim().RunFor(1ms + 700us * death);
    cluster.Kill(away);
    cluster.Start(away);
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(away) != nullptr; }))
        << (cluster.failure(away) ? Describe(*cluster.failure(away)) : "");
    cluster.RunUntil([&] { return ChunksTaken(cluster, away) >= 5; }, 3s);
  }
  ExpectCaughtUp(leader);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SnapshotTest, ::testing::Values(11, 12, 13));

// Small entries that cost much are re-applied in many turns, and leave what they left before.
TEST(RaftReplica, CostlyEntriesAreAppliedAgainInManyTurns) {
  NodeCluster cluster(31, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  PutMany(cluster, leader, 120, 1);
  kv::Command flush;
  flush.mutable_delete_range()->set_key("a");
  flush.mutable_delete_range()->set_range_end(std::string(1, '\0'));
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(cluster.Propose(leader, flush).has_value());
    ASSERT_TRUE(cluster.Put(leader, "k", std::to_string(i)).has_value());
  }
  const NodeId follower = cluster.Other(leader);
  cluster.Kill(follower, runtime::Death::kPowerOff);
  cluster.Start(follower);
  ASSERT_TRUE(cluster.RunUntil([&] {
    return cluster.node(follower) != nullptr && Same(cluster, leader, follower);
  }));
  EXPECT_EQ(cluster.Value(follower, "k"), "59");
}

}  // namespace
}  // namespace coterie::node

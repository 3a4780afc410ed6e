// Nodes whose logs lose what was acknowledged: nothing of it may be missing from the cluster.

#include <gtest/gtest.h>

#include "node/lost_memory.h"
#include "node/testing/node_cluster.h"
#include "storage/wal_format.h"
#include "storage/wal_segments.h"

namespace coterie::node {
namespace {

using testing::NodeCluster;
namespace wal = storage::wal;

constexpr char kWal[] = "/data/wal";

struct FramePlace {
  std::string path;
  std::uint64_t offset = 0;
};

/// The log's frames, by number.
std::map<std::uint64_t, FramePlace> FramesOf(runtime::DiskImage& disk) {
  std::map<std::uint64_t, FramePlace> frames;
  const auto names = disk.List(kWal);
  for (const std::string& name : *names) {
    const auto segment = wal::ParseSegmentName(name);
    if (!segment) continue;
    const std::string path = std::string(kWal) + "/" + name;
    const auto& inode = **disk.Find(path);
    for (std::uint64_t at = 0; at + wal::kHeaderBytes <= inode.size(); at += wal::kAlignment) {
      const auto header = wal::ParseHeader(inode.Read(at, wal::kHeaderBytes));
      if (header && header->place.segment == *segment) frames[header->number] = {path, at};
    }
  }
  return frames;
}

/// One bit of each of the newest `count` frames.
void RotTail(NodeCluster& cluster, NodeId id, std::size_t count) {
  runtime::DiskImage& disk = cluster.sim().disk(cluster.handle(id));
  auto frames = FramesOf(disk);
  ASSERT_GT(frames.size(), count);
  for (std::size_t i = 0; i < count; ++i) {
    const FramePlace& place = std::prev(frames.end())->second;
    ASSERT_TRUE(disk.FlipBit(place.path, place.offset + wal::kHeaderBytes, 3));
    frames.erase(std::prev(frames.end()));
  }
}

void EmptyLogDir(NodeCluster& cluster, NodeId id) {
  runtime::DiskImage& disk = cluster.sim().disk(cluster.handle(id));
  const auto names = disk.List(kWal);
  for (const std::string& name : *names) disk.Remove(std::string(kWal) + "/" + name);
  ASSERT_TRUE(disk.SyncDir(kWal).has_value());
}

bool Holds(NodeCluster& cluster, NodeId id, ConditionKind kind) {
  Node* node = cluster.node(id);
  return node != nullptr && node->world().conditions().Holds(kind);
}

/// A put that only `leader` and `witness` have; then the witness's log loses it, and `leader` dies.
void LoseAcknowledged(std::uint64_t seed, const std::function<void(NodeCluster&, NodeId)>& damage) {
  NodeCluster cluster(seed, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId witness = cluster.Other(leader);
  const NodeId late = cluster.Other(leader, witness);
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(cluster.Put(leader, "k", "old" + std::to_string(i)).has_value());
  }
  cluster.sim().RunFor(1s);
  cluster.Kill(late, runtime::Death::kPowerOff);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(cluster.Put(leader, "k", "new" + std::to_string(i)).has_value());
  }
  cluster.sim().RunFor(1s);
  cluster.Kill(witness, runtime::Death::kPowerOff);
  cluster.Kill(leader, runtime::Death::kPowerOff);
  damage(cluster, witness);
  cluster.Start(witness);
  cluster.Start(late);
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(witness) != nullptr; }))
      << cluster.crash(witness);
  EXPECT_TRUE(Holds(cluster, witness, ConditionKind::kLogCut));
  EXPECT_TRUE(Holds(cluster, witness, ConditionKind::kCatchingUp));
  cluster.sim().RunFor(20s);
  EXPECT_EQ(cluster.Leader(), NodeId()) << "a majority of which one has forgotten";

  // Another start does not help it to remember.
  cluster.Kill(witness, runtime::Death::kPowerOff);
  cluster.Start(witness);
  cluster.sim().RunFor(20s);
  EXPECT_EQ(cluster.Leader(), NodeId()) << "after one more start";

  cluster.Start(leader);
  ASSERT_TRUE(cluster.RunUntil([&] {
    return cluster.node(witness) != nullptr && !Holds(cluster, witness, ConditionKind::kCatchingUp);
  }));
  // Now it is as good as the one that it learned from.
  cluster.Kill(leader, runtime::Death::kPowerOff);
  cluster.sim().RunFor(1s);
  cluster.AwaitLeader();
  for (const NodeId id : {witness, late}) {
    const Status read = cluster.ReadBarrier(id);
    ASSERT_TRUE(read.has_value()) << Describe(read.error());
    EXPECT_EQ(cluster.Value(id, "k"), "new4") << id.value;
  }
  cluster.sim().RunFor(1s);
  cluster.Kill(witness, runtime::Death::kPowerOff);
  cluster.Start(witness);
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(witness) != nullptr; }));
  EXPECT_FALSE(Holds(cluster, witness, ConditionKind::kLogCut)) << "it was made good";
}

// Claim: with a rotten tail of its log a node helps nobody to a majority, until it has been caught
// up.
TEST(LostLog, ARottenTailIsNotVotedOn) {
  LoseAcknowledged(1, [](NodeCluster& cluster, NodeId id) { RotTail(cluster, id, 12); });
  LoseAcknowledged(2, [](NodeCluster& cluster, NodeId id) { RotTail(cluster, id, 1); });
}

// Claim: the same without any log, though the identity is there.
TEST(LostLog, AnEmptyLogIsNotVotedOn) {
  LoseAcknowledged(3, [](NodeCluster& cluster, NodeId id) { EmptyLogDir(cluster, id); });
}

// Claim: a node that is alone and loses its log's end goes on with the rest, and says so: there is
// nobody to learn from.
TEST(LostLog, ANodeAloneSaysSo) {
  NodeCluster cluster(4, 1);
  cluster.StartAll();
  const NodeId id = cluster.AwaitLeader();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(cluster.Put(id, "k", std::to_string(i)).has_value());
  }
  cluster.sim().RunFor(1s);
  cluster.Kill(id, runtime::Death::kPowerOff);
  RotTail(cluster, id, 3);
  cluster.Start(id);
  cluster.AwaitLeader();
  EXPECT_TRUE(Holds(cluster, id, ConditionKind::kLogCut));
  EXPECT_TRUE(cluster.Put(id, "k", "again").has_value());
}

// Claim: a replica that a leader of the newest term contradicts in what is committed stops and is
// in the red; a deposed leader's late entries are nothing of the kind.
TEST(LostLog, AContradictionStopsTheReplica) {
  NodeCluster cluster(5, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId follower = cluster.Other(leader);
  ASSERT_TRUE(cluster.Put(leader, "k", "v").has_value());
  cluster.sim().RunFor(1s);
  RaftReplica& replica = cluster.node(follower)->raft_replica();
  const LogIndex at = replica.core().commit_index();
  const auto other = [&](Term term) {
    raft::AppendEntries append;
    append.term = term;
    append.prev_log_index = at + 0;
    append.prev_log_index.value -= 1;
    append.prev_log_term = *replica.core().TermAt(append.prev_log_index);
    append.entries.push_back(std::make_shared<const raft::Entry>(
        raft::Entry{.term = term, .index = at, .kind = raft::EntryKind::kNoop, .payload = {}}));
    return append;
  };
  replica.OnMessage(leader, other(Term(replica.core().term().value - 1)));
  EXPECT_FALSE(Holds(cluster, follower, ConditionKind::kContradiction));
  replica.OnMessage(leader, other(replica.core().term() + 1));
  EXPECT_TRUE(Holds(cluster, follower, ConditionKind::kContradiction));
  EXPECT_FALSE(cluster.ReadBarrier(follower).has_value());
  EXPECT_TRUE(cluster.Put(leader, "k", "w").has_value()) << "the others go on";
}

}  // namespace
}  // namespace coterie::node

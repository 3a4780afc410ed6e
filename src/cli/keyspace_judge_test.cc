#include "cli/keyspace_judge.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>

namespace coterie::cli {
namespace {

/// Nodes n1..nN with one shard on the first three; links that are cut, nodes that do not answer.
struct Cluster {
  int size = 3;
  std::set<int> dead;
  std::set<std::pair<int, int>> cut;
  std::string domain_of_first_two;

  std::vector<NodeReport> Reports() const {
    std::vector<NodeReport> reports;
    for (int id = 1; id <= size; ++id) {
      if (dead.contains(id)) continue;
      NodeReport report;
      report.id = static_cast<std::uint64_t>(id);
      report.name = "n" + std::to_string(id);
      report.role = "follower";
      if (id <= 2) report.failure_domain = domain_of_first_two;
      for (int peer = 1; peer <= size; ++peer) {
        if (peer == id) continue;
        report.peers.push_back({.id = static_cast<std::uint64_t>(peer),
                                .name = "n" + std::to_string(peer),
                                .connected = !dead.contains(peer),
                                .last_heard_ms = 30});
        if (cut.contains({id, peer})) report.peers.back().faults = {"cut"};
      }
      reports.push_back(std::move(report));
    }
    return reports;
  }

  KeyspaceView Judged(std::string replication, int read, int write) const {
    const PlacedKeyspace keyspace{.name = "k",
                                  .replication = std::move(replication),
                                  .replicas = 3,
                                  .read = read,
                                  .write = write,
                                  .shards = {{"n1", "n2", "n3"}}};
    const std::vector<NodeReport> reports = Reports();
    Evidence evidence;
    for (const NodeReport& report : reports) evidence.reports.push_back(&report);
    return JudgePlaced(keyspace, evidence);
  }
  void Isolate(int node) {
    for (int other = 1; other <= size; ++other) {
      if (other == node) continue;
      cut.insert({node, other});
      cut.insert({other, node});
    }
  }
};

// Claim: for every set of dead nodes and every R and W, a keyspace is served exactly if the nodes
// that are left hold that many replicas, and the margin is exactly what more can die.
TEST(KeyspaceJudge, AgreesWithCounting) {
  for (unsigned dead = 0; dead < 8; ++dead) {
    Cluster cluster;
    for (int id = 1; id <= 3; ++id) {
      if ((dead >> (id - 1) & 1) != 0) cluster.dead.insert(id);
    }
    const int left = 3 - std::popcount(dead);
    for (int read = 1; read <= 3; ++read) {
      for (int write = 1; write <= 3; ++write) {
        const KeyspaceView view = cluster.Judged("leaderless", read, write);
        EXPECT_EQ(view.served, left >= read && left >= write) << dead << read << write;
        EXPECT_EQ(view.reads_at.size(), left >= read ? static_cast<std::size_t>(left) : 0u);
        EXPECT_EQ(view.writes_at.size(), left >= write ? static_cast<std::size_t>(left) : 0u);
        if (view.served) EXPECT_EQ(view.can_lose, left - std::max(read, write));
      }
    }
  }
}

// Claim: both sides of a partition serve at R=W=1; of a majority's promise only the larger does,
// and the sentence names the node that does not.
TEST(KeyspaceJudge, PartitionSides) {
  Cluster cluster;
  cluster.Isolate(3);
  const KeyspaceView both = cluster.Judged("leaderless", 1, 1);
  EXPECT_EQ(both.writes_at, (std::vector<std::string>{"n1", "n2", "n3"}));
  const KeyspaceView paxos = cluster.Judged("paxos", 2, 2);
  EXPECT_TRUE(paxos.served);
  EXPECT_EQ(paxos.can_lose, 0);
  EXPECT_EQ(paxos.writes_at, (std::vector<std::string>{"n1", "n2"}));
  EXPECT_EQ(
      paxos.sentence,
      "k (paxos): can lose no more nodes; 2 of 3 replicas up; neither reads nor writes at n3");
  const KeyspaceView reads = cluster.Judged("leaderless", 1, 2);
  EXPECT_NE(reads.sentence.find("no writes at n3"), std::string::npos) << reads.sentence;
}

// Claim: what is not served is said with the numbers, and where the rest still is.
TEST(KeyspaceJudge, NotServed) {
  const KeyspaceView view = Cluster{.dead = {1, 2}}.Judged("leaderless", 1, 2);
  EXPECT_FALSE(view.served);
  EXPECT_EQ(view.sentence,
            "k (leaderless): no writes: 1 of 3 replicas reach one another, a write waits for 2; "
            "reads at n3");
}

// Claim: a whole keyspace names its margin; where reads and writes differ, each its own.
TEST(KeyspaceJudge, HealthyMargins) {
  EXPECT_EQ(Cluster{}.Judged("leaderless", 1, 1).sentence,
            "k (leaderless): can lose 2 more nodes; 3 of 3 replicas up");
  EXPECT_EQ(
      Cluster{}.Judged("leaderless", 1, 3).sentence,
      "k (leaderless): reads can lose 2 more nodes, writes no more nodes; 3 of 3 replicas up");
}

// Claim: a node without a replica serves through one that it reaches, and what that one can do.
TEST(KeyspaceJudge, NodesWithoutAReplicaPassRequestsOn) {
  Cluster cluster{.size = 4};
  EXPECT_EQ(cluster.Judged("paxos", 2, 2).writes_at.size(), 4u);
  cluster.Isolate(3);
  cluster.cut.insert({4, 1});
  cluster.cut.insert({4, 2});
  cluster.cut.erase({3, 4});
  cluster.cut.erase({4, 3});
  EXPECT_EQ(cluster.Judged("paxos", 2, 2).writes_at, (std::vector<std::string>{"n1", "n2"}));
}

// Claim: acknowledgements of one failure domain count once.
TEST(KeyspaceJudge, WritesCountFailureDomains) {
  Cluster cluster{.domain_of_first_two = "rack"};
  EXPECT_TRUE(cluster.Judged("leaderless", 2, 2).served);
  EXPECT_FALSE(cluster.Judged("leaderless", 2, 3).served);
  cluster.dead = {3};
  EXPECT_FALSE(cluster.Judged("leaderless", 2, 2).served);
  EXPECT_TRUE(cluster.Judged("paxos", 2, 2).served);
}

// Claim: the worst shard decides, and replicas that only join are not counted.
TEST(KeyspaceJudge, ParsesTheMap) {
  const PlacedKeyspace keyspace = ParsePlacedKeyspace(*Json::Parse(
      R"({"name":"k","replication":"leaderless","promise":{"replicas":3,"read":1,"write":2},)"
      R"("shards":[{"id":16,"replicas":[{"node":1,"name":"n1","phase":"active"},)"
      R"({"node":2,"name":"n2","phase":"joining"}]},{"id":17,"replicas":[]}]})"));
  EXPECT_EQ(keyspace.write, 2);
  ASSERT_EQ(keyspace.shards.size(), 2u);
  EXPECT_EQ(keyspace.shards[0], std::vector<std::string>{"n1"});
  NodeReport report;
  report.name = "n1";
  EXPECT_FALSE(JudgePlaced(keyspace, {.reports = {&report}}).served);
}

}  // namespace
}  // namespace coterie::cli

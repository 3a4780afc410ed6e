#include "cli/cluster_view.h"

#include <gtest/gtest.h>

#include <set>

namespace coterie::cli {
namespace {

/// A cluster for the judge: who answers, who leads, which links carry messages.
struct Cluster {
  int size = 3;
  std::uint64_t leader = 1;                               // 0: none
  std::set<std::uint64_t> silent;                         // nodes that do not answer
  std::set<std::pair<std::uint64_t, std::uint64_t>> cut;  // from, to: thrown away at the sender
  std::set<std::uint64_t> learners;                       // of main
  std::vector<std::uint64_t> outgoing;                    // main moves away from these voters
  std::set<std::uint64_t> outside;                        // not in the cluster map
  std::vector<ConditionReport> conditions;                // of every node
  bool peers_know_the_silent = true;                      // connections to silent nodes are closed

  ClusterView Judged() const {
    std::vector<NodeView> nodes;
    for (std::uint64_t id = 1; id <= static_cast<std::uint64_t>(size); ++id) {
      NodeView node{.name = "n" + std::to_string(id)};
      node.admin = {"127.0.0." + std::to_string(id), 7070};
      node.id = id;
      node.standing = outside.contains(id) ? Standing::kOutside : Standing::kMember;
      if (!silent.contains(id)) node.report = Report(id);
      nodes.push_back(std::move(node));
    }
    return Judge(std::move(nodes));
  }

  NodeReport Report(std::uint64_t id) const {
    NodeReport report;
    report.name = "n" + std::to_string(id);
    report.id = id;
    report.cluster = "demo";
    report.leader = leader;
    report.role = id == leader ? "leader" : leader == 0 ? "candidate" : "follower";
    report.term = 7;
    report.ready = leader != 0;
    report.keyspaces = {{"main", "raft", size}};
    report.groups = {{.keyspace = "main",
                      .role = report.role,
                      .leader = report.leader,
                      .term = 7,
                      .ready = report.ready}};
    for (std::uint64_t voter = 1; voter <= static_cast<std::uint64_t>(size); ++voter) {
      (learners.contains(voter) ? report.groups[0].learners : report.groups[0].voters)
          .push_back(voter);
    }
    report.groups[0].outgoing = outgoing;
    report.conditions = conditions;
    for (std::uint64_t peer = 1; peer <= static_cast<std::uint64_t>(size); ++peer) {
      if (peer == id) continue;
      const bool lost = silent.contains(peer) && peers_know_the_silent;
      const bool heard = !lost && !cut.contains({peer, id});
      report.peers.push_back({.id = peer,
                              .name = "n" + std::to_string(peer),
                              .connected = !lost,
                              .last_heard_ms = heard ? 30 : 60'000});
      if (cut.contains({id, peer})) report.peers.back().faults = {"cut"};
    }
    return report;
  }
};

// Claim: a whole cluster of 2f+1 nodes can lose f more, of one node none.
TEST(ClusterViewTest, HealthyClustersNameTheirMargin) {
  EXPECT_EQ(Cluster{.size = 3}.Judged().keyspaces[0].sentence,
            "main (raft): can lose 1 more node; 3 of 3 replicas up");
  EXPECT_EQ(Cluster{.size = 5}.Judged().keyspaces[0].can_lose, 2);
  EXPECT_EQ(Cluster{.size = 4}.Judged().keyspaces[0].can_lose, 1);
  const ClusterView alone = Cluster{.size = 1}.Judged();
  EXPECT_TRUE(alone.AllServed());
  EXPECT_EQ(alone.keyspaces[0].can_lose, 0);
}

// Claim: with one of three gone the rest serves, and says that nothing more may fail.
TEST(ClusterViewTest, MajorityServes) {
  const ClusterView view = Cluster{.silent = {3}}.Judged();
  EXPECT_TRUE(view.AllServed());
  EXPECT_EQ(view.leader, "n1");
  EXPECT_EQ(view.keyspaces[0].can_lose, 0);
  EXPECT_NE(view.keyspaces[0].sentence.find("can lose no more"), std::string::npos);
}

// Claim: without a majority nothing that needs one is called served, whatever the last node thinks
// of itself, and the answer names where stale reads remain.
TEST(ClusterViewTest, MinorityDoesNotServe) {
  for (const std::uint64_t leader : {0, 3}) {
    const ClusterView view = Cluster{.leader = leader, .silent = {1, 2}}.Judged();
    EXPECT_FALSE(view.AllServed());
    EXPECT_TRUE(view.AnyAnswered());
    EXPECT_EQ(view.keyspaces[0].reachable, 1);
    EXPECT_NE(view.keyspaces[0].sentence.find("1 of 3"), std::string::npos);
    EXPECT_NE(view.keyspaces[0].sentence.find("reads at n3"), std::string::npos);
  }
}

// Claim: nodes that all answer the command but not one another are judged by what they hear.
TEST(ClusterViewTest, CutLinksCount) {
  Cluster cluster{.leader = 1, .cut = {{1, 2}, {2, 1}, {1, 3}, {3, 1}}};
  EXPECT_FALSE(cluster.Judged().AllServed());
  cluster.leader = 2;  // elected by 2 and 3; node 1 is alone
  const ClusterView view = cluster.Judged();
  EXPECT_TRUE(view.AllServed());
  EXPECT_EQ(view.keyspaces[0].reachable, 2);
  EXPECT_EQ(view.keyspaces[0].cut_off, std::vector<std::string>{"n1"});
  EXPECT_NE(view.keyspaces[0].sentence.find("n1 is cut off"), std::string::npos);
  EXPECT_NE(ClusterText(view).find("n1 -> n2: cut"), std::string::npos);
}

// Claim: a link that is cut one way takes its node out of the majority: an answer cannot come back.
TEST(ClusterViewTest, OneWayCutCounts) {
  const ClusterView view = Cluster{.leader = 1, .cut = {{2, 1}}}.Judged();
  EXPECT_EQ(view.keyspaces[0].reachable, 2);
  EXPECT_EQ(view.keyspaces[0].can_lose, 0);
}

// Claim: a node that does not answer the command but that the leader hears still counts.
TEST(ClusterViewTest, LeaderVouchesForANodeThatDoesNotAnswerUs) {
  const ClusterView view = Cluster{.silent = {3}, .peers_know_the_silent = false}.Judged();
  EXPECT_EQ(view.keyspaces[0].reachable, 3);
}

// Claim: no leader means no service although all nodes hear one another.
TEST(ClusterViewTest, NoLeader) {
  const ClusterView view = Cluster{.leader = 0}.Judged();
  EXPECT_FALSE(view.AllServed());
  EXPECT_NE(view.keyspaces[0].sentence.find("no leader is elected yet"), std::string::npos);
}

// Claim: memory that nobody measured is not shown as none.
TEST(ClusterViewTest, MemoryIsShownWhereKnown) {
  ClusterView view = Cluster{}.Judged();
  EXPECT_EQ(ClusterText(view).find("MiB"), std::string::npos);
  view.nodes[0].rss_bytes = 17u << 20;
  EXPECT_NE(ClusterText(view).find("17 MiB"), std::string::npos);
  EXPECT_TRUE(ClusterJson(view)["nodes"].items()[1]["rss_bytes"].IsNull());
}

// Claim: who only learns does not count, neither as a replica nor in the margin: "4 of 3 replicas
// up, can lose 2" is never said.
TEST(ClusterViewTest, LearnersDoNotVote) {
  const ClusterView view = Cluster{.size = 4, .learners = {4}}.Judged();
  EXPECT_EQ(view.keyspaces[0].sentence,
            "main (raft): can lose 1 more node; 3 of 3 replicas up, 1 more is catching up");
  EXPECT_EQ(view.keyspaces[0].reads_at, (std::vector<std::string>{"n1", "n2", "n3", "n4"}));
  const ClusterView one_dead = Cluster{.size = 4, .silent = {2}, .learners = {4}}.Judged();
  EXPECT_EQ(one_dead.keyspaces[0].can_lose, 0);
  EXPECT_EQ(one_dead.keyspaces[0].reachable, 2);
  EXPECT_FALSE((Cluster{.size = 4, .silent = {2, 3}, .learners = {4}}.Judged().AllServed()));
}

// Claim: while a group moves, both sets of voters need a majority.
TEST(ClusterViewTest, BothConfigurationsCount) {
  const Cluster moving{.size = 5, .silent = {4, 5}, .outgoing = {1, 4, 5}};
  EXPECT_FALSE(moving.Judged().AllServed());
  EXPECT_EQ(
      (Cluster{.size = 5, .silent = {5}, .outgoing = {1, 4, 5}}.Judged().keyspaces[0].can_lose), 0);
}

// Claim: a node that is not in the map counts for nothing, whatever it says of itself, and is
// neither "dead" nor a node of the cluster.
TEST(ClusterViewTest, OutsidersCountForNothing) {
  const ClusterView view = Cluster{.size = 3, .leader = 3, .silent = {2}, .outside = {3}}.Judged();
  EXPECT_FALSE(view.AllServed());
  EXPECT_EQ(view.leader, "");
  const std::string text = ClusterText(view);
  EXPECT_NE(text.find("2 nodes, no leader"), std::string::npos) << text;
  EXPECT_NE(text.find("n3       no member, still runs"), std::string::npos) << text;
  EXPECT_FALSE(ClusterJson(view)["nodes"].items()[2]["member"].Bool());
}

// Claim: the word of one follower is enough where the leader does not answer us; a process that is
// known not to run is not vouched for.
TEST(ClusterViewTest, OneFollowerSpeaksForTheOthers) {
  const Cluster cluster{.silent = {1, 3}, .peers_know_the_silent = false};
  const ClusterView view = cluster.Judged();
  EXPECT_TRUE(view.AllServed());
  EXPECT_EQ(view.leader, "n1");
  EXPECT_EQ(view.keyspaces[0].reachable, 3);
  std::vector<NodeView> nodes = view.nodes;
  nodes[0].process = ProcessState::kPaused;
  EXPECT_FALSE(Judge(std::move(nodes)).AllServed());
}

// Claim: conditions are shown with what they mean and what helps, and a critical one of a member
// turns the verdict.
TEST(ClusterViewTest, ConditionsAreShown) {
  Cluster cluster{.conditions = {{.name = "insecure", .severity = "notice", .meaning = "Open."}}};
  EXPECT_FALSE(cluster.Judged().AnyCritical());
  cluster.conditions.push_back({.name = "disk_full",
                                .severity = "critical",
                                .subject = "/data",
                                .text = "0 bytes left.",
                                .meaning = "The disk is full.",
                                .hint = "Free space."});
  const ClusterView view = cluster.Judged();
  EXPECT_TRUE(view.AnyCritical());
  EXPECT_TRUE(view.AllServed());
  const std::string text = ClusterText(view);
  const std::string line =
      "n1: critical disk_full (/data): The disk is full. 0 bytes left. Free space.";
  EXPECT_NE(text.find(line), std::string::npos) << text;
  EXPECT_LT(text.find(line), text.find("notice insecure"));
  const Json document = ClusterJson(view);
  EXPECT_EQ(document["conditions"].items().size(), 6u);
  EXPECT_EQ(document["conditions"][1]["node"].Text(), "n1");
  EXPECT_TRUE(document["critical"].Bool());
  cluster.outside = {1, 2, 3};
  EXPECT_FALSE(cluster.Judged().AnyCritical());
}

// Claim: the screen is at most 100 columns wide, whatever the sentences say.
TEST(ClusterViewTest, FitsAHundredColumns) {
  Cluster cluster{.size = 7,
                  .cut = {{1, 2}, {2, 1}, {1, 3}, {3, 1}},
                  .conditions = {{.name = "x",
                                  .severity = "warning",
                                  .subject = "/a/long/path/to/a/disk",
                                  .meaning = std::string(60, 'm') + " " + std::string(60, 'n'),
                                  .hint = "Do something about it."}}};
  const std::string text = ClusterText(cluster.Judged());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 100u) << text.substr(at, end - at);
    at = end + 1;
  }
}

// Claim: when nobody answers, nothing is claimed.
TEST(ClusterViewTest, NobodyAnswers) {
  const ClusterView view = Cluster{.silent = {1, 2, 3}}.Judged();
  EXPECT_FALSE(view.AnyAnswered());
  EXPECT_FALSE(view.AllServed());
  EXPECT_NE(ClusterText(view).find("nothing is known"), std::string::npos);
  EXPECT_TRUE(ClusterJson(view)["keyspaces"].items().empty());
}

// Claim: a status document of another version, with fields missing, reads as far as it goes.
TEST(NodeReportTest, ReadsPartialDocuments) {
  const NodeReport report = ParseNodeReport(*Json::Parse(
      R"({"node":"n9","term":4,"peers":[{"id":2,"connected":true}],"new_field":[1]})"));
  EXPECT_EQ(report.name, "n9");
  EXPECT_EQ(report.term, 4u);
  EXPECT_FALSE(report.ready);
  ASSERT_EQ(report.peers.size(), 1u);
  EXPECT_FALSE(report.peers[0].last_heard_ms);
}

}  // namespace
}  // namespace coterie::cli

// Keyspaces and nodes through the admin door: a whole node in the simulated world, with stand-ins
// for the control keyspace and the leaderless half behind it.

#include <gtest/gtest.h>
#include <simdjson.h>

#include "door/admin/admin_door.h"
#include "door/admin/fake_cluster.h"
#include "node/testing/node_cluster.h"

namespace coterie::door::admin {
namespace {

using node::Node;
using node::testing::NodeCluster;

struct Behind {
  placement::ClusterMap map;
  std::optional<Error> refusal;
  testing::FakeLeaderless leaderless;
  testing::FakeDetector detector;
};
using Response = std::shared_ptr<std::optional<net::HttpResponse>>;

runtime::Task<void> RunRequest(Node* node, Behind* behind, net::HttpRequest request, Response out) {
  testing::FakeControl control(node->world().executor(), &behind->map, behind->refusal);
  AdminDoor door(*node, "9.9",
                 {.control = &control,
                  .leaderless = &behind->leaderless,
                  .detector = &behind->detector,
                  .tombstones = [](const placement::Keyspace&) { return 5; }});
  const net::HttpHandler handler = door.Http();
  auto response = co_await handler(std::move(request));
  *out = std::move(response);
}

class ClusterDoorTest : public ::testing::Test {
 protected:
  void SetUp() override { Begin("127.0.0.1", /*demo=*/false); }
  void Begin(std::string admin_host, bool demo) {
    cluster = std::make_unique<NodeCluster>(5, 1, [&](node::NodeConfig& config) {
      config.demo = demo;
      config.admin_listen = {admin_host, 7070};
      config.redis_listen = {"10.0.0.1", 6379};
      config.failure_domain = "rack 1";
    });
    cluster->StartAll();
    cluster->AwaitLeader();
    behind.map = {.version = 7};
    for (const int id : {1, 2, 3}) {
      behind.map.nodes[NodeId(id)] = {.id = NodeId(id),
                                      .name = "n" + std::to_string(id),
                                      .peer = "10.0.0.1:7071",
                                      .redis = "10.0.0.1:6379"};
    }
  }
  net::HttpResponse Ask(std::string method, std::string path, std::string body = "",
                        net::Headers headers = {}) {
    const auto out = std::make_shared<std::optional<net::HttpResponse>>();
    net::HttpRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.headers = std::move(headers);
    request.body = std::move(body);
    cluster->On(NodeId(1), [this, request, out](Node& node) {
      return RunRequest(&node, &behind, request, out);
    });
    EXPECT_TRUE(cluster->RunUntil([&] { return out->has_value(); }, 10s));
    return *out ? std::move(**out) : net::HttpResponse{.status = 0};
  }
  /// The document that the answer holds; the test fails if it is not JSON.
  simdjson::dom::element Document(const net::HttpResponse& response) {
    EXPECT_EQ(response.content_type, "application/json");
    simdjson::dom::element document;
    EXPECT_EQ(parser.parse(response.body).get(document), simdjson::SUCCESS) << response.body;
    return document;
  }
  void CreateCart() {
    const auto created = Ask("POST", "/keyspaces",
                             R"({"name":"cart","replication":"leaderless","read":1,"write":1,)"
                             R"("shards":2})");
    ASSERT_EQ(created.status, 200) << created.body;
  }

  std::unique_ptr<NodeCluster> cluster;
  Behind behind;
  simdjson::dom::parser parser;
};

// A keyspace is declared, listed with its replicas, and dropped.
TEST_F(ClusterDoorTest, KeyspacesComeAndGo) {
  CreateCart();
  const auto listed = Ask("GET", "/keyspaces");
  const auto document = Document(listed);
  EXPECT_EQ(std::uint64_t(document["version"]), 7u);
  const auto cart = document["keyspaces"].at(0);
  EXPECT_EQ(std::string_view(cart["name"]), "cart");
  EXPECT_EQ(std::string_view(cart["replication"]), "leaderless");
  EXPECT_EQ(std::uint64_t(cart["promise"]["replicas"]), 3u);
  EXPECT_EQ(std::uint64_t(cart["promise"]["write"]), 1u);
  EXPECT_EQ(std::string_view(cart["promise"]["conflict"]), "crdt");
  EXPECT_EQ(simdjson::dom::array(cart["shards"]).size(), 2u);
  const auto replica = cart["shards"].at(0)["replicas"].at(0);
  EXPECT_EQ(std::uint64_t(replica["node"]), 1u);
  EXPECT_EQ(std::string_view(replica["name"]), "n1");
  EXPECT_EQ(std::string_view(replica["phase"]), "active");

  EXPECT_EQ(Ask("GET", "/keyspaces/cart").status, 200);
  EXPECT_EQ(Ask("DELETE", "/keyspaces/cart").status, 200);
  EXPECT_TRUE(behind.map.keyspaces.empty());
  const auto gone = Ask("DELETE", "/keyspaces/cart");
  EXPECT_EQ(gone.status, 404);
  EXPECT_EQ(std::string_view(Document(gone)["code"]), "COT-0011");
}

// A contradiction is refused before anybody is asked to agree, and both sides are named.
TEST_F(ClusterDoorTest, ContradictionsAreRefused) {
  behind.refusal = Error{ErrorCode::kNoLeader, Outcome::kNotApplied, "must not be asked"};
  const auto refused =
      Ask("POST", "/keyspaces", R"({"name":"x","replication":"raft","conflict":"crdt"})");
  EXPECT_EQ(refused.status, 400);
  const std::string message(std::string_view(Document(refused)["message"]));
  EXPECT_NE(message.find("replication raft against conflict crdt"), std::string::npos) << message;
  EXPECT_EQ(Ask("POST", "/keyspaces", "not json").status, 400);
}

// What the control keyspace answers reaches the caller with its outcome.
TEST_F(ClusterDoorTest, OutcomesAreKept) {
  behind.refusal = Error{ErrorCode::kTimedOut, Outcome::kUnknown, "no answer"};
  const auto failed = Ask("POST", "/keyspaces", R"({"name":"x"})");
  EXPECT_EQ(failed.status, 503);
  EXPECT_EQ(std::string_view(Document(failed)["code"]), "COT-1005");
  EXPECT_EQ(std::string_view(Document(failed)["outcome"]), "unknown");
}

// Replicas' digests side by side; one that did not answer is there without one.
TEST_F(ClusterDoorTest, Digests) {
  CreateCart();
  const ShardId first = behind.map.Find("cart")->shards[0].id;
  behind.leaderless.digests = {{first, NodeId(1), 0xabc, "n1:4"}, {first, NodeId(2), 0xabd, ""}};
  const auto document = Document(Ask("GET", "/keyspaces/cart/digest"));
  EXPECT_EQ(simdjson::dom::array(document["digests"]).size(), 6u);
  EXPECT_EQ(std::string_view(document["digests"].at(0)["digest"]), "0000000000000abc");
  EXPECT_EQ(std::string_view(document["digests"].at(1)["node"]), "n2");
  EXPECT_TRUE(document["digests"].at(2)["digest"].is_null());
}

// Losers are told with their winners; keys that are no text do not break the answer.
TEST_F(ClusterDoorTest, Conflicts) {
  CreateCart();
  behind.leaderless.seen.count = 12;
  behind.leaderless.seen.newest = {{.shard = ShardId(16),
                                    .key = "k\xff",
                                    .dot = {clock::MakeActor(NodeId(2), 1), 57},
                                    .time = clock::MakeHybridTime(1234, 0),
                                    .value = "old",
                                    .winner = {clock::MakeActor(NodeId(3), 1), 9}}};
  const auto document = Document(Ask("GET", "/keyspaces/cart/conflicts"));
  EXPECT_EQ(std::uint64_t(document["count"]), 12u);
  const auto one = document["newest"].at(0);
  EXPECT_EQ(std::string_view(one["key"]), "k\\xff");
  EXPECT_EQ(std::string_view(one["dot"]), "n2.1:57");
  EXPECT_EQ(std::string_view(one["winner"]), "n3.1:9");
  EXPECT_EQ(std::uint64_t(one["time_ms"]), 1234u);
}

// Digests and conflicts are of leaderless keyspaces that exist.
TEST_F(ClusterDoorTest, DigestOfOthersIsRefused) {
  ASSERT_EQ(Ask("POST", "/keyspaces", R"({"name":"lock","replication":"paxos"})").status, 200);
  const auto refused = Ask("GET", "/keyspaces/lock/digest");
  EXPECT_EQ(refused.status, 501);
  EXPECT_NE(refused.body.find("'lock' is paxos"), std::string::npos) << refused.body;
  EXPECT_EQ(Ask("GET", "/keyspaces/nothing/conflicts").status, 404);
}

// Nodes with what is believed of them; a drain and a removal by name.
TEST_F(ClusterDoorTest, Nodes) {
  behind.detector.believed = {{.node = NodeId(3),
                               .health = node::Health::kSuspected,
                               .suspected_by = NodeId(2),
                               .since = Instant{},
                               .round_trip = 1500us,
                               .route_around = true}};
  const auto document = Document(Ask("GET", "/nodes"));
  EXPECT_EQ(simdjson::dom::array(document["nodes"]).size(), 3u);
  EXPECT_TRUE(document["nodes"].at(0)["health"].is_null());
  const auto third = document["nodes"].at(2);
  EXPECT_EQ(std::string_view(third["name"]), "n3");
  EXPECT_EQ(std::string_view(third["health"]["state"]), "suspected");
  EXPECT_EQ(std::string_view(third["health"]["by"]), "n2");
  EXPECT_EQ(std::uint64_t(third["health"]["round_trip_us"]), 1500u);

  EXPECT_EQ(Ask("POST", "/nodes/n2/drain").status, 200);
  EXPECT_TRUE(behind.map.nodes.at(NodeId(2)).draining);
  EXPECT_EQ(Ask("DELETE", "/nodes/n3").status, 200);
  EXPECT_FALSE(behind.map.nodes.contains(NodeId(3)));
  EXPECT_EQ(Ask("DELETE", "/nodes/n3").status, 404);
}

// Without authentication a change is taken on loopback only, and never from a web page; reading
// is not restricted.
TEST_F(ClusterDoorTest, ChangesOnLoopbackOnly) {
  const std::string body = R"({"name":"x"})";
  EXPECT_EQ(Ask("POST", "/keyspaces", body, {{"origin", "http://example.org"}}).status, 403);
  Begin("10.0.0.1", /*demo=*/false);
  for (const auto& [method, path] : {std::pair("POST", "/keyspaces"),
                                     {"DELETE", "/keyspaces/x"},
                                     {"POST", "/nodes/n1/drain"},
                                     {"DELETE", "/nodes/n1"}}) {
    const auto refused = Ask(method, path, body);
    EXPECT_EQ(refused.status, 403) << method << path;
    EXPECT_NE(refused.body.find("loopback"), std::string::npos) << refused.body;
  }
  EXPECT_TRUE(behind.map.keyspaces.empty());
  EXPECT_EQ(Ask("GET", "/keyspaces").status, 200);
  Begin("10.0.0.1", /*demo=*/true);
  EXPECT_EQ(Ask("POST", "/keyspaces", body).status, 200);
}

// Paths and methods that are not served say so.
TEST_F(ClusterDoorTest, MethodsAndPaths) {
  EXPECT_EQ(Ask("PUT", "/keyspaces").status, 405);
  EXPECT_EQ(Ask("POST", "/keyspaces/cart").status, 405);
  EXPECT_EQ(Ask("POST", "/keyspaces/cart/digest").status, 405);
  EXPECT_EQ(Ask("GET", "/keyspaces/cart/nothing").status, 404);
  EXPECT_EQ(Ask("GET", "/keyspaces/cart").status, 404);
  EXPECT_EQ(Ask("POST", "/nodes").status, 405);
  EXPECT_EQ(Ask("GET", "/nodes/n1/drain").status, 405);
  EXPECT_EQ(Ask("POST", "/nodes/n1").status, 405);
  EXPECT_EQ(Ask("DELETE", "/nodes/").status, 404);
  EXPECT_EQ(Ask("DELETE", "/nodes/a/b").status, 404);
}

// /status tells the clock's bound, the redis address, what gossip believes and every keyspace.
TEST_F(ClusterDoorTest, StatusTellsTheCluster) {
  CreateCart();
  behind.detector.believed = {{.node = NodeId(3), .health = node::Health::kDead}};
  const auto document = Document(Ask("GET", "/status"));
  EXPECT_EQ(std::string_view(document["redis"]), "10.0.0.1:6379");
  EXPECT_EQ(std::string_view(document["failure_domain"]), "rack 1");
  EXPECT_EQ(std::uint64_t(document["map_version"]), 7u);
  const std::int64_t bound_ns(document["clock"]["bound_ns"]);
  EXPECT_NEAR(double(document["clock"]["bound_ms"]), static_cast<double>(bound_ns) / 1e6, 0.001);
  EXPECT_EQ(std::string_view(document["health"].at(0)["state"]), "dead");
  EXPECT_EQ(std::string_view(document["keyspaces"].at(1)["name"]), "cart");
  EXPECT_EQ(std::uint64_t(document["keyspaces"].at(1)["tolerates"]), 2u);
}

// What has not spread, what lost and what was removed can be watched per keyspace and peer.
TEST_F(ClusterDoorTest, LeaderlessMetrics) {
  CreateCart();
  behind.leaderless.seen.count = 12;
  behind.leaderless.behind = {{NodeId(2), 40, 4000}, {NodeId(9), 1, 10}};
  const std::string text = Ask("GET", "/metrics").body;
  for (const char* line :
       {"coterie_leaderless_conflicts_total{keyspace=\"cart\"} 12\n",
        "coterie_leaderless_pending_mutations{keyspace=\"cart\",peer=\"n2\"} 40\n",
        "coterie_leaderless_pending_bytes{keyspace=\"cart\",peer=\"#9\"} 10\n",
        "coterie_leaderless_tombstones{keyspace=\"cart\"} 5\n", "process_resident_memory_bytes ",
        "process_cpu_seconds_total "}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace coterie::door::admin

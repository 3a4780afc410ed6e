// The admin door on whole nodes in the simulated world.

#include "door/admin/admin_door.h"

#include <gtest/gtest.h>

#include <simdjson.h>

#include <regex>
#include <sstream>

#include "node/testing/node_cluster.h"

namespace coterie::door::admin {
namespace {

using node::Node;
using node::testing::NodeCluster;

using Response = std::shared_ptr<std::optional<net::HttpResponse>>;

runtime::Task<void> RunRequest(Node* node, net::HttpRequest request, Response out) {
  AdminDoor door(*node, "9.9");
  const net::HttpHandler handler = door.Http();
  auto response = co_await handler(std::move(request));
  *out = std::move(response);
}

class AdminDoorTest : public testing::Test {
 protected:
  void Begin(bool demo, std::string name = "test") {
    cluster = std::make_unique<NodeCluster>(5, 3, [&](node::NodeConfig& config) {
      config.demo = demo;
      config.cluster = name;
    });
    cluster->StartAll();
    leader = cluster->AwaitLeader();
    follower = cluster->Other(leader);
    EXPECT_TRUE(cluster->Put(leader, "k", "v").has_value());
  }
  net::HttpResponse Ask(NodeId at, std::string method, std::string path, std::string query = "") {
    const auto out = std::make_shared<std::optional<net::HttpResponse>>();
    net::HttpRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.query = std::move(query);
    cluster->On(at, [request, out](Node& node) { return RunRequest(&node, request, out); });
    EXPECT_TRUE(cluster->RunUntil([&] { return out->has_value(); }, 10s));
    return *out ? std::move(**out) : net::HttpResponse{.status = 0};
  }
  int FaultStatus(const std::string& query) { return Ask(leader, "POST", "/fault", query).status; }

  std::unique_ptr<NodeCluster> cluster;
  NodeId leader, follower;
};

// /status is JSON whatever the names are, and says what the node knows.
TEST_F(AdminDoorTest, StatusIsJson) {
  Begin(false, "a \"quoted\\ name\tand\x01 more");
  const auto response = Ask(leader, "GET", "/status");
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  simdjson::dom::parser parser;
  simdjson::dom::element status;
  ASSERT_EQ(parser.parse(response.body).get(status), simdjson::SUCCESS) << response.body;
  EXPECT_EQ(std::string_view(status["cluster"]), "a \"quoted\\ name\tand\x01 more");
  EXPECT_EQ(std::string_view(status["role"]), "leader");
  EXPECT_EQ(std::string_view(status["version"]), "9.9");
  EXPECT_EQ(std::uint64_t(status["id"]), leader.value);
  EXPECT_EQ(std::uint64_t(status["leader"]), leader.value);
  EXPECT_EQ(std::uint64_t(status["revision"]), 2U);
  EXPECT_TRUE(bool(status["ready"]));
  ASSERT_EQ(simdjson::dom::array(status["peers"]).size(), 2U);
  for (const simdjson::dom::element peer : simdjson::dom::array(status["peers"])) {
    EXPECT_TRUE(bool(peer["connected"]));
    EXPECT_GE(std::int64_t(peer["last_heard_ms"]), 0);
    EXPECT_EQ(simdjson::dom::array(peer["faults"]).size(), 0U);
  }
}

// A node without a quorum still answers /status, is not healthy, and says why.
TEST_F(AdminDoorTest, WithoutAQuorum) {
  Begin(false);
  EXPECT_EQ(Ask(follower, "GET", "/healthz").status, 200);
  cluster->Kill(leader);
  cluster->Kill(cluster->Other(leader, follower));
  cluster->sim().RunFor(5s);
  const auto health = Ask(follower, "GET", "/healthz");
  EXPECT_EQ(health.status, 503);
  EXPECT_NE(health.body.find("COT-"), std::string::npos);
  simdjson::dom::parser parser;
  simdjson::dom::element status;
  ASSERT_EQ(parser.parse(Ask(follower, "GET", "/status").body).get(status), simdjson::SUCCESS);
  EXPECT_EQ(std::uint64_t(status["leader"]), 0U);
  EXPECT_FALSE(bool(status["ready"]));
}

// What a node raises is in its status and its metrics; a critical condition makes it unhealthy for
// as long as it holds.
TEST_F(AdminDoorTest, Conditions) {
  Begin(false);
  runtime::World& world = cluster->node(leader)->world();
  world.Raise(ConditionKind::kLogCut, "wal/3", "12 bytes at 4096");
  EXPECT_EQ(Ask(leader, "GET", "/healthz").status, 200);
  world.Raise(ConditionKind::kDiskFull, "", "0 bytes left");
  const auto health = Ask(leader, "GET", "/healthz");
  EXPECT_EQ(health.status, 503);
  EXPECT_NE(health.body.find("disk_full"), std::string::npos);
  simdjson::dom::parser parser;
  simdjson::dom::element status;
  ASSERT_EQ(parser.parse(Ask(leader, "GET", "/status").body).get(status), simdjson::SUCCESS);
  ASSERT_EQ(simdjson::dom::array(status["conditions"]).size(), 2U);
  const simdjson::dom::element cut = simdjson::dom::array(status["conditions"]).at(0);
  EXPECT_EQ(std::string_view(cut["name"]), "log_cut");
  EXPECT_EQ(std::string_view(cut["severity"]), "warning");
  EXPECT_EQ(std::string_view(cut["subject"]), "wal/3");
  EXPECT_NE(Ask(leader, "GET", "/metrics").body.find("coterie_condition{name=\"disk_full\""),
            std::string::npos);
  world.Clear(ConditionKind::kDiskFull);
  EXPECT_EQ(Ask(leader, "GET", "/healthz").status, 200);
}

// Every line of /metrics is a comment or a sample of a family announced before it, each once.
TEST_F(AdminDoorTest, MetricsFormat) {
  Begin(false);
  const auto response = Ask(leader, "GET", "/metrics");
  ASSERT_EQ(response.status, 200);
  const std::regex sample(R"(([a-z_]+)(\{[a-z]+="[^"\n]*"\})? -?[0-9.]+)");
  const std::regex type(R"(# TYPE ([a-z_]+) (gauge|counter))");
  std::istringstream lines(response.body);
  std::set<std::string> families;
  int samples = 0;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (line.starts_with("# HELP ")) continue;
    if (std::regex_match(line, match, type)) {
      EXPECT_TRUE(families.insert(match[1]).second) << line;
      const bool counter = match[2] == "counter";
      EXPECT_EQ(counter, match[1].str().ends_with("_total")) << line;
      continue;
    }
    ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
    EXPECT_TRUE(families.contains(match[1])) << line;
    ++samples;
  }
  EXPECT_GT(samples, 15);
  EXPECT_NE(response.body.find("coterie_raft_is_leader 1\n"), std::string::npos);
}

// Faults are refused outside a demo, whatever is asked.
TEST_F(AdminDoorTest, FaultsOutsideADemoAreRefused) {
  Begin(false);
  for (const char* query : {"to=2&cut=1", "heal=1", "", "nonsense"}) {
    EXPECT_EQ(FaultStatus(query), 403) << query;
  }
  EXPECT_FALSE(cluster->node(leader)->transport().peers()[0].fault.cut);
}

// In a demo they are set, shown and healed.
TEST_F(AdminDoorTest, FaultsInADemo) {
  Begin(true);
  const std::string to = "to=" + std::to_string(follower.value);
  EXPECT_EQ(FaultStatus(to + "&cut=1"), 200);
  EXPECT_EQ(FaultStatus(to + "&delay_ms=50"), 200);
  const std::string status = Ask(leader, "GET", "/status").body;
  EXPECT_NE(status.find(R"("faults":["cut","delay 50ms"])"), std::string::npos) << status;
  EXPECT_EQ(FaultStatus("heal=1"), 200);
  EXPECT_EQ(Ask(leader, "GET", "/status").body.find("cut"), std::string::npos);
}

// Parameters that mean nothing are refused and change nothing.
TEST_F(AdminDoorTest, BadParameters) {
  Begin(true);
  const std::string to = "to=" + std::to_string(follower.value);
  for (const std::string& query :
       {std::string(), to, to + "&cut=x", to + "&cut=2", to + "&delay_ms=-1",
        to + "&delay_ms=60001", to + "&delay_ms=99999999999999999999", std::string("to=99&cut=1"),
        std::string("to=&cut=1"), std::string("cut=1"), std::string("heal=0"), std::string("&&=&"),
        "to=" + std::to_string(leader.value) + "&cut=1", to + "&cut=1&delay_ms=x"}) {
    EXPECT_EQ(FaultStatus(query), 400) << query;
  }
  for (const node::PeerStatus& peer : cluster->node(leader)->transport().peers()) {
    EXPECT_FALSE(peer.fault.cut);
    EXPECT_EQ(peer.fault.delay, Duration::zero());
  }
}

// Methods and paths that are not served say so.
TEST_F(AdminDoorTest, MethodsAndPaths) {
  Begin(true);
  EXPECT_EQ(Ask(leader, "POST", "/status").status, 405);
  EXPECT_EQ(Ask(leader, "GET", "/fault", "heal=1").status, 405);
  EXPECT_EQ(Ask(leader, "GET", "/nothing").status, 404);
  EXPECT_EQ(Ask(leader, "HEAD", "/status").status, 200);
}

}  // namespace
}  // namespace coterie::door::admin

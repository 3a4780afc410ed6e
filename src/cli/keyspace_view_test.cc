#include "cli/keyspace_view.h"

#include <gtest/gtest.h>

#include "cli/keyspace_text.h"
#include "cli/node_view.h"

namespace coterie::cli {
namespace {

Json Parsed(const char* text) {
  Result<Json> document = Json::Parse(text);
  EXPECT_TRUE(document) << text;
  return document ? *document : Json();
}

// Claim: replicas with equal digests have converged; a different one, or one that is silent, has
// not, and the last line says which shards.
TEST(Digests, Verdict) {
  const char* const kRow = R"({"shard":%d,"node":"%s","digest":%s,"applied":"n1:4"})";
  const auto judged = [&](const std::vector<std::tuple<int, const char*, const char*>>& rows) {
    std::string text = R"({"keyspace":"cart","digests":[)";
    for (std::size_t i = 0; i < rows.size(); ++i) {
      char row[200];
      const auto& [shard, node, digest] = rows[i];
      std::snprintf(row, sizeof row, kRow, shard, node, digest);
      text += (i == 0 ? "" : ",") + std::string(row);
    }
    return JudgeDigests(Parsed((text + "]}").c_str()));
  };
  const auto last_line = [](const std::string& text) {
    return text.substr(text.rfind('\n', text.size() - 2) + 1);
  };
  const auto equal = judged({{16, "n1", "\"aa\""}, {16, "n2", "\"aa\""}, {17, "n1", "\"bb\""}});
  EXPECT_TRUE(equal.converged);
  EXPECT_EQ(last_line(equal.text), "converged\n");
  const auto differ = judged({{16, "n1", "\"aa\""}, {16, "n2", "\"ab\""}, {17, "n1", "\"bb\""}});
  EXPECT_FALSE(differ.converged);
  EXPECT_EQ(last_line(differ.text), "replicas differ: shard 16\n");
  const auto silent = judged({{16, "n1", "\"aa\""}, {16, "n2", "null"}, {17, "n1", "null"}});
  EXPECT_FALSE(silent.converged);
  EXPECT_EQ(last_line(silent.text), "replicas did not answer: shards 16, 17\n");
  EXPECT_NE(silent.text.find("no answer"), std::string::npos);
  EXPECT_FALSE(silent.document["converged"].Bool());
  EXPECT_EQ(silent.document["unanswered_shards"].items().size(), 2u);
}

// Claim: a loser that several nodes saw is shown once, the newest first, with a count per node; a
// node that is silent is not counted as having seen none.
TEST(Conflicts, Deduplicated) {
  const char* const kFirst =
      R"({"count":2,"newest":[{"shard":16,"key":"a","element":"","dot":"n1.0:4","time_ms":1000,)"
      R"("value":"x","winner":"n2.0:9"},{"shard":16,"key":"b","element":"f","dot":"n1.0:5",)"
      R"("time_ms":3000,"value":"y","winner":"n2.0:10"}]})";
  const char* const kSecond =
      R"({"count":1,"newest":[{"shard":16,"key":"a","element":"","dot":"n1.0:4","time_ms":1000,)"
      R"("value":"x","winner":"n2.0:9"}]})";
  std::vector<std::pair<std::string, Result<Json>>> answers;
  answers.emplace_back("n1", Parsed(kFirst));
  answers.emplace_back("n2", Parsed(kSecond));
  answers.emplace_back("n3", Fail(ErrorCode::kConnectFailed));
  const ConflictsReport report = CollectConflicts("cart", answers);
  ASSERT_EQ(report.document["newest"].items().size(), 2u);
  EXPECT_EQ(report.document["newest"][0]["key"].Text(), "b");
  EXPECT_EQ(report.document["nodes"][0]["count"].Int(), 2);
  EXPECT_TRUE(report.document["nodes"][2]["count"].IsNull());
  EXPECT_NE(report.text.find("n3         no answer: COT-3001"), std::string::npos) << report.text;
  EXPECT_NE(report.text.find("00:00:03.000"), std::string::npos) << report.text;
}

// Claim: what the admin door tells of a promise is the promise again.
TEST(KeyspaceTable, PromiseFromJson) {
  const Json document = Parsed(
      R"({"name":"cart","replication":"leaderless",)"
      R"("promise":{"replicas":3,"read":1,"write":2,)"
      R"("conflict":"lww","durability":"interval"},"shards":[{"id":16,"epoch":1,"replicas":[)"
      R"({"node":1,"name":"n1","phase":"active"},{"node":2,"name":"n2","phase":"joining"}]}],)"
      R"("redis_database":4})");
  const auto promise = PromiseFromJson(document);
  ASSERT_TRUE(promise) << promise.error().message;
  EXPECT_EQ(keyspace::Summary(*promise),
            "leaderless, N=3 R=1 W=2, conflict lww, durability interval");
  EXPECT_EQ(promise->redis_database, 4u);
  Json list = Json::Array();
  list.Push(document);
  const std::string table = KeyspaceTable(list);
  EXPECT_NE(table.find("n1:1 n2:1, 1 moving"), std::string::npos) << table;
  EXPECT_FALSE(PromiseFromJson(Parsed(R"({"name":"x","replication":"pbft"})")));
}

// Claim: an explanation as JSON holds every row that the text has.
TEST(KeyspaceTable, ExplanationAsJson) {
  const auto explanation = keyspace::Explain(*keyspace::Complete({.name = "main"}));
  const Json document = ToJson(explanation);
  EXPECT_EQ(document["write"].Int(), 2);
  ASSERT_EQ(document["sections"].items().size(), explanation.sections.size());
  for (std::size_t i = 0; i < explanation.sections.size(); ++i) {
    for (const auto& row : explanation.sections[i].rows) {
      EXPECT_EQ(document["sections"][i]["rows"][row.what].Text(), row.answer);
    }
  }
}

// Claim: a keyspace as one word reads back as the same promise, and what is wrong with it is told.
TEST(KeyspaceWord, RoundTrips) {
  for (const char* word :
       {"main", "lock:replication=paxos:redis-database=2",
        "cart:replication=leaderless:replicas=5:read=2:write=4:conflict=siblings:"
        "durability=memory:shards=8:redis_database=9"}) {
    const auto promise = ParseKeyspace(word);
    ASSERT_TRUE(promise) << word << ": " << promise.error().message;
    EXPECT_EQ(ParseKeyspace(KeyspaceText(*promise)), *promise) << KeyspaceText(*promise);
  }
  EXPECT_EQ(ParseKeyspace("x:replication=leaderless:replicas=5")->write, 3u);
  for (const char* wrong : {"", "Main", "x:replication", "x:replicas=three", "x:quorum=2",
                            "x:replication=raft:conflict=lww"}) {
    EXPECT_FALSE(ParseKeyspace(wrong)) << wrong;
  }
}

// Claim: suspicion is told with its age and who said so first.
TEST(NodeTable, Health) {
  EXPECT_EQ(HealthText("suspected", 4210, "n1"), "suspected for 4.2 s, by the word of n1");
  EXPECT_EQ(HealthText("alive", 99, ""), "alive");
  EXPECT_EQ(HealthText("", 0, ""), "-");
  const std::string table = NodeTable(Parsed(
      R"([{"id":4,"name":"n4","redis":"127.0.0.4:6379","admin":"127.0.0.4:7070","draining":true,)"
      R"("failure_domain":"","replicas":12,)"
      R"("health":{"state":"dead","since_ms":60000,"by":null}}])"));
  EXPECT_NE(table.find("draining       12  its own"), std::string::npos) << table;
  EXPECT_NE(table.find("dead for 60.0 s"), std::string::npos) << table;
}

}  // namespace
}  // namespace coterie::cli

#include "door/admin/cluster_json.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "base/random.h"
#include "door/admin/admin_door.h"
#include "door/admin/json_text.h"

namespace coterie::door::admin {
namespace {

// Whatever the bytes are, what is quoted is a JSON string, and plain UTF-8 reads back as it was.
TEST(JsonText, QuoteIsTotal) {
  simdjson::dom::parser parser;
  const auto reads_as = [&](const std::string& quoted) -> std::string {
    std::string_view text;
    EXPECT_EQ(parser.parse("[" + quoted + "]").at(0).get(text), simdjson::SUCCESS) << quoted;
    return std::string(text);
  };
  for (const std::string& text :
       {std::string("plain"), std::string("a\"b\\c\n\t\x01"), std::string("\x7f"),
        std::string("M\xc3\xbcnchen \xe2\x82\xac \xf0\x9f\x90\x9d"), std::string("nul\0l", 5)}) {
    EXPECT_EQ(reads_as(Quote(text)), text);
  }
  EXPECT_EQ(reads_as(Quote("a\xff"
                           "b\xc0\x80")),
            "a\\xffb\\xc0\\x80");
  EXPECT_EQ(reads_as(Quote("\xed\xa0\x80")), "\\xed\\xa0\\x80") << "half of a surrogate pair";
  EXPECT_EQ(reads_as(Quote("\xe2\x82")), "\\xe2\\x82") << "cut short";
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (std::uint64_t i = random.Below(12); i > 0; --i) {
      bytes += static_cast<char>(random.Chance(0.5) ? random.Below(256) : 0x80 + random.Below(128));
    }
    reads_as(Quote(bytes));
  }
}

// An error tells its code, whether it happened, and what it is about.
TEST(JsonText, ErrorsSayWhetherItHappened) {
  const Error unknown{ErrorCode::kTimedOut, Outcome::kUnknown, "waited \"long\""};
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  ASSERT_EQ(parser.parse(ErrorJson(unknown)).get(document), simdjson::SUCCESS);
  EXPECT_EQ(std::string_view(document["code"]), "COT-1005");
  EXPECT_EQ(std::string_view(document["outcome"]), "unknown");
  EXPECT_EQ(std::string_view(document["message"]), "waited \"long\"");
  EXPECT_EQ(HttpStatusOf(unknown), 503);
  EXPECT_EQ(HttpStatusOf({ErrorCode::kNoKeyspace, Outcome::kNotApplied, {}}), 404);
}

// Every member of a declaration is read, and whatever is left out keeps its default.
TEST(ParsePromise, ReadsEveryMember) {
  const auto full = ParsePromise(
      R"({"name":"q","replication":"leaderless","replicas":5,"read":2,"write":4,"conflict":"lww",)"
      R"("durability":"interval","shards":32,"redis_database":7})");
  ASSERT_TRUE(full.has_value()) << full.error().message;
  EXPECT_EQ(*full, (keyspace::Promise{.name = "q",
                                      .replication = keyspace::Replication::kLeaderless,
                                      .replicas = 5,
                                      .read = 2,
                                      .write = 4,
                                      .conflict = keyspace::Conflict::kLww,
                                      .durability = keyspace::Durability::kInterval,
                                      .shards = 32,
                                      .redis_database = 7}));
  EXPECT_EQ(ParsePromise(R"({"name":"m"})"), keyspace::Promise{.name = "m"});
}

// What cannot be read is refused, naming the member.
TEST(ParsePromise, RefusesWhatItCannotRead) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "JSON object"},
      {"[1]", "JSON object"},
      {"{\"name\":\"a\"", "JSON object"},
      {"{}", "'name' is missing"},
      {R"({"name":3})", "'name' must be a text"},
      {R"({"name":"a","replicas":"3"})", "'replicas' must be a whole number"},
      {R"({"name":"a","read":-1})", "'read' must be a whole number"},
      {R"({"name":"a","shards":4294967296})", "'shards' must be a whole number"},
      {R"({"name":"a","replication":"gossip"})", "'gossip' is none of"},
      {R"({"name":"a","quorum":2})", "no 'quorum'"},
  };
  for (const auto& [body, says] : cases) {
    const auto refused = ParsePromise(body);
    ASSERT_FALSE(refused.has_value()) << body;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(refused.error().message.find(says), std::string::npos) << refused.error().message;
  }
  EXPECT_FALSE(ParsePromise(std::string(100'000, ' ') + R"({"name":"a"})").has_value());
}

// Loopback is told from what merely begins like it.
TEST(AdminDoorAddress, Loopback) {
  for (const char* yes : {"127.0.0.1", "127.9.8.7", "::1"}) EXPECT_TRUE(IsLoopback(yes)) << yes;
  for (const char* no : {"", "10.0.0.1", "127.0.0.1.example.org", "0.0.0.0", "::", "127.example",
                         "127.0.0", "128.0.0.1"}) {
    EXPECT_FALSE(IsLoopback(no)) << no;
  }
}

}  // namespace
}  // namespace coterie::door::admin

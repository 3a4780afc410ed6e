#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "door/redis/ordered_fixture.h"

namespace coterie::door::redis {
namespace {

class OrderedTransactions : public OrderedTest {};

// MULTI queues, EXEC runs everything at one point of the log, DISCARD forgets.
TEST_F(OrderedTransactions, RunTogether) {
  Expect(R"(
    MULTI -> OK
    SET a 1 -> QUEUED
    INCR a -> QUEUED
    SADD s x y -> QUEUED
    GET a -> QUEUED
    EXEC -> [OK 2 2 "2"]
    MULTI -> OK
    EXEC -> []
    MULTI -> OK
    SET a 9 -> QUEUED
    DISCARD -> OK
    GET a -> "2"
  )");
  const auto before = node.status().last;
  Expect(R"(
    MULTI -> OK
    SET b 1 -> QUEUED
    ZADD z 1 m -> QUEUED
    HSET h f v -> QUEUED
    DEL s -> QUEUED
    SADD s z -> QUEUED
    EXEC -> [OK 1 1 1 1]
    SMEMBERS s -> ["z"]
  )");
  EXPECT_EQ(node.status().last.value - before.value, 1u) << "one entry of the log";
}

// Errors as in Redis: a command that cannot be queued aborts, one that fails does not.
TEST_F(OrderedTransactions, ErrorsAreRediss) {
  Expect(R"(
    EXEC -> -ERR EXEC without MULTI
    DISCARD -> -ERR DISCARD without MULTI
    MULTI -> OK
    MULTI -> -ERR MULTI calls can not be nested
    WATCH a -> -ERR WATCH inside MULTI is not allowed
    SET a text -> QUEUED
    INCR a -> QUEUED
    HGET a f -> QUEUED
    SET b 1 -> QUEUED
    EXEC -> [OK -ERR value is not an integer or out of range -WRONGTYPE Operation against a key...
    GET b -> "1"
    UNWATCH -> OK
  )");
  EXPECT_EQ(Do("MULTI"), "OK");
  EXPECT_EQ(Do("SET b 2"), "QUEUED");
  self->transaction.OnRefused();  // what the door does with an unknown command
  EXPECT_EQ(Do("EXEC"), "-EXECABORT Transaction discarded because of previous errors.");
  EXPECT_EQ(Do("GET b"), "\"1\"");
  self->transaction.OnRefused();  // none is open: nothing to abort
  EXPECT_EQ(Do("MULTI"), "OK");
  EXPECT_EQ(Do("EXEC"), "[]");
}

// Commands of the connection take no part; RESET ends a transaction.
TEST_F(OrderedTransactions, ConnectionCommandsAreRefused) {
  std::string out;
  Reply reply(out);
  EXPECT_FALSE(self->transaction.Refuses(*FindCommand("select"), reply));
  EXPECT_EQ(Do("MULTI"), "OK");
  EXPECT_FALSE(self->transaction.Refuses(*FindCommand("reset"), reply));
  EXPECT_TRUE(self->transaction.Refuses(*FindCommand("select"), reply));
  EXPECT_EQ(out, "-ERR SELECT is not served inside MULTI\r\n");
  self->transaction.Reset();
  EXPECT_FALSE(self->transaction.queueing());
  EXPECT_EQ(Do("EXEC"), "-ERR EXEC without MULTI");
}

// EXEC answers nil if a watched key, of whatever type, was changed by anybody; and only then.
TEST_F(OrderedTransactions, WatchGuards) {
  auto other = Connect();
  const auto attempt = [&](std::string_view watched, std::string_view change) {
    EXPECT_EQ(Do("WATCH " + std::string(watched)), "OK");
    if (!change.empty()) Do(*other, change);
    EXPECT_EQ(Do("MULTI"), "OK");
    EXPECT_EQ(Do("SET result 1"), "QUEUED");
    return Do("EXEC") != "(nil array)";
  };
  Expect(R"(
    SET s 1 -> OK
    HSET h f v g w -> 2
    ZADD z 1 a -> 1
  )");
  EXPECT_TRUE(attempt("s h z none", ""));
  EXPECT_TRUE(attempt("s h", "SET unrelated 1"));
  EXPECT_FALSE(attempt("s h", "SET s 1"));
  EXPECT_FALSE(attempt("s h", "HSET h f other"));
  EXPECT_FALSE(attempt("z", "ZINCRBY z 1 a"));
  EXPECT_FALSE(attempt("h", "HDEL h f"));
  EXPECT_FALSE(attempt("none", "SET none 1"));
  EXPECT_FALSE(attempt("s", "DEL s"));
  EXPECT_FALSE(attempt("h", "EXPIRE h 100"));
  EXPECT_TRUE(attempt("h", "EXPIRE nothing 100"));
  EXPECT_FALSE(attempt("none", "FLUSHDB"));
  EXPECT_TRUE(attempt("s h z none", "")) << "the watches of a finished EXEC are forgotten";
  EXPECT_EQ(Do("WATCH none"), "OK");
  Do(*other, "SET none 2");
  EXPECT_EQ(Do("UNWATCH"), "OK");
  EXPECT_EQ(Do("MULTI"), "OK");
  EXPECT_EQ(Do("GET none"), "QUEUED");
  EXPECT_EQ(Do("EXEC"), "[\"2\"]");
}

// A key that was made and removed again since it was watched as absent has changed: its watcher may
// have read it meanwhile.
TEST_F(OrderedTransactions, WatchSeesWhatCameAndWent) {
  auto other = Connect();
  for (const std::string_view was : {"", "DEL k"}) {
    if (!was.empty()) Do(was);
    EXPECT_EQ(Do("WATCH k"), "OK");
    EXPECT_EQ(Do(*other, "SET k passing"), "OK");
    EXPECT_EQ(Do("GET k"), "\"passing\"");
    EXPECT_EQ(Do(*other, "GETDEL k"), "\"passing\"");
    Expect(R"(
      MULTI -> OK
      SET k computed -> QUEUED
      EXEC -> (nil array)
      EXISTS k -> 0
      WATCH k -> OK
      MULTI -> OK
      SET k first -> QUEUED
      EXEC -> [OK]
    )");
  }
}

// A key that expired since it was watched has changed.
TEST_F(OrderedTransactions, WatchSeesExpiry) {
  Expect(R"(
    SET k v PX 1000 -> OK
    WATCH k -> OK
  )");
  world.executor().Advance(2s);
  Expect(R"(
    MULTI -> OK
    SET r 1 -> QUEUED
    EXEC -> (nil array)
    EXISTS r -> 0
  )");
}

// The classic use: read, compute, write back, from many connections at once. What was acknowledged
// is counted, and nothing else.
TEST_F(OrderedTransactions, CompareAndSetCounts) {
  Random random(5);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(Connect());
  std::vector<int> step(clients.size()), read(clients.size());
  int done = 0, refused = 0;
  for (int i = 0; i < 4000; ++i) {
    const auto at = static_cast<std::size_t>(random.Below(clients.size()));
    Client& one = *clients[at];
    switch (step[at]++) {
      case 0:
        EXPECT_EQ(Do(one, "WATCH n"), "OK");
        break;
      case 1: {
        const std::string value = Do(one, "GET n");
        read[at] = value == "(nil)" ? 0 : std::stoi(value.substr(1));
        break;
      }
      case 2:
        EXPECT_EQ(Do(one, "MULTI"), "OK");
        EXPECT_EQ(Do(one, "SET n " + std::to_string(read[at] + 1)), "QUEUED");
        break;
      default:
        step[at] = 0;
        (Do(one, "EXEC") == "[OK]" ? done : refused)++;
    }
  }
  EXPECT_EQ(Do("GET n"), '"' + std::to_string(done) + '"');
  EXPECT_GT(done, 50);
  EXPECT_GT(refused, 50);
}

/// Redis as a map: what transactions of several connections must answer when one command runs at a
/// time.
class NaiveRedis {
 public:
  struct Connection {
    bool multi = false;
    std::vector<OwnedWords> queued;
    std::map<std::string, std::uint64_t> watched;
  };
  std::string Run(Connection& connection, const OwnedWords& words) {
    const std::string& name = words[0];
    if (name == "MULTI") return connection.multi = true, "OK";
    if (name == "DISCARD") return connection = {}, "OK";
    if (name == "UNWATCH") return connection.watched.clear(), "OK";
    if (name == "WATCH") return connection.watched.emplace(words[1], version_[words[1]]), "OK";
    if (name == "EXEC") return Exec(connection);
    if (connection.multi) return connection.queued.push_back(words), "QUEUED";
    return Plain(words);
  }

 private:
  std::string Exec(Connection& connection) {
    const Connection taken = std::exchange(connection, {});
    for (const auto& [key, version] : taken.watched) {
      if (version_[key] != version) return "(nil array)";
    }
    const auto values = values_;
    const auto versions = version_;
    std::string out = "[";
    for (const auto& words : taken.queued) out += (out.size() > 1 ? " " : "") + Plain(words);
    // What was made and removed within it nobody else can have seen.
    for (auto& [key, version] : version_) {
      if (values.contains(key) || values_.contains(key)) continue;
      const auto before = versions.find(key);
      version = before == versions.end() ? 0 : before->second;
    }
    return out + "]";
  }
  std::string Plain(const OwnedWords& words) {
    const std::string& key = words[1];
    const auto found = values_.find(key);
    if (words[0] == "GET") return found == values_.end() ? "(nil)" : '"' + found->second + '"';
    if (words[0] == "DEL") {
      const auto erased = values_.erase(key);
      if (erased > 0) version_[key] = ++writes_;  // absent, and not as if it had never been there
      return std::to_string(erased);
    }
    std::string reply = "OK";
    if (words[0] == "SET") {
      values_[key] = words[2];
    } else {
      reply = std::to_string(found == values_.end() ? 1 : std::stoi(found->second) + 1);
      values_[key] = reply;
    }
    version_[key] = ++writes_;
    return reply;
  }
  std::map<std::string, std::string> values_;
  std::map<std::string, std::uint64_t> version_;
  std::uint64_t writes_ = 0;
};

// Random interleavings of four connections: each reply is the naive model's.
TEST_F(OrderedTransactions, InterleavingsMatchTheModel) {
  const std::string keys[] = {"a", "b", "c"};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    EXPECT_EQ(Do("FLUSHDB"), "OK");
    NaiveRedis model;
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<NaiveRedis::Connection> connections(4);
    for (std::size_t i = 0; i < connections.size(); ++i) clients.push_back(Connect());
    for (int i = 0; i < 300; ++i) {
      const auto at = static_cast<std::size_t>(random.Below(connections.size()));
      const std::string key = keys[random.Below(3)];
      const bool multi = connections[at].multi;
      OwnedWords words;
      switch (random.Below(8)) {
        case 0:
          words = multi ? OwnedWords{"EXEC"} : OwnedWords{"MULTI"};
          break;
        case 1:
          words = multi ? OwnedWords{"EXEC"} : OwnedWords{"WATCH", key};
          break;
        case 2:
          words = multi ? OwnedWords{"DISCARD"} : OwnedWords{"WATCH", key};
          break;
        case 3:
          words = {"GET", key};
          break;
        case 4:
          words = {"DEL", key};
          break;
        case 5:
          words = {"SET", key, std::to_string(random.Below(100))};
          break;
        default:
          words = {"INCR", key};
      }
      const std::string expected = model.Run(connections[at], words);
      ASSERT_EQ(ReplyText::Of(Raw(*clients[at], words)), expected)
          << "seed " << seed << ", step " << i << ": " << words[0];
    }
  }
}

// Transactions that begin while others are under way are serial: money moved between accounts at
// random is neither made nor lost.
TEST_F(OrderedTransactions, ConcurrentTransfersKeepTheSum) {
  Random random(9);
  for (int i = 0; i < 5; ++i) Do("SET account" + std::to_string(i) + " 100");
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(Connect());
  for (int round = 0; round < 50; ++round) {
    for (auto& one : clients) {
      const std::string from = "account" + std::to_string(random.Below(5));
      const std::string to = "account" + std::to_string(random.Below(5));
      Do(*one, "MULTI");
      Do(*one, "DECRBY " + from + " 7");
      Do(*one, "INCRBY " + to + " 7");
    }
    node.hold_proposals = true;
    for (auto& one : clients) Begin(*one, {"EXEC"});
    world.executor().Settle();
    node.Release();
    world.executor().Settle();
    for (auto& one : clients) {
      ASSERT_TRUE(one->reply.has_value());
      ASSERT_EQ(one->reply->substr(0, 4), "*2\r\n") << *one->reply;
    }
  }
  int sum = 0;
  for (int i = 0; i < 5; ++i) {
    sum += std::stoi(Do("GET account" + std::to_string(i)).substr(1));
  }
  EXPECT_EQ(sum, 500);
}

// Reading the whole keyspace is served in a transaction that only reads.
TEST_F(OrderedTransactions, WholeKeyspaceReadsDoNotMixWithWrites) {
  EXPECT_EQ(Do("SET a 1"), "OK");
  Expect(R"(
    MULTI -> OK
    DBSIZE -> QUEUED
    KEYS * -> QUEUED
    EXEC -> [1 ["a"]]
    MULTI -> OK
    DBSIZE -> QUEUED
    SET b 1 -> QUEUED
  )");
  EXPECT_EQ(Do("EXEC").substr(0, 14), "-COT COT-0001 ");
  EXPECT_EQ(Do("EXISTS b"), "0");
}

// A few thousand commands are one transaction.
TEST_F(OrderedTransactions, MayBeLong) {
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Do("MULTI"), "OK");
    for (int i = 0; i < 9000; ++i) Raw(*self, {"SET", "k" + std::to_string(i), "v"});
    EXPECT_EQ(Raw(*self, {"EXEC"}).substr(0, 10), "*9000\r\n+OK");
  }
  EXPECT_EQ(Do("DBSIZE"), "9000");
}

// Bounds of the queue and of what is watched.
TEST_F(OrderedTransactions, AreBounded) {
  EXPECT_EQ(Do("MULTI"), "OK");
  const std::string large(1u << 20, 'x');
  EXPECT_EQ(Raw(*self, {"SET", "k", large}), "+QUEUED\r\n");
  EXPECT_EQ(Raw(*self, {"SET", "k", large}).substr(0, 27), "-ERR a transaction may have");
  EXPECT_EQ(Do("EXEC"), "-EXECABORT Transaction discarded because of previous errors.");
  OwnedWords words = {"WATCH"};
  for (int i = 0; i < 1001; ++i) words.push_back(std::to_string(i));
  EXPECT_EQ(Raw(*self, words), "-ERR 1000 keys may be watched at most\r\n");
}

// On a node without a replica everything, WATCH and EXEC too, is done by one that has it.
TEST_F(OrderedTransactions, ArePassedOn) {
  OrderedCommands there(world, {[this](std::string_view) { return &node; }, {}, {}});
  replica_here = false;
  pass_on = [&there](Context context, OwnedWords words) {
    EXPECT_EQ(context.transaction, nullptr);
    context.forwarded = true;
    return there.Run(std::move(context), std::move(words));
  };
  auto other = Connect();
  Expect(R"(
    SET a 1 -> OK
    INCR a -> 2
    WATCH a b -> OK
    MULTI -> OK
    SET a 'x y' -> QUEUED
    GET a -> QUEUED
    EXEC -> [OK "x y"]
    WATCH a -> OK
  )");
  EXPECT_EQ(Do(*other, "SET a 2"), "OK");
  Expect(R"(
    MULTI -> OK
    SET a 3 -> QUEUED
    EXEC -> (nil array)
    GET a -> "2"
  )");
  // What comes from another node goes no further.
  self->context.forwarded = true;
  EXPECT_NE(Do("GET a").find("COT-1012"), std::string::npos);
}

}  // namespace
}  // namespace coterie::door::redis

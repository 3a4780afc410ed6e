#include <gtest/gtest.h>

#include <set>
#include <string>

#include "door/redis/ordered_fixture.h"

namespace coterie::door::redis {
namespace {

class OrderedCollections : public OrderedTest {
 protected:
  std::size_t Records() {
    etcdserverpb::RangeRequest request;
    request.set_key(std::string(1, '\0'));
    request.set_range_end(std::string(1, '\0'));
    return static_cast<std::size_t>(node.store().Range(request)->kvs_size());
  }
  /// Runs a scan to its end: every element that it gave.
  std::multiset<std::string> ScanAll(const std::string& command, std::size_t each) {
    std::multiset<std::string> all;
    std::string cursor = "0";
    do {
      OwnedWords words = Split(command);
      const auto place = words[0] == "SCAN" ? 1 : 2;
      words.insert(words.begin() + place, cursor);
      std::string reply = Raw(*self, words);
      std::string_view in = reply;
      in.remove_prefix(in.find("\r\n") + 2);
      cursor = ReplyText::One(in);
      cursor = cursor.substr(1, cursor.size() - 2);
      std::size_t n = static_cast<std::size_t>(std::stoul(std::string(in.substr(1))));
      in.remove_prefix(in.find("\r\n") + 2);
      for (std::size_t i = 0; i < n; ++i) {
        std::string element = ReplyText::One(in);
        if (i % each == 0) all.insert(element);
      }
    } while (cursor != "0");
    return all;
  }
};

// Hashes.
TEST_F(OrderedCollections, Hashes) {
  Expect(R"(
    HSET h a 1 b 2 -> 2
    HSET h a 3 c 4 -> 1
    HSET h a -> -ERR wrong number of arguments for 'hset' command
    HGET h a -> "3"
    HGET h none -> (nil)
    HGET none a -> (nil)
    HMGET h a none c -> ["3" (nil) "4"]
    HGETALL h -> ["a" "3" "b" "2" "c" "4"]
    HKEYS h -> ["a" "b" "c"]
    HVALS h -> ["3" "2" "4"]
    HLEN h -> 3
    HEXISTS h a -> 1
    HEXISTS h none -> 0
    HSTRLEN h a -> 1
    HSTRLEN h none -> 0
    HSETNX h a 9 -> 0
    HSETNX h d 9 -> 1
    HINCRBY h d 5 -> 14
    HINCRBY h new -5 -> -5
    HINCRBY h d 9223372036854775807 -> -ERR increment or decrement would overflow
    HINCRBYFLOAT h d 0.5 -> "14.5"
    HINCRBY h d 1 -> -ERR hash value is not an integer
    HSET h t text -> 1
    HINCRBYFLOAT h t 1 -> -ERR hash value is not a float
    HMSET h a 1 -> OK
    HDEL h a b none -> 2
    HDEL none a -> 0
    TYPE h -> hash
    HDEL h c d new t -> 4
    EXISTS h -> 0
    HRANDFIELD none -> (nil)
    HRANDFIELD none 3 -> []
    HSET one f v -> 1
    HRANDFIELD one -> "f"
    HRANDFIELD one -2 WITHVALUES -> ["f" "v" "f" "v"]
    HRANDFIELD one 5 -> ["f"]
    HRANDFIELD one x -> -ERR value is not an integer or out of range
    DEL one -> 1
  )");
  EXPECT_EQ(Records(), 0u);
}

// Sets.
TEST_F(OrderedCollections, Sets) {
  Expect(R"(
    SADD a 1 2 3 2 -> 3
    SADD a 3 4 -> 1
    SCARD a -> 4
    SMEMBERS a -> ["1" "2" "3" "4"]
    SISMEMBER a 1 -> 1
    SISMEMBER none 1 -> 0
    SMISMEMBER a 1 9 -> [1 0]
    SREM a 4 9 -> 1
    SADD b 2 3 5 -> 3
    SINTER a b -> ["2" "3"]
    SUNION a b none -> ["1" "2" "3" "5"]
    SDIFF a b -> ["1"]
    SDIFF none a -> []
    SINTER a none -> []
    SINTERCARD 2 a b -> 2
    SINTERCARD 2 a b LIMIT 1 -> 1
    SINTERCARD 0 a -> -ERR numkeys should be greater than 0
    SINTERCARD 3 a b -> -ERR Number of keys can't be greater than number of args
    SINTERCARD 2 a b LIMIT -1 -> -ERR LIMIT can't be negative
    SINTERSTORE c a b -> 2
    SMEMBERS c -> ["2" "3"]
    SUNIONSTORE c a b -> 4
    SDIFFSTORE c a b -> 1
    SINTERSTORE c a none -> 0
    EXISTS c -> 0
    SET s text -> OK
    SUNIONSTORE s a b -> 4
    TYPE s -> set
    SUNIONSTORE s s b -> 4
    SMOVE a b 1 -> 1
    SMOVE a b 1 -> 0
    SMOVE none b 1 -> 0
    SMOVE a a 2 -> 1
    SMEMBERS b -> ["1" "2" "3" "5"]
    SPOP none -> (nil)
    SPOP none 2 -> []
    SPOP a -1 -> -ERR value is out of range, must be positive
    SPOP a 0 -> []
    SPOP a 10 -> ["2" "3"]
    EXISTS a -> 0
    SADD one x -> 1
    SRANDMEMBER one -> "x"
    SRANDMEMBER one -3 -> ["x" "x" "x"]
    SRANDMEMBER one 3 -> ["x"]
    SPOP one -> "x"
    DEL b s -> 2
  )");
  EXPECT_EQ(Records(), 0u);
}

// Sorted sets: adding, scores, ranks, pops.
TEST_F(OrderedCollections, SortedSets) {
  Expect(R"(
    ZADD z 1 a 2 b 3 c -> 3
    ZADD z NX 9 a 4 d -> 1
    ZADD z XX 9 none 5 d -> 0
    ZADD z CH 1.5 a 5 d -> 1
    ZADD z GT 1 a 3 b -> 0
    ZSCORE z a -> "1.5"
    ZSCORE z b -> "3"
    ZADD z LT CH 1 a 9 b -> 1
    ZADD z INCR 2 a -> "3"
    ZADD z NX INCR 2 a -> (nil)
    ZADD z XX INCR 2 none -> (nil)
    ZADD z NX XX 1 a -> -ERR XX and NX options at the same time are not compatible
    ZADD z GT LT 1 a -> -ERR GT, LT, and/or NX options at the same time are not compatible
    ZADD z INCR 1 a 2 b -> -ERR INCR option supports a single increment-element pair
    ZADD z 1 a 2 -> -ERR syntax error
    ZADD z x a -> -ERR value is not a valid float
    ZADD z nan a -> -ERR value is not a valid float
    ZINCRBY z -1 a -> "2"
    ZINCRBY new inf m -> "inf"
    ZINCRBY new -inf m -> -ERR resulting score is not a number (NaN)
    ZMSCORE z a none -> ["2" (nil)]
    ZCARD z -> 4
    ZRANK z a -> 0
    ZRANK z d -> 3
    ZREVRANK z d -> 0
    ZRANK z none -> (nil)
    ZRANGE z 0 -1 WITHSCORES -> ["a" "2" "b" "3" "c" "3" "d" "5"]
    ZREM z a none -> 1
    ZPOPMIN z -> ["b" "3"]
    ZPOPMAX z 5 -> ["d" "5" "c" "3"]
    ZPOPMIN z -> []
    ZPOPMIN z -1 -> -ERR value is out of range, must be positive
    EXISTS z -> 0
    ZADD neg -1 m -2.5 n 0 o inf p -inf q -> 5
    ZRANGE neg 0 -1 -> ["q" "n" "m" "o" "p"]
    ZRANDMEMBER none -> (nil)
    ZRANDMEMBER new 3 WITHSCORES -> ["m" "inf"]
    DEL neg new -> 2
  )");
  EXPECT_EQ(Records(), 0u);
}

// Ranges of sorted sets, in every form.
TEST_F(OrderedCollections, SortedRanges) {
  Expect(R"(
    ZADD z 1 a 2 b 3 c 4 d 5 e -> 5
    ZRANGE z 1 2 -> ["b" "c"]
    ZRANGE z -2 -1 -> ["d" "e"]
    ZRANGE z 3 1 -> []
    ZRANGE z 4 100 -> ["e"]
    ZRANGE z 0 1 REV WITHSCORES -> ["e" "5" "d" "4"]
    ZREVRANGE z 0 1 -> ["e" "d"]
    ZREVRANGE z -1 -1 WITHSCORES -> ["a" "1"]
    ZRANGE z (1 3 BYSCORE -> ["b" "c"]
    ZRANGE z -inf +inf BYSCORE LIMIT 1 2 -> ["b" "c"]
    ZRANGE z 3 1 BYSCORE REV -> ["c" "b" "a"]
    ZRANGEBYSCORE z (1 (4 WITHSCORES -> ["b" "2" "c" "3"]
    ZRANGEBYSCORE z 2 4 LIMIT 1 -1 -> ["c" "d"]
    ZRANGEBYSCORE z 2 4 LIMIT 1 0 -> []
    ZRANGEBYSCORE z 4 2 -> []
    ZREVRANGEBYSCORE z 4 (2 -> ["d" "c"]
    ZREVRANGEBYSCORE z +inf -inf LIMIT 1 2 -> ["d" "c"]
    ZRANGEBYSCORE z x 4 -> -ERR min or max is not a float
    ZCOUNT z 2 4 -> 3
    ZCOUNT z (2 (4 -> 1
    ZCOUNT none 2 4 -> 0
    ZRANGE z 0 1 LIMIT 0 1 -> -ERR syntax error, LIMIT is only supported in combination with eit...
    ZRANGE z - + BYLEX WITHSCORES -> -ERR syntax error, WITHSCORES not supported in combination...
    ZRANGE z x 1 -> -ERR value is not an integer or out of range
    ZRANGE z 0 1 NONSENSE -> -ERR syntax error
    ZADD l 0 a 0 b 0 c 0 d -> 4
    ZRANGEBYLEX l - + -> ["a" "b" "c" "d"]
    ZRANGEBYLEX l [b (d -> ["b" "c"]
    ZRANGEBYLEX l - + LIMIT 1 2 -> ["b" "c"]
    ZREVRANGEBYLEX l + [b -> ["d" "c" "b"]
    ZRANGE l [b [c BYLEX -> ["b" "c"]
    ZRANGE l [c [b BYLEX REV -> ["c" "b"]
    ZRANGEBYLEX l b c -> -ERR min or max not valid string range item
    ZLEXCOUNT l [b + -> 3
    ZREMRANGEBYLEX l [b [c -> 2
    ZRANGE l 0 -1 -> ["a" "d"]
    ZREMRANGEBYRANK z 0 0 -> 1
    ZREMRANGEBYSCORE z 2 (4 -> 2
    ZRANGE z 0 -1 -> ["d" "e"]
    ZRANGESTORE copy z 0 0 -> 1
    ZRANGE copy 0 -1 WITHSCORES -> ["d" "4"]
    ZRANGESTORE copy none 0 0 -> 0
    EXISTS copy -> 0
    ZREMRANGEBYRANK z 0 -1 -> 2
    EXISTS z -> 0
  )");
}

// One key has one type; what is refused changes nothing.
TEST_F(OrderedCollections, AKeyHasOneType) {
  Expect(R"(
    SET s v -> OK
    HSET h f v -> 1
    SADD m x -> 1
    ZADD z 1 x -> 1
    HSET s f v -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GET h -> -WRONGTYPE Operation against a key holding the wrong kind of value
    INCR z -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SADD z y -> -WRONGTYPE Operation against a key holding the wrong kind of value
    ZADD m 1 y -> -WRONGTYPE Operation against a key holding the wrong kind of value
    ZRANGE h 0 -1 -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SET h v GET -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SINTERSTORE d m h -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SMOVE m h x -> -WRONGTYPE Operation against a key holding the wrong kind of value
    MGET s h -> ["v" (nil)]
    TYPE s -> string
    TYPE h -> hash
    TYPE m -> set
    TYPE z -> zset
    SET h v -> OK
    TYPE h -> string
    HGETALL h -> -WRONGTYPE Operation against a key holding the wrong kind of value
    DEL s h m z -> 4
  )");
  EXPECT_EQ(Records(), 0u);
}

// RENAME and COPY take everything along, expiry included.
TEST_F(OrderedCollections, AreRenamedWhole) {
  Expect(R"(
    RENAME none x -> -ERR no such key
    ZADD z 1 a 2 b -> 2
    EXPIRE z 100 -> 1
    SET target v -> OK
    RENAME z target -> OK
    EXISTS z -> 0
    ZRANGE target 0 -1 WITHSCORES -> ["a" "1" "b" "2"]
    TTL target -> 100
    RENAME target target -> OK
    SET s v EX 50 -> OK
    RENAMENX s target -> 0
    RENAMENX s s2 -> 1
    TTL s2 -> 50
    HSET h f v -> 1
    COPY h h2 -> 1
    COPY h s2 -> 0
    COPY h s2 REPLACE -> 1
    HGETALL s2 -> ["f" "v"]
    TTL s2 -> -1
    DEL target s2 h h2 -> 4
  )");
  EXPECT_EQ(Records(), 0u);
}

// A collection expires as a whole, and a new one of the same name is not its heir.
TEST_F(OrderedCollections, ExpireWhole) {
  Expect(R"(
    SADD s a b -> 2
    PEXPIRE s 1000 -> 1
    SADD s c -> 1
    PTTL s -> 1000
  )");
  world.executor().Advance(1s);
  Expect(R"(
    SCARD s -> 0
    SADD s x -> 1
    TTL s -> -1
    SMEMBERS s -> ["x"]
    PEXPIRE s 1000 -> 1
    SREM s x -> 1
    SADD s y -> 1
    TTL s -> -1
    DEL s -> 1
  )");
  EXPECT_EQ(Records(), 0u);
}

// Scans find everything exactly once, in pages, also with a pattern; cursors are of this node.
TEST_F(OrderedCollections, AreScannedInPages) {
  std::multiset<std::string> keys, members;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "k" + std::to_string(i);
    keys.insert('"' + name + '"');
    members.insert('"' + name + '"');
    if (i % 3 == 0) {
      Raw(*self, {"SADD", name, "x"});
    } else {
      Raw(*self, {"SET", name, "x"});
    }
    Raw(*self, {"SADD", "set", name});
    Raw(*self, {"HSET", "hash", name, "v"});
    Raw(*self, {"ZADD", "zset", std::to_string(i), name});
  }
  keys.insert({"\"set\"", "\"hash\"", "\"zset\""});
  EXPECT_EQ(ScanAll("SCAN", 1), keys);
  EXPECT_EQ(ScanAll("SCAN COUNT 1", 1), keys);
  EXPECT_EQ(ScanAll("SCAN COUNT 63", 1), keys);
  EXPECT_EQ(ScanAll("SCAN TYPE zset", 1), std::multiset<std::string>{"\"zset\""});
  EXPECT_EQ(ScanAll("SCAN MATCH k1? COUNT 7", 1).size(), 10u);
  EXPECT_EQ(ScanAll("SSCAN set", 1), members);
  EXPECT_EQ(ScanAll("HSCAN hash COUNT 7", 2), members);
  EXPECT_EQ(ScanAll("ZSCAN zset COUNT 60", 2), members);
  EXPECT_EQ(ScanAll("SSCAN set MATCH k2*", 1).size(), 11u);
  Expect(R"(
    SCAN x -> -ERR invalid cursor
    SCAN 12345 -> -ERR that cursor is not kept by this node: begin again at 0
    SCAN 0 COUNT 0 -> -ERR syntax error
    SCAN 0 COUNT -> -ERR syntax error
    SSCAN none 0 -> ["0" []]
    DBSIZE -> 63
    KEYS k50 -> ["k50"]
    FLUSHDB -> OK
    DBSIZE -> 0
    RANDOMKEY -> (nil)
    SET only 1 -> OK
    RANDOMKEY -> "only"
    FLUSHALL ASYNC -> OK
    FLUSHALL NONSENSE -> -ERR syntax error
  )");
  EXPECT_EQ(Records(), 0u);
}

// RESP3 has its own shapes.
TEST_F(OrderedCollections, SpeakResp3) {
  auto three = Connect("main", 3);
  Expect(*three, R"(
    HSET h f v -> 1
    HGETALL h -> %["f" "v"]
    SADD s a -> 1
    SMEMBERS s -> ~["a"]
    ZADD z 1.5 a -> 1
    ZSCORE z a -> ,1.5
    ZRANGE z 0 -1 WITHSCORES -> [["a" ,1.5]]
    HRANDFIELD h 1 WITHVALUES -> [["f" "v"]]
    GET none -> (nil)
    ZPOPMIN z 1 -> [["a" ,1.5]]
  )");
}

// A change costs its own size: adding to a large set writes three records at most.
TEST_F(OrderedCollections, AChangeCostsItsOwnSize) {
  for (int i = 0; i < 50; ++i) {
    OwnedWords words = {"ZADD", "z"};
    for (int j = 0; j < 100; ++j) {
      words.push_back(std::to_string(j));
      words.push_back("m" + std::to_string(i * 100 + j));
    }
    EXPECT_EQ(Raw(*self, words), ":100\r\n");
  }
  EXPECT_EQ(Do("ZADD z 5 new"), "1");
  EXPECT_LT(node.proposed.back().size(), 300u);
  EXPECT_EQ(Do("DEL z"), "1");
  EXPECT_LT(node.proposed.back().size(), 300u);
  EXPECT_EQ(Records(), 0u);
}

// Draws from a large collection are members, pops are different ones, and none is forgotten.
TEST_F(OrderedCollections, LargeOnesAreDrawnFrom) {
  constexpr int kMembers = 2000;
  OwnedWords set = {"SADD", "s"}, hash = {"HSET", "h"};
  for (int i = 0; i < kMembers; ++i) {
    set.push_back("member:" + std::to_string(i));
    const std::string tail(static_cast<std::size_t>(i / 7), 'x');
    hash.push_back("field:" + std::to_string(i % 7) + tail);
    hash.push_back("v");
  }
  EXPECT_EQ(Raw(*self, set), ":2000\r\n");
  EXPECT_EQ(Raw(*self, hash), ":2000\r\n");
  const std::set<std::string> members(set.begin() + 2, set.end());
  std::set<std::string> drawn, popped;
  for (int i = 0; i < 300; ++i) {
    const std::string one = Do("SRANDMEMBER s");
    EXPECT_TRUE(members.contains(one.substr(1, one.size() - 2))) << one;
    drawn.insert(one);
  }
  EXPECT_GT(drawn.size(), 150u);
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(popped.insert(Do("SPOP s")).second);
  EXPECT_EQ(Do("SCARD s"), "1800");
  Do("SPOP s 1790");
  for (int i = 0; i < 10; ++i) Do("SPOP s");
  EXPECT_EQ(Do("EXISTS s"), "0");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Do("HRANDFIELD h").substr(0, 7), "\"field:");
  const std::string five = Do("HRANDFIELD h 5");
  EXPECT_EQ(std::count(five.begin(), five.end(), ':'), 5);
}

// More than a transaction may hold is refused, and nothing of it happens.
TEST_F(OrderedCollections, RefuseTooLargeChanges) {
  OwnedWords words = {"SADD", "s"};
  for (int i = 0; i < 10'001; ++i) words.push_back(std::to_string(i));
  EXPECT_NE(Raw(*self, words).find("COT-3004"), std::string::npos);
  EXPECT_EQ(Do("SCARD s"), "0");
}

}  // namespace
}  // namespace coterie::door::redis

#include <gtest/gtest.h>

#include <string>

#include "door/redis/ordered_fixture.h"
#include "model/kv/command_codec.h"

namespace coterie::door::redis {
namespace {

class OrderedStrings : public OrderedTest {
 protected:
  etcdserverpb::RangeResponse EtcdGet(std::string key, std::string range_end = "") {
    etcdserverpb::RangeRequest request;
    request.set_key(std::move(key));
    request.set_range_end(std::move(range_end));
    return *node.store().Range(request);
  }
};

// A Redis string and the etcd key of the same name are one.
TEST_F(OrderedStrings, AreTheKeysOfEtcd) {
  EXPECT_EQ(Do("SET greeting hello"), "OK");
  const auto got = EtcdGet("greeting");
  ASSERT_EQ(got.kvs_size(), 1);
  EXPECT_EQ(got.kvs(0).value(), "hello");
  PutAsEtcd("greeting", "bonjour");
  EXPECT_EQ(Do("GET greeting"), "\"bonjour\"");
  EXPECT_EQ(Do("APPEND greeting !"), "8");
  EXPECT_EQ(EtcdGet("greeting").kvs(0).value(), "bonjour!");
  EXPECT_EQ(Do("DEL greeting"), "1");
  EXPECT_EQ(EtcdGet("greeting").kvs_size(), 0);
}

// A watcher of the store sees what Redis clients write.
TEST_F(OrderedStrings, ReachWatchers) {
  runtime::Notification wake(world.executor());
  auto watcher = node.store().Watch({.key = "w"}, wake);
  EXPECT_EQ(Do("SET w 1"), "OK");
  EXPECT_EQ(Do("INCR w"), "2");
  const auto events = watcher->Poll(1 << 20);
  ASSERT_TRUE(events.has_value());
  ASSERT_EQ(events->events.size(), 2u);
  EXPECT_EQ(events->events[1].kv().value(), "2");
}

// SET's options, as Redis documents them.
TEST_F(OrderedStrings, SetTakesEveryOption) {
  Expect(R"(
    SET k 1 NX -> OK
    SET k 2 NX -> (nil)
    GET k -> "1"
    SET k 2 XX -> OK
    SET none 2 XX -> (nil)
    EXISTS none -> 0
    SET k 3 GET -> "2"
    SET k 4 NX GET -> "3"
    GET k -> "3"
    SET new 1 GET -> (nil)
    SET k 5 EX 100 -> OK
    TTL k -> 100
    SET k 6 KEEPTTL -> OK
    PTTL k -> 100000
    SET k 7 -> OK
    TTL k -> -1
    SET k 8 PX 1500 -> OK
    PTTL k -> 1500
    SET k 9 EXAT 1700000100 -> OK
    TTL k -> 100
    EXPIRETIME k -> 1700000100
    SET k 9 PXAT 1700000100500 -> OK
    PEXPIRETIME k -> 1700000100500
    SET k 1 EX 0 -> -ERR invalid expire time in 'set' command
    SET k 1 EX -5 -> -ERR invalid expire time in 'set' command
    SET k 1 EX x -> -ERR value is not an integer or out of range
    SET k 1 EX 9223372036854775807 -> -ERR invalid expire time in 'set' command
    SET k 1 NX XX -> -ERR syntax error
    SET k 1 EX 1 PX 1 -> -ERR syntax error
    SET k 1 EX 1 KEEPTTL -> -ERR syntax error
    SET k 1 EX -> -ERR syntax error
    SET k 1 nonsense -> -ERR syntax error
    SET -> -ERR wrong number of arguments for 'set' command
    GET k -> "9"
  )");
}

// The other commands of strings.
TEST_F(OrderedStrings, FamilyBehavesAsDocumented) {
  Expect(R"(
    SETNX a 1 -> 1
    SETNX a 2 -> 0
    SETEX a 10 v -> OK
    TTL a -> 10
    SETEX a 0 v -> -ERR invalid expire time in 'setex' command
    PSETEX a 2500 v -> OK
    PTTL a -> 2500
    GETSET a w -> "v"
    TTL a -> -1
    GETDEL a -> "w"
    GETDEL a -> (nil)
    SET g x EX 50 -> OK
    GETEX g -> "x"
    TTL g -> 50
    GETEX g PERSIST -> "x"
    TTL g -> -1
    GETEX g EX 7 -> "x"
    TTL g -> 7
    GETEX none EX 7 -> (nil)
    APPEND s Hello -> 5
    APPEND s ' World' -> 11
    STRLEN s -> 11
    STRLEN none -> 0
    GETRANGE s 0 4 -> "Hello"
    GETRANGE s -5 -1 -> "World"
    GETRANGE s 5 100 -> " World"
    GETRANGE s 3 1 -> ""
    GETRANGE none 0 1 -> ""
    SUBSTR s 0 1 -> "He"
    SETRANGE s 6 Redis -> 11
    GET s -> "Hello Redis"
    SETRANGE pad 3 x -> 4
    STRLEN pad -> 4
    SETRANGE none 5 '' -> 0
    EXISTS none -> 0
    SETRANGE s -1 x -> -ERR offset is out of range
    SETRANGE s 600000000 x -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
    MSET x 1 y 2 z 3 -> OK
    MGET x none z -> ["1" (nil) "3"]
    MSET x 1 y -> -ERR wrong number of arguments for 'mset' command
    MSETNX p 1 x 2 -> 0
    EXISTS p -> 0
    MSETNX p 1 q 2 -> 1
    MGET p q -> ["1" "2"]
  )");
}

// Counters: Redis's integers, its overflows, its floats.
TEST_F(OrderedStrings, CountAsRedisDoes) {
  Expect(R"(
    INCR n -> 1
    INCRBY n 41 -> 42
    DECR n -> 41
    DECRBY n 41 -> 0
    DECRBY n -9223372036854775808 -> -ERR decrement would overflow
    SET n 9223372036854775807 -> OK
    INCR n -> -ERR increment or decrement would overflow
    GET n -> "9223372036854775807"
    SET n ' 1' -> OK
    INCR n -> -ERR value is not an integer or out of range
    SET n 007 -> OK
    INCR n -> -ERR value is not an integer or out of range
    SET n 5 EX 30 -> OK
    INCR n -> 6
    TTL n -> 30
    INCRBYFLOAT f 0.1 -> "0.1"
    INCRBYFLOAT f 0.2 -> "0.3"
    INCRBYFLOAT f 5.0e3 -> "5000.29999999999999982"
    INCRBYFLOAT f -5000.3 -> "0"
    INCRBYFLOAT f x -> -ERR value is not a valid float
    INCRBYFLOAT f inf -> -ERR increment would produce NaN or Infinity
    SET t x -> OK
    INCRBYFLOAT t 1 -> -ERR value is not a valid float
    SETBIT b 7 1 -> 0
    GETBIT b 7 -> 1
    GETBIT b 100 -> 0
    SETBIT b 7 0 -> 1
    SET b foobar -> OK
    BITCOUNT b -> 26
    BITCOUNT b 0 0 -> 4
    BITCOUNT b 1 1 -> 6
    BITCOUNT b 5 30 BIT -> 17
    BITCOUNT b 9223372036854775807 -1 -> 0
    SETBIT b x 1 -> -ERR bit offset is not an integer or out of range
    SETBIT b 1 2 -> -ERR bit is not an integer or out of range
  )");
}

// Keys of any bytes are served: the empty one, and those that etcd could not name or that look like
// our own records.
TEST_F(OrderedStrings, MayBeNamedAnything) {
  const std::string names[] = {"", std::string("\0", 1), std::string("\0redis/h/x", 10),
                               "\xff\xff"};
  for (const auto& name : names) {
    EXPECT_EQ(Raw(*self, {"SET", name, "v"}), "+OK\r\n");
    EXPECT_EQ(Raw(*self, {"GET", name}), "$1\r\nv\r\n");
    EXPECT_EQ(Raw(*self, {"TYPE", name}), "+string\r\n");
  }
  EXPECT_EQ(Do("DBSIZE"), "4");
  EXPECT_EQ(Do("TYPE x"), "none");
}

// Expiry, TTL and what changes them.
TEST_F(OrderedStrings, ExpireWhenTheDateHasCome) {
  Expect(R"(
    SET k v PX 1000 -> OK
    EXPIRE none 10 -> 0
    TTL none -> -2
  )");
  world.executor().Advance(999ms);
  EXPECT_EQ(Do("GET k"), "\"v\"");
  world.executor().Advance(1ms);
  EXPECT_EQ(EtcdGet("k").kvs_size(), 1) << "nobody has looked yet";
  EXPECT_EQ(Do("GET k"), "(nil)");
  EXPECT_EQ(EtcdGet("k").kvs_size(), 0) << "who finds it expired removes it through the log";
  EXPECT_EQ(EtcdGet(std::string(1, '\0'), std::string(1, '\0')).kvs_size(), 0);
  Expect(R"(
    SET k v -> OK
    EXPIRE k 10 XX -> 0
    EXPIRE k 10 GT -> 0
    EXPIRE k 10 NX -> 1
    EXPIRE k 20 NX -> 0
    EXPIRE k 5 GT -> 0
    EXPIRE k 20 GT -> 1
    EXPIRE k 30 LT -> 0
    EXPIRE k 15 LT -> 1
    TTL k -> 15
    EXPIRE k 10 NX XX -> -ERR NX and XX, GT or LT options at the same time are not compatible
    EXPIRE k 10 GT LT -> -ERR GT and LT options at the same time are not compatible
    EXPIRE k 10 ZZ -> -ERR Unsupported option ZZ
    EXPIRE k x -> -ERR value is not an integer or out of range
    PEXPIRE k 2500 -> 1
    TTL k -> 3
    PERSIST k -> 1
    PERSIST k -> 0
    TTL k -> -1
    EXPIREAT k 1 -> 1
    EXISTS k -> 0
    SET k v -> OK
    PEXPIREAT k 1700000005000 -> 1
    PTTL k -> 4000
    PEXPIREAT k 9223372036854775807 -> 1
    EXPIRETIME k -> 9223372036854776
    EXPIRE k -1 -> 1
    EXISTS k -> 0
  )");
}

// An expiry holds for the string it was given to: what an etcd client puts later lives on.
TEST_F(OrderedStrings, AnEtcdPutEndsAnExpiry) {
  EXPECT_EQ(Do("SET k v PX 1000"), "OK");
  EXPECT_EQ(Do("SET j v"), "OK");
  EXPECT_EQ(Do("PEXPIRE j 1000"), "1");
  PutAsEtcd("k", "new");
  PutAsEtcd("j", "new");
  EXPECT_EQ(Do("TTL k"), "-1");
  world.executor().Advance(5s);
  EXPECT_EQ(Do("GET k"), "\"new\"");
  EXPECT_EQ(Do("GET j"), "\"new\"");
  EXPECT_EQ(Do("INCR j"), "-ERR value is not an integer or out of range");
  EXPECT_EQ(Do("PEXPIRE j 1000"), "1");
  EXPECT_EQ(Do("TTL j"), "1");
}

// What nobody reads is removed in the background, by the leader only; and so are the records of
// expiries that hold no more.
TEST_F(OrderedStrings, AreSweptWhenExpired) {
  commands.SweepExpired("main");
  for (int i = 0; i < 600; ++i) {
    EXPECT_EQ(Raw(*self, {"SET", "k" + std::to_string(i), "v", "PX", "1000"}), "+OK\r\n");
  }
  EXPECT_EQ(Do("SADD s a"), "1");
  EXPECT_EQ(Do("PEXPIRE s 1000"), "1");
  EXPECT_EQ(Do("SET stays v EX 1000"), "OK");
  PutAsEtcd("k7", "again");
  node.mutable_status().leading = false;
  world.executor().Advance(5s);
  EXPECT_EQ(Do("DBSIZE"), "602");
  node.mutable_status().leading = true;
  world.executor().Advance(5s);
  EXPECT_EQ(Do("DBSIZE"), "2");
  EXPECT_EQ(Do("GET k7"), "\"again\"");
  EXPECT_EQ(EtcdGet(std::string(1, '\0'), std::string(1, '\0')).kvs_size(), 3)
      << "two strings and one expiry";
}

// A plain SET is one round: nothing is read, nothing is waited for. It replaces a collection.
TEST_F(OrderedStrings, PlainSetNeedsNoRead) {
  const int before = node.barriers;
  EXPECT_EQ(Do("SET k v"), "OK");
  EXPECT_EQ(Do("SET k v EX 10"), "OK");
  EXPECT_EQ(node.barriers, before);
  Expect(R"(
    DEL k -> 1
    ZADD k 1 a 2 b -> 2
    SET k v -> OK
    TYPE k -> string
    DEL k -> 1
    EXISTS k -> 0
    HSET k f v -> 1
    EXPIRE k 100 -> 1
    SET k v -> OK
    TTL k -> -1
    DEL k -> 1
  )");
  EXPECT_EQ(EtcdGet(std::string(1, '\0'), std::string(1, '\0')).kvs_size(), 0);
}

// A read waits for a barrier, and answers its error with the outcome.
TEST_F(OrderedStrings, ReadsWaitForABarrier) {
  const int before = node.barriers;
  EXPECT_EQ(Do("GET k"), "(nil)");
  EXPECT_EQ(node.barriers, before + 1);
  EXPECT_EQ(Do("SETNX k v"), "1");
  EXPECT_EQ(node.barriers, before + 1) << "guarded by its transaction";
  EXPECT_EQ(Do("SETNX k v"), "0");
  EXPECT_EQ(node.barriers, before + 2) << "nothing written: what it read must be new";
  node.barrier_error = Error{ErrorCode::kNoLeader, Outcome::kNotApplied, ""};
  EXPECT_EQ(Do("GET k").substr(0, 22), "-CLUSTERDOWN COT-1002 ");
  node.barrier_error.reset();
  node.propose_error = Error{ErrorCode::kTimedOut, Outcome::kUnknown, ""};
  EXPECT_NE(Do("INCR n").find("COT-1005"), std::string::npos);
}

// A value over the bound is refused by name, and nothing happens.
TEST_F(OrderedStrings, RefusesWhatIsTooLarge) {
  const std::string large(2u << 20, 'x');
  EXPECT_NE(Raw(*self, {"SET", "k", large}).find("COT-3004"), std::string::npos);
  EXPECT_EQ(Do("EXISTS k"), "0");
  EXPECT_NE(Do("SETRANGE k 1572863 xx").find("-ERR string exceeds"), std::string::npos);
}

// Commands of many connections on one key share transactions: all are counted, in few proposals.
TEST_F(OrderedStrings, HotKeysShareTransactions) {
  constexpr int kClients = 1000;
  std::vector<std::unique_ptr<Client>> clients;
  node.hold_proposals = true;
  const auto before = node.status().last;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(Connect());
    Begin(*clients.back(), {"INCR", "hot"});
  }
  node.Release();
  world.executor().Settle();
  std::vector<bool> seen(kClients + 1);
  for (const auto& one : clients) {
    ASSERT_TRUE(one->reply.has_value());
    seen[static_cast<std::size_t>(std::stoi(ReplyText::Of(*one->reply)))] = true;
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), kClients);
  EXPECT_LE(node.status().last.value - before.value, 6u);
}

// Who waited for its key until its deadline is told so, and its command does not happen.
TEST_F(OrderedStrings, WaitingHasADeadline) {
  node.hold_proposals = true;
  auto late = Connect();
  Begin(*self, {"INCR", "n"});
  Begin(*late, {"INCR", "n"});
  world.executor().Advance(6s);
  node.Release();
  world.executor().Settle();
  EXPECT_EQ(ReplyText::Of(self->reply.value_or("")), "1");
  EXPECT_NE(late->reply.value_or("").find("COT-1005"), std::string::npos);
  EXPECT_EQ(Do("GET n"), "\"1\"");
}

// A connection that goes away while its command waits takes nothing along.
TEST_F(OrderedStrings, WaitersMayLeave) {
  node.hold_proposals = true;
  auto leaving = Connect();
  auto staying = Connect();
  Begin(*self, {"INCR", "n"});
  Begin(*leaving, {"INCR", "n"});
  Begin(*staying, {"INCR", "n"});
  leaving.reset();
  node.Release();
  world.executor().Settle();
  EXPECT_EQ(ReplyText::Of(self->reply.value_or("")), "1");
  EXPECT_EQ(ReplyText::Of(staying->reply.value_or("")), "3");
}

}  // namespace
}  // namespace coterie::door::redis

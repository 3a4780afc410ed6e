#include <gtest/gtest.h>

#include <string>

#include "door/redis/ordered_fixture.h"

namespace coterie::door::redis {
namespace {

class OrderedOnPaxos : public OrderedTest {
 protected:
  OrderedOnPaxos() { self = Connect("slots"); }
};

// Strings behave as on raft: the same commands run on one register.
TEST_F(OrderedOnPaxos, StringsAreServed) {
  Expect(R"(
    SET k 1 -> OK
    SET k 2 NX -> (nil)
    SET k 2 XX GET -> "1"
    INCR k -> 3
    INCRBYFLOAT k 0.5 -> "3.5"
    APPEND k ! -> 4
    GETRANGE k 0 0 -> "3"
    SETRANGE k 0 4 -> 4
    STRLEN k -> 4
    GETSET k v -> "4.5!"
    GETDEL k -> "v"
    GET k -> (nil)
    SETNX k 1 -> 1
    SETNX k 1 -> 0
    SETEX k 10 v -> OK
    TTL k -> 10
    GETEX k PERSIST -> "v"
    TTL k -> -1
    EXPIRE k 5 -> 1
    TTL k -> 5
    PERSIST k -> 1
    TYPE k -> string
    SETBIT bits 1 1 -> 0
    BITCOUNT bits -> 1
    MSET one 1 -> OK
    MSETNX one 2 -> 0
    MGET k none one -> ["v" (nil) "1"]
    EXISTS k none one k -> 3
    TOUCH k none -> 1
    DEL k none one -> 2
    UNLINK bits -> 1
    DBSIZE -> 0
    RANDOMKEY -> (nil)
  )");
}

// A lock is released, and prolonged, by who holds it.
TEST_F(OrderedOnPaxos, LocksAreComparedFirst) {
  Expect(R"(
    SET lock me NX PX 10000 -> OK
    DELIF lock you -> 0
    PEXPIREIF lock you 20000 -> 0
    PTTL lock -> 10000
    PEXPIREIF lock me 20000 -> 1
    PTTL lock -> 20000
    GET lock -> "me"
    DELIF lock me -> 1
    DELIF lock me -> 0
    PEXPIREIF lock me 5 -> 0
    GET lock -> (nil)
    SET lock me -> OK
    PEXPIREIF lock me 0 -> 1
    EXISTS lock -> 0
    PEXPIREIF lock me x -> -ERR value is not an integer or out of range
  )");
}

// However many keys there are, they are counted and removed page by page.
TEST_F(OrderedOnPaxos, FlushesManyKeys) {
  for (int i = 0; i < 7000; ++i) registers.values["k" + std::to_string(i)] = {"v", 0};
  EXPECT_EQ(Do("DBSIZE"), "7000");
  EXPECT_EQ(Do("FLUSHDB"), "OK");
  EXPECT_EQ(Do("DBSIZE"), "0");
}

// A command whose key is not its first word.
TEST_F(OrderedOnPaxos, ObjectIsServed) {
  Expect(R"(
    SET k 12 -> OK
    OBJECT ENCODING k -> "int"
    OBJECT REFCOUNT k -> 1
    OBJECT ENCODING none -> (nil)
    OBJECT FREQ k -> -ERR unknown subcommand or wrong number of arguments for 'FREQ'. Try OBJECT ...
  )");
  EXPECT_EQ(Do("OBJECT HELP").substr(0, 7), "[OBJECT");
}

// What needs several keys at once is refused by name, with the kind that can.
TEST_F(OrderedOnPaxos, NoMultiKeyAtomicity) {
  Expect(R"(
    MSET a 1 b 2 -> -NOTPAXOS MSET of several keys is refused: each key agrees on its own; use a...
    MSETNX a 1 b 2 -> -NOTPAXOS MSETNX of several keys is refused: each key agrees on its own; u...
    HSET h f v -> -NOTPAXOS HSET is refused: a paxos keyspace holds strings, one register a key;...
    RENAME a b -> -NOTPAXOS RENAME is refused: a paxos keyspace holds strings, one register a ke...
  )");
  EXPECT_EQ(registers.writes, 0);
}

// Decided more than once, a command still answers once, and for its last try.
TEST_F(OrderedOnPaxos, RetriesAnswerOnce) {
  registers.twice = true;
  Expect(R"(
    INCR n -> 1
    INCR n -> 2
    GETSET n 5 -> "2"
  )");
}

// A reader that finds a register expired removes it before it says so.
TEST_F(OrderedOnPaxos, Expire) {
  EXPECT_EQ(Do("SET k v PX 1000"), "OK");
  world.executor().Advance(1s);
  EXPECT_EQ(registers.values.size(), 1u);
  EXPECT_EQ(Do("GET k"), "(nil)");
  EXPECT_EQ(registers.values.size(), 0u);
  EXPECT_EQ(Do("SET k 5 PX 1000"), "OK");
  world.executor().Advance(1s);
  EXPECT_EQ(Do("INCR k"), "1");
  EXPECT_EQ(Do("TTL k"), "-1");
}

// Scans find every key.
TEST_F(OrderedOnPaxos, Scan) {
  for (int i = 0; i < 25; ++i) Do("SET k" + std::to_string(i) + " v");
  EXPECT_EQ(Do("DBSIZE"), "25");
  EXPECT_EQ(Do("KEYS k2?"), "[\"k20\" \"k21\" \"k22\" \"k23\" \"k24\"]");
  std::string cursor = "0";
  std::size_t found = 0;
  do {
    const std::string reply = Do("SCAN " + cursor + " COUNT 7");
    found += static_cast<std::size_t>(std::count(reply.begin(), reply.end(), 'k'));
    cursor = reply.substr(2, reply.find('"', 2) - 2);
  } while (cursor != "0");
  EXPECT_EQ(found, 25u);
  EXPECT_EQ(Do("SCAN 0 TYPE hash COUNT 100"), "[\"0\" []]");
  EXPECT_EQ(Do("FLUSHDB"), "OK");
  EXPECT_EQ(Do("DBSIZE"), "0");
}

}  // namespace
}  // namespace coterie::door::redis

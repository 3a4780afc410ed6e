#include "keyspace/promise.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace coterie::keyspace {
namespace {

Promise Named(Replication replication) { return {.name = "orders", .replication = replication}; }

/// A contradiction and the two sides that its message must name.
void ExpectRefused(const Promise& promise, std::string_view one, std::string_view other) {
  const auto completed = Complete(promise);
  ASSERT_FALSE(completed.has_value()) << one << " against " << other << " was accepted";
  EXPECT_EQ(completed.error().code, ErrorCode::kPromiseContradiction);
  EXPECT_EQ(completed.error().outcome, Outcome::kNotApplied);
  EXPECT_NE(completed.error().message.find(one), std::string::npos) << completed.error().message;
  EXPECT_NE(completed.error().message.find(other), std::string::npos) << completed.error().message;
}

// What is left out is filled in by the kind's defaults, and completing twice changes nothing.
TEST(Promise, Defaults) {
  const auto raft = Complete(Named(Replication::kRaft));
  ASSERT_TRUE(raft.has_value());
  EXPECT_EQ(std::tuple(raft->replicas, raft->read, raft->write, raft->shards),
            std::tuple(3u, 0u, 0u, 1u));
  EXPECT_EQ(raft->conflict, Conflict::kNone);
  const auto paxos = Complete(Named(Replication::kPaxos));
  ASSERT_TRUE(paxos.has_value());
  EXPECT_EQ(paxos->shards, 16u);
  Promise five = Named(Replication::kLeaderless);
  five.replicas = 5;
  const auto leaderless = Complete(five);
  ASSERT_TRUE(leaderless.has_value());
  EXPECT_EQ(std::tuple(leaderless->read, leaderless->write, leaderless->shards),
            std::tuple(3u, 3u, 16u));
  EXPECT_EQ(leaderless->conflict, Conflict::kCrdt);
  for (const Promise& done : {*raft, *paxos, *leaderless}) EXPECT_EQ(Complete(done), done);
}

// What was declared stays as declared.
TEST(Promise, DeclaredPartsAreKept) {
  const Promise declared{.name = "a_b-9",
                         .replication = Replication::kLeaderless,
                         .replicas = 4,
                         .read = 1,
                         .write = 4,
                         .conflict = Conflict::kSiblings,
                         .durability = Durability::kMemory,
                         .shards = 1024,
                         .redis_database = 1023};
  EXPECT_EQ(Complete(declared), declared);
  Promise even = Named(Replication::kRaft);
  even.replicas = 4;
  EXPECT_TRUE(Complete(even).has_value());
}

// Every contradiction is refused, and the message names both sides.
TEST(Promise, Contradictions) {
  for (const Replication kind : {Replication::kRaft, Replication::kPaxos}) {
    const std::string name = "replication " + std::string(ToText(kind));
    Promise promise = Named(kind);
    promise.read = 2;
    ExpectRefused(promise, name, "read 2");
    promise = Named(kind);
    promise.write = 1;
    ExpectRefused(promise, name, "write 1");
    for (const Conflict conflict : {Conflict::kLww, Conflict::kSiblings, Conflict::kCrdt}) {
      promise = Named(kind);
      promise.conflict = conflict;
      ExpectRefused(promise, name, "conflict " + std::string(ToText(conflict)));
    }
    for (const Durability weak :
         {Durability::kOneFsync, Durability::kInterval, Durability::kMemory}) {
      promise = Named(kind);
      promise.durability = weak;
      ExpectRefused(promise, name, "durability " + std::string(ToText(weak)));
    }
  }
  Promise promise = Named(Replication::kLeaderless);
  promise.read = 4;
  ExpectRefused(promise, "read 4", "replicas 3");
  promise.read = 1;
  promise.write = 4;
  ExpectRefused(promise, "write 4", "replicas 3");
  promise = Named(Replication::kRaft);
  promise.shards = 2;
  ExpectRefused(promise, "replication raft", "2 shards");
}

// Numbers outside their ranges are refused with the range.
TEST(Promise, Ranges) {
  for (const std::uint32_t shards : {3u, 12u, 2048u, 0xFFFFFFFFu}) {
    Promise promise = Named(Replication::kLeaderless);
    promise.shards = shards;
    ExpectRefused(promise, std::to_string(shards) + " shards", "power of two");
  }
  for (const std::uint32_t replicas : {0u, 16u}) {
    Promise promise = Named(Replication::kLeaderless);
    promise.replicas = replicas;
    ExpectRefused(promise, std::to_string(replicas) + " replicas", "1 to 15");
  }
  Promise promise = Named(Replication::kPaxos);
  promise.redis_database = 1024;
  ExpectRefused(promise, "redis database 1024", "0 to 1023");
}

// Names are what can stand in a URL, a metric and a shell without quoting.
TEST(Promise, Names) {
  const auto with_name = [](std::string name) {
    Promise promise = Named(Replication::kRaft);
    promise.name = std::move(name);
    return promise;
  };
  for (const char* good : {"a", "0", "main", "a-b_c9"}) {
    EXPECT_TRUE(Complete(with_name(good)).has_value()) << good;
  }
  EXPECT_TRUE(Complete(with_name(std::string(64, 'x'))).has_value());
  for (const std::string& bad :
       {std::string(), std::string(65, 'x'), std::string("Main"), std::string("a b"),
        std::string("a/b"), std::string("ä"), std::string("a\0b", 3)}) {
    ExpectRefused(with_name(bad), "name", "rule");
  }
}

// Values from another version's bytes are refused, not guessed.
TEST(Promise, UnknownKinds) {
  Promise promise = Named(static_cast<Replication>(9));
  EXPECT_FALSE(Complete(promise).has_value());
  promise = Named(Replication::kLeaderless);
  promise.conflict = static_cast<Conflict>(9);
  EXPECT_FALSE(Complete(promise).has_value());
  promise.conflict = Conflict::kLww;
  promise.durability = static_cast<Durability>(9);
  EXPECT_FALSE(Complete(promise).has_value());
}

// Each word is read back as what it was printed for, and another word is refused with the list.
TEST(Promise, Words) {
  for (const Replication r : {Replication::kRaft, Replication::kPaxos, Replication::kLeaderless}) {
    EXPECT_EQ(ParseReplication(ToText(r)), r);
  }
  for (const Conflict c : {Conflict::kNone, Conflict::kLww, Conflict::kSiblings, Conflict::kCrdt}) {
    EXPECT_EQ(ParseConflict(ToText(c)), c);
  }
  for (const Durability d : {Durability::kQuorumFsync, Durability::kOneFsync, Durability::kInterval,
                             Durability::kMemory}) {
    EXPECT_EQ(ParseDurability(ToText(d)), d);
  }
  const auto wrong = ParseReplication("Raft");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().message, "replication 'Raft' is none of raft, paxos, leaderless.");
  EXPECT_FALSE(ParseConflict("").has_value());
  EXPECT_FALSE(ParseDurability("fsync").has_value());
}

}  // namespace
}  // namespace coterie::keyspace

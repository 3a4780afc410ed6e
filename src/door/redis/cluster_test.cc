#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "door/redis/any_words.h"
#include "door/redis/cluster_subscribers.h"
#include "door/redis/door_fixture.h"
#include "door/redis/forward.h"

namespace coterie::door::redis {
namespace {

using enum keyspace::Conflict;

/// Two nodes; each shard of `crdt` has its only replica on one of them, in turn.
class TwoNodes : public DoorTest {
 protected:
  TwoNodes() {
    control.Add(LeaderlessPromise("crdt", kCrdt, 0), {NodeId(1), NodeId(2)}, 8);
    Move([](std::size_t shard) { return NodeId(1 + shard % 2); }, Epoch(1));
    Start(2);
  }
  void Move(NodeId (*owner)(std::size_t), Epoch epoch) {
    auto map = std::make_shared<placement::ClusterMap>(*control.map());
    ++map->version;
    auto& shards = map->keyspaces.find("crdt")->second.shards;
    for (std::size_t i = 0; i < shards.size(); ++i) {
      shards[i].replicas = {{owner(i)}};
      shards[i].epoch = epoch;
    }
    control.Set(std::move(map));
    for (const auto& each : machines) Tell(*each);
  }
  /// Brings the newest map to a machine.
  void Tell(Machine& machine) {
    machine.control.Set(control.map());
    machine.leaderless.Follow();
  }
  /// A key whose shard is on `node`.
  std::string KeyOn(std::size_t node) {
    for (int i = 0;; ++i) {
      std::string key = "key:" + std::to_string(i);
      if (control.map()->Find("crdt")->ShardOf(key).replicas[0].node == NodeId(node)) return key;
    }
  }
};

// A set that is too large for one mutation is deleted at once for who reads; a write to it waits
// until its last part is gone, also one that comes by way of another node.
TEST_F(TwoNodes, LargeObjectsAreRemovedInParts) {
  const std::string key = KeyOn(1);
  Client one(world, NodeId(1)), two(world, NodeId(2));
  for (int part = 0; part < 3; ++part) {
    std::string add = "SADD " + key;
    for (int i = 0; i < 4000; ++i) add += " " + std::to_string(part) + ":" + std::to_string(i);
    EXPECT_EQ(one.Ask(add), ":4000");
  }
  machine(1).leaderless.hold_removals = true;
  EXPECT_EQ(two.Ask("DEL " + key + " none"), ":1");
  EXPECT_EQ(one.Ask("EXISTS " + key), ":0");
  EXPECT_EQ(one.Ask("SCARD " + key), ":0");
  EXPECT_EQ(one.Ask("DBSIZE"), ":0");
  EXPECT_EQ(one.Ask("SADD " + key + " new"), "(none)");
  EXPECT_EQ(two.Ask("SET " + key + " v EX 100"), "(none)");
  machine(1).leaderless.RemoveHidden();
  one.Run(30ms);
  EXPECT_EQ(one.Take(), ":1");
  two.Run(30ms);
  EXPECT_EQ(two.Take(), "+OK");
  EXPECT_EQ(one.Ask("GET " + key), "\"v\"");
  EXPECT_EQ(one.Ask({"HSET", "{" + key + "}h", "a", std::string(20 << 20, 'x'), "b",
                     std::string(20 << 20, 'y')})
                .substr(0, 13),
            "-COT COT-3004");
  EXPECT_EQ(one.Ask("EXISTS {" + key + "}h"), ":0");
}

/// Three nodes; all shards of `crdt` have replicas on the second and the third.
class TwoOfThree : public DoorTest {
 protected:
  TwoOfThree() {
    keyspace::Promise promise = LeaderlessPromise("crdt", kCrdt, 0);
    promise.read = 2;
    control.Add(promise, {NodeId(2), NodeId(3)}, 2);
    Start(3);
    for (const auto& each : machines) each->leaderless.Follow();
  }
};

// A node without a replica asks the same one as long as that answers; of one that is late another
// is asked as well, soon, and from then on.
TEST_F(TwoOfThree, LateReplicasAreGoneAround) {
  Client one(world, NodeId(1));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(one.Ask("GET k"), "(nil)");
  StandInLeaderless& second = machine(2).leaderless;
  StandInLeaderless& third = machine(3).leaderless;
  EXPECT_EQ(second.refreshed.size(), 20u);
  second.hold_refreshes = true;
  EXPECT_EQ(one.Ask("GET k"), "(none)");
  one.Run(150ms);
  EXPECT_EQ(one.Take(), "(nil)");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(one.Ask("GET k"), "(nil)");
  EXPECT_EQ(third.refreshed.size(), 21u);
  EXPECT_EQ(second.refreshed.size(), 21u);
  second.Acknowledge();
}

// Whichever node a client is connected to, every key is there: commands on one key go to its
// replica, those that can be split are, and those about the whole keyspace ask every shard.
TEST_F(TwoNodes, EveryNodeServesEveryKey) {
  Client one(world, NodeId(1)), two(world, NodeId(2));
  std::string mget = "MGET", values = "*[", mset = "MSET", del = "DEL", exists = "EXISTS";
  for (int i = 0; i < 40; ++i) {
    const std::string key = " k" + std::to_string(i);
    mset += key + " v" + std::to_string(i);
    mget += key;
    values += "\"v" + std::to_string(i) + "\" ";
    (i < 30 ? del : exists) += key;
  }
  EXPECT_EQ(one.Ask(mset), "+OK");
  EXPECT_EQ(one.Ask(mget + " none"), values + "(nil) ]");
  EXPECT_EQ(two.Ask(mget + " none"), values + "(nil) ]");
  EXPECT_EQ(two.Ask("DBSIZE"), ":40");
  EXPECT_EQ(two.Ask("GET k7"), "\"v7\"");
  EXPECT_EQ(one.Ask("INCR k7"), "-ERR value is not an integer or out of range");
  EXPECT_EQ(one.Ask(del), ":30");
  EXPECT_EQ(two.Ask(exists + " k0"), ":10");
  EXPECT_EQ(one.Ask("TYPE k35"), two.Ask("TYPE k35"));
  std::set<std::string> drawn;
  for (int i = 0; i < 300; ++i) drawn.insert(one.Ask("RANDOMKEY"));
  EXPECT_EQ(drawn.size(), 10u);
  EXPECT_EQ(two.Ask("FLUSHDB"), "+OK");
  EXPECT_EQ(one.Ask("DBSIZE"), ":0");
  EXPECT_EQ(one.Ask("RANDOMKEY"), "(nil)");
  EXPECT_GT(machine(1).door.stats().forwarded, 0u);
}

// What needs several keys at once is refused when their shards are on different nodes, and the
// refusal says how to keep them together.
TEST_F(TwoNodes, SpreadKeysAreRefused) {
  Client one(world, NodeId(1));
  const std::string here = KeyOn(1), there = KeyOn(2);
  EXPECT_TRUE(one.Ask("SUNION " + here + " " + there).starts_with("-CROSSSLOT The keys"));
  one.Ask("SADD {tag}a x");
  one.Ask("SADD {tag}b y");
  EXPECT_EQ(one.Ask("SUNION {tag}a {tag}b"), "*[\"x\" \"y\" ]");
}

// A protocol error, a wrong type and an R of the connection arrive at the other node as they are.
TEST_F(TwoNodes, ContextTravels) {
  Client one(world, NodeId(1));
  one.Ask("HELLO 3");
  const std::string key = KeyOn(2);
  EXPECT_EQ(one.Ask("ZADD " + key + " 1.5 a"), ":1");
  EXPECT_EQ(one.Ask("ZSCORE " + key + " a"), ",1.5");
  EXPECT_TRUE(one.Ask("GET " + key).starts_with("-WRONGTYPE"));
  one.Ask("COTERIE ID op INCR n{" + key + "}");
  EXPECT_EQ(one.Ask("COTERIE ID op INCR n{" + key + "}"), ":1");
}

// The acknowledgement is waited for where the write was made; its failure comes back as unknown.
TEST_F(TwoNodes, FailuresTravel) {
  Client one(world, NodeId(1));
  machine(2).leaderless.acknowledge_error =
      Error{ErrorCode::kTooFewReplicas, Outcome::kUnknown, ""};
  const std::string error = one.Ask("SET " + KeyOn(2) + " v");
  EXPECT_TRUE(error.starts_with("-CLUSTERDOWN COT-1013")) << error;
  EXPECT_NE(error.find("outcome unknown"), std::string::npos);
}

// A node that cannot be reached costs the commands on its keys, and nobody else's.
TEST_F(TwoNodes, DeadNodesFailTheirKeysOnly) {
  Client one(world, NodeId(1));
  machine(1).transport.SetFault(NodeId(2), {.cut = true});
  EXPECT_EQ(one.Ask("SET " + KeyOn(1) + " v"), "+OK");
  one.Tell(PeerClient::Encode({"SET", KeyOn(2), "v"}));
  one.Run(6s);
  EXPECT_TRUE(one.Take().starts_with("-C"));
}

// A shard that moves while a command is on its way: the command follows it to its new place.
TEST_F(TwoNodes, CommandsFollowMovedShards) {
  Client one(world, NodeId(1));
  const std::string key = KeyOn(2);
  // Node 2 knows already that the shard has moved, node 1 does not yet: it is refused, and looks
  // again.
  const placement::ClusterMapPtr old = control.map();
  Move([](std::size_t shard) { return NodeId(2 - shard % 2); }, Epoch(2));
  machine(1).control.Set(old);
  one.Tell(PeerClient::Encode({"SET", key, "v"}));
  EXPECT_EQ(one.Take(), "(none)");
  Tell(machine(1));
  one.Run(500ms);
  EXPECT_EQ(one.Take(), "+OK");
  EXPECT_EQ(one.Ask("GET " + key), "\"v\"");
}

// SCAN finds every key that is there throughout, however others come and go, from whichever node,
// and even when its cursors are forgotten half-way.
TEST_F(TwoNodes, ScansFindWhatStays) {
  Client one(world, NodeId(1)), two(world, NodeId(2));
  Random random(5);
  std::set<std::string> staying;
  for (int i = 0; i < 300; ++i) {
    const std::string key = "stay:" + std::to_string(i);
    one.Ask("SET " + key + " v");
    staying.insert("\"" + key + "\"");
  }
  std::set<std::string> found;
  std::string cursor = "0";
  int calls = 0;
  do {
    Client& client = random.Chance(0.05) ? two : one;  // another node: it does not know the cursor
    const std::string reply = client.Ask("SCAN " + cursor + " COUNT 7 MATCH stay:*");
    const std::size_t end = reply.find('"', 3);
    cursor = reply.substr(3, end - 3);
    std::string_view rest = std::string_view(reply).substr(end + 1);
    for (std::size_t at = rest.find('"'); at != std::string_view::npos; at = rest.find('"')) {
      const std::size_t close = rest.find('"', at + 1);
      found.emplace(rest.substr(at, close - at + 1));
      rest.remove_prefix(close + 1);
    }
    one.Ask("SET come:" + std::to_string(random.Below(50)) + " v");
    one.Ask("DEL come:" + std::to_string(random.Below(50)));
    ASSERT_LT(++calls, 2000);
  } while (cursor != "0");
  EXPECT_EQ(found, staying);
}

// A message goes to the subscribers of every node, each once, and all of them are counted.
TEST_F(TwoNodes, MessagesReachSubscribersEverywhere) {
  Client near(world, NodeId(1)), far(world, NodeId(2)), publisher(world, NodeId(1));
  near.Ask("SUBSCRIBE c");
  far.Ask("PSUBSCRIBE *");
  EXPECT_EQ(publisher.Ask("PUBLISH c hello"), ":2");
  far.Run(50ms);
  EXPECT_EQ(near.Take(), "*[\"message\" \"c\" \"hello\" ]");
  EXPECT_EQ(far.Take(), "*[\"pmessage\" \"*\" \"c\" \"hello\" ]");
  EXPECT_EQ(far.Take(), "(none)");
  publisher.Tell(PeerClient::Encode({"PUBLISH", "c", "1"}) + PeerClient::Encode({"PING"}) +
                 PeerClient::Encode({"PUBLISH", "d", "2"}) + PeerClient::Encode({"SET", "k", "v"}) +
                 PeerClient::Encode({"PUBLISH", "c", "3"}));
  for (const char* reply : {":2", "+PONG", ":1", "+OK", ":2"}) EXPECT_EQ(publisher.Take(), reply);
  for (const char* message : {"1", "2", "3"})
    EXPECT_NE(far.Take().find('"' + std::string(message) + "\" ]"), std::string::npos);
}

// PUBSUB is about the subscribers of all nodes: a name that several have is told once.
TEST_F(TwoNodes, SubscribersOfTheClusterAreTold) {
  Client near(world, NodeId(1)), far(world, NodeId(2)), both(world, NodeId(2));
  Client asking(world, NodeId(1));
  near.Ask("SUBSCRIBE a b");
  far.Ask("SUBSCRIBE b c");
  both.Ask("PSUBSCRIBE x* y*");
  near.Ask("PSUBSCRIBE x*");
  EXPECT_EQ(asking.Ask("PUBSUB CHANNELS"), "*[\"a\" \"b\" \"c\" ]");
  EXPECT_EQ(asking.Ask("PUBSUB CHANNELS [ac]"), "*[\"a\" \"c\" ]");
  EXPECT_EQ(asking.Ask("PUBSUB NUMSUB b c none"), "*[\"b\" :2 \"c\" :1 \"none\" :0 ]");
  EXPECT_EQ(asking.Ask("PUBSUB NUMSUB"), "*[]");
  EXPECT_EQ(asking.Ask("PUBSUB NUMPAT"), ":2");
}

// A node that does not answer is waited for once, for a bounded time, and not counted.
TEST_F(TwoNodes, SilentNodesAreNotCounted) {
  Client near(world, NodeId(1)), far(world, NodeId(2)), publisher(world, NodeId(1));
  near.Ask("SUBSCRIBE c");
  far.Ask("SUBSCRIBE c");
  machine(1).transport.SetFault(NodeId(2), {.cut = true});
  EXPECT_EQ(publisher.Ask("PUBLISH c one"), "(none)");
  publisher.Run(ClusterSubscribers::kPatience);
  EXPECT_EQ(publisher.Take(), ":1");
  EXPECT_EQ(publisher.Ask("PUBLISH c two"), ":1");  // at once
  machine(1).transport.Heal();
  publisher.Run(ClusterSubscribers::kPause + 5s);
  EXPECT_EQ(publisher.Ask("PUBLISH c three"), ":2");
}

// A question about subscribers is read as it was written; anything shorter or longer is refused.
TEST(SubscribersQuestion, Codec) {
  const SubscribersQuestion question{.kind = SubscribersQuestion::Kind::kSubscribers,
                                     .names = {"a", "", std::string("\0b", 2)}};
  const std::string bytes = Encode(question);
  const auto read = DecodeQuestion(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->kind, question.kind);
  EXPECT_EQ(read->names, question.names);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(DecodeQuestion(std::string_view(bytes).substr(0, n)).has_value()) << n;
  EXPECT_FALSE(DecodeQuestion(bytes + "x").has_value());
  Random random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string any;
    for (std::size_t n = random.Below(12); n > 0; --n)
      any.push_back(static_cast<char>(random.Below(random.Below(2) == 0 ? 5 : 256)));
    (void)DecodeQuestion(any);
  }
}

// Whatever its words are, a command is answered by one reply at a node that has half of the shards.
TEST_F(TwoNodes, AnyWordsAreAnsweredAnywhere) {
  Client one(world, NodeId(1)), two(world, NodeId(2));
  EXPECT_EQ(one.Ask("SET " + KeyOn(2) + " v"), "+OK");
  EXPECT_EQ(one.Ask("OBJECT ENCODING " + KeyOn(2)), two.Ask("OBJECT ENCODING " + KeyOn(2)));
  EXPECT_NE(one.Ask("OBJECT ENCODING " + KeyOn(2)), "(nil)");
  for (int i = 0; i < 4000; ++i) {
    const auto words = AnyWords(world.random(), redis::kCrdt);
    Client& client = i % 2 == 0 ? one : two;
    client.Tell(PeerClient::Encode(words));
    client.Run(20ms);
    std::string_view in = client.input();
    ASSERT_TRUE(SkipReply(in) && in.empty()) << fmt::format("{} -> {}", words, client.input());
    client.input().clear();
  }
}

/// Decides conditional commands on strings, or says that it was asked to.
class Strings final : public Executor {
 public:
  Step Begin(const Context&, Words, std::string&, node::WriteTicket&) override {
    return Step::kSuspend;
  }
  runtime::Task<std::string> Run(Context, OwnedWords words) override {
    co_return "+decided " + words[0] + "\r\n";
  }
};

/// A lww keyspace of three shards, each of one of three nodes; the third has a door only.
class ConditionalTest : public DoorTest {
 protected:
  ConditionalTest() {
    control.Add(LeaderlessPromise("lww", kLww, 0), {NodeId(1), NodeId(2), NodeId(3)}, 4);
    auto map = std::make_shared<placement::ClusterMap>(*control.map());
    auto& shards = map->keyspaces.find("lww")->second.shards;
    for (std::size_t i = 0; i < shards.size(); ++i) shards[i].replicas = {{NodeId(1 + i % 2)}};
    control.Set(std::move(map));
    conditional = &strings_;
    Start(3);
  }
  ~ConditionalTest() override { machines.clear(); }

 private:
  Strings strings_;
};

// Conditional commands come to where they are decided, at whichever node they are asked. What they
// answer there: server/server_sim_test.cc.
TEST_F(ConditionalTest, AreDecidedWhereTheKeyIs) {
  Client one(world, NodeId(1)), two(world, NodeId(2)), three(world, NodeId(3));
  for (Client* client : {&one, &two, &three}) {
    for (const std::string key : {"a", "b", "c", "d", "e", "f"}) {
      EXPECT_EQ(client->Ask("SETNX " + key + " v"), "+decided SETNX");
      EXPECT_EQ(client->Ask("GETDEL " + key), "+decided GETDEL");
    }
  }
  // What has no register to decide it is refused by name.
  EXPECT_TRUE(one.Ask("HSETNX h f v").starts_with("-NOTLWW HSETNX decides"));
  EXPECT_TRUE(one.Ask("RENAME a b").starts_with("-NOTLWW RENAME decides"));
}

// A forwarded command is read as it was written; anything shorter or longer is refused.
TEST(ForwardedCommand, Codec) {
  const ForwardedCommand command{.keyspace = "k",
                                 .shard = ShardId(17),
                                 .epoch = Epoch(3),
                                 .protocol = 3,
                                 .read = 2,
                                 .write = 1,
                                 .fresh = true,
                                 .whole_keyspace = true,
                                 .operation = "op",
                                 .words = {"SET", std::string("\0\r\n", 3), ""}};
  const std::string body = Encode(command);
  const auto again = DecodeForwarded(body);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(Encode(*again), body);
  EXPECT_EQ(again->words, command.words);
  EXPECT_TRUE(again->fresh);
  for (std::size_t n = 0; n < body.size(); ++n)
    EXPECT_FALSE(DecodeForwarded(std::string_view(body).substr(0, n)));
  EXPECT_FALSE(DecodeForwarded(body + "x"));
}

}  // namespace
}  // namespace coterie::door::redis

#include <gtest/gtest.h>

#include "door/redis/door_fixture.h"

namespace coterie::door::redis {
namespace {

using enum keyspace::Conflict;

class OneNode : public DoorTest {
 protected:
  OneNode() { control.Add(LeaderlessPromise("crdt", kCrdt, 0), {NodeId(1)}); }
  StandInLeaderless& leaderless() { return machine(1).leaderless; }
};

// A write's reply waits for its acknowledgement and holds back those behind it; then all go, in the
// order of the commands.
TEST_F(OneNode, RepliesWaitForAcknowledgements) {
  Start(1);
  leaderless().hold = true;
  Client client(world, NodeId(1));
  client.Tell(PeerClient::Encode({"SET", "a", "1"}) + PeerClient::Encode({"INCR", "n"}) +
              PeerClient::Encode({"GET", "a"}));
  EXPECT_EQ(client.Take(), "(none)");
  EXPECT_EQ(leaderless().writes, 2u);  // both are under way at once
  leaderless().Acknowledge();
  client.Run();
  EXPECT_EQ(client.Take(), "+OK");
  EXPECT_EQ(client.Take(), ":1");
  EXPECT_EQ(client.Take(), "\"1\"");
}

// When the acknowledgement fails, only the write's own reply becomes an error, and it says that the
// write may have happened.
TEST_F(OneNode, FailedAcknowledgementsReplaceTheirReply) {
  Start(1);
  Client client(world, NodeId(1));
  client.Ask("SET b before");
  leaderless().acknowledge_error =
      Error{ErrorCode::kTimedOut, Outcome::kUnknown, "one of two answered"};
  client.Tell(PeerClient::Encode({"PING"}) + PeerClient::Encode({"SET", "a", "1"}) +
              PeerClient::Encode({"GET", "b"}));
  EXPECT_EQ(client.Take(), "+PONG");
  const std::string error = client.Take();
  EXPECT_TRUE(error.starts_with("--COT COT-1005") || error.starts_with("-COT COT-1005")) << error;
  EXPECT_NE(error.find("outcome unknown"), std::string::npos);
  EXPECT_EQ(client.Take(), "\"before\"");
}

// A write that the node refuses is answered at once, as not applied.
TEST_F(OneNode, RefusedWritesSayNotApplied) {
  Start(1);
  Client client(world, NodeId(1));
  leaderless().write_error = Error{ErrorCode::kOverloaded, Outcome::kNotApplied, ""};
  const std::string error = client.Ask("SET a 1");
  EXPECT_TRUE(error.starts_with("-OOM COT-1006")) << error;
  EXPECT_NE(error.find("not applied"), std::string::npos);
}

TEST_F(OneNode, BreaksOfTheProtocolEndTheConnection) {
  Start(1);
  Client client(world, NodeId(1));
  client.Tell("PING\r\n*1\r\n:7\r\nPING\r\n");
  EXPECT_EQ(client.Take(), "+PONG");
  EXPECT_EQ(client.Take(), "-ERR Protocol error: expected '$', got ':'");
  client.Run();
  EXPECT_TRUE(client.closed());
}

TEST_F(OneNode, RefusesClientsOverTheBound) {
  Start(1, {.connections_max = 2});
  Client first(world, NodeId(1)), second(world, NodeId(1));
  EXPECT_EQ(second.Ask("PING"), "+PONG");
  Client third(world, NodeId(1));
  third.Run();
  EXPECT_EQ(third.Take(), "-ERR max number of clients reached");
  third.Run();
  EXPECT_TRUE(third.closed());
  EXPECT_EQ(machine(1).door.stats().refused, 1u);
}

TEST_F(OneNode, ClientCommands) {
  Start(1);
  Client client(world, NodeId(1)), other(world, NodeId(1));
  EXPECT_EQ(other.Ask("CLIENT SETNAME worker"), "+OK");
  EXPECT_EQ(client.Ask("CLIENT GETNAME"), "(nil)");
  EXPECT_NE(client.Ask("CLIENT LIST").find("name=worker"), std::string::npos);
  EXPECT_EQ(client.Ask("CLIENT SETINFO lib-name hiredis"), "+OK");
  EXPECT_NE(client.Ask("CLIENT INFO").find("lib-name=hiredis"), std::string::npos);
  const std::string id = other.Ask("CLIENT ID").substr(1);
  EXPECT_EQ(client.Ask("CLIENT KILL ID " + id), ":1");
  other.Run();
  EXPECT_TRUE(other.closed());
  EXPECT_EQ(client.Ask("CLIENT KILL ID " + id), ":0");
  EXPECT_TRUE(client.Ask("HELLO 3 AUTH default secret").starts_with("-ERR AUTH is refused"));
  EXPECT_EQ(client.Ask("QUIT"), "+OK");
  client.Run();
  EXPECT_TRUE(client.closed());
}

// Pub/sub of both protocols: what a subscriber is told, and what else it may do.
TEST_F(OneNode, Subscriptions) {
  Start(1);
  Client old(world, NodeId(1)), modern(world, NodeId(1)), publisher(world, NodeId(1));
  modern.Ask("HELLO 3");
  EXPECT_EQ(old.Ask("SUBSCRIBE news sport"), "*[\"subscribe\" \"news\" :1 ]");
  EXPECT_EQ(old.Take(), "*[\"subscribe\" \"sport\" :2 ]");
  EXPECT_EQ(modern.Ask("PSUBSCRIBE n*"), ">[\"psubscribe\" \"n*\" :1 ]");
  EXPECT_EQ(publisher.Ask("PUBLISH news hello"), ":2");
  EXPECT_EQ(old.Take(), "*[\"message\" \"news\" \"hello\" ]");
  EXPECT_EQ(modern.Take(), ">[\"pmessage\" \"n*\" \"news\" \"hello\" ]");
  EXPECT_EQ(publisher.Ask("PUBLISH other hello"), ":0");
  EXPECT_EQ(
      old.Ask("GET a"),
      "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
      "are allowed in this context");
  EXPECT_EQ(old.Ask("PING"), "*[\"pong\" \"\" ]");
  EXPECT_EQ(modern.Ask("GET a"), "_");
  EXPECT_EQ(publisher.Ask("PUBSUB NUMSUB news none"), "*[\"news\" :1 \"none\" :0 ]");
  EXPECT_EQ(publisher.Ask("PUBSUB CHANNELS s*"), "*[\"sport\" ]");
  EXPECT_EQ(old.Ask("UNSUBSCRIBE"), "*[\"unsubscribe\" \"news\" :1 ]");
  EXPECT_EQ(old.Take(), "*[\"unsubscribe\" \"sport\" :0 ]");
  EXPECT_EQ(old.Ask("UNSUBSCRIBE"), "*[\"unsubscribe\" (nil) :0 ]");
  EXPECT_EQ(old.Ask("GET a"), "(nil)");
}

// A subscriber that does not take its messages is disconnected at the bound; the others go on.
TEST_F(OneNode, SlowSubscribersAreDisconnected) {
  Start(1, {.push_bytes_max = 1u << 20});
  Client slow(world, NodeId(1)), quick(world, NodeId(1)), publisher(world, NodeId(1));
  slow.Ask("SUBSCRIBE c");
  slow.StopReading();
  quick.Ask("SUBSCRIBE c");
  const std::string message(10'000, 'm');
  for (int i = 0; i < 200; ++i) publisher.Ask({"PUBLISH", "c", message});
  EXPECT_EQ(publisher.Ask("PUBLISH c last"), ":1");
  EXPECT_GT(quick.input().size(), 200u * 10'000);
}

// Each command that no leaderless keyspace serves says why, and which keyspace of the cluster does.
TEST_F(OneNode, RefusalsSayWhere) {
  control.Add({.name = "orders", .replicas = 1, .redis_database = 1}, {NodeId(1)}, 1);
  Start(1);
  Client client(world, NodeId(1));
  EXPECT_EQ(client.Ask("GETDEL s"),
            "-NOTCRDT GETDEL decides by what is there, and another replica may decide otherwise at "
            "the same time; use a raft keyspace, as `orders` (SELECT 1)");
  EXPECT_EQ(client.Ask("SELECT 7"), "-ERR DB index is out of range");
  EXPECT_TRUE(client.Ask("SET a 1 NX").starts_with("-NOTCRDT SET with NX decides"));
  EXPECT_TRUE(client.Ask("ZADD z GT 1 a").starts_with("-NOTCRDT ZADD with GT decides"));
  // What no keyspace can do names none.
  EXPECT_EQ(client.Ask("XADD s 1-1 f v"),
            "-NOTCRDT XADD with AN ID OF ITS OWN needs every replica to agree that no greater one "
            "was given: give * and take the id that is answered");
  EXPECT_EQ(client.Ask("XREAD BLOCK 0 STREAMS s 0"),
            "-NOTCRDT XREAD with BLOCK is not served: ask again after a pause, from the last id "
            "that was answered");
  EXPECT_TRUE(client.Ask("SET a 1 NX").ends_with("; use a raft or paxos keyspace"));
  EXPECT_TRUE(client.Ask("ZADD z GT 1 a").ends_with("; use a raft keyspace"));
  EXPECT_TRUE(client.Ask("DEBUG SLEEP 1").starts_with("-ERR DEBUG"));
}

// LIMIT bounds what one XADD removes, and is refused where Redis refuses it.
TEST_F(OneNode, TrimsAreLimited) {
  Start(1);
  Client client(world, NodeId(1));
  for (int i = 0; i < 10; ++i) client.Ask("XADD s * f v");
  EXPECT_TRUE(client.Ask("XADD s MAXLEN 4 LIMIT 2 * f v")
                  .starts_with("-ERR syntax error, LIMIT cannot be used without"));
  EXPECT_EQ(client.Ask("XADD s MAXLEN ~ 4 LIMIT -1 * f v"),
            "-ERR The LIMIT argument must be >= 0.");
  EXPECT_TRUE(client.Ask("XADD s MAXLEN 4 MINID 0 * f v").starts_with("-ERR syntax error, MAXLEN"));
  EXPECT_EQ(client.Ask("XLEN s"), ":10");
  client.Ask("XADD s MAXLEN ~ 4 LIMIT 3 * f v");
  EXPECT_EQ(client.Ask("XLEN s"), ":8");
  client.Ask("XADD s MAXLEN ~ 4 LIMIT 0 * f v");
  EXPECT_EQ(client.Ask("XLEN s"), ":4");
  client.Ask("XADD s MAXLEN ~ 0 LIMIT 2 * f v");
  EXPECT_EQ(client.Ask("XLEN s"), ":3");
}

// What a test suite of Redis's does first: settings are told, and set to what they are; those that
// change nothing here may be set to anything; there are no functions to flush.
TEST_F(OneNode, SettingsOfRedisAreAnswered) {
  Start(1);
  Client client(world, NodeId(1)), other(world, NodeId(1));
  for (const char* line : {"FLUSHALL", "FUNCTION FLUSH", "SCRIPT FLUSH", "FUNCTION FLUSH ASYNC"})
    EXPECT_EQ(client.Ask(line), "+OK") << line;
  client.Tell("CONFIG GET *\r\n");
  std::string_view all = client.input();
  std::vector<std::string> settings;
  all.remove_prefix(all.find("\r\n") + 2);
  while (!all.empty()) settings.push_back(PeerClient::Text(all));
  client.input().clear();
  EXPECT_GT(settings.size(), 80u);
  for (std::size_t i = 0; i + 1 < settings.size(); i += 2) {
    const auto bare = [](const std::string& quoted) { return quoted.substr(1, quoted.size() - 2); };
    EXPECT_EQ(client.Ask({"CONFIG", "SET", bare(settings[i]), bare(settings[i + 1])}), "+OK")
        << settings[i];
  }
  EXPECT_EQ(client.Ask("CONFIG SET Hash-Max-Listpack-Entries 7 hz 100"), "+OK");
  EXPECT_EQ(other.Ask("CONFIG GET hash-max-listpack-entries"),
            "*[\"hash-max-listpack-entries\" \"7\" ]");
  // What would be answered otherwise is not set, and nothing beside it.
  EXPECT_EQ(client.Ask("CONFIG SET hz 1 notify-keyspace-events KEA"),
            "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - it "
            "is fixed by the node's own configuration");
  EXPECT_EQ(client.Ask("CONFIG GET hz"), "*[\"hz\" \"100\" ]");
  EXPECT_EQ(client.Ask("FUNCTION LOAD x"),
            "-ERR FUNCTION LOAD is not served: no keyspace runs scripts");
}

// An operation that is sent twice under its name is done once.
TEST_F(OneNode, NamedAdditionsCountOnce) {
  Start(1);
  Client client(world, NodeId(1));
  EXPECT_EQ(client.Ask("COTERIE ID op-1 INCRBY n 5"), ":5");
  EXPECT_EQ(client.Ask("COTERIE ID op-1 INCRBY n 5"), ":5");
  EXPECT_EQ(client.Ask("COTERIE ID op-2 INCRBY n 5"), ":10");
  EXPECT_EQ(client.Ask("INCRBY n 5"), ":15");  // the name was that one command's
  EXPECT_TRUE(client.Ask("COTERIE ID op-3 SET n 5").starts_with("-ERR COTERIE ID is for"));
}

// XREAD ends at the stable time, so that no entry is ever skipped; COTERIE FRESH reads on.
TEST_F(OneNode, StreamsAreReadUpToTheStableTime) {
  Start(1);
  Client client(world, NodeId(1));
  client.Ask("XADD s * f 1");
  leaderless().stable = clock::HybridTime(0);
  EXPECT_EQ(client.Ask("XREAD STREAMS s 0"), "(nil array)");
  EXPECT_EQ(client.Ask("XLEN s"), ":1");
  EXPECT_EQ(client.Ask("COTERIE FRESH ON"), "+OK");
  EXPECT_NE(client.Ask("XREAD STREAMS s 0"), "(nil array)");
  client.Ask("COTERIE FRESH OFF");
  leaderless().store().SetWallMs(60'000);
  const std::string waits = client.Ask("XREAD STREAMS s 0");
  EXPECT_NE(waits.find("COTERIE FRESH ON"), std::string::npos) << waits;
  EXPECT_EQ(client.Ask("XREAD STREAMS s 9999999999999"), "(nil array)");
  leaderless().stable.reset();
  EXPECT_NE(client.Ask("XREAD STREAMS s 0"), "(nil array)");
}

// Reads at R > 1 bring this replica up to date first, writes do not; the connection may ask for
// another R.
TEST_F(OneNode, ReadsRefreshFirst) {
  control.Add({.name = "two",
               .replication = keyspace::Replication::kLeaderless,
               .replicas = 3,
               .read = 2,
               .write = 1,
               .conflict = kCrdt,
               .redis_database = 1},
              {NodeId(1)});
  Start(1);
  Client client(world, NodeId(1));
  client.Ask("SELECT 1");
  client.Ask("SET a 1");
  EXPECT_TRUE(leaderless().refreshed.empty());
  EXPECT_EQ(client.Ask("GET a"), "\"1\"");
  EXPECT_EQ(client.Ask("MGET a b"), "*[\"1\" (nil) ]");
  EXPECT_EQ(leaderless().refreshed.size(), 3u);
  EXPECT_EQ(client.Ask("COTERIE READ 1"), "+OK");
  EXPECT_EQ(client.Ask("GET a"), "\"1\"");
  EXPECT_EQ(leaderless().refreshed.size(), 3u);
  EXPECT_TRUE(client.Ask("COTERIE READ 4").starts_with("-ERR"));
}

// Reads that were sent together ask the other replicas together; the write behind them begins when
// they are answered, and all replies come in order.
TEST_F(OneNode, ReadsWaitTogether) {
  control.Add({.name = "two",
               .replication = keyspace::Replication::kLeaderless,
               .replicas = 3,
               .read = 2,
               .write = 1,
               .conflict = kCrdt,
               .redis_database = 1},
              {NodeId(1)});
  Start(1);
  Client client(world, NodeId(1));
  client.Ask("SELECT 1");
  client.Ask("SET a 1");
  leaderless().hold_refreshes = true;
  client.Tell(PeerClient::Encode({"GET", "a"}) + PeerClient::Encode({"EXISTS", "b"}) +
              PeerClient::Encode({"GET"}) + PeerClient::Encode({"STRLEN", "a"}) +
              PeerClient::Encode({"SET", "a", "22"}) + PeerClient::Encode({"GET", "a"}));
  EXPECT_EQ(leaderless().refreshed, (std::vector<std::string>{"a", "b", "a"}));
  EXPECT_EQ(leaderless().writes, 1u);
  EXPECT_EQ(client.Take(), "(none)");
  leaderless().Acknowledge();
  client.Run();
  EXPECT_EQ(client.Take(), "\"1\"");
  EXPECT_EQ(client.Take(), ":0");
  EXPECT_TRUE(client.Take().starts_with("-ERR wrong number"));
  EXPECT_EQ(client.Take(), ":1");
  EXPECT_EQ(client.Take(), "+OK");
  EXPECT_EQ(client.Take(), "\"22\"");
}

// Draining ends idle connections at once and busy ones when their commands are answered.
TEST_F(OneNode, DrainsWithoutLosingReplies) {
  Start(1);
  Client idle(world, NodeId(1)), busy(world, NodeId(1));
  idle.Ask("PING");
  leaderless().hold = true;
  busy.Tell(PeerClient::Encode({"SET", "a", "1"}));
  runtime::Scope scope;
  scope.Spawn(machine(1).door.Drain(world.executor().Now() + 1s));
  idle.Run();
  EXPECT_TRUE(idle.closed());
  EXPECT_FALSE(busy.closed());
  leaderless().Acknowledge();
  busy.Run();
  EXPECT_EQ(busy.Take(), "+OK");
  busy.Run();
  EXPECT_TRUE(busy.closed());
  EXPECT_TRUE(scope.empty());
}

// Concurrent values of a siblings keyspace are not hidden: GET names the way out, and what the
// context has seen is replaced.
TEST_F(DoorTest, SiblingsAreShownAndResolved) {
  control.Add(LeaderlessPromise("carts", kSiblings, 0), {NodeId(1), NodeId(2)}, 1);
  Start(2);
  Client one(world, NodeId(1)), two(world, NodeId(2));
  EXPECT_EQ(one.Ask("SET k apple"), "+OK");
  EXPECT_EQ(two.Ask("SET k pear"), "+OK");
  const ShardId shard = control.map()->Find("carts")->shards[0].id;
  machine(1).leaderless.Merge(machine(2).leaderless, shard);
  EXPECT_TRUE(one.Ask("GET k").starts_with("-SIBLINGS the key has 2 concurrent values"));
  one.Ask("HELLO 3");
  const std::string siblings = one.Ask("COTERIE SIBLINGS k");
  EXPECT_NE(siblings.find("\"apple\""), std::string::npos);
  EXPECT_NE(siblings.find("\"pear\""), std::string::npos);
  const std::size_t at = siblings.find("\"context\" \"") + 11;
  const std::string context = siblings.substr(at, siblings.find('"', at) - at);
  EXPECT_EQ(one.Ask("COTERIE RESOLVE k " + context + " both"), "+OK");
  EXPECT_EQ(one.Ask("GET k"), "\"both\"");
  // The same context again has not seen "both", which therefore stays beside.
  EXPECT_EQ(one.Ask("COTERIE RESOLVE k " + context + " again"), "+OK");
  EXPECT_TRUE(one.Ask("GET k").starts_with("-SIBLINGS"));
  EXPECT_TRUE(one.Ask("COTERIE RESOLVE k zz again").starts_with("-ERR the context"));
}

// What loses a race for the last write is counted and shown.
TEST_F(DoorTest, ConflictsAreListed) {
  control.Add(LeaderlessPromise("profiles", kLww, 0), {NodeId(1), NodeId(2)}, 1);
  Start(2);
  Client one(world, NodeId(1)), two(world, NodeId(2));
  one.Ask("SET k first");
  two.Ask("SET k second");
  machine(1).leaderless.Merge(machine(2).leaderless, control.map()->Find("profiles")->shards[0].id);
  const std::string conflicts = one.Ask("COTERIE CONFLICTS");
  EXPECT_TRUE(conflicts.starts_with("*[\"count\" :1 ")) << conflicts;
  EXPECT_NE(conflicts.find("\"key\" \"k\""), std::string::npos);
  EXPECT_TRUE(one.Ask("SADD s a").starts_with("-NOTLWW SADD"));
}

}  // namespace
}  // namespace coterie::door::redis

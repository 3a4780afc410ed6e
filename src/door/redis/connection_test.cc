#include <gtest/gtest.h>

#include "door/etcd/fake_node.h"
#include "door/redis/door_fixture.h"
#include "door/redis/ordered_commands.h"

namespace coterie::door::redis {
namespace {

using enum keyspace::Conflict;

std::string Encoded(std::initializer_list<std::string_view> lines) {
  std::string out;
  for (const std::string_view line : lines) out += PeerClient::Encode(Client::Split(line));
  return out;
}

/// Databases: 0 crdt, 1 raft, 2 paxos, which nobody serves.
class ConnectionTest : public DoorTest {
 protected:
  ConnectionTest() {
    control.Add(LeaderlessPromise("crdt", kCrdt, 0), {NodeId(1)});
    control.Add({.name = "main", .replicas = 1, .redis_database = 1}, {NodeId(1)}, 1);
    control.Add({.name = "lock",
                 .replication = keyspace::Replication::kPaxos,
                 .replicas = 1,
                 .redis_database = 2},
                {NodeId(1)}, 1);
    ordered = &commands_;
  }
  ~ConnectionTest() override { machines.clear(); }  // before what they stand on
  /// Replies to requests that are sent in one piece.
  static std::vector<std::string> AskAll(Client& client,
                                         std::initializer_list<std::string_view> lines) {
    client.Tell(Encoded(lines));
    std::vector<std::string> replies;
    for (std::size_t i = 0; i < lines.size(); ++i) replies.push_back(client.Take());
    return replies;
  }
  RedisDoorStats stats() { return machine(1).door.stats(); }

 private:
  etcd::FakeNode node_{world};
  OrderedCommands commands_{
      world,
      {.raft = [this](std::string_view) -> node::KvKeyspace* { return &node_; },
       .paxos = [](std::string_view) -> node::Registers* { return nullptr; },
       .pass_on = {}}};
};

// A page in a browser can make it send commands to this machine, as the body of a request. The
// first line of a request ends the connection, whatever its method and whoever wrote it, before
// anything of the body is run.
TEST_F(ConnectionTest, HttpRunsNothing) {
  Start(1);
  Client safe(world, NodeId(1));
  safe.Ask("SET a 1");
  for (const std::string_view line :
       {"POST / HTTP/1.1", "post /x", "GET / HTTP/1.1", "PUT /a HTTP/1.0", "OPTIONS * HTTP/1.1",
        "PRI * HTTP/2.0", "SET / HTTP/1.1", "Host: 127.0.0.1:7301", "host: x"}) {
    const bool served = line.starts_with("SET");  // SET has three words: that is what it means
    Client browser(world, NodeId(1));
    browser.Tell(std::string(line) + "\r\nHost: 127.0.0.1\r\n\r\nFLUSHALL\r\nDEL a\r\n");
    browser.Run();
    EXPECT_TRUE(browser.closed()) << line;
    EXPECT_EQ(browser.Take(), served ? "+OK" : "(closed)") << line;
    EXPECT_EQ(safe.Ask("GET a"), "\"1\"") << line;
  }
  Client client(world, NodeId(1));
  EXPECT_EQ(client.Ask("SET k HTTP/1.1"), "+OK");
  EXPECT_EQ(client.Ask("GET k"), "\"HTTP/1.1\"");
}

// What was sent as a transaction is not run when the keyspace has none: up to EXEC or DISCARD each
// command is refused, and the connection is as before from then on.
TEST_F(ConnectionTest, RefusedMultiRunsNothing) {
  Start(1);
  for (const char* database : {"0", "2"}) {
    Client client(world, NodeId(1));
    client.Ask(std::string("SELECT ") + database);
    auto replies = AskAll(client, {"MULTI", "SET k 1", "INCR n", "PING", "NOSUCH", "EXEC", "PING"});
    EXPECT_TRUE(replies[0].starts_with("-NOT")) << replies[0];
    EXPECT_EQ(replies[1],
              "-ERR SET is not run: the MULTI before it was refused; DISCARD or EXEC ends that");
    EXPECT_TRUE(replies[2].starts_with("-ERR INCR is not run")) << replies[2];
    EXPECT_TRUE(replies[3].starts_with("-ERR PING is not run")) << replies[3];
    EXPECT_TRUE(replies[4].starts_with("-ERR unknown command")) << replies[4];
    EXPECT_EQ(replies[5], "-EXECABORT Transaction discarded because MULTI was refused.");
    EXPECT_EQ(replies[6], "+PONG");
    replies = AskAll(client, {"MULTI", "SET k 1", "DISCARD", "PING", "MULTI", "RESET", "PING"});
    EXPECT_EQ(replies[2], "+OK");
    EXPECT_EQ(replies[3], "+PONG");
    EXPECT_EQ(replies[5], "+RESET");
    EXPECT_EQ(replies[6], "+PONG");
  }
  Client client(world, NodeId(1));
  EXPECT_EQ(client.Ask("EXISTS k n"), ":0");
}

// Commands of the connection itself are queued like the others, and answered in their places.
TEST_F(ConnectionTest, MultiQueuesTheConnectionsOwnCommands) {
  Start(1);
  Client client(world, NodeId(1)), subscriber(world, NodeId(1)), other(world, NodeId(1));
  subscriber.Ask("SUBSCRIBE c");
  for (const char* protocol : {"2", "3"}) {
    client.Ask(std::string("HELLO ") + protocol);
    ASSERT_EQ(client.Ask("SELECT 1"), "+OK");
    const auto replies = AskAll(
        client, {"DEL k", "MULTI", "PING", "SET k 1", "PUBLISH c m", "INCR k", "ECHO e",
                 "CONFIG GET maxclients", "PUBSUB NUMSUB c", "CLIENT GETNAME", "TIME", "EXEC"});
    EXPECT_EQ(replies[4], "+QUEUED");
    const std::string& exec = replies.back();
    EXPECT_TRUE(exec.starts_with("*[+PONG +OK :1 :2 \"e\" ")) << exec;
    EXPECT_NE(exec.find("*[\"c\" :1 ]"), std::string::npos) << exec;
    EXPECT_EQ(subscriber.Take(), "*[\"message\" \"c\" \"m\" ]");
  }
  EXPECT_EQ(AskAll(client, {"MULTI", "PING", "EXEC"})[2], "*[+PONG ]");
  // What changes the connection takes no part, and nothing is run.
  auto replies = AskAll(client, {"MULTI", "PUBLISH c m", "SELECT 0", "EXEC", "PING"});
  EXPECT_EQ(replies[2], "-ERR SELECT is not served inside MULTI");
  EXPECT_TRUE(replies[3].starts_with("-EXECABORT")) << replies[3];
  EXPECT_EQ(replies[4], "+PONG");
  // Nor is it if a watched key was changed, nor after DISCARD.
  client.Ask("WATCH k");
  other.Ask("SELECT 1");
  other.Ask("SET k 9");
  EXPECT_EQ(AskAll(client, {"MULTI", "PUBLISH c m", "EXEC"})[2], "_");
  EXPECT_EQ(AskAll(client, {"MULTI", "PUBLISH c m", "DISCARD"})[2], "+OK");
  EXPECT_EQ(AskAll(client, {"MULTI", "GET k", "EXEC"})[2], "*[\"9\" ]");
  EXPECT_EQ(subscriber.Take(), "(none)");
}

// A client may write a long pipeline before it reads any answer: they wait for it.
TEST_F(ConnectionTest, AnswersWaitForClientsThatWriteFirst) {
  Start(1);
  Client client(world, NodeId(1));
  client.Ask("SET k v");
  client.StopReading();
  const std::string get = PeerClient::Encode({"GET", "k"});
  std::string gets;
  for (int i = 0; i < 200'000; ++i) gets += get;
  client.Tell(std::move(gets));
  client.Run(100ms);
  EXPECT_EQ(stats().commands, 200'001u);
  client.GoOnReading();
  client.Run(1s);
  EXPECT_EQ(client.input().size(), 200'000 * std::string_view("$1\r\nv\r\n").size());
}

// At the bound a client is not read any more: its commands wait where they are, and all are
// answered when it reads.
TEST_F(ConnectionTest, UnreadRepliesStopTheInput) {
  Start(1, {.output_bytes_max = 400'000});
  Client client(world, NodeId(1));
  client.Ask("PING");
  client.StopReading();
  std::string pings;
  for (int i = 0; i < 300'000; ++i) pings += "PING\r\n";
  client.Tell(std::move(pings));
  client.Run(100ms);
  EXPECT_LT(stats().commands, 200'000u);
  client.GoOnReading();
  client.Run(10s);
  EXPECT_EQ(stats().commands, 300'001u);
  std::size_t answers = 0;
  for (const char c : client.input()) answers += c == '+';
  EXPECT_EQ(answers, 300'000u);
}

// The same when the outputs of all clients together are over their bound.
TEST_F(ConnectionTest, UntakenRepliesOfAllAreBounded) {
  Start(1, {.all_output_bytes_max = 4u << 20});
  std::vector<std::unique_ptr<Client>> clients;
  std::string pings;
  for (int i = 0; i < 400'000; ++i) pings += "PING\r\n";
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<Client>(world, NodeId(1)));
    clients.back()->StopReading();
    clients.back()->Tell(pings);
  }
  clients.back()->Run(100ms);
  EXPECT_LT(stats().commands * 7, 10u << 20);
  for (const auto& client : clients) client->GoOnReading();
  clients.back()->Run(10s);
  EXPECT_EQ(stats().commands, 8u * 400'000);
}

// A client that is not read and takes nothing for as long as that is disconnected.
TEST_F(ConnectionTest, ClientsThatTakeNothingAreDisconnected) {
  Start(1, {.output_bytes_max = 100'000});
  Client client(world, NodeId(1));
  client.StopReading();
  std::string pings;
  for (int i = 0; i < 100'000; ++i) pings += "PING\r\n";
  client.Tell(std::move(pings));
  client.Run(59s);
  EXPECT_EQ(stats().connections, 1u);
  client.Run(2s);
  EXPECT_EQ(stats().connections, 0u);
  EXPECT_EQ(stats().untaken, 1u);
}

// Draining lets a client have the answers that it has not read yet.
TEST_F(ConnectionTest, DrainsAfterRepliesAreTaken) {
  Start(1);
  Client client(world, NodeId(1));
  client.StopReading();
  std::string pings;
  for (int i = 0; i < 50'000; ++i) pings += "PING\r\n";
  client.Tell(std::move(pings));
  runtime::Scope scope;
  scope.Spawn(machine(1).door.Drain(world.executor().Now() + 10s));
  client.Run(1s);
  client.GoOnReading();
  client.Run(1s);
  EXPECT_EQ(client.input().size(), 50'000u * 7);
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(scope.empty());
}

// A client that sends what is too large sees why, although it goes on sending: it is read to its
// end and not reset.
TEST_F(ConnectionTest, OversizedValuesAreAnswered) {
  Start(1, {.bulk_bytes_max = 100'000});
  Client client(world, NodeId(1));
  client.Tell("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n" + std::string(1'000'000, 'v'));
  EXPECT_EQ(client.Take(), "-ERR Protocol error: invalid bulk length");
  client.Tell(std::string(2'000'000, 'v'));  // an error, if nobody took it
  client.Run(1s);
  EXPECT_EQ(stats().connections, 1u);
  client.Run(10s);
  EXPECT_EQ(stats().connections, 0u);
}

// A command whose words are more than one mutation may have is refused before anything is done,
// with the limit; where it comes from makes no difference.
TEST_F(ConnectionTest, OversizedWritesAreRefused) {
  Start(1);
  Client client(world, NodeId(1));
  const std::string big(34u << 20, 'v');
  std::vector<std::vector<std::string>> commands = {{"SET", "k", big},
                                                    {"SETEX", "k", "100", big},
                                                    {"SADD", "k", big},
                                                    {"ZADD", "k", "1", big},
                                                    {"XADD", "k", "*", "f", big},
                                                    {"PFADD", "k", big},
                                                    {"SET", big, "v"},
                                                    {"DEL", big}};
  std::vector<std::string> fields = {"HSET", "k"}, pairs = {"MSET"};
  for (int i = 0; i < 40; ++i) {
    fields.insert(fields.end(), {std::to_string(i), std::string(1u << 20, 'v')});
    pairs.insert(pairs.end(), {"k" + std::to_string(i), std::string(1u << 20, 'v')});
  }
  commands.push_back(fields);
  commands.push_back(pairs);
  for (const auto& words : commands) {
    const std::string reply = client.Ask(words);
    EXPECT_TRUE(reply.starts_with("-COT COT-3004")) << words[0] << ": " << reply;
    EXPECT_NE(reply.find("may have 25165824"), std::string::npos) << words[0] << ": " << reply;
    EXPECT_NE(reply.find("not applied"), std::string::npos) << reply;
  }
  EXPECT_EQ(machine(1).leaderless.writes, 0u);
  EXPECT_EQ(client.Ask({"GET", big}), "(nil)");  // who only reads sends nothing on
  EXPECT_EQ(client.Ask({"SET", "k", std::string(20u << 20, 'v')}), "+OK");
}

TEST_F(ConnectionTest, ClientReplyModes) {
  Start(1);
  Client client(world, NodeId(1));
  EXPECT_EQ(client.Ask("CLIENT REPLY SKIP"), "(none)");
  EXPECT_EQ(client.Ask("PING"), "(none)");
  EXPECT_EQ(client.Ask("PING"), "+PONG");
  client.Tell(Encoded({"CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING", "ECHO seen"}));
  EXPECT_EQ(client.Take(), "\"seen\"");
  EXPECT_EQ(client.Ask("CLIENT REPLY OFF"), "(none)");
  EXPECT_EQ(client.Ask("SET a 1"), "(none)");
  EXPECT_EQ(client.Ask("CLIENT REPLY SKIP"), "(none)");
  EXPECT_EQ(client.Ask("PING"), "(none)");
  EXPECT_EQ(client.Ask("CLIENT REPLY ON"), "+OK");
  EXPECT_EQ(client.Ask("GET a"), "\"1\"");
}

// Only replies are left out: a message of a channel is none, whoever sent it and when.
TEST_F(ConnectionTest, ReplyOffLeavesMessages) {
  Start(1);
  Client client(world, NodeId(1)), other(world, NodeId(1));
  client.Ask("HELLO 3");
  client.Ask("SUBSCRIBE c");
  EXPECT_EQ(client.Ask("CLIENT REPLY OFF"), "(none)");
  client.Tell(Encoded({"PING", "PUBLISH c mine", "PING"}));
  EXPECT_EQ(client.Take(), ">[\"message\" \"c\" \"mine\" ]");
  EXPECT_EQ(client.Take(), "(none)");
  EXPECT_EQ(other.Ask("PUBLISH c hers"), ":1");
  EXPECT_EQ(client.Take(), ">[\"message\" \"c\" \"hers\" ]");
  EXPECT_EQ(client.Ask("SUBSCRIBE d"), ">[\"subscribe\" \"d\" :2 ]");
  EXPECT_EQ(client.Ask("SUBSCRIBE"), "(none)");
  EXPECT_EQ(client.Ask("CLIENT REPLY ON"), "+OK");
}

}  // namespace
}  // namespace coterie::door::redis

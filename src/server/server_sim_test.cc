// Whole processes in the simulated world, asked through their real doors.

#include <gtest/gtest.h>

#include <map>

#include "etcd/rpc.pb.h"
#include "net/http.h"
#include "node/raft_replica.h"
#include "node/testing/cluster_configs.h"
#include "node/transport.h"
#include "runtime/sim/simulation.h"
#include "server/server.h"

namespace coterie::server {
namespace {

using runtime::NodeHandle;
using runtime::Simulation;
using runtime::Task;
using runtime::World;

/// N nodes on 10.0.0.1.. and one client machine on 10.0.1.1.
class Cluster {
 public:
  Cluster(std::uint64_t seed, int size)
      : configs_(node::testing::ClusterConfigs(size)), sim_({.seed = seed}) {
    for (auto& [id, config] : configs_) {
      config.snapshot_every_entries = 200;
      config.log_entries_kept = 50;
      config.redis_listen = {config.peer_listen.host, 6379};
      handles_[id] = sim_.AddNode(config.name, config.peer_listen.host);
    }
    client_ = sim_.AddNode("client", "10.0.1.1");
  }

  /// Starts one more machine, which joins; it is to become node `id`.
  void Join(NodeId id) {
    configs_[id] = node::testing::JoinerConfig(configs_, id.value);
    configs_[id].redis_listen.host = configs_[id].peer_listen.host;
    handles_[id] = sim_.AddNode(configs_[id].name, configs_[id].peer_listen.host);
    Start(id);
  }
  void Start(NodeId id) {
    sim_.Start(handles_[id], [this, id](World& world) { return Main(&world, id); });
  }
  void StartAll() {
    for (const auto& [id, handle] : handles_) Start(id);
  }
  /// Runs `task`'s work on the client machine to its end.
  void Ask(std::function<Task<void>(World&)> work) {
    sim_.Start(client_, std::move(work));
    const bool ended = sim_.RunUntil([this] { return sim_.finished(client_); }, 120s);
    EXPECT_TRUE(ended);
    sim_.Kill(client_, runtime::Death::kProcess);
  }
  NodeId Leader() {
    for (const auto& [id, server] : servers_) {
      if (server->node().replica().status().leading) return id;
    }
    return NodeId();
  }
  NodeId AwaitLeader() {
    const bool elected = sim_.RunUntil([this] { return Leader() != NodeId(); }, 30s);
    EXPECT_TRUE(elected);
    return Leader();
  }
  void Kill(NodeId id, runtime::Death death = runtime::Death::kMachine) {
    sim_.Kill(handles_[id], death);
  }

  Simulation& sim() { return sim_; }
  std::map<NodeId, NodeHandle>& handles() { return handles_; }
  std::map<NodeId, Server*>& servers() { return servers_; }

 private:
  Task<void> Main(World* world, NodeId id) {
    auto started = co_await Server::Start(*world, configs_[id], storage::MemoryEngineFactory());
    if (!started) ADD_FAILURE() << Describe(started.error());
    if (!started) co_return;
    const std::unique_ptr<Server> server = std::move(*started);
    struct Listed {
      std::map<NodeId, Server*>& servers;
      NodeId id;
      ~Listed() { servers.erase(id); }
    } listed{servers_, id};
    servers_[id] = server.get();
    runtime::Notification never(world->executor());
    co_await never.Wait();
  }

  std::map<NodeId, node::NodeConfig> configs_;
  std::map<NodeId, NodeHandle> handles_;
  std::map<NodeId, Server*> servers_;
  NodeHandle client_;
  Simulation sim_;
};

Task<void> PutOne(World* world, std::string host, std::string key, std::string value, Status* out) {
  auto channel = co_await net::GrpcChannel::Connect(*world, {host, 2379}, 1s);
  if (!channel) {
    *out = std::unexpected(channel.error());
    co_return;
  }
  etcdserverpb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  auto reply = co_await (*channel)->Unary("/etcdserverpb.KV/Put", request.SerializeAsString(),
                                          world->Now() + 5s);
  *out = reply ? Ok() : Status(Fail(ErrorCode::kIo, reply.error().message));
}

Task<void> GetOne(World* world, std::string host, std::string key, std::string* out) {
  auto channel = co_await net::GrpcChannel::Connect(*world, {host, 2379}, 1s);
  if (!channel) co_return;
  etcdserverpb::RangeRequest request;
  request.set_key(key);
  auto reply = co_await (*channel)->Unary("/etcdserverpb.KV/Range", request.SerializeAsString(),
                                          world->Now() + 5s);
  if (!reply) {
    *out = "error: " + reply.error().message;
    co_return;
  }
  etcdserverpb::RangeResponse response;
  response.ParseFromString(*reply);
  *out = response.kvs_size() == 0 ? "(none)" : response.kvs(0).value();
}

// Three nodes elect a leader; a put through any node is read through any other.
TEST(ServerSim, ThreeNodesElectALeaderAndServe) {
  Cluster cluster(1, 3);
  cluster.StartAll();
  cluster.AwaitLeader();
  for (int i = 1; i <= 3; ++i) {
    Status put = Fail(ErrorCode::kIo, "not run");
    const std::string value = "v" + std::to_string(i);
    const std::string host = "10.0.0." + std::to_string(i);
    cluster.Ask([&](World& world) { return PutOne(&world, host, "k", value, &put); });
    ASSERT_TRUE(put) << put.error().message;
    for (int j = 1; j <= 3; ++j) {
      std::string got;
      cluster.Ask(
          [&](World& world) { return GetOne(&world, "10.0.0." + std::to_string(j), "k", &got); });
      EXPECT_EQ(got, value);
    }
  }
}

// The leader's machine dies; the others go on and have what it acknowledged; it comes back and has
// it too.
TEST(ServerSim, KilledLeaderLosesNothing) {
  Cluster cluster(2, 3);
  cluster.StartAll();
  const NodeId first = cluster.AwaitLeader();
  Status put = Fail(ErrorCode::kIo, "not run");
  cluster.Ask([&](World& world) {
    return PutOne(&world, "10.0.0." + std::to_string(first.value), "k", "kept", &put);
  });
  ASSERT_TRUE(put) << put.error().message;
  cluster.Kill(first);
  const NodeId second = cluster.AwaitLeader();
  EXPECT_NE(first, second);
  std::string got;
  cluster.Ask([&](World& world) {
    return GetOne(&world, "10.0.0." + std::to_string(second.value), "k", &got);
  });
  EXPECT_EQ(got, "kept");
  cluster.Start(first);
  cluster.sim().RunFor(3s);
  cluster.Ask([&](World& world) {
    return GetOne(&world, "10.0.0." + std::to_string(first.value), "k", &got);
  });
  EXPECT_EQ(got, "kept");
}

// A put that is on its way to a leader which is cut off at that moment is neither lost nor left to
// its deadline: the next leader's first entry proves that it did not happen, and it is sent again.
TEST(ServerSim, PutOnItsWayToALostLeaderIsSentAgain) {
  for (const std::uint64_t seed : {4, 5, 6}) {
    Cluster cluster(seed, 3);
    cluster.StartAll();
    const NodeId leader = cluster.AwaitLeader();
    cluster.sim().RunFor(1s);
    const NodeId follower(leader.value % 3 + 1);
    for (auto& [id, server] : cluster.servers()) {
      for (const auto& [other, handle] : cluster.handles()) {
        if (id == other || (id != leader && other != leader)) continue;
        server->node().transport().SetFault(other, {.cut = true});
      }
    }
    Status put = Fail(ErrorCode::kIo, "not run");
    cluster.Ask([&](World& world) {
      return PutOne(&world, "10.0.0." + std::to_string(follower.value), "k", "sent", &put);
    });
    EXPECT_TRUE(put) << seed << ": " << put.error().message;
    EXPECT_NE(cluster.Leader(), NodeId());
    std::string got;
    cluster.Ask([&](World& world) {
      return GetOne(&world, "10.0.0." + std::to_string(follower.value), "k", &got);
    });
    EXPECT_EQ(got, "sent");
  }
}

Task<void> PutMany(World* world, std::string host, int count, int* acknowledged) {
  auto channel = co_await net::GrpcChannel::Connect(*world, {host, 2379}, 1s);
  if (!channel) co_return;
  for (int i = 0; i < count; ++i) {
    etcdserverpb::PutRequest request;
    request.set_key("key" + std::to_string(i));
    request.set_value(std::string(100, 'x') + std::to_string(i));
    auto reply = co_await (*channel)->Unary("/etcdserverpb.KV/Put", request.SerializeAsString(),
                                            world->Now() + 5s);
    if (reply) ++*acknowledged;
  }
}

// A node that was away while the log was cut comes back by a snapshot, and then serves what it
// missed.
TEST(ServerSim, LaggardCatchesUpBySnapshot) {
  Cluster cluster(3, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  const NodeId away(leader.value % 3 + 1);
  cluster.sim().RunFor(1s);
  cluster.Kill(away);
  int acknowledged = 0;
  cluster.Ask([&](World& world) {
    return PutMany(&world, "10.0.0." + std::to_string(leader.value), 600, &acknowledged);
  });
  EXPECT_EQ(acknowledged, 600);
  const std::uint64_t cut =
      cluster.servers()[leader]->node().raft_replica().core().compacted_index().value;
  EXPECT_GT(cut, 100U);
  cluster.Start(away);
  const bool caught_up = cluster.sim().RunUntil(
      [&] {
        const auto found = cluster.servers().find(away);
        return found != cluster.servers().end() && found->second->node().store().revision() >= 601;
      },
      30s);
  ASSERT_TRUE(caught_up);
  std::string got;
  cluster.Ask([&](World& world) {
    return GetOne(&world, "10.0.0." + std::to_string(away.value), "key0", &got);
  });
  EXPECT_EQ(got, std::string(100, 'x') + "0");
  // And it survives a restart from what it installed.
  cluster.Kill(away);
  cluster.Start(away);
  cluster.sim().RunFor(3s);
  cluster.Ask([&](World& world) {
    return GetOne(&world, "10.0.0." + std::to_string(away.value), "key599", &got);
  });
  EXPECT_EQ(got, std::string(100, 'x') + "599");
}

Task<void> ListMembers(World* world, std::string host, std::vector<std::string>* out) {
  auto channel = co_await net::GrpcChannel::Connect(*world, {host, 2379}, 1s);
  if (!channel) co_return;
  etcdserverpb::MemberListRequest request;
  auto reply = co_await (*channel)->Unary("/etcdserverpb.Cluster/MemberList",
                                          request.SerializeAsString(), world->Now() + 5s);
  if (!reply) co_return;
  etcdserverpb::MemberListResponse response;
  response.ParseFromString(*reply);
  out->clear();
  for (const auto& member : response.members()) {
    out->push_back(member.name() + " " + member.peerurls(0) + " " + member.clienturls(0) +
                   (member.islearner() ? " learner" : ""));
  }
}

// A machine that joins is listed to etcd clients by every node, votes in the end, and serves what
// was there before it.
TEST(ServerSim, JoinedNodeIsListedAndServes) {
  Cluster cluster(7, 3);
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  int acknowledged = 0;
  cluster.Ask([&](World& world) {
    return PutMany(&world, "10.0.0." + std::to_string(leader.value), 300, &acknowledged);
  });
  EXPECT_EQ(acknowledged, 300);
  cluster.Join(NodeId(4));
  const bool votes = cluster.sim().RunUntil(
      [&] {
        const auto found = cluster.servers().find(NodeId(4));
        if (found == cluster.servers().end()) return false;
        const auto& voters = found->second->node().raft_replica().core().configuration().voters;
        return voters.size() == 4;
      },
      60s);
  ASSERT_TRUE(votes);
  for (const std::string host : {"10.0.0.1", "10.0.0.4"}) {
    std::vector<std::string> members;
    cluster.Ask([&](World& world) { return ListMembers(&world, host, &members); });
    ASSERT_EQ(members.size(), 4U);
    EXPECT_EQ(members[3], "n4 http://10.0.0.4:7071 http://10.0.0.4:2379");
  }
  std::string got;
  cluster.Ask([&](World& world) { return GetOne(&world, "10.0.0.4", "key0", &got); });
  EXPECT_EQ(got, std::string(100, 'x') + "0");
  Status put = Fail(ErrorCode::kIo, "not run");
  cluster.Ask([&](World& world) { return PutOne(&world, "10.0.0.4", "k", "joined", &put); });
  ASSERT_TRUE(put) << put.error().message;
  cluster.Ask([&](World& world) { return GetOne(&world, "10.0.0.2", "k", &got); });
  EXPECT_EQ(got, "joined");
}

Task<void> CreateKeyspace(Server* server, keyspace::Promise promise, Status* out) {
  const Instant deadline = server->node().world().Now() + 5s;
  *out = co_await server->node().control().CreateKeyspace(std::move(promise), deadline);
}

/// One line of a Redis client of that node: the reply, up to its last line end.
Task<void> AskRedis(World* world, std::string host, std::string lines, std::string* out) {
  out->clear();
  auto stream = co_await world->network().Connect({host, 6379}, 1s);
  if (!stream) co_return;
  Status written = co_await (*stream)->Write(lines + "QUIT\r\n");
  if (!written) co_return;
  for (;;) {
    char buffer[4096];
    auto read = co_await (*stream)->Read(buffer);
    if (!read || *read == 0) co_return;
    out->append(buffer, *read);
  }
}

// Of four nodes each serves conditional commands of an lww keyspace with three replicas, whichever
// of them hold the key: of all who set a key if it is absent one does.
TEST(ServerSim, ConditionalCommandsAtEveryNode) {
  Cluster cluster(8, 4);
  cluster.StartAll();
  cluster.AwaitLeader();
  cluster.sim().RunFor(1s);
  Status created = Fail(ErrorCode::kIo, "not run");
  Server* const first = cluster.servers().at(NodeId(1));
  cluster.Ask([&](World&) {
    return CreateKeyspace(first,
                          {.name = "session",
                           .replication = keyspace::Replication::kLeaderless,
                           .replicas = 3,
                           .read = 2,
                           .write = 2,
                           .conflict = keyspace::Conflict::kLww,
                           .durability = keyspace::Durability::kQuorumFsync,
                           .shards = 16,
                           .redis_database = 5},
                          &created);
  });
  ASSERT_TRUE(created) << Describe(created.error());
  cluster.sim().RunFor(2s);
  const auto ask = [&](int node, const std::string& lines) {
    std::string reply;
    cluster.Ask([&](World& world) {
      return AskRedis(&world, "10.0.0." + std::to_string(node), "SELECT 5\r\n" + lines, &reply);
    });
    if (!reply.starts_with("+OK\r\n") || !reply.ends_with("+OK\r\n")) return "broken: " + reply;
    return reply.substr(5, reply.size() - 10);
  };
  for (int key = 0; key < 12; ++key) {
    const std::string name = "k" + std::to_string(key);
    for (int node = 1; node <= 4; ++node) {
      const int at = (node + key) % 4 + 1;
      EXPECT_EQ(ask(at, "SETNX " + name + " v\r\n"), node == 1 ? ":1\r\n" : ":0\r\n");
    }
    EXPECT_EQ(ask(key % 4 + 1, "GETDEL " + name + "\r\nGETDEL " + name + "\r\n"),
              "$1\r\nv\r\n$-1\r\n");
  }
  // A hash is no string: it is there, it is not read as one, and it stays, at every node.
  const std::string wrong =
      "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
  for (int node = 1; node <= 4; ++node) {
    const std::string h = "h" + std::to_string(node);
    EXPECT_EQ(ask(1, "HSET " + h + " f v\r\n"), ":1\r\n");
    EXPECT_EQ(ask(node, "SETNX " + h + " x\r\nSET " + h + " x NX\r\n"), ":0\r\n$-1\r\n");
    EXPECT_EQ(ask(node, "GETSET " + h + " x\r\nGETDEL " + h + "\r\n"), wrong + wrong);
    EXPECT_EQ(ask(node, "SET " + h + " x GET\r\nSET " + h + " x XX GET\r\n"), wrong + wrong);
    EXPECT_EQ(ask(node, "HGET " + h + " f\r\nSET " + h + " s XX EX 100\r\nGET " + h + "\r\n"),
              "$1\r\nv\r\n+OK\r\n$1\r\ns\r\n");
    EXPECT_EQ(ask(node, "SETNX " + h + " v\r\nGETDEL " + h + "\r\n"), ":0\r\n$1\r\ns\r\n");
  }
}

}  // namespace
}  // namespace coterie::server

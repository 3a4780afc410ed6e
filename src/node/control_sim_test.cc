// The control keyspace of whole nodes in the simulated world: the first map, keyspaces that come
// and go, machines that come and go.

#include <gtest/gtest.h>

#include <set>

#include "node/control_apply.h"
#include "node/control_state.h"
#include "node/testing/node_cluster.h"

namespace coterie::node {
namespace {

using keyspace::Replication;
using placement::ClusterMapPtr;
using runtime::Task;
using testing::NodeCluster;

constexpr Duration kPatience = 20s;

keyspace::Promise Leaderless(std::string name) {
  keyspace::Promise promise;
  promise.name = std::move(name);
  promise.replication = Replication::kLeaderless;
  promise.read = promise.write = 1;
  return promise;
}

keyspace::Promise Raft(std::string name, std::uint32_t replicas = 3) {
  keyspace::Promise promise;
  promise.name = std::move(name);
  promise.replicas = replicas;
  promise.redis_database = 7;
  return promise;
}

Task<Result<bool>> Done(Task<Status> work) {
  auto status = co_await std::move(work);
  if (!status) co_return std::unexpected(std::move(status.error()));
  co_return true;
}

/// Asks node `at` for a change of the control keyspace.
template <class Change>
Status Ask(NodeCluster& cluster, NodeId at, Change change) {
  auto done = cluster.Run<bool>(at, [change](Node& node) {
    return Done(change(node.control(), node.world().Now() + kPatience));
  });
  return done ? Ok() : Status(std::unexpected(done.error()));
}
Status Create(NodeCluster& cluster, NodeId at, keyspace::Promise promise) {
  return Ask(cluster, at, [promise](Control& control, Instant deadline) {
    return control.CreateKeyspace(promise, deadline);
  });
}
Status Drop(NodeCluster& cluster, NodeId at, std::string name) {
  return Ask(cluster, at, [name](Control& control, Instant deadline) {
    return control.DropKeyspace(name, deadline);
  });
}
Status Drain(NodeCluster& cluster, NodeId at, NodeId node) {
  return Ask(cluster, at, [node](Control& control, Instant deadline) {
    return control.DrainNode(node, deadline);
  });
}
Status Remove(NodeCluster& cluster, NodeId at, NodeId node) {
  return Ask(cluster, at, [node](Control& control, Instant deadline) {
    return control.RemoveNode(node, deadline);
  });
}

ClusterMapPtr MapOf(NodeCluster& cluster, NodeId id) {
  Node* const node = cluster.node(id);
  return node == nullptr ? std::make_shared<const placement::ClusterMap>() : node->control().map();
}

/// All `nodes` are up and know a map for which `holds`, the same one.
bool AwaitMap(NodeCluster& cluster, std::vector<NodeId> nodes,
              std::function<bool(const placement::ClusterMap&)> holds, Duration limit = 60s) {
  return cluster.RunUntil(
      [&] {
        const ClusterMapPtr first = MapOf(cluster, nodes.front());
        return first->version != 0 && holds(*first) &&
               std::ranges::all_of(nodes, [&](NodeId id) { return *MapOf(cluster, id) == *first; });
      },
      limit);
}

std::vector<NodeId> Ids(std::initializer_list<std::uint64_t> ids) {
  std::vector<NodeId> out;
  for (const std::uint64_t id : ids) out.push_back(NodeId(id));
  return out;
}

ShardId ShardOf(NodeCluster& cluster, NodeId at, std::string_view keyspace) {
  const auto* found = MapOf(cluster, at)->Find(keyspace);
  return found == nullptr ? ShardId() : found->shards.front().id;
}

NodeId LeaderOf(NodeCluster& cluster, const std::vector<NodeId>& nodes, ShardId shard) {
  for (const NodeId id : nodes) {
    Node* const node = cluster.node(id);
    RaftReplica* const replica = node == nullptr ? nullptr : node->raft_replica(shard);
    if (replica != nullptr && replica->status().leading) return id;
  }
  return {};
}

std::set<NodeId> Voters(NodeCluster& cluster, NodeId at, ShardId shard) {
  RaftReplica* const replica =
      cluster.node(at) == nullptr ? nullptr : cluster.node(at)->raft_replica(shard);
  if (replica == nullptr || !replica->ConfigurationSettled()) return {};
  const auto& voters = replica->core().configuration().voters;
  return {voters.begin(), voters.end()};
}

std::set<NodeId> Set(const std::vector<NodeId>& ids) { return {ids.begin(), ids.end()}; }

/// Puts through `kv`'s replica, one after the other, until told to stop. Every one must succeed.
struct Load {
  Duration pause = 5ms;
  bool stop = false;
  bool ended = false;
  std::vector<std::string> acknowledged;
  std::vector<std::string> failed;
};

Task<Result<bool>> ProposeControl(Node* node, std::string command) {
  const Instant deadline = node->world().Now() + kPatience;
  auto answer = co_await node->raft_replica(kControlShard)->Propose(std::move(command), deadline);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  auto& made = static_cast<ControlState::Answer&>(**answer);
  if (!made.status) co_return std::unexpected(std::move(made.status.error()));
  co_return true;
}

Task<Result<kv::Revision>> PutThrough(KvKeyspace* kv, std::string key, std::string value) {
  kv::Command command;
  command.mutable_put()->set_key(std::move(key));
  command.mutable_put()->set_value(std::move(value));
  const Instant deadline = kv->world().Now() + kPatience;
  auto answer = co_await kv->replica().Propose(command.SerializeAsString(), deadline);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  auto& response = static_cast<kv::Answer&>(**answer).response;
  if (!response) co_return std::unexpected(std::move(response.error()));
  co_return std::get<etcdserverpb::PutResponse>(*response).header().revision();
}

Task<void> RunLoad(KvKeyspace* node, std::string prefix, std::shared_ptr<Load> load) {
  for (int i = 0; !load->stop; ++i) {
    const std::string key = prefix + std::to_string(i);
    auto put = co_await PutThrough(node, key, "v" + key);
    if (put) {
      load->acknowledged.push_back(key);
    } else {
      load->failed.push_back(key + ": " + Describe(put.error()));
    }
    co_await runtime::Sleep(node->world().executor(), load->pause);
  }
  load->ended = true;
}

std::shared_ptr<Load> StartLoad(NodeCluster& cluster, NodeId at, std::string prefix) {
  auto load = std::make_shared<Load>();
  cluster.On(at, [load, prefix](Node& node) { return RunLoad(&node, prefix, load); });
  return load;
}

/// Ends the load, of which nothing failed, and finds all of it on `nodes`.
void EndLoad(NodeCluster& cluster, const std::shared_ptr<Load>& load,
             const std::vector<NodeId>& nodes) {
  load->stop = true;
  ASSERT_TRUE(cluster.RunUntil([&] { return load->ended; }));
  for (const std::string& failure : load->failed) ADD_FAILURE() << failure;
  ASSERT_GT(load->acknowledged.size(), 20U);
  for (const NodeId id : nodes) {
    const Status level = cluster.ReadBarrier(id, 10s);
    ASSERT_TRUE(level.has_value()) << id.value << ": " << Describe(level.error());
    for (const std::string& key : load->acknowledged) {
      ASSERT_EQ(cluster.Value(id, key), "v" + key) << "on node " << id.value;
    }
  }
}

class ControlSim : public ::testing::TestWithParam<std::uint64_t> {};

// Three nodes agree on a first map: themselves, `main` on all of them, and the keyspaces that the
// configuration asks for.
TEST_P(ControlSim, FirstMap) {
  NodeCluster cluster(GetParam(), 3, [](NodeConfig& config) {
    config.default_keyspaces = {Leaderless("cart"), Raft("ledger")};
    config.redis_listen = {"0.0.0.0", 6379};
  });
  cluster.StartAll();
  const auto nodes = Ids({1, 2, 3});
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto& map) {
    return std::ranges::all_of(map.nodes, [](const auto& n) { return !n.second.redis.empty(); });
  }));
  const ClusterMapPtr map = MapOf(cluster, NodeId(1));
  ASSERT_EQ(map->nodes.size(), 3U);
  EXPECT_EQ(map->nodes.at(NodeId(2)).peer, "10.0.0.2:7071");
  EXPECT_EQ(map->nodes.at(NodeId(2)).redis, "10.0.0.2:6379");
  EXPECT_EQ(map->next_node, 4U);
  ASSERT_EQ(map->keyspaces.size(), 3U);
  EXPECT_EQ(map->Find("main")->shards.front().id, kMainShard);
  EXPECT_EQ(map->Find("main")->shards.front().replicas.size(), 3U);
  EXPECT_EQ(map->Find("cart")->shards.size(), 16U);
  EXPECT_EQ(map->Find("ledger")->shards.size(), 1U);
  EXPECT_EQ(map->FindDatabase(0)->promise.name, "cart");
  EXPECT_EQ(cluster.node(NodeId(3))->members().size(), 3U);
}

// A keyspace made or dropped stays so through the loss of the leader and the restart of everybody;
// what cannot be is refused, and changes nothing.
TEST_P(ControlSim, KeyspacesComeAndGo) {
  NodeCluster cluster(GetParam(), 3);
  cluster.StartAll();
  const auto nodes = Ids({1, 2, 3});
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto&) { return true; }));
  ASSERT_TRUE(Create(cluster, NodeId(1), Leaderless("cart")).has_value());
  ASSERT_TRUE(Create(cluster, NodeId(2), Leaderless("gone")).has_value());
  EXPECT_EQ(Create(cluster, NodeId(3), Leaderless("cart")).error().code,
            ErrorCode::kKeyspaceExists);
  EXPECT_EQ(Create(cluster, NodeId(3), Raft("wide", 5)).error().code, ErrorCode::kTooFewNodes);
  EXPECT_EQ(Drop(cluster, NodeId(1), "main").error().code, ErrorCode::kPromiseContradiction);
  EXPECT_EQ(Drop(cluster, NodeId(1), "never").error().code, ErrorCode::kNoKeyspace);
  const NodeId leader = LeaderOf(cluster, nodes, kControlShard);
  const NodeId other = cluster.Other(leader);
  cluster.Kill(leader, runtime::Death::kPowerOff);
  const Status dropped = Drop(cluster, other, "gone");
  ASSERT_TRUE(dropped.has_value()) << Describe(dropped.error());
  EXPECT_NE(MapOf(cluster, other)->Find("cart"), nullptr);
  for (const NodeId id : nodes) cluster.Kill(id, runtime::Death::kPowerOff);
  cluster.StartAll();
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto& map) {
    return map.Find("cart") != nullptr && map.Find("gone") == nullptr;
  }));
  EXPECT_NE(cluster.node(NodeId(1))->incarnation(), 1);
}

// A raft keyspace made later has a group of its own, that serves puts through every replica and is
// there after a restart; dropped, it leaves no files; made again, it is empty.
TEST_P(ControlSim, LaterRaftKeyspace) {
  NodeCluster cluster(GetParam(), 3);
  cluster.StartAll();
  const auto nodes = Ids({1, 2, 3});
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto&) { return true; }));
  ASSERT_TRUE(Create(cluster, NodeId(1), Raft("ledger")).has_value());
  const ShardId shard = ShardOf(cluster, NodeId(1), "ledger");
  const auto all_have = [&](ShardId wanted) {
    return cluster.RunUntil([&] {
      return std::ranges::all_of(nodes, [&](NodeId id) {
        return cluster.node(id) != nullptr && cluster.node(id)->kv(wanted) != nullptr;
      });
    });
  };
  ASSERT_TRUE(all_have(shard));
  for (const NodeId id : nodes) {
    const auto put = cluster.Run<kv::Revision>(id, [shard](Node& node) {
      return PutThrough(node.kv(shard), "k" + std::to_string(node.config().id.value), "v");
    });
    ASSERT_TRUE(put.has_value()) << Describe(put.error());
  }
  EXPECT_EQ(cluster.node(NodeId(1))->store().revision(), 1);  // `main` is another one
  for (const NodeId id : nodes) cluster.Kill(id, runtime::Death::kPowerOff);
  cluster.StartAll();
  ASSERT_TRUE(cluster.RunUntil([&] {
    return std::ranges::all_of(nodes, [&](NodeId id) {
      KvKeyspace* const kv = cluster.node(id) == nullptr ? nullptr : cluster.node(id)->kv(shard);
      return kv != nullptr && kv->store().revision() == 4;
    });
  }));
  ASSERT_TRUE(Drop(cluster, NodeId(2), "ledger").has_value());
  ASSERT_TRUE(cluster.RunUntil([&] {
    return std::ranges::all_of(nodes,
                               [&](NodeId id) { return cluster.node(id)->kv(shard) == nullptr; });
  }));
  cluster.sim().RunFor(40s);
  ASSERT_TRUE(Create(cluster, NodeId(3), Raft("ledger")).has_value());
  const ShardId again = ShardOf(cluster, NodeId(3), "ledger");
  EXPECT_GT(again, shard);
  ASSERT_TRUE(all_have(again));
  const auto put = cluster.Run<kv::Revision>(
      NodeId(1), [again](Node& node) { return PutThrough(node.kv(again), "first", "v"); });
  EXPECT_EQ(put.value_or(0), 2);
}

// Two machines join while puts go on: nobody's request fails, both end up as voters of every group
// that is everywhere, with all that was ever acknowledged; they restart without `join`, whatever
// members the configuration names.
TEST_P(ControlSim, GrowsUnderLoad) {
  NodeCluster cluster(GetParam(), 3);
  cluster.StartAll();
  ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3}), [](const auto&) { return true; }));
  const auto load = StartLoad(cluster, NodeId(1), "k");
  cluster.sim().RunFor(1s);
  for (const std::uint64_t id : {4, 5}) {
    cluster.AddJoiner(NodeId(id));
    cluster.Start(NodeId(id));
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(NodeId(id)) != nullptr; }))
        << (cluster.failure(NodeId(id)) ? Describe(*cluster.failure(NodeId(id))) : "");
    EXPECT_EQ(cluster.node(NodeId(id))->config().id, NodeId(id));
  }
  const auto nodes = Ids({1, 2, 3, 4, 5});
  for (const ShardId shard : {kControlShard, kMainShard}) {
    ASSERT_TRUE(cluster.RunUntil([&] {
      return std::ranges::all_of(
          nodes, [&](NodeId id) { return Voters(cluster, id, shard) == Set(nodes); });
    }));
  }
  EndLoad(cluster, load, nodes);
  for (const std::uint64_t id : {4, 5}) {
    cluster.Kill(NodeId(id), runtime::Death::kPowerOff);
    NodeConfig& config = cluster.config(NodeId(id));
    config.join.clear();
    config.members = {
        {.id = NodeId(1), .name = config.name, .peer = config.peer_listen, .etcd = {}}};
    cluster.Start(NodeId(id));
  }
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto& map) { return map.nodes.size() == 5; }));
  ASSERT_TRUE(cluster.Put(NodeId(5), "after", "v").has_value());
}

// Two of five machines are drained while puts go on, the leader of everything one of them: nobody's
// request fails, and the map forgets them when nothing is left on them.
TEST_P(ControlSim, ShrinksUnderLoad) {
  NodeCluster cluster(GetParam(), 5);
  cluster.StartAll();
  ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3, 4, 5}), [](const auto&) { return true; }));
  ASSERT_TRUE(Create(cluster, NodeId(2), Raft("ledger")).has_value());
  const NodeId leader = cluster.AwaitLeader();
  const NodeId other = cluster.Other(leader);
  const NodeId asked = cluster.Other(leader, other);
  const auto load = StartLoad(cluster, asked, "k");
  cluster.sim().RunFor(1s);
  std::vector<NodeId> nodes = Ids({1, 2, 3, 4, 5});
  for (const NodeId leaving : {leader, other}) {
    const Status drained = Drain(cluster, asked, leaving);
    ASSERT_TRUE(drained.has_value()) << Describe(drained.error());
    std::erase(nodes, leaving);
    ASSERT_TRUE(
        AwaitMap(cluster, nodes, [&](const auto& map) { return !map.nodes.contains(leaving); }));
  }
  EXPECT_EQ(Drain(cluster, asked, nodes.back()).error().code, ErrorCode::kTooFewNodes);
  for (const ShardId shard : {kControlShard, kMainShard, ShardOf(cluster, asked, "ledger")}) {
    ASSERT_TRUE(cluster.RunUntil([&] {
      return std::ranges::all_of(
          nodes, [&](NodeId id) { return Voters(cluster, id, shard) == Set(nodes); });
    })) << shard.value;
  }
  cluster.Kill(leader);
  cluster.Kill(other);
  EndLoad(cluster, load, nodes);
}

// A machine that is gone is removed; when it comes back all the same, it is told so and disturbs
// nobody, and its name is free for a new machine, which gets another id.
TEST_P(ControlSim, RemovedNodeIsRefused) {
  NodeCluster cluster(GetParam(), 4);
  cluster.StartAll();
  const auto rest = Ids({1, 2, 3});
  ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3, 4}), [](const auto&) { return true; }));
  cluster.sim().RunFor(2s);  // what it announces of itself has arrived
  cluster.Kill(NodeId(4));
  ASSERT_TRUE(Remove(cluster, NodeId(1), NodeId(4)).has_value());
  ASSERT_TRUE(AwaitMap(cluster, rest, [](const auto& map) { return map.nodes.size() == 3; }));
  ASSERT_TRUE(cluster.RunUntil([&] {
    return std::ranges::all_of(rest, [&](NodeId id) {
      return Voters(cluster, id, kMainShard) == Set(rest) &&
             Voters(cluster, id, kControlShard) == Set(rest);
    });
  }));
  cluster.sim().RunFor(3s);
  const NodeId leader = cluster.AwaitLeader();
  const Term term = cluster.node(leader)->replica().status().term;
  cluster.Start(NodeId(4));
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.failure(NodeId(4)).has_value(); }));
  EXPECT_EQ(cluster.failure(NodeId(4))->code, ErrorCode::kRemovedNode);
  EXPECT_EQ(cluster.node(NodeId(4)), nullptr);
  cluster.sim().RunFor(10s);
  ASSERT_TRUE(cluster.Put(NodeId(1), "k", "v").has_value());
  EXPECT_EQ(cluster.node(leader)->replica().status().term, term);
}

// A machine that is removed while it runs stops by itself as soon as it can know.
TEST_P(ControlSim, RemovedNodeStops) {
  NodeCluster cluster(GetParam(), 4);
  cluster.StartAll();
  ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3, 4}),
                       [](const auto& map) { return map.active_version == kNewestVersion; }));
  cluster.AwaitLeader();
  const NodeId asked(1 + GetParam() % 3);
  ASSERT_TRUE(Remove(cluster, asked, NodeId(4)).has_value());
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(NodeId(4)) == nullptr; }, 10s));
  EXPECT_EQ(cluster.failure(NodeId(4))->code, ErrorCode::kRemovedNode);
  // One that cannot be told says that it does not reach the cluster.
  cluster.AddJoiner(NodeId(5));
  cluster.Start(NodeId(5));
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(NodeId(5)) != nullptr; }))
      << (cluster.failure(NodeId(5)) ? Describe(*cluster.failure(NodeId(5))) : "");
  ASSERT_TRUE(
      AwaitMap(cluster, Ids({1, 2, 3, 5}), [](const auto& map) { return map.nodes.size() == 4; }));
  const auto holds = [&](NodeId id) {
    return cluster.node(id)->world().conditions().Holds(ConditionKind::kNoControl);
  };
  for (const NodeId id : Ids({1, 2, 3})) cluster.Kill(id);
  cluster.sim().RunFor(20s);
  EXPECT_FALSE(holds(NodeId(5)));
  cluster.sim().RunFor(30s);
  EXPECT_TRUE(holds(NodeId(5)));
  for (const NodeId id : Ids({1, 2, 3})) cluster.Start(id);
  ASSERT_TRUE(cluster.RunUntil([&] { return !holds(NodeId(5)); }));
}

// Programs of two versions in one cluster: what the newer one may say waits until all know it; a
// machine that stays behind, or goes back, is refused, and changes nothing.
TEST_P(ControlSim, UpgradesNodeByNodeUnderLoad) {
  NodeCluster cluster(GetParam(), 3, [](NodeConfig& config) { config.version = 1; });
  cluster.StartAll();
  const auto nodes = Ids({1, 2, 3});
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto&) { return true; }));
  const auto active = [&](NodeId id) { return MapOf(cluster, id)->active_version; };
  const auto upgrade = [&](NodeId id, std::uint32_t version) {
    cluster.Kill(id, runtime::Death::kProcess);
    cluster.config(id).version = version;
    cluster.Start(id);
  };
  const auto serves = [&](NodeId id) {
    return cluster.RunUntil([&] { return cluster.node(id) != nullptr; }) &&
           cluster.ReadBarrier(id, 20s).has_value();
  };
  int puts = 0;
  const auto put = [&](NodeId at) {
    const std::string key = "k" + std::to_string(puts++);
    const auto done = cluster.Put(at, key, key, 20s);
    EXPECT_TRUE(done.has_value()) << Describe(done.error());
  };
  for (const std::uint64_t id : {1, 2}) {  // half-way
    upgrade(NodeId(id), kNewestVersion);
    put(NodeId(3));
    ASSERT_TRUE(serves(NodeId(id)));
    put(NodeId(id));
  }
  ASSERT_TRUE(Create(cluster, NodeId(1), Raft("ledger")).has_value());
  cluster.sim().RunFor(20s);
  for (const NodeId id : nodes) EXPECT_EQ(active(id), 1U);
  EXPECT_EQ(*MapOf(cluster, NodeId(1)), *MapOf(cluster, NodeId(3)));
  upgrade(NodeId(3), kNewestVersion);
  ASSERT_TRUE(AwaitMap(cluster, nodes,
                       [](const auto& map) { return map.active_version == kNewestVersion; }));
  for (const NodeId id : nodes) put(id);
  for (const NodeId id : nodes) {
    ASSERT_TRUE(cluster.ReadBarrier(id, 20s).has_value());
    for (int i = 0; i < puts; ++i) {
      const std::string key = "k" + std::to_string(i);
      EXPECT_EQ(cluster.Value(id, key), key);
    }
  }
  upgrade(NodeId(3), 1);  // back: it cannot read the map any more
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.failure(NodeId(3)).has_value(); }));
  EXPECT_EQ(cluster.failure(NodeId(3))->code, ErrorCode::kNewerCommand);
  cluster.AddJoiner(NodeId(4));
  cluster.config(NodeId(4)).version = 1;
  cluster.Start(NodeId(4));
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.failure(NodeId(4)).has_value(); }));
  EXPECT_EQ(cluster.failure(NodeId(4))->code, ErrorCode::kNewerCommand);
  put(NodeId(1));
  EXPECT_EQ(MapOf(cluster, NodeId(1))->nodes.size(), 3U);
}

// A command that a node does not know stops it, before it could differ from the others.
TEST_P(ControlSim, UnknownCommandStopsTheNode) {
  NodeCluster cluster(GetParam(), 3);
  cluster.StartAll();
  const auto nodes = Ids({1, 2, 3});
  ASSERT_TRUE(AwaitMap(cluster, nodes,
                       [](const auto& map) { return map.active_version == kNewestVersion; }));
  const std::uint64_t version = MapOf(cluster, NodeId(1))->version;
  const std::string newer = "\xfa\x3e\x01x";  // field 1007, bytes
  cluster.On(NodeId(1),
             [newer](Node& node) -> Task<void> { (void)co_await ProposeControl(&node, newer); });
  // Whoever learns that it is committed stops; the last one alone cannot.
  ASSERT_TRUE(cluster.RunUntil([&] {
    return std::ranges::count_if(nodes, [&](NodeId id) { return !cluster.crash(id).empty(); }) >= 2;
  }));
  for (const NodeId id : nodes) {
    if (cluster.crash(id).empty()) {
      EXPECT_EQ(MapOf(cluster, id)->version, version);
    } else {
      EXPECT_NE(cluster.crash(id).find("COT-1020"), std::string::npos) << cluster.crash(id);
    }
  }
}

// A machine comes back at another address: the others take it up.
TEST_P(ControlSim, ChangedAddressIsTakenUp) {
  NodeCluster cluster(GetParam(), 3);
  cluster.StartAll();
  const auto nodes = Ids({1, 2, 3});
  ASSERT_TRUE(AwaitMap(cluster, nodes,
                       [](const auto& map) { return map.active_version == kNewestVersion; }));
  cluster.Kill(NodeId(2), runtime::Death::kProcess);
  cluster.config(NodeId(2)).peer_listen.port = 7777;
  cluster.Start(NodeId(2));
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto& map) {
    return map.nodes.at(NodeId(2)).peer == "10.0.0.2:7777";
  }));
  ASSERT_TRUE(cluster.Put(NodeId(2), "k", "v").has_value());
}

// A founder whose directory is lost does not come back under its id, whoever of the others is up:
// not beside one that knows it, not beside one that is lost as well, and not alone.
TEST_P(ControlSim, LostDirectoryDoesNotVote) {
  NodeCluster cluster(GetParam(), 3);
  cluster.StartAll();
  ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3}), [](const auto&) { return true; }));
  ASSERT_TRUE(cluster.Put(NodeId(1), "k", "v").has_value());
  const std::uint64_t id = cluster.node(NodeId(1))->cluster_id();
  EXPECT_EQ(cluster.node(NodeId(3))->cluster_id(), id);
  for (const NodeId node : Ids({1, 2, 3})) cluster.Kill(node, runtime::Death::kPowerOff);
  for (const NodeId lost : Ids({2, 3})) cluster.config(lost).data_dir = "/elsewhere";
  for (const NodeId lost : Ids({2, 3})) cluster.Start(lost);
  cluster.sim().RunFor(60s);  // they cannot know, and wait
  for (const NodeId lost : Ids({2, 3})) {
    EXPECT_EQ(cluster.node(lost), nullptr);
    EXPECT_FALSE(cluster.failure(lost).has_value());
  }
  cluster.Start(NodeId(1));
  for (const NodeId lost : Ids({2, 3})) {
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.failure(lost).has_value(); }));
    EXPECT_EQ(cluster.failure(lost)->code, ErrorCode::kForgottenNode);
  }
  EXPECT_EQ(cluster.Put(NodeId(1), "k", "w", 3s).error().code, ErrorCode::kNoLeader);
  for (const NodeId found : Ids({2, 3})) {  // the right directories are as they were
    cluster.config(found).data_dir = "/data";
    cluster.Kill(found, runtime::Death::kProcess);
    cluster.Start(found);
  }
  ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3}), [](const auto&) { return true; }));
  ASSERT_TRUE(cluster.ReadBarrier(NodeId(2), 20s).has_value());
  EXPECT_EQ(cluster.Value(NodeId(2), "k"), "v");
  EXPECT_EQ(cluster.node(NodeId(2))->cluster_id(), id);
}

// Founders that die at any moment of the first start become one cluster all the same.
TEST_P(ControlSim, FoundersDieWhileTheClusterBegins) {
  for (std::uint64_t round = 0; round < 8; ++round) {
    Random random(GetParam() * 100 + round);
    NodeCluster cluster(GetParam() * 100 + round, 3);
    const auto nodes = Ids({1, 2, 3});
    for (const NodeId id : nodes) {
      cluster.Start(id);
      cluster.sim().RunFor(std::chrono::microseconds(random.Below(20'000)));
    }
    for (int death = 0; death < 6; ++death) {
      cluster.sim().RunFor(std::chrono::microseconds(random.Below(60'000)));
      const NodeId victim(1 + random.Below(3));
      cluster.Kill(victim, runtime::Death::kPowerOff);
      cluster.sim().RunFor(std::chrono::microseconds(random.Below(60'000)));
      cluster.Start(victim);
    }
    ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto&) { return true; }))
        << round << (cluster.failure(NodeId(1)) ? Describe(*cluster.failure(NodeId(1))) : "");
    for (const NodeId id : nodes) {
      EXPECT_EQ(cluster.node(id)->cluster_id(), cluster.node(NodeId(1))->cluster_id());
    }
  }
}

// A second machine with a node's name is not taken for that node; nor is one of another cluster
// taken in.
TEST_P(ControlSim, JoinIsRefused) {
  NodeCluster cluster(GetParam(), 3);
  cluster.StartAll();
  ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3}), [](const auto&) { return true; }));
  cluster.AddJoiner(NodeId(4));
  cluster.config(NodeId(4)).name = "n2";
  cluster.Start(NodeId(4));
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.failure(NodeId(4)).has_value(); }));
  EXPECT_EQ(cluster.failure(NodeId(4))->code, ErrorCode::kInvalidArgument);
  cluster.AddJoiner(NodeId(5));
  cluster.config(NodeId(5)).cluster = "other";
  cluster.Start(NodeId(5));
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.failure(NodeId(5)).has_value(); }));
  EXPECT_EQ(cluster.failure(NodeId(5))->code, ErrorCode::kWrongCluster);
  EXPECT_EQ(MapOf(cluster, NodeId(1))->nodes.size(), 3U);
}

// Any node may die at any moment of a join, the new one included: it becomes one node of the
// cluster, with one id, and nothing acknowledged is lost.
TEST_P(ControlSim, AnyoneDiesDuringAJoin) {
  for (std::uint64_t round = 0; round < 4; ++round) {
    Random random(GetParam() * 100 + round);
    NodeCluster cluster(GetParam() * 100 + round, 3);
    cluster.StartAll();
    ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3}), [](const auto&) { return true; }));
    for (int i = 0; i < 30; ++i) {
      ASSERT_TRUE(cluster.Put(NodeId(1), "k" + std::to_string(i), "v").has_value());
    }
    cluster.AddJoiner(NodeId(4));
    cluster.Start(NodeId(4));
    for (int death = 0; death < 3; ++death) {
      cluster.sim().RunFor(
          std::chrono::microseconds(random.Below(death == 0 ? 40'000 : 2'000'000)));
      const NodeId victim(death == 0 ? 4 : 1 + random.Below(4));
      cluster.Kill(victim, runtime::Death::kPowerOff);
      cluster.sim().RunFor(std::chrono::microseconds(random.Below(1'000'000)));
      cluster.Start(victim);
    }
    const auto nodes = Ids({1, 2, 3, 4});
    ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto& map) {
      return map.nodes.size() == 4 && map.next_node == 5;
    })) << round;
    for (const ShardId shard : {kControlShard, kMainShard}) {
      ASSERT_TRUE(cluster.RunUntil([&] {
        return std::ranges::all_of(
            nodes, [&](NodeId id) { return Voters(cluster, id, shard) == Set(nodes); });
      })) << round;
    }
    ASSERT_TRUE(cluster.ReadBarrier(NodeId(4), 10s).has_value());
    for (int i = 0; i < 30; ++i) EXPECT_EQ(cluster.Value(NodeId(4), "k" + std::to_string(i)), "v");
  }
}

/// Places a shard by hand, as the planner does step by step.
Status SetReplicas(NodeCluster& cluster, NodeId at, ShardId shard,
                   std::vector<placement::ShardReplica> replicas) {
  control::Command command;
  auto* const change = command.mutable_set_replicas();
  change->set_shard(shard.value);
  change->set_from_epoch(MapOf(cluster, at)->FindShard(shard)->epoch.value);
  for (const auto& replica : replicas) ToProto(replica, change->add_replicas());
  auto done = cluster.Run<bool>(at, [bytes = command.SerializeAsString()](Node& node) {
    return ProposeControl(&node, bytes);
  });
  return done ? Ok() : Status(std::unexpected(done.error()));
}

bool IsReady(NodeCluster& cluster, NodeId at, ShardId shard, NodeId node) {
  const auto* const placed = MapOf(cluster, at)->FindShard(shard);
  return std::ranges::any_of(placed->replicas, [&](const placement::ShardReplica& r) {
    return r.node == node && (r.ready || r.phase == placement::Phase::kActive);
  });
}

// A raft keyspace's replica moves to another machine and back while puts go on: no request fails,
// the machine that was left forgets what it had, and takes it all again.
TEST_P(ControlSim, RaftReplicaMovesThereAndBack) {
  NodeCluster cluster(GetParam(), 4);
  cluster.StartAll();
  ASSERT_TRUE(AwaitMap(cluster, Ids({1, 2, 3, 4}), [](const auto&) { return true; }));
  ASSERT_TRUE(Create(cluster, NodeId(1), Raft("ledger")).has_value());
  const ShardId shard = ShardOf(cluster, NodeId(1), "ledger");
  std::set<NodeId> at = Set(Ids({1, 2, 3, 4}));
  NodeId from;
  NodeId to;
  for (const NodeId id : at) {
    const auto& placed = MapOf(cluster, NodeId(1))->FindShard(shard)->replicas;
    const bool here = std::ranges::any_of(placed, [&](const auto& r) { return r.node == id; });
    (here ? from : to) = id;
  }
  at.erase(to);
  const NodeId asked = *at.begin();
  ASSERT_NE(asked, from);
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(asked)->kv(shard) != nullptr; }));
  auto load = std::make_shared<Load>();
  load->pause = 100ms;
  cluster.On(asked, [load, shard](Node& node) { return RunLoad(node.kv(shard), "k", load); });
  for (int move = 0; move < 2; ++move, std::swap(from, to)) {
    std::vector<placement::ShardReplica> replicas =
        MapOf(cluster, asked)->FindShard(shard)->replicas;
    replicas.push_back({.node = to, .phase = placement::Phase::kJoining, .replaces = from});
    ASSERT_TRUE(SetReplicas(cluster, asked, shard, replicas).has_value());
    ASSERT_TRUE(cluster.RunUntil([&] {
      const auto& now = MapOf(cluster, asked)->FindShard(shard)->replicas;
      return std::ranges::none_of(now, [&](const auto& r) { return r.node == from; }) &&
             IsReady(cluster, asked, shard, to);
    })) << "the planner finishes what was begun";
    ASSERT_TRUE(cluster.RunUntil([&] {
      return cluster.node(from)->kv(shard) == nullptr && cluster.node(to)->kv(shard) != nullptr;
    }));
    cluster.sim().RunFor(35s);
    at.erase(from);
    at.insert(to);
    ASSERT_TRUE(cluster.RunUntil([&] { return Voters(cluster, asked, shard) == at; }));
    if (GetParam() % 2 == 0) continue;  // the same process takes it again, or another one
    cluster.Kill(from, runtime::Death::kPowerOff);
    cluster.Start(from);
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(from) != nullptr; }));
  }
  load->stop = true;
  ASSERT_TRUE(cluster.RunUntil([&] { return load->ended; }));
  EXPECT_TRUE(load->failed.empty()) << load->failed.front();
  EXPECT_GT(load->acknowledged.size(), 300U);
  const kv::Revision last = cluster.node(asked)->kv(shard)->store().revision();
  EXPECT_EQ(static_cast<std::size_t>(last), load->acknowledged.size() + 1);
  ASSERT_TRUE(cluster.RunUntil([&] {
    return std::ranges::all_of(
        at, [&](NodeId id) { return cluster.node(id)->kv(shard)->store().revision() == last; });
  }));
}

// The replicas of several raft keyspaces move to a new machine at once, and its power is cut at
// every step of it, the first time as soon as a leader counts on it: what it has acknowledged is
// there again after each restart, and in the end nothing is lost with one of the machines that
// stayed.
TEST_P(ControlSim, ReceiverLosesPowerAtEveryStepOfSeveralMoves) {
  Random random(GetParam());
  NodeCluster cluster(GetParam(), 4);
  cluster.StartAll();
  const auto nodes = Ids({1, 2, 3, 4});
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto&) { return true; }));
  NodeId to;  // the first machine that has no replica of three shards
  std::map<NodeId, std::vector<ShardId>> absent;
  for (int i = 0; to == NodeId(); ++i) {
    keyspace::Promise promise = Raft("r" + std::to_string(i));
    promise.redis_database = 0;
    ASSERT_TRUE(Create(cluster, NodeId(1), promise).has_value());
    const ShardId shard = ShardOf(cluster, NodeId(1), promise.name);
    const auto& placed = MapOf(cluster, NodeId(1))->FindShard(shard)->replicas;
    for (const NodeId id : nodes) {
      if (std::ranges::any_of(placed, [&](const auto& r) { return r.node == id; })) continue;
      absent[id].push_back(shard);
      if (absent[id].size() == 3) to = id;
    }
  }
  std::map<ShardId, std::shared_ptr<Load>> loads;
  for (const ShardId shard : absent[to]) {
    ASSERT_TRUE(cluster.RunUntil([&] { return LeaderOf(cluster, nodes, shard) != NodeId(); }));
    loads[shard] = std::make_shared<Load>();
    loads[shard]->pause = 20ms;
    cluster.On(LeaderOf(cluster, nodes, shard), [load = loads[shard], shard](Node& node) {
      return RunLoad(node.kv(shard), "k", load);
    });
  }
  cluster.sim().RunFor(1s);
  // What `shard`'s leader counts on its receiver to have.
  const auto acknowledged = [&](ShardId shard) {
    const NodeId leader = LeaderOf(cluster, nodes, shard);
    if (leader == NodeId()) return LogIndex();
    return cluster.node(leader)->raft_replica(shard)->core().MatchIndex(to);
  };
  const NodeId asked = cluster.Other(to);
  for (const auto& [shard, load] : loads) {
    auto replicas = MapOf(cluster, asked)->FindShard(shard)->replicas;
    const auto from = std::ranges::find_if(  // the load goes through the leader
        replicas, [&](const auto& r) { return r.node != LeaderOf(cluster, nodes, shard); });
    const NodeId leaves = from->node;
    replicas.push_back({.node = to, .phase = placement::Phase::kJoining, .replaces = leaves});
    ASSERT_TRUE(SetReplicas(cluster, asked, shard, replicas).has_value());
  }
  for (int cut = 0; cut < 30; ++cut) {
    const auto counted_on = [&] {
      return std::ranges::any_of(loads,
                                 [&](const auto& l) { return acknowledged(l.first) > LogIndex(); });
    };
    if (cut == 0) {
      ASSERT_TRUE(cluster.RunUntil(counted_on, 5s));
    } else {
      cluster.sim().RunFor(std::chrono::microseconds(random.Below(400'000)));
    }
    std::map<ShardId, LogIndex> counted;
    for (const auto& [shard, load] : loads) counted[shard] = acknowledged(shard);
    cluster.Kill(to, runtime::Death::kPowerOff);
    cluster.Start(to);
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(to) != nullptr; }));
    for (const auto& [shard, match] : counted) {
      if (match == LogIndex()) continue;
      RaftReplica* const replica = cluster.node(to)->raft_replica(shard);
      ASSERT_NE(replica, nullptr) << "shard " << shard.value << ": forgot " << match.value;
      ASSERT_GE(replica->core().last_index(), match) << "shard " << shard.value;
    }
  }
  for (const auto& [shard, load] : loads) {
    ASSERT_TRUE(cluster.RunUntil([&] { return Voters(cluster, to, shard).contains(to); }));
    load->stop = true;
  }
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return std::ranges::all_of(loads, [](const auto& l) { return l.second->ended; }); }));
  for (const auto& [shard, load] : loads) {
    EXPECT_GT(load->acknowledged.size(), 20U);
    const auto read = cluster.Run<bool>(to, [shard](Node& node) {
      return Done(node.raft_replica(shard)->ReadBarrier(node.world().Now() + kPatience));
    });
    ASSERT_TRUE(read.has_value()) << Describe(read.error());
    for (const std::string& key : load->acknowledged) {
      etcdserverpb::RangeRequest request;
      request.set_key(key);
      EXPECT_EQ(cluster.node(to)->kv(shard)->store().Range(request)->kvs_size(), 1) << key;
    }
  }
  for (const NodeId id : nodes) EXPECT_EQ(cluster.crash(id), "");
}

// Keyspaces are made and dropped while machines die at any moment: whatever is left, everybody
// comes back and agrees on it, and what there is serves.
TEST_P(ControlSim, KeyspacesComeAndGoWhileMachinesDie) {
  Random random(GetParam());
  NodeCluster cluster(GetParam(), 3);
  cluster.StartAll();
  const auto nodes = Ids({1, 2, 3});
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto&) { return true; }));
  for (int round = 0; round < 12; ++round) {
    const NodeId at(1 + random.Below(3));
    if (random.Below(2) == 0) {
      keyspace::Promise promise = Raft("ledger");
      promise.redis_database = 0;
      (void)Create(cluster, at, promise);
    } else {
      (void)Drop(cluster, at, "ledger");
    }
    cluster.sim().RunFor(
        std::chrono::microseconds(random.Below(random.Below(2) == 0 ? 5'000 : 40'000'000)));
    const NodeId victim(1 + random.Below(3));
    cluster.Kill(victim, runtime::Death::kPowerOff);
    cluster.sim().RunFor(std::chrono::microseconds(random.Below(3'000'000)));
    cluster.Start(victim);
    ASSERT_TRUE(cluster.RunUntil([&] {
      return std::ranges::all_of(nodes, [&](NodeId id) { return cluster.node(id) != nullptr; });
    })) << cluster.crash(victim);
  }
  (void)Create(cluster, NodeId(1), Raft("ledger"));
  ASSERT_TRUE(AwaitMap(cluster, nodes, [](const auto& map) { return map.Find("ledger"); }));
  const ShardId shard = ShardOf(cluster, NodeId(1), "ledger");
  for (const NodeId id : nodes) {
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.node(id)->kv(shard) != nullptr; }));
    const auto put = cluster.Run<kv::Revision>(
        id, [shard](Node& node) { return PutThrough(node.kv(shard), "k", "v"); });
    EXPECT_TRUE(put.has_value()) << Describe(put.error());
  }
  for (const NodeId id : nodes) EXPECT_EQ(cluster.crash(id), "");
}

// A group in which nothing happens does not keep the write-ahead log of a busy one from being cut.
TEST_P(ControlSim, QuietGroupsLetTheLogGo) {
  NodeCluster cluster(GetParam(), 3, [](NodeConfig& config) {
    config.wal_segment_bytes = 64u << 10;
    config.default_keyspaces = {Raft("ledger")};
  });
  cluster.StartAll();
  const NodeId leader = cluster.AwaitLeader();
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(cluster.Put(leader, "k", std::string(10'000, 'x')).has_value());
    if (i % 20 == 0) cluster.sim().RunFor(5s);
  }
  for (const auto& id : Ids({1, 2, 3})) {
    EXPECT_LT(cluster.node(id)->wal_stats().segments, 30U);  // 4 MB are 64 segments
    EXPECT_GT(cluster.node(id)->wal_stats().bytes, 3'900'000U);
  }
  cluster.Kill(leader, runtime::Death::kPowerOff);
  cluster.Start(leader);
  ASSERT_TRUE(
      AwaitMap(cluster, Ids({1, 2, 3}), [](const auto& map) { return map.Find("ledger"); }));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ControlSim, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace coterie::node

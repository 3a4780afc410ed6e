// What a write to a leaderless keyspace costs: three nodes with journal, transport and RocksDB in
// one process on one thread, W = 2. Prints writes a second and CPU per write and node. Usage:
// leaderless_bench <empty directory> [writes at once]

#include <fmt/core.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "node/leaderless/testing/replica_cluster.h"
#include "runtime/real/real_world.h"

namespace coterie::node {
namespace {

using runtime::RealWorld;
using runtime::Task;

constexpr int kNodes = 3;
constexpr int kKeys = 100'000;
constexpr int kWrites = 300'000;

double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct BenchNode {
  std::unique_ptr<storage::Wal> wal;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<testing::ControlRoom::Desk> control;
  std::unique_ptr<testing::TrustingDetector> detector;
  std::unique_ptr<LeaderlessReplicas> replicas;
  ~BenchNode() {
    if (transport) transport->Stop();
  }
};

struct Bench {
  RealWorld& world;
  std::string dir;
  int at_once;
  testing::ControlRoom room;
  std::set<NodeId> dead;
  std::vector<MemberConfig> members;
};

Task<Status> StartNode(Bench* bench, BenchNode* node, int i) {
  const NodeId id(static_cast<std::uint64_t>(i + 1));
  const std::string dir = fmt::format("{}/n{}", bench->dir, i + 1);
  COT_CO_ASSIGN(node->wal, co_await storage::Wal::Open(bench->world, dir + "/wal", {}));
  node->transport =
      std::make_unique<Transport>(bench->world, id, 1, bench->members, Transport::Limits{});
  node->journal =
      std::make_unique<Journal>(bench->world, *node->wal, Journal::kLeaderless,
                                std::move(node->wal->TakeRecovered()[Journal::kLeaderless]));
  node->control = std::make_unique<testing::ControlRoom::Desk>(bench->room, id, bench->world);
  node->detector = std::make_unique<testing::TrustingDetector>(id, bench->dead);
  LeaderlessReplicas::Host host{.world = bench->world,
                                .transport = *node->transport,
                                .journal = *node->journal,
                                .control = *node->control,
                                .detector = *node->detector,
                                .self = id,
                                .actor = clock::MakeActor(id, 1),
                                .next_actor = {},  // no shard comes back
                                .dir = dir + "/cells",
                                .engines = storage::RocksEngineFactory()};
  COT_CO_ASSIGN(node->replicas,
                co_await LeaderlessReplicas::Open(std::move(host), LeaderlessOptions{}));
  COT_CO_ASSIGN(auto listener,
                bench->world.network().Listen(bench->members[static_cast<std::size_t>(i)].peer));
  node->transport->Start(std::move(listener));
  co_return Ok();
}

Task<void> Writer(Bench* bench, BenchNode* node, int first, std::string name, int* failed) {
  const placement::ClusterMapPtr map = bench->room.map;
  const placement::Keyspace& keyspace = *map->Find(name);
  const std::string value(100, 'v');
  const int own = kWrites / kNodes;
  for (int i = 0; i < own;) {
    WriteTicket last;
    for (int n = 0; n < bench->at_once && i < own; ++n, ++i) {
      const std::string key = fmt::format("key-{:012}", (first + i * 7919LL) % kKeys);
      const auto ticket = node->replicas->Write(
          keyspace, keyspace.ShardOf(key), [&](cells::Edit& edit) { edit.SetString(key, value); });
      if (ticket) last = *ticket;
      *failed += ticket ? 0 : 1;
    }
    const Instant deadline = bench->world.Now() + 10s;
    const Status acknowledged = co_await node->replicas->Acknowledged(last, deadline);
    *failed += acknowledged ? 0 : 1;
  }
}

Task<void> Run(Bench* bench) {
  for (int i = 1; i <= kNodes; ++i) {
    const NodeId id(static_cast<std::uint64_t>(i));
    const auto port = static_cast<std::uint16_t>(47070 + i);
    bench->members.push_back({id, fmt::format("n{}", i), {"127.0.0.1", port}, {}});
  }
  using testing::ReplicaCluster;
  const std::map<std::string, keyspace::Durability> keyspaces = {
      {"interval", keyspace::Durability::kInterval},
      {"quorum-fsync", keyspace::Durability::kQuorumFsync}};
  bench->room.Change([&](placement::ClusterMap& map) {
    for (const auto& [name, durability] : keyspaces) {
      placement::Keyspace keyspace;
      keyspace.promise =
          ReplicaCluster::Promise(name, 1, 2, keyspace::Conflict::kCrdt, durability, 16);
      keyspace.promise.replication = keyspace::Replication::kLeaderless;
      for (int s = 0; s < 16; ++s) {
        placement::Shard shard{.id = ShardId(map.next_shard++), .epoch = Epoch(1), .replicas = {}};
        for (const MemberConfig& member : bench->members) shard.replicas.push_back({member.id});
        keyspace.shards.push_back(std::move(shard));
      }
      map.keyspaces[name] = std::move(keyspace);
    }
  });
  std::vector<BenchNode> nodes(kNodes);
  for (int i = 0; i < kNodes; ++i) {
    const Status started = co_await StartNode(bench, &nodes[static_cast<std::size_t>(i)], i);
    if (!started) co_return fmt::print("{}\n", Describe(started.error()));
  }
  co_await runtime::Sleep(bench->world.executor(), 2s);
  for (const auto& [name, durability] : keyspaces) {
    int failed = 0;
    const double wall = WallSeconds();
    const double cpu = CpuSeconds();
    runtime::Scope scope;
    for (int i = 0; i < kNodes; ++i)
      scope.Spawn(Writer(bench, &nodes[static_cast<std::size_t>(i)], i, name, &failed));
    while (!scope.empty()) co_await runtime::Sleep(bench->world.executor(), 1ms);
    fmt::print(
        "{}, {} at once a node: {:.0f} writes/s, {:.2f} us CPU per write and node, {} failed\n",
        name, bench->at_once, kWrites / (WallSeconds() - wall),
        (CpuSeconds() - cpu) * 1e6 / kWrites / kNodes, failed);
  }
}

}  // namespace
}  // namespace coterie::node

int main(int argc, char** argv) {
  using namespace coterie;
  if (argc < 2) {
    fmt::print(stderr, "usage: leaderless_bench <empty directory> [writes at once]\n");
    return 1;
  }
  auto world = runtime::RealWorld::Create();
  if (!world) {
    fmt::print(stderr, "{}\n", Describe(world.error()));
    return 1;
  }
  node::Bench bench{**world, argv[1], argc > 2 ? std::atoi(argv[2]) : 64, {}, {}, {}};
  runtime::BlockOn(**world, node::Run(&bench));
  return 0;
}

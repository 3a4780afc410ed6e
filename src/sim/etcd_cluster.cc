#include "sim/etcd_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "consensus/raft/invariants.h"
#include "node/control.h"
#include "node/leaderless/replicas.h"
#include "node/raft_replica.h"
#include "server/server.h"
#include "sim/etcd_client.h"
#include "sim/redis_workload.h"

namespace coterie::sim {
namespace {

using runtime::Task;
using runtime::World;

// Often enough to see every leader and every committed entry, seldom enough to cost little.
constexpr Duration kObserveEvery = 25ms;

class EtcdCluster final : public Cluster {
 public:
  EtcdCluster(runtime::Simulation& simulation, const Plan& plan) {
    std::vector<node::MemberConfig> members;
    for (std::uint32_t i = 0; i < plan.replicas; ++i) {
      const std::string host = fmt::format("10.0.0.{}", i + 1);
      const std::string name = fmt::format("n{}", i + 1);
      members.push_back({.id = NodeId(i + 1),
                         .name = name,
                         .peer = {host, 7071},
                         .etcd = {host, 2379},
                         .redis = {host, 6379},
                         .admin = {host, 7070}});
      nodes_.push_back(simulation.AddNode(name, host));
    }
    // Small numbers, so that a short run cuts its log, rolls its segments and sends snapshots.
    Random random(plan.seed ^ 0x6e6f6465);
    constexpr std::uint64_t kSnapshotEvery[] = {8, 40, 5000};
    const std::uint64_t snapshot_every = kSnapshotEvery[random.Below(3)];
    constexpr Duration kCellsWriteBack[] = {300ms, 3s, 60s};
    const Duration cells_write_back = kCellsWriteBack[random.Below(3)];
    // As in a demo; databases as in redis_workload.h.
    const std::vector<keyspace::Promise> keyspaces = {
        {.name = "cart",
         .replication = keyspace::Replication::kLeaderless,
         .read = 1,
         .write = 1,
         .conflict = keyspace::Conflict::kCrdt,
         .redis_database = kCartDatabase},
        {.name = "lock",
         .replication = keyspace::Replication::kPaxos,
         .redis_database = kLockDatabase}};
    for (const node::MemberConfig& member : members) {
      node::NodeConfig config;
      config.id = member.id;
      config.name = member.name;
      config.cluster = "sim";
      config.data_dir = "/data";
      config.peer_listen = member.peer;
      config.etcd_listen = member.etcd;
      config.redis_listen = member.redis;
      config.admin_listen = member.admin;
      config.default_keyspaces = keyspaces;
      config.members = members;
      config.request_timeout = plan.request_timeout;
      config.wal_segment_bytes = 64u << 10;
      config.snapshot_every_entries = snapshot_every;
      config.log_entries_kept = snapshot_every / 4;
      config.cells_write_back = cells_write_back;
      config.cells_journal_bytes = 4u << 10;
      configs_.push_back(std::move(config));
    }
  }

  runtime::NodeHandle node(std::uint32_t i) const override { return nodes_[i]; }

  runtime::Simulation::Main MainOf(std::uint32_t i) override {
    return [this, i](World& world) { return RunNode(&world, i); };
  }

  std::unique_ptr<KvClient> NewClient(World& world, std::uint32_t i) override {
    return NewEtcdClient(world, configs_[i].etcd_listen);
  }

  bool has_redis() const override { return true; }
  std::unique_ptr<RedisClient> NewRedisClient(World& world, std::uint32_t i,
                                              std::uint32_t database) override {
    return std::make_unique<RedisClient>(world, configs_[i].redis_listen, database);
  }

  std::string Divergence(std::span<const std::uint32_t> core) override {
    std::string first;
    for (const std::uint32_t i : core) {
      const auto up = servers_.find(i);
      if (up == servers_.end()) return fmt::format("n{} is not serving", i + 1);
      auto hash = up->second->node().store().HashKv(0);
      if (!hash) return fmt::format("n{}: {}", i + 1, Describe(hash.error()));
      const std::string state =
          fmt::format("revision {} hash {:08x}", hash->hash_revision, hash->hash);
      if (first.empty()) first = state;
      if (state != first)
        return fmt::format("n{} has {}, n{} has {}", core[0] + 1, first, i + 1, state);
    }
    return CellsDivergence(core);
  }

  bool begun() const override { return begun_.size() == nodes_.size(); }

  std::string BrokenInvariant() override { return invariants_.Check(); }

 private:
  /// "" once all replicas in `core` have applied the same mutations and show the same; equal
  /// vectors must mean equal states.
  std::string CellsDivergence(std::span<const std::uint32_t> core) {
    const placement::ClusterMapPtr map = servers_.at(core[0])->node().control().map();
    const placement::Keyspace* cart = map->Find("cart");
    if (cart == nullptr) return "the cluster map has no keyspace yet";
    for (const placement::Shard& shard : cart->shards) {
      std::optional<std::pair<clock::VersionVector, std::uint64_t>> first;
      for (const placement::ShardReplica& replica : shard.replicas) {
        const auto i = static_cast<std::uint32_t>(replica.node.value - 1);
        if (std::ranges::count(core, i) == 0) continue;
        cells::Store& store = servers_.at(i)->leaderless().store();
        if (!store.HasShard(shard.id)) return fmt::format("n{} has no shard of cart", i + 1);
        auto digest = store.Digest(shard.id);
        if (!digest) return fmt::format("n{}: {}", i + 1, Describe(digest.error()));
        std::pair state(store.Applied(shard.id), *digest);
        if (!first) first = state;
        if (first->first != state.first) {
          return fmt::format("shard {}: n{} has not applied what others have", shard.id.value,
                             i + 1);
        }
        if (first->second != state.second) {
          return fmt::format("shard {}: n{} has equal vectors and another state", shard.id.value,
                             i + 1);
        }
      }
    }
    return "";
  }

  Task<void> RunNode(World* world, std::uint32_t i) {
    auto started =
        co_await server::Server::Start(*world, configs_[i], storage::MemoryEngineFactory());
    if (!started) {
      world->log().Error("sim", "cannot start: {}", Describe(started.error()));
      world->Crash(Describe(started.error()));
      co_return;
    }
    const std::unique_ptr<server::Server> server = std::move(*started);
    invariants_.OnRestart(configs_[i].id);
    struct Listed {
      std::map<std::uint32_t, server::Server*>& servers;
      std::uint32_t i;
      ~Listed() { servers.erase(i); }
    } listed{servers_, i};
    servers_[i] = server.get();
    begun_.insert(i);
    for (;;) {
      invariants_.Observe(server->node().raft_replica().core());
      co_await runtime::Sleep(world->executor(), kObserveEvery);
    }
  }

  std::vector<runtime::NodeHandle> nodes_;
  std::vector<node::NodeConfig> configs_;
  std::map<std::uint32_t, server::Server*> servers_;
  std::set<std::uint32_t> begun_;  // have served once
  raft::ClusterInvariants invariants_;
};

}  // namespace

ClusterFactory EtcdClusterFactory() {
  return [](runtime::Simulation& simulation, const Plan& plan) -> std::unique_ptr<Cluster> {
    return std::make_unique<EtcdCluster>(simulation, plan);
  };
}

}  // namespace coterie::sim

#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "node/leaderless/replicas.h"
#include "node/transport.h"
#include "runtime/sim/simulation.h"
#include "storage/wal.h"

namespace coterie::node::testing {

/// The map, in the harness: what the control keyspace would decide. Nodes may be kept from hearing.
class ControlRoom {
 public:
  placement::ClusterMapPtr map = std::make_shared<placement::ClusterMap>();
  std::set<NodeId> deaf;  ///< nodes that see no new maps

  class Desk final : public Control {
   public:
    Desk(ControlRoom& room, NodeId node, runtime::World& world)
        : room_(room), node_(node), changed_(world.executor()), seen_(room.map) {
      room.desks_.insert(this);
    }
    ~Desk() override { room_.desks_.erase(this); }
    placement::ClusterMapPtr map() const override { return seen_; }
    runtime::Notification& changed() override { return changed_; }
    runtime::Task<Status> CreateKeyspace(keyspace::Promise, Instant) override { return No(); }
    runtime::Task<Status> DropKeyspace(std::string, Instant) override { return No(); }
    runtime::Task<Result<NodeId>> AddNode(placement::NodeInfo, Instant) override {
      co_return Fail(ErrorCode::kUnimplemented);
    }
    runtime::Task<Status> DrainNode(NodeId, Instant) override { return No(); }
    runtime::Task<Status> RemoveNode(NodeId, Instant) override { return No(); }
    runtime::Task<Status> ReportReplica(ShardId shard, Epoch epoch, NodeId node, Instant) override {
      room_.Reported(shard, epoch, node);
      co_return Ok();
    }

   private:
    friend class ControlRoom;
    static runtime::Task<Status> No() { co_return Fail(ErrorCode::kUnimplemented); }
    ControlRoom& room_;
    const NodeId node_;
    runtime::Notification changed_;
    placement::ClusterMapPtr seen_;
  };

  /// Makes the next map and tells the nodes.
  void Change(const std::function<void(placement::ClusterMap&)>& change) {
    auto next = std::make_shared<placement::ClusterMap>(*map);
    change(*next);
    ++next->version;
    map = std::move(next);
    Tell();
  }
  void Tell() {
    for (Desk* desk : desks_) {
      if (deaf.contains(desk->node_) || desk->seen_ == map) continue;
      desk->seen_ = map;
      desk->changed_.NotifyAll();
    }
  }
  std::vector<std::pair<ShardId, NodeId>> reports;

 private:
  void Reported(ShardId shard, Epoch epoch, NodeId node) {
    const placement::Shard* now = map->FindShard(shard);
    if (now == nullptr || now->epoch != epoch) return;
    reports.emplace_back(shard, node);
    Change([&](placement::ClusterMap& next) {
      for (auto& [name, keyspace] : next.keyspaces) {
        for (placement::Shard& each : keyspace.shards) {
          if (each.id != shard) continue;
          ++each.epoch;
          std::erase_if(each.replicas, [&](const placement::ShardReplica& replica) {
            return replica.node == node && replica.phase == placement::Phase::kLeaving;
          });
          for (placement::ShardReplica& replica : each.replicas) {
            if (replica.node == node) replica.phase = placement::Phase::kActive;
          }
        }
      }
    });
  }
  std::set<Desk*> desks_;
};

/// Believes what it is told.
class TrustingDetector final : public FailureDetector {
 public:
  explicit TrustingDetector(NodeId self, const std::set<NodeId>& dead) : self_(self), dead_(dead) {}
  std::vector<NodeHealth> view() const override {
    std::vector<NodeHealth> all;
    for (const NodeId node : dead_) all.push_back({.node = node, .health = Health::kDead});
    return all;
  }
  std::uint64_t Cost(NodeId node) const override { return node == self_ ? 0 : node.value; }
  void OnAnswer(NodeId, Duration) override { ++answers; }
  void OnLate(NodeId) override { ++late; }
  std::uint64_t answers = 0;
  std::uint64_t late = 0;

 private:
  const NodeId self_;
  const std::set<NodeId>& dead_;
};

/// Convergent replicas on 10.0.0.1.. in one simulation, with WAL, journal and transport as on a
/// real node.
class ReplicaCluster {
 public:
  using Job = std::function<runtime::Task<void>(LeaderlessReplicas&, runtime::World&)>;

  explicit ReplicaCluster(std::uint64_t seed, int size, runtime::SimOptions sim_options = {})
      : sim_([&] {
          sim_options.seed = seed;
          return sim_options;
        }()) {
    for (int i = 1; i <= size; ++i) {
      const std::string host = "10.0.0." + std::to_string(i);
      const NodeId id(static_cast<std::uint64_t>(i));
      members_.push_back({id, "n" + std::to_string(i), {host, 7071}, {host, 2379}});
      auto machine = std::make_unique<Machine>();
      machine->cluster = this;
      machine->id = id;
      machine->handle = sim_.AddNode(members_.back().name, host);
      machines_[id] = std::move(machine);
    }
    control.Change([&](placement::ClusterMap& map) {
      for (const MemberConfig& member : members_)
        map.nodes[member.id] = {.id = member.id, .name = member.name};
    });
    sim_.OnCrash([this](runtime::NodeHandle handle, const std::string& reason) {
      for (auto& [id, machine] : machines_) {
        if (machine->handle.index == handle.index) machine->crash = reason;
      }
    });
  }

  ControlRoom control;
  LeaderlessOptions options;
  std::set<NodeId> dead;  ///< as every failure detector says
  /// What has_followed of every node answers; empty: it is not asked.
  std::function<bool(NodeId, const placement::Shard&)> followed;
  bool reuse_actors = false;  ///< a mistake: no new incarnation after a crash

  /// Adds a leaderless keyspace with its shards on `nodes`.
  void AddKeyspace(keyspace::Promise promise, const std::vector<NodeId>& nodes) {
    promise.replication = keyspace::Replication::kLeaderless;
    promise.replicas = static_cast<std::uint32_t>(nodes.size());
    control.Change([&](placement::ClusterMap& map) {
      placement::Keyspace keyspace;
      keyspace.promise = promise;
      for (std::uint32_t i = 0; i < promise.shards; ++i) {
        placement::Shard shard{.id = ShardId(map.next_shard++), .epoch = Epoch(1)};
        for (const NodeId node : nodes) shard.replicas.push_back({node});
        keyspace.shards.push_back(std::move(shard));
      }
      map.keyspaces[promise.name] = std::move(keyspace);
    });
  }
  static keyspace::Promise Promise(std::string name, std::uint32_t read, std::uint32_t write,
                                   keyspace::Conflict conflict, keyspace::Durability durability,
                                   std::uint32_t shards = 2) {
    keyspace::Promise promise;
    promise.name = std::move(name);
    promise.read = read;
    promise.write = write;
    promise.conflict = conflict;
    promise.durability = durability;
    promise.shards = shards;
    return promise;
  }
  std::vector<NodeId> Nodes() const {
    std::vector<NodeId> all;
    for (const auto& [id, machine] : machines_) all.push_back(id);
    return all;
  }

  void Start(NodeId id) {
    Machine* machine = machines_.at(id).get();
    machine->crash.clear();
    machine->failure.reset();
    if (!reuse_actors || machine->incarnation == 0) ++machine->incarnation;
    sim_.Start(machine->handle, [machine](runtime::World& world) { return Main(machine, &world); });
  }
  void StartAll() {
    for (const auto& [id, machine] : machines_) Start(id);
    EXPECT_TRUE(RunUntil([&] {
      for (const auto& [id, machine] : machines_) {
        if (machine->replicas == nullptr) return false;
        for (const auto& [name, keyspace] : control.map->keyspaces) {
          for (const auto& shard : keyspace.shards) {
            for (const auto& replica : shard.replicas) {
              if (replica.node == id && !machine->replicas->Serves(shard)) return false;
            }
          }
        }
      }
      return true;
    }));
  }
  void Kill(NodeId id, runtime::Death death) { sim_.Kill(machines_.at(id)->handle, death); }
  bool up(NodeId id) const { return machines_.at(id)->replicas != nullptr; }
  const std::string& crash(NodeId id) const { return machines_.at(id)->crash; }
  const std::optional<Error>& failure(NodeId id) const { return machines_.at(id)->failure; }
  runtime::NodeHandle handle(NodeId id) { return machines_.at(id)->handle; }
  LeaderlessReplicas& at(NodeId id) { return *machines_.at(id)->replicas; }
  runtime::Simulation& sim() { return sim_; }
  bool RunUntil(const std::function<bool()>& done, Duration limit = 60s) {
    return sim_.RunUntil(done, limit);
  }
  void Isolate(NodeId id) {
    std::vector<runtime::NodeHandle> rest;
    for (const auto& [other, machine] : machines_) {
      if (other != id) rest.push_back(machine->handle);
    }
    sim_.Partition({{handle(id)}, rest});
  }

  /// Runs `job` on a node that is up.
  void On(NodeId id, Job job) {
    Machine& machine = *machines_.at(id);
    COT_ASSERT(machine.replicas != nullptr);
    machine.jobs.push_back(std::move(job));
    machine.wake->NotifyAll();
  }

  const placement::Keyspace& keyspace(std::string_view name) const {
    return *control.map->Find(name);
  }
  /// Starts a write at `id`; its answer comes in `out`.
  using Answer = std::shared_ptr<std::optional<Status>>;
  Answer WriteLater(NodeId id, const std::string& name, std::string key,
                    std::function<void(cells::Edit&)> make, Duration patience = 2s) {
    const auto out = std::make_shared<std::optional<Status>>();
    On(id,
       [this, name, key, make, patience, out](LeaderlessReplicas& replicas, runtime::World& world) {
         return RunWrite(this, &replicas, &world, name, key, make, patience, out);
       });
    return out;
  }
  Status Write(NodeId id, const std::string& name, std::string key,
               std::function<void(cells::Edit&)> make, Duration patience = 2s) {
    const Answer out = WriteLater(id, name, std::move(key), std::move(make), patience);
    EXPECT_TRUE(RunUntil([&] { return out->has_value() || !up(id); }, patience + 10s));
    return *out ? **out : FailUnknown(ErrorCode::kStopped, "the node died");
  }
  Status Put(NodeId id, const std::string& name, const std::string& key, const std::string& value,
             Duration patience = 2s) {
    return Write(
        id, name, key, [key, value](cells::Edit& edit) { edit.SetString(key, value); }, patience);
  }
  Status Refresh(NodeId id, const std::string& name, std::string key, std::uint32_t read,
                 Duration patience = 2s) {
    const auto out = std::make_shared<std::optional<Status>>();
    On(id,
       [this, name, key, read, patience, out](LeaderlessReplicas& replicas, runtime::World& world) {
         return RunRefresh(this, &replicas, &world, name, key, read, patience, out);
       });
    EXPECT_TRUE(RunUntil([&] { return out->has_value() || !up(id); }, patience + 10s));
    return *out ? **out : FailUnknown(ErrorCode::kStopped, "the node died");
  }
  std::optional<std::string> Get(NodeId id, const std::string& name, const std::string& key) {
    return at(id).store().GetString(keyspace(name).ShardOf(key).id, key);
  }
  /// Every replica of every shard of the keyspace has applied the same and shows the same.
  bool Converged(const std::string& name) {
    for (const placement::Shard& shard : keyspace(name).shards) {
      std::optional<std::uint64_t> digest;
      std::optional<clock::VersionVector> applied;
      for (const placement::ShardReplica& replica : shard.replicas) {
        if (!up(replica.node)) continue;
        cells::Store& store = at(replica.node).store();
        if (!store.HasShard(shard.id)) return false;
        if (applied && *applied != store.Applied(shard.id)) return false;
        applied = store.Applied(shard.id);
      }
      for (const placement::ShardReplica& replica : shard.replicas) {
        if (!up(replica.node)) continue;
        const auto mine = at(replica.node).store().Digest(shard.id);
        if (!mine || (digest && *digest != *mine)) return false;
        digest = *mine;
      }
    }
    return true;
  }

 private:
  struct Machine {
    ReplicaCluster* cluster = nullptr;
    NodeId id;
    runtime::NodeHandle handle;
    std::uint16_t incarnation = 0;
    LeaderlessReplicas* replicas = nullptr;
    std::deque<Job> jobs;
    runtime::Notification* wake = nullptr;
    std::string crash;
    std::optional<Error> failure;
  };

  static runtime::Task<Result<clock::Actor>> NextActor(Machine* machine) {
    co_return clock::MakeActor(machine->id, ++machine->incarnation);
  }

  static runtime::Task<void> Main(Machine* machine, runtime::World* world) {
    ReplicaCluster& cluster = *machine->cluster;
    auto wal = co_await storage::Wal::Open(*world, "/data/wal", {.segment_bytes = 1u << 20});
    if (!wal) {
      machine->failure = wal.error();
      co_return;
    }
    auto recovered = (*wal)->TakeRecovered();
    Transport transport(*world, machine->id, 1, cluster.members_, {});
    Journal journal(*world, **wal, Journal::kLeaderless,
                    std::move(recovered[Journal::kLeaderless]));
    ControlRoom::Desk control(cluster.control, machine->id, *world);
    TrustingDetector detector(machine->id, cluster.dead);
    auto opened = co_await LeaderlessReplicas::Open(
        {.world = *world,
         .transport = transport,
         .journal = journal,
         .control = control,
         .detector = detector,
         .self = machine->id,
         .actor = clock::MakeActor(machine->id, machine->incarnation),
         .next_actor = [machine] { return NextActor(machine); },
         .dir = "/data/cells",
         .engines = storage::MemoryEngineFactory(),
         .has_followed =
             [machine](const placement::Shard& shard) {
               const auto& followed = machine->cluster->followed;
               return !followed || followed(machine->id, shard);
             }},
        cluster.options);
    if (!opened) {
      machine->failure = opened.error();
      co_return;
    }
    const std::unique_ptr<LeaderlessReplicas> replicas = std::move(*opened);
    auto listener = world->network().Listen(cluster.members_[machine->id.value - 1].peer);
    COT_ASSERT(listener.has_value());
    transport.Start(std::move(*listener));
    runtime::Notification wake(world->executor());
    struct Listed {
      Machine& machine;
      Transport& transport;
      ~Listed() {
        transport.Stop();
        machine.replicas = nullptr;
        machine.wake = nullptr;
        machine.jobs.clear();
      }
    } listed{*machine, transport};
    machine->replicas = replicas.get();
    machine->wake = &wake;
    runtime::Scope scope;  // goes before what its tasks use
    for (;;) {
      while (!machine->jobs.empty()) {
        Job job = std::move(machine->jobs.front());
        machine->jobs.pop_front();
        scope.Spawn(job(*replicas, *world));
      }
      co_await wake.Wait();
    }
  }

  static runtime::Task<void> RunWrite(ReplicaCluster* cluster, LeaderlessReplicas* replicas,
                                      runtime::World* world, std::string name, std::string key,
                                      std::function<void(cells::Edit&)> make, Duration patience,
                                      Answer out) {
    const placement::ClusterMapPtr map = cluster->control.map;
    const placement::Keyspace& keyspace = *map->Find(name);
    auto ticket = replicas->Write(keyspace, keyspace.ShardOf(key), make);
    if (!ticket) {
      out->emplace(std::unexpected(ticket.error()));
      co_return;
    }
    const Instant deadline = world->Now() + patience;
    Status acknowledged = co_await replicas->Acknowledged(*ticket, deadline);
    out->emplace(std::move(acknowledged));
  }
  static runtime::Task<void> RunRefresh(ReplicaCluster* cluster, LeaderlessReplicas* replicas,
                                        runtime::World* world, std::string name, std::string key,
                                        std::uint32_t read, Duration patience, Answer out) {
    const placement::ClusterMapPtr map = cluster->control.map;
    const placement::Keyspace& keyspace = *map->Find(name);
    const Instant deadline = world->Now() + patience;
    Status fresh = co_await replicas->Refresh(keyspace, keyspace.ShardOf(key), key, read, deadline);
    out->emplace(std::move(fresh));
  }

  std::vector<MemberConfig> members_;
  std::map<NodeId, std::unique_ptr<Machine>> machines_;
  runtime::Simulation sim_;
};

}  // namespace coterie::node::testing

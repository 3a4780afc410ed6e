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
#include "node/paxos/conditional_writes.h"
#include "node/paxos/paxos_keyspaces.h"
#include "node/transport.h"
#include "runtime/sim/simulation.h"
#include "storage/wal.h"

namespace coterie::node::testing {

/// A node's view of the control keyspace, told by the test.
class ToldControl final : public Control {
 public:
  using Report = std::function<void(ShardId shard, Epoch epoch, NodeId node)>;
  ToldControl(runtime::Executor& executor, placement::ClusterMapPtr map, Report report)
      : map_(std::move(map)), changed_(executor), report_(std::move(report)) {}
  void Tell(placement::ClusterMapPtr map) {
    map_ = std::move(map);
    changed_.NotifyAll();
  }
  placement::ClusterMapPtr map() const override { return map_; }
  runtime::Notification& changed() override { return changed_; }
  runtime::Task<Status> CreateKeyspace(keyspace::Promise, Instant) override { co_return Ok(); }
  runtime::Task<Status> DropKeyspace(std::string, Instant) override { co_return Ok(); }
  runtime::Task<Result<NodeId>> AddNode(placement::NodeInfo, Instant) override {
    co_return NodeId();
  }
  runtime::Task<Status> DrainNode(NodeId, Instant) override { co_return Ok(); }
  runtime::Task<Status> RemoveNode(NodeId, Instant) override { co_return Ok(); }
  runtime::Task<Status> ReportReplica(ShardId shard, Epoch epoch, NodeId node, Instant) override {
    report_(shard, epoch, node);
    co_return Ok();
  }

 private:
  placement::ClusterMapPtr map_;
  runtime::Notification changed_;
  Report report_;
};

/// Believes that everybody is well.
class TrustingDetector final : public FailureDetector {
 public:
  std::vector<NodeHealth> view() const override { return {}; }
  std::uint64_t Cost(NodeId node) const override { return node.value; }
  void OnAnswer(NodeId, Duration) override {}
  void OnLate(NodeId) override {}
};

/// What runs on one node of the cluster. Made anew with each start.
struct PaxosNode {
  runtime::World* world = nullptr;
  std::unique_ptr<storage::Wal> wal;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Journal> mutations;
  std::unique_ptr<ToldControl> control;
  TrustingDetector detector;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<PaxosKeyspaces> paxos;
  std::unique_ptr<LeaderlessReplicas> leaderless;
  std::unique_ptr<ConditionalWrites> conditional;
  ~PaxosNode() {
    if (transport) transport->Stop();
  }
};

/// Nodes that run registers and cells and nothing else, on 10.0.0.1.. in one simulation: a paxos
/// keyspace "r" of one shard, number 16, and a leaderless one "c" of one, 17, with replicas on the
/// first `replicas` of them.
class PaxosCluster {
 public:
  using Job = std::function<runtime::Task<void>(PaxosNode&)>;

  PaxosCluster(std::uint64_t seed, int nodes, int replicas, PaxosOptions options = {},
               bool chaos = false)
      : options_(options), sim_({.seed = seed, .chaos = chaos}) {
    placement::ClusterMap map;
    map.version = 1;
    placement::Keyspace keyspace;
    keyspace.promise.name = "r";
    keyspace.promise.replication = keyspace::Replication::kPaxos;
    placement::Shard shard{.id = ShardId(16), .epoch = Epoch(1), .replicas = {}};
    for (int i = 1; i <= nodes; ++i) {
      const NodeId id(static_cast<std::uint64_t>(i));
      const std::string host = "10.0.0." + std::to_string(i);
      members_.push_back({id, "n" + std::to_string(i), {host, 7071}, {host, 2379}});
      map.nodes[id] = {.id = id, .name = "n" + std::to_string(i)};
      if (i <= replicas) shard.replicas.push_back({.node = id});
    }
    keyspace.shards = {shard};
    map.keyspaces["r"] = keyspace;
    keyspace.promise = {.name = "c",
                        .replication = keyspace::Replication::kLeaderless,
                        .replicas = static_cast<std::uint32_t>(replicas),
                        .read = 1,
                        .write = 1,
                        .conflict = keyspace::Conflict::kLww,
                        .shards = 1};
    keyspace.shards[0].id = ShardId(17);
    map.keyspaces["c"] = keyspace;
    map_ = std::make_shared<const placement::ClusterMap>(std::move(map));
    for (const MemberConfig& member : members_) {
      auto machine = std::make_unique<Machine>();
      machine->id = member.id;
      machine->handle = sim_.AddNode(member.name, member.peer.host);
      machines_[member.id] = std::move(machine);
    }
    sim_.OnCrash([this](runtime::NodeHandle handle, const std::string& reason) {
      for (auto& [id, machine] : machines_) {
        if (machine->handle.index == handle.index) machine->crash = reason;
      }
    });
  }

  void Start(NodeId id) {
    Machine* machine = machines_.at(id).get();
    machine->crash.clear();
    sim_.Start(machine->handle,
               [this, machine](runtime::World& world) { return Main(this, machine, &world); });
  }
  void StartAll() {
    for (const auto& [id, machine] : machines_) Start(id);
    AwaitConnected();
  }
  /// All nodes are up and speak with each other.
  void AwaitConnected() {
    EXPECT_TRUE(RunUntil([&] {
      for (const auto& [id, machine] : machines_) {
        if (machine->node == nullptr) return false;
        for (const PeerStatus& peer : machine->node->transport->peers()) {
          if (!peer.connected) return false;
        }
      }
      return true;
    }));
  }
  void Kill(NodeId id, runtime::Death death = runtime::Death::kMachine) {
    sim_.Kill(handle(id), death);
  }
  /// Runs `job` on a node that is up.
  void On(NodeId id, Job job) {
    Machine& machine = *machines_.at(id);
    COT_ASSERT(machine.node != nullptr);
    machine.jobs.push_back(std::move(job));
    machine.wake->NotifyAll();
  }
  /// nullptr while it is down or recovers.
  PaxosNode* node(NodeId id) { return machines_.at(id)->node; }
  runtime::NodeHandle handle(NodeId id) { return machines_.at(id)->handle; }
  const std::string& crash(NodeId id) { return machines_.at(id)->crash; }
  bool RunUntil(const std::function<bool()>& done, Duration limit = 60s) {
    return sim_.RunUntil(done, limit);
  }
  runtime::Simulation& sim() { return sim_; }

  /// What the leaderless keyspace declares. Before the nodes start.
  void DeclareQuorums(std::uint32_t read, std::uint32_t write) {
    placement::ClusterMap next = *map_;
    next.keyspaces["c"].promise.read = read;
    next.keyspaces["c"].promise.write = write;
    map_ = std::make_shared<const placement::ClusterMap>(std::move(next));
  }

  /// The newest map, and another in its place. Nodes learn it when told.
  const placement::ClusterMap& map() const { return *map_; }
  void SetReplicas(std::vector<placement::ShardReplica> replicas) {
    placement::ClusterMap next = *map_;
    ++next.version;
    placement::Shard& shard = next.keyspaces["r"].shards[0];
    ++shard.epoch;
    shard.replicas = std::move(replicas);
    map_ = std::make_shared<const placement::ClusterMap>(std::move(next));
  }
  void Tell(NodeId id) {
    if (machines_.at(id)->node != nullptr) machines_.at(id)->node->control->Tell(map_);
  }
  void TellAll() {
    for (const auto& [id, machine] : machines_) Tell(id);
  }
  bool Reported(NodeId id) const {
    return reports_.contains({map_->keyspaces.at("r").shards[0].epoch, id});
  }

  using Answer = Result<std::optional<Registers::Value>>;
  Answer Set(NodeId at, std::string key, std::string value, std::uint64_t expires_at_ms = 0) {
    return Update(at, std::move(key), [=](const std::optional<Registers::Value>&) {
      return Registers::Change{true, Registers::Value{value, expires_at_ms}};
    });
  }
  Answer Update(NodeId at, std::string key, Registers::Decide decide, Duration patience = 5s) {
    const auto out = std::make_shared<std::optional<Answer>>();
    On(at, [=](PaxosNode& node) { return RunUpdate(&node, key, decide, patience, out); });
    return Await(at, out, patience);
  }
  Answer Read(NodeId at, std::string key, Duration patience = 5s) {
    const auto out = std::make_shared<std::optional<Answer>>();
    On(at, [=](PaxosNode& node) { return RunRead(&node, key, patience, out); });
    return Await(at, out, patience);
  }
  /// "(nothing)", the value, or the error's name.
  std::string Text(NodeId at, std::string key) {
    const Answer answer = Read(at, std::move(key));
    if (!answer) return std::string(InfoOf(answer.error().code).name);
    return *answer ? (*answer)->bytes : "(nothing)";
  }
  Result<std::vector<std::string>> Keys(NodeId at, std::string after, std::size_t max) {
    const auto out = std::make_shared<std::optional<Result<std::vector<std::string>>>>();
    On(at, [=](PaxosNode& node) { return RunKeys(&node, after, max, out); });
    EXPECT_TRUE(RunUntil([&] { return out->has_value(); }));
    return std::move(**out);
  }

 private:
  struct Machine {
    NodeId id;
    runtime::NodeHandle handle;
    std::uint16_t starts = 0;
    PaxosNode* node = nullptr;
    std::deque<Job> jobs;
    runtime::Notification* wake = nullptr;
    std::string crash;
  };
  using Out = std::shared_ptr<std::optional<Answer>>;

  Answer Await(NodeId at, const Out& out, Duration patience) {
    EXPECT_TRUE(RunUntil([&] { return out->has_value() || node(at) == nullptr; }, patience + 5s));
    if (!*out) return FailUnknown(ErrorCode::kStopped, "the node died");
    return std::move(**out);
  }
  static runtime::Task<void> RunUpdate(PaxosNode* node, std::string key, Registers::Decide decide,
                                       Duration patience, Out out) {
    const Instant deadline = node->world->Now() + patience;
    auto answer = co_await node->paxos->Find("r")->Update(key, std::move(decide), deadline);
    out->emplace(std::move(answer));
  }
  static runtime::Task<void> RunRead(PaxosNode* node, std::string key, Duration patience, Out out) {
    const Instant deadline = node->world->Now() + patience;
    auto answer = co_await node->paxos->Find("r")->Read(key, deadline);
    out->emplace(std::move(answer));
  }
  static runtime::Task<void> RunKeys(
      PaxosNode* node, std::string after, std::size_t max,
      std::shared_ptr<std::optional<Result<std::vector<std::string>>>> out) {
    const Instant deadline = node->world->Now() + 5s;
    auto answer = co_await node->paxos->Find("r")->Keys(std::move(after), max, deadline);
    out->emplace(std::move(answer));
  }
  static runtime::Task<Status> Open(PaxosCluster* cluster, Machine* machine, PaxosNode* node) {
    runtime::World& world = *node->world;
    const auto& member = cluster->members_[machine->id.value - 1];
    COT_CO_ASSIGN(auto listener, world.network().Listen(member.peer));
    COT_CO_ASSIGN(node->wal,
                  co_await storage::Wal::Open(world, "/data/wal", {.segment_bytes = 1u << 20}));
    auto recovered = node->wal->TakeRecovered();
    node->journal = std::make_unique<Journal>(world, *node->wal, Journal::kPaxos,
                                              std::move(recovered[Journal::kPaxos]));
    node->control = std::make_unique<ToldControl>(
        world.executor(), cluster->map_,
        [cluster](ShardId, Epoch epoch, NodeId id) { cluster->reports_.insert({epoch, id}); });
    node->transport =
        std::make_unique<Transport>(world, machine->id, 1, cluster->members_, Transport::Limits{});
    COT_CO_ASSIGN(node->paxos, co_await PaxosKeyspaces::Open(
                                   world, machine->id, *node->control, *node->transport,
                                   *node->journal, storage::MemoryEngineFactory(),
                                   "/data/registers", nullptr, cluster->options_));
    node->mutations = std::make_unique<Journal>(world, *node->wal, Journal::kLeaderless,
                                                std::move(recovered[Journal::kLeaderless]));
    LeaderlessReplicas::Host host{.world = world,
                                  .transport = *node->transport,
                                  .journal = *node->mutations,
                                  .control = *node->control,
                                  .detector = node->detector,
                                  .self = machine->id,
                                  .actor = clock::MakeActor(machine->id, ++machine->starts),
                                  .next_actor = [machine] { return NextActor(machine); },
                                  .dir = "/data/cells",
                                  .engines = storage::MemoryEngineFactory()};
    COT_CO_ASSIGN(node->leaderless, co_await LeaderlessReplicas::Open(std::move(host), {}));
    node->conditional = std::make_unique<ConditionalWrites>(world, *node->control,
                                                            *node->leaderless, *node->paxos, "c");
    node->transport->Start(std::move(listener));
    co_return Ok();
  }
  static runtime::Task<Result<clock::Actor>> NextActor(Machine* machine) {
    co_return clock::MakeActor(machine->id, ++machine->starts);
  }
  static runtime::Task<void> Main(PaxosCluster* cluster, Machine* machine, runtime::World* world) {
    PaxosNode node;
    node.world = world;
    const Status opened = co_await Open(cluster, machine, &node);
    if (!opened) {
      machine->crash = Describe(opened.error());
      co_return;
    }
    runtime::Notification wake(world->executor());
    struct Listed {
      Machine& machine;
      ~Listed() {
        machine.node = nullptr;
        machine.wake = nullptr;
        machine.jobs.clear();
      }
    } listed{*machine};
    machine->node = &node;
    machine->wake = &wake;
    runtime::Scope scope;  // goes before the node that its tasks use
    for (;;) {
      while (!machine->jobs.empty()) {
        Job job = std::move(machine->jobs.front());
        machine->jobs.pop_front();
        scope.Spawn(job(node));
      }
      co_await wake.Wait();
    }
  }

  const PaxosOptions options_;
  std::vector<MemberConfig> members_;
  placement::ClusterMapPtr map_;
  std::set<std::pair<Epoch, NodeId>> reports_;
  std::map<NodeId, std::unique_ptr<Machine>> machines_;
  runtime::Simulation sim_;
};

}  // namespace coterie::node::testing

#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coterie/command.pb.h"
#include "model/kv/store.h"
#include "node/node.h"
#include "node/raft_replica.h"
#include "node/snapshot_transfer.h"
#include "node/testing/cluster_configs.h"
#include "node/transport.h"
#include "runtime/sim/simulation.h"

namespace coterie::node::testing {

/// Nodes without doors on 10.0.0.1.. in one simulation. Work for a node is run on it, in a scope
/// that dies with it.
class NodeCluster {
 public:
  using Job = std::function<runtime::Task<void>(Node&)>;
  using Tweak = std::function<void(NodeConfig&)>;

  NodeCluster(std::uint64_t seed, int size, const Tweak& tweak = {}) : sim_({.seed = seed}) {
    for (auto& [id, config] : ClusterConfigs(size)) {
      auto machine = std::make_unique<Machine>();
      machine->handle = sim_.AddNode(config.name, config.peer_listen.host);
      machine->config = config;
      if (tweak) tweak(machine->config);
      machines_[id] = std::move(machine);
    }
    sim_.OnCrash([this](runtime::NodeHandle handle, const std::string& reason) {
      for (auto& [id, machine] : machines_) {
        if (machine->handle.index == handle.index) machine->crash = reason;
      }
    });
  }

  /// One more machine, not started, that asks the others to be node `id`: the next that is free.
  void AddJoiner(NodeId id) {
    std::map<NodeId, NodeConfig> there;
    for (const auto& [other, machine] : machines_) there[other] = machine->config;
    auto machine = std::make_unique<Machine>();
    machine->config = JoinerConfig(there, id.value);
    machine->handle = sim_.AddNode(machine->config.name, machine->config.peer_listen.host);
    machines_[id] = std::move(machine);
  }

  void Start(NodeId id) {
    Machine* machine = machines_.at(id).get();
    machine->crash.clear();
    machine->failure.reset();
    sim_.Start(machine->handle, [machine](runtime::World& world) { return Main(machine, &world); });
  }
  void StartAll() {
    for (const auto& [id, machine] : machines_) Start(id);
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
  Node* node(NodeId id) { return machines_.at(id)->node; }
  runtime::NodeHandle handle(NodeId id) { return machines_.at(id)->handle; }
  NodeConfig& config(NodeId id) { return machines_.at(id)->config; }
  /// Why it crashed, or could not start; empty if neither.
  const std::string& crash(NodeId id) { return machines_.at(id)->crash; }
  const std::optional<Error>& failure(NodeId id) { return machines_.at(id)->failure; }

  /// The leader that the most nodes follow; 0 if there is none.
  NodeId Leader() {
    NodeId newest;
    Term term;
    for (const auto& [id, machine] : machines_) {
      if (machine->node == nullptr) continue;
      const ReplicaStatus status = machine->node->replica().status();
      if (status.leading && status.term >= term) {
        newest = id;
        term = status.term;
      }
    }
    return newest;
  }
  NodeId AwaitLeader() {
    EXPECT_TRUE(RunUntil([this] { return Leader() != NodeId(); }));
    return Leader();
  }
  /// A leader, other than `old`, is followed by all that are up.
  NodeId AwaitNewLeader(NodeId old) {
    EXPECT_TRUE(RunUntil([&] { return Leader() != NodeId() && Leader() != old; }));
    return Leader();
  }
  NodeId Other(NodeId than, NodeId and_than = {}) {
    for (const auto& [id, machine] : machines_) {
      if (id != than && id != and_than) return id;
    }
    return {};
  }
  bool RunUntil(const std::function<bool()>& done, Duration limit = 60s) {
    return sim_.RunUntil(done, limit);
  }
  runtime::Simulation& sim() { return sim_; }

  /// Runs `work` on node `at` to its end, and answers what it answered.
  template <class T>
  Result<T> Run(NodeId at, std::function<runtime::Task<Result<T>>(Node&)> work,
                Duration limit = 30s) {
    const auto out = std::make_shared<std::optional<Result<T>>>();
    On(at, [work = std::move(work), out](Node& node) { return Fill<T>(work(node), out); });
    EXPECT_TRUE(RunUntil([&] { return out->has_value() || node(at) == nullptr; }, limit));
    if (!*out) return FailUnknown(ErrorCode::kStopped, "the node died");
    return std::move(**out);
  }

  /// Proposes a put on node `at` and runs until it is answered: the revision.
  Result<kv::Revision> Put(NodeId at, std::string key, std::string value, Duration patience = 10s) {
    kv::Command command;
    command.mutable_put()->set_key(std::move(key));
    command.mutable_put()->set_value(std::move(value));
    auto answer = Propose(at, command, patience);
    if (!answer) return std::unexpected(std::move(answer.error()));
    return std::get<etcdserverpb::PutResponse>(*answer).header().revision();
  }
  Result<kv::Answer::Response> Propose(NodeId at, const kv::Command& command,
                                       Duration patience = 10s) {
    const auto out = ProposeLater(at, command, patience);
    EXPECT_TRUE(RunUntil([&] { return out->has_value() || node(at) == nullptr; }, patience + 10s));
    if (!*out) return FailUnknown(ErrorCode::kStopped, "the node died");
    return std::move(**out);
  }
  using Proposed = std::shared_ptr<std::optional<Result<kv::Answer::Response>>>;
  Proposed ProposeLater(NodeId at, const kv::Command& command, Duration patience) {
    const auto out = std::make_shared<std::optional<Result<kv::Answer::Response>>>();
    On(at, [bytes = command.SerializeAsString(), patience, out](Node& node) {
      return RunProposal(&node, bytes, patience, out);
    });
    return out;
  }
  Status ReadBarrier(NodeId at, Duration patience = 5s) {
    const auto out = std::make_shared<std::optional<Status>>();
    On(at, [patience, out](Node& node) { return RunBarrier(&node, patience, out); });
    EXPECT_TRUE(RunUntil([&] { return out->has_value(); }, patience + 10s));
    return *out ? **out : Fail(ErrorCode::kStopped);
  }
  /// The value of `key` in node `at`'s state as it is; "" if there is none.
  std::string Value(NodeId at, const std::string& key) {
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    const auto range = node(at)->store().Range(request);
    return range && range->kvs_size() == 1 ? range->kvs(0).value() : std::string();
  }

 private:
  template <class T>
  static runtime::Task<void> Fill(runtime::Task<Result<T>> work,
                                  std::shared_ptr<std::optional<Result<T>>> out) {
    auto result = co_await std::move(work);
    out->emplace(std::move(result));
  }

  struct Machine {
    runtime::NodeHandle handle;
    NodeConfig config;
    Node* node = nullptr;
    std::deque<Job> jobs;
    runtime::Notification* wake = nullptr;
    std::string crash;
    std::optional<Error> failure;
  };

  static runtime::Task<void> Main(Machine* machine, runtime::World* world) {
    auto started = co_await Node::Open(*world, machine->config, storage::MemoryEngineFactory());
    if (!started) {
      machine->failure = started.error();
      co_return;
    }
    const std::unique_ptr<Node> node = std::move(*started);
    node->Serve();
    runtime::Notification wake(world->executor());
    struct Listed {
      Machine& machine;
      ~Listed() {
        machine.node = nullptr;
        machine.wake = nullptr;
        machine.jobs.clear();
      }
    } listed{*machine};
    machine->node = node.get();
    machine->wake = &wake;
    runtime::Scope scope;  // goes before the node that its tasks use
    scope.Spawn(WakeAtEnd(node.get(), &wake));
    for (;;) {
      while (!machine->jobs.empty()) {
        Job job = std::move(machine->jobs.front());
        machine->jobs.pop_front();
        scope.Spawn(job(*node));
      }
      if (node->end()) {
        machine->failure = *node->end();
        co_return;
      }
      co_await wake.Wait();
    }
  }
  static runtime::Task<void> WakeAtEnd(Node* node, runtime::Notification* wake) {
    while (!node->end()) co_await node->ended().Wait();
    wake->NotifyAll();
  }
  static runtime::Task<void> RunProposal(Node* node, std::string command, Duration patience,
                                         Proposed out) {
    const Instant deadline = node->world().Now() + patience;
    auto answer = co_await node->replica().Propose(std::move(command), deadline);
    if (!answer) {
      out->emplace(std::unexpected(std::move(answer.error())));
      co_return;
    }
    out->emplace(std::move(static_cast<kv::Answer&>(**answer).response));
  }
  static runtime::Task<void> RunBarrier(Node* node, Duration patience,
                                        std::shared_ptr<std::optional<Status>> out) {
    const Instant deadline = node->world().Now() + patience;
    auto status = co_await node->replica().ReadBarrier(deadline);
    *out = std::move(status);
  }

  std::map<NodeId, std::unique_ptr<Machine>> machines_;
  runtime::Simulation sim_;
};

}  // namespace coterie::node::testing

#pragma once

// For this room's tests: a node of one member whose replica applies each command at once to a real
// kv::Store on the in-memory engine. Tests set what it knows and how it fails.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "door/etcd/fake_disk.h"
#include "model/kv/command_codec.h"
#include "model/kv/store.h"
#include "node/node.h"
#include "runtime/scope.h"
#include "runtime/world.h"
#include "storage/engine.h"

namespace coterie::door::etcd {

class FakeNode final : public node::KvKeyspace, public node::Replica {
 public:
  explicit FakeNode(runtime::World& world, kv::StoreOptions options = {})
      : world_(world),
        diskless_(world),
        engine_(NewMemoryEngine(diskless_)),
        store_(world.executor(), options),
        keeper_(store_),
        held_(world.executor()) {
    const Status loaded = store_.Load(*engine_);
    COT_ASSERT(loaded.has_value());
    status_.self = NodeId(1);
    status_.leader = NodeId(1);
    status_.term = Term(3);
    status_.leading = true;
    keeper_.OnLeadership(true, world_.Now());
    scope_.Spawn(ExpireLeases());
  }

  // What tests set.
  std::optional<Error> propose_error;
  std::optional<Error> barrier_error;
  std::optional<Error> renew_error;
  bool hold_proposals = false;  ///< until Release
  std::vector<node::Member> member_list = {
      {NodeId(1), "solo", "http://127.0.0.1:7071", "http://127.0.0.1:2379", false}};
  int barriers = 0;
  std::vector<std::string> proposed;
  std::optional<NodeId> transferred_to;
  Instant last_deadline;
  node::ReplicaStatus& mutable_status() { return status_; }
  void Release() {
    hold_proposals = false;
    held_.NotifyAll();
  }

  // node::KvKeyspace
  runtime::World& world() override { return world_; }
  node::Replica& replica() override { return *this; }
  kv::Store& store() override { return store_; }
  std::uint64_t cluster_id() const override { return 0xc07e41e; }
  std::vector<node::Member> members() const override { return member_list; }
  runtime::Task<Result<std::int64_t>> LeaseRenew(std::int64_t id, Instant) override {
    if (renew_error) co_return std::unexpected(*renew_error);
    keeper_.Refresh(world_.Now());
    co_return keeper_.Renew(id, world_.Now()).value_or(0);
  }
  runtime::Task<Result<std::int64_t>> LeaseRemaining(std::int64_t id, Instant) override {
    if (renew_error) co_return std::unexpected(*renew_error);
    keeper_.Refresh(world_.Now());
    co_return keeper_.RemainingSeconds(id, world_.Now()).value_or(-1);
  }
  std::vector<std::int64_t> LeasesByEnd() override {
    keeper_.Refresh(world_.Now());
    return keeper_.ByEnd();
  }

  // node::Replica
  runtime::Task<Result<std::unique_ptr<model::StateMachine::Answer>>> Propose(
      std::string command, Instant deadline) override {
    proposed.push_back(command);
    if (proposed.size() > 64) proposed.erase(proposed.begin());
    last_deadline = deadline;
    while (hold_proposals) co_await held_.Wait();
    if (propose_error) co_return std::unexpected(*propose_error);
    co_return Apply(command);
  }
  runtime::Task<Status> ReadBarrier(Instant deadline) override {
    ++barriers;
    last_deadline = deadline;
    if (barrier_error) co_return std::unexpected(*barrier_error);
    co_return Ok();
  }
  void CatchUp() override {}
  runtime::Task<Status> TransferLeadership(NodeId to, Instant) override {
    transferred_to = to;
    co_return Ok();
  }
  node::ReplicaStatus status() const override { return status_; }

  /// Applies a command as if it had come through the log.
  std::unique_ptr<model::StateMachine::Answer> Apply(const std::string& command) {
    ++status_.last;
    const model::StateMachine::Command one{status_.last, status_.term, command, true};
    auto answers = store_.Apply(std::span(&one, 1), status_.last, status_.term);
    COT_ASSERT(answers.has_value());
    COT_ASSERT(answers->size() == 1);
    status_.commit = status_.applied = status_.last;
    return std::move(answers->front());
  }

 private:
  runtime::Task<void> ExpireLeases() {
    for (;;) {
      co_await runtime::Sleep(world_.executor(), 100ms);
      keeper_.Refresh(world_.Now());
      for (const std::int64_t id : keeper_.TakeExpired(world_.Now(), 100, 1s)) {
        Apply(kv::EncodeLeaseRevoke(id));
      }
    }
  }

  runtime::World& world_;
  DisklessWorld diskless_;
  std::unique_ptr<storage::Engine> engine_;
  kv::Store store_;
  kv::LeaseKeeper keeper_;
  runtime::Notification held_;
  node::ReplicaStatus status_;
  runtime::Scope scope_;
};

}  // namespace coterie::door::etcd

#pragma once

// For this room's tests and measurements: a control keyspace that the test writes, and leaderless
// replicas on a real cells::Store that acknowledge when the test says.

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "clock/hybrid.h"
#include "door/etcd/fake_disk.h"
#include "keyspace/promise.h"
#include "model/cells/store.h"
#include "node/control.h"
#include "node/leaderless/leaderless.h"
#include "runtime/sync.h"
#include "runtime/world.h"

namespace coterie::door::redis {

/// The map is what the test adds; nothing changes it but the test.
class StandInControl final : public node::Control {
 public:
  explicit StandInControl(runtime::World& world,
                          placement::ClusterMapPtr map = std::make_shared<placement::ClusterMap>())
      : map_(std::move(map)), changed_(world.executor()) {}

  /// Adds a keyspace whose every shard has active replicas on `nodes`.
  void Add(keyspace::Promise promise, const std::vector<NodeId>& nodes, std::size_t shards = 4) {
    auto next = std::make_shared<placement::ClusterMap>(*map_);
    ++next->version;
    placement::Keyspace keyspace;
    for (std::size_t i = 0; i < shards; ++i) {
      placement::Shard shard{.id = ShardId(next->next_shard++), .epoch = Epoch(1)};
      for (const NodeId node : nodes) shard.replicas.push_back({node});
      keyspace.shards.push_back(shard);
    }
    for (const NodeId node : nodes) next->nodes[node] = {.id = node};
    keyspace.promise = promise;
    next->keyspaces[promise.name] = std::move(keyspace);
    map_ = std::move(next);
    changed_.NotifyAll();
  }
  void Set(placement::ClusterMapPtr map) { map_ = std::move(map); }

  placement::ClusterMapPtr map() const override { return map_; }
  runtime::Notification& changed() override { return changed_; }
  runtime::Task<Status> CreateKeyspace(keyspace::Promise, Instant) override { return Refuse(); }
  runtime::Task<Status> DropKeyspace(std::string, Instant) override { return Refuse(); }
  runtime::Task<Result<NodeId>> AddNode(placement::NodeInfo, Instant) override {
    co_return Fail(ErrorCode::kUnimplemented);
  }
  runtime::Task<Status> DrainNode(NodeId, Instant) override { return Refuse(); }
  runtime::Task<Status> RemoveNode(NodeId, Instant) override { return Refuse(); }
  runtime::Task<Status> ReportReplica(ShardId, Epoch, NodeId, Instant) override { return Refuse(); }

 private:
  static runtime::Task<Status> Refuse() { co_return Fail(ErrorCode::kUnimplemented); }

  placement::ClusterMapPtr map_;
  runtime::Notification changed_;
};

class StandInLeaderless final : public node::Leaderless {
 public:
  StandInLeaderless(runtime::World& world, node::Control& control, NodeId self)
      : world_(world),
        control_(control),
        self_(self),
        diskless_(world),
        engine_(etcd::NewMemoryEngine(diskless_)),
        store_(cells::StoreOptions{}),
        acknowledged_(world.executor()) {
    const Status loaded = store_.Load(*engine_);
    COT_ASSERT(loaded.has_value());
    store_.OnConflict([this](cells::Conflict conflict) {
      ++conflicts_.count;
      conflicts_.newest.insert(conflicts_.newest.begin(), std::move(conflict));
    });
    Follow();
  }

  // What tests set.
  bool hold = false;            ///< tickets wait for Acknowledge
  bool hold_refreshes = false;  ///< until Acknowledge
  bool hold_removals = false;   ///< of large objects, until RemoveHidden
  std::optional<Error> acknowledge_error;
  std::optional<Error> write_error;
  std::optional<clock::HybridTime> stable;  ///< nullopt: everything
  std::vector<std::string> refreshed;       ///< keys, in order
  std::uint64_t writes = 0;
  void Acknowledge() {
    hold = hold_refreshes = false;
    acknowledged_.NotifyAll();
  }
  /// Ends the removals that go in parts.
  void RemoveHidden() {
    for (const auto& [shard, key] : std::exchange(hidden_, {})) {
      std::optional<std::string> after = std::string();
      while (after) {
        const auto part = [&](cells::Edit& edit) {
          after = edit.RemovePart(key, *after, nullptr, 5000);
        };
        COT_ASSERT(WriteStamped(shard, clock_.Next(world_.WallNow()), part).has_value());
      }
    }
  }
  /// Opens the shards of the map that are this node's.
  void Follow() {
    for (const auto& [name, keyspace] : control_.map()->keyspaces) {
      if (keyspace.promise.replication != keyspace::Replication::kLeaderless) continue;
      for (const placement::Shard& shard : keyspace.shards)
        if (Serves(shard) && !store_.HasShard(shard.id))
          store_.OpenShard(shard.id, keyspace.promise.conflict);
    }
    Tick();
  }
  /// Expiry is judged by the world's time from now on.
  void Tick() {
    const WallInterval now = world_.WallNow();
    store_.SetWallMs(
        static_cast<std::uint64_t>((now.earliest_ns / 2 + now.latest_ns / 2) / 1'000'000));
  }
  /// What another replica, `from`, has and this one does not.
  void Merge(StandInLeaderless& from, ShardId shard) {
    const Status visited =
        from.store().VisitCells(shard, "", "", [&](std::string_view key, std::string_view cell) {
          const Status joined = store_.JoinCell(shard, key, cell);
          COT_ASSERT(joined.has_value());
          return true;
        });
    COT_ASSERT(visited.has_value());
    store_.RaiseApplied(shard, from.store().Applied(shard));
  }

  bool Serves(const placement::Shard& shard) const override {
    return std::ranges::any_of(shard.replicas, [&](const placement::ShardReplica& replica) {
      return replica.node == self_ && replica.phase == placement::Phase::kActive;
    });
  }
  std::vector<NodeId> Others(const placement::Shard& shard) const override {
    std::vector<NodeId> others;
    for (const placement::ShardReplica& replica : shard.replicas)
      if (replica.node != self_) others.push_back(replica.node);
    return others;
  }
  cells::Store& store() override { return store_; }

  Result<node::WriteTicket> Write(const placement::Keyspace&, const placement::Shard& shard,
                                  const std::function<void(cells::Edit&)>& make) override {
    return WriteStamped(shard, clock_.Next(world_.WallNow()), make);
  }
  Result<node::WriteTicket> WriteAt(const placement::Keyspace&, const placement::Shard& shard,
                                    clock::HybridTime time,
                                    const std::function<void(cells::Edit&)>& make) override {
    const Status seen = clock_.Observe(time, world_.WallNow());
    if (!seen) return std::unexpected(seen.error());
    return WriteStamped(shard, time, make);
  }
  bool IsAcknowledged(node::WriteTicket ticket) const override {
    return ticket.number == 0 || (!hold && !acknowledge_error);
  }
  runtime::Task<Status> Acknowledged(node::WriteTicket ticket, Instant deadline) override {
    while (ticket.number != 0 && hold) {
      const bool notified = co_await acknowledged_.WaitUntil(deadline);
      if (!notified) co_return FailUnknown(ErrorCode::kTimedOut, "W=2");
    }
    if (acknowledge_error) co_return std::unexpected(*acknowledge_error);
    co_return Ok();
  }
  runtime::Task<Status> Refresh(const placement::Keyspace&, const placement::Shard&,
                                std::string key, std::uint32_t, Instant) override {
    refreshed.push_back(key);
    while (hold_refreshes) co_await acknowledged_.Wait();
    co_return Ok();
  }
  clock::HybridTime StableTime(const placement::Shard&) const override {
    return stable.value_or(clock::HybridTime(~std::uint64_t{0} >> 1));
  }
  runtime::Task<Result<std::vector<node::ShardDigest>>> Digests(const placement::Keyspace&,
                                                                Instant) override {
    co_return std::vector<node::ShardDigest>();
  }
  Conflicts conflicts(const placement::Keyspace&) const override { return conflicts_; }
  std::vector<Lag> lag(const placement::Keyspace&) const override { return {}; }

 private:
  Result<node::WriteTicket> WriteStamped(const placement::Shard& shard, clock::HybridTime time,
                                         const std::function<void(cells::Edit&)>& make) {
    if (write_error) return std::unexpected(*write_error);
    COT_ASSERT(Serves(shard));
    const clock::Actor actor = clock::MakeActor(self_, 1);
    cells::Edit edit(store_, shard.id, {actor, counters_[shard.id] + 1}, time);
    make(edit);
    if (const Status refused = edit.refused(); !refused) {
      edit.Cancel();
      return std::unexpected(refused.error());
    }
    if (edit.empty()) return node::WriteTicket{};
    for (const std::string& key : edit.hidden()) hidden_.emplace_back(shard, key);
    ++counters_[shard.id];
    ++writes;
    const cells::Mutation mutation = edit.Take();
    COT_ASSERT(!mutation.cells.empty());
    if (!hold_removals) RemoveHidden();
    const bool at_once = !hold && !acknowledge_error;
    return node::WriteTicket{at_once ? 0 : ++tickets_};
  }

  runtime::World& world_;
  node::Control& control_;
  const NodeId self_;
  etcd::DisklessWorld diskless_;
  std::unique_ptr<storage::Engine> engine_;
  cells::Store store_;
  clock::HybridClock clock_;
  std::map<ShardId, std::uint64_t> counters_;
  std::vector<std::pair<placement::Shard, std::string>> hidden_;
  std::uint64_t tickets_ = 0;
  Conflicts conflicts_;
  runtime::Notification acknowledged_;
};

/// A leaderless promise with one replica's quorums.
inline keyspace::Promise LeaderlessPromise(std::string name, keyspace::Conflict conflict,
                                           std::uint32_t database) {
  return {.name = std::move(name),
          .replication = keyspace::Replication::kLeaderless,
          .replicas = 1,
          .read = 1,
          .write = 1,
          .conflict = conflict,
          .durability = keyspace::Durability::kMemory,
          .redis_database = database};
}

}  // namespace coterie::door::redis

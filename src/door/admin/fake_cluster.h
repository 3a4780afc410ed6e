#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node/control.h"
#include "node/failure_detector.h"
#include "node/leaderless/leaderless.h"
#include "placement/plan.h"

namespace coterie::door::admin::testing {

/// The control keyspace as one value: changes take effect at once, or fail with `refusal`.
class FakeControl final : public node::Control {
 public:
  FakeControl(runtime::Executor& executor, placement::ClusterMap* map,
              const std::optional<Error>& refusal)
      : map_(map), refusal_(refusal), changed_(executor) {}

  placement::ClusterMapPtr map() const override {
    return std::make_shared<placement::ClusterMap>(*map_);
  }
  runtime::Notification& changed() override { return changed_; }

  runtime::Task<Status> CreateKeyspace(keyspace::Promise promise, Instant) override {
    if (refusal_) co_return std::unexpected(*refusal_);
    if (map_->Find(promise.name) != nullptr) co_return Fail(ErrorCode::kKeyspaceExists);
    auto placed = placement::Place(*map_, promise, ShardId(map_->next_shard));
    if (!placed) co_return std::unexpected(placed.error());
    map_->next_shard += promise.shards;
    map_->keyspaces[promise.name] = std::move(*placed);
    co_return Ok();
  }
  runtime::Task<Status> DropKeyspace(std::string name, Instant) override {
    if (refusal_) co_return std::unexpected(*refusal_);
    if (map_->keyspaces.erase(name) == 0) co_return Fail(ErrorCode::kNoKeyspace, name);
    co_return Ok();
  }
  runtime::Task<Result<NodeId>> AddNode(placement::NodeInfo, Instant) override {
    co_return Fail(ErrorCode::kUnimplemented);
  }
  runtime::Task<Status> DrainNode(NodeId node, Instant) override {
    if (refusal_) co_return std::unexpected(*refusal_);
    map_->nodes.at(node).draining = true;
    co_return Ok();
  }
  runtime::Task<Status> RemoveNode(NodeId node, Instant) override {
    if (refusal_) co_return std::unexpected(*refusal_);
    map_->nodes.erase(node);
    co_return Ok();
  }
  runtime::Task<Status> ReportReplica(ShardId, Epoch, NodeId, Instant) override {
    co_return Fail(ErrorCode::kUnimplemented);
  }

 private:
  placement::ClusterMap* map_;
  std::optional<Error> refusal_;
  runtime::Notification changed_;
};

/// Answers what the test put in; serves nothing.
class FakeLeaderless final : public node::Leaderless {
 public:
  std::vector<node::ShardDigest> digests;
  Conflicts seen;
  std::vector<Lag> behind;

  bool Serves(const placement::Shard&) const override { return false; }
  std::vector<NodeId> Others(const placement::Shard&) const override { return {}; }
  cells::Store& store() override { AssertFailed("no store here", __FILE__, __LINE__); }
  Result<node::WriteTicket> Write(const placement::Keyspace&, const placement::Shard&,
                                  const std::function<void(cells::Edit&)>&) override {
    return Fail(ErrorCode::kNotReplica);
  }
  Result<node::WriteTicket> WriteAt(const placement::Keyspace&, const placement::Shard&,
                                    clock::HybridTime,
                                    const std::function<void(cells::Edit&)>&) override {
    return Fail(ErrorCode::kNotReplica);
  }
  bool IsAcknowledged(node::WriteTicket) const override { return true; }
  runtime::Task<Status> Acknowledged(node::WriteTicket, Instant) override { co_return Ok(); }
  runtime::Task<Status> Refresh(const placement::Keyspace&, const placement::Shard&, std::string,
                                std::uint32_t, Instant) override {
    co_return Ok();
  }
  clock::HybridTime StableTime(const placement::Shard&) const override { return {}; }
  runtime::Task<Result<std::vector<node::ShardDigest>>> Digests(const placement::Keyspace&,
                                                                Instant) override {
    co_return digests;
  }
  Conflicts conflicts(const placement::Keyspace&) const override { return seen; }
  std::vector<Lag> lag(const placement::Keyspace&) const override { return behind; }
};

class FakeDetector final : public node::FailureDetector {
 public:
  std::vector<node::NodeHealth> believed;

  std::vector<node::NodeHealth> view() const override { return believed; }
  std::uint64_t Cost(NodeId) const override { return 0; }
  void OnAnswer(NodeId, Duration) override {}
  void OnLate(NodeId) override {}
};

}  // namespace coterie::door::admin::testing

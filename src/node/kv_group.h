#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "node/lease_service.h"
#include "node/node.h"
#include "node/raft_group.h"

namespace coterie::node {

/// This node's replica of a raft keyspace: the etcd data model on one Raft group.
class KvGroup final : public KvKeyspace {
 public:
  /// The machines of the cluster as they are known now.
  using Machines = std::function<std::vector<Member>()>;

  /// As RaftGroup::Open, with a store of its own.
  static runtime::Task<Result<std::unique_ptr<KvGroup>>> Open(const GroupHost* host, ShardId shard,
                                                              storage::EngineFactory engines,
                                                              storage::WalShard recovered,
                                                              raft::Configuration first,
                                                              std::uint64_t cluster_id,
                                                              Machines machines);
  void Start();
  /// No replica any more: requests under way are answered, later ones refused. It stays for those
  /// that still hold it.
  void Stop();
  RaftGroup& group() { return *group_; }

  // KvKeyspace
  runtime::World& world() override { return world_; }
  Replica& replica() override { return group_->replica(); }
  kv::Store& store() override { return store_; }
  std::uint64_t cluster_id() const override { return cluster_id_; }
  std::vector<Member> members() const override;
  runtime::Task<Result<std::int64_t>> LeaseRenew(std::int64_t id, Instant deadline) override;
  runtime::Task<Result<std::int64_t>> LeaseRemaining(std::int64_t id, Instant deadline) override;
  std::vector<std::int64_t> LeasesByEnd() override { return leases_->ByEnd(); }

 private:
  KvGroup(runtime::World& world, std::uint64_t cluster_id, Machines machines);
  runtime::Task<void> PurgeLoop();

  runtime::World& world_;
  const std::uint64_t cluster_id_;
  const Machines machines_;
  kv::Store store_;
  std::unique_ptr<RaftGroup> group_;
  std::unique_ptr<LeaseService> leases_;
  runtime::Scope scope_;
};

}  // namespace coterie::node

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "model/kv/store.h"
#include "node/config.h"
#include "node/control.h"
#include "node/replica.h"
#include "runtime/network.h"
#include "runtime/world.h"
#include "storage/engine.h"
#include "storage/wal.h"

namespace coterie::node {

/// One machine of the cluster, as every node knows it.
struct Member {
  NodeId id;
  std::string name;
  std::string peer_url;    ///< "http://127.0.0.1:7071"
  std::string client_url;  ///< "http://127.0.0.1:2379"
  bool learner = false;
};

/// What the etcd door needs of the node it stands in. Implemented by Node; a test may stand in for
/// it.
class KvKeyspace {
 public:
  virtual ~KvKeyspace() = default;
  virtual runtime::World& world() = 0;
  virtual Replica& replica() = 0;
  virtual kv::Store& store() = 0;
  virtual std::uint64_t cluster_id() const = 0;  ///< never 0
  virtual std::vector<Member> members() const = 0;
  /// Renews at whichever node leads: the TTL, 0 if there is no such lease. Errors: kNoLeader,
  /// kTimedOut.
  virtual runtime::Task<Result<std::int64_t>> LeaseRenew(std::int64_t id, Instant deadline) = 0;
  /// Seconds left by the leader's count, -1 if there is no such lease.
  virtual runtime::Task<Result<std::int64_t>> LeaseRemaining(std::int64_t id, Instant deadline) = 0;
  /// All leases, by this node's count of when they end, the soonest first.
  virtual std::vector<std::int64_t> LeasesByEnd() = 0;
};

class LostMemory;
class RaftReplica;
class Transport;

/// One machine of a cluster: its data directory, its connections to the others, and its replicas
/// of ordered shards; as a KvKeyspace it is the one named `main`. Doors stand on it; it knows none
/// of them.
class Node final : public KvKeyspace {
 public:
  /// Opens or creates the data directory and recovers; a new node that is to join a cluster
  /// (config.join) first asks its nodes, for as long as it takes. Nobody hears of the node before
  /// Serve: what stands on its transport sets its handlers in between. Errors, all before
  /// anything is promised to anybody: kAddressInUse, kDataDirInUse, kForeignData, kNewerData,
  /// kCorruptLog, kCorruptState, kDiskFull, kIo, kInvalidConfig; joining: kWrongCluster,
  /// kInvalidArgument; founding: those of FoundCluster.
  static runtime::Task<Result<std::unique_ptr<Node>>> Open(runtime::World& world, NodeConfig config,
                                                           storage::EngineFactory engines);
  ~Node() override;

  /// Connects to the others and takes part in its groups from now on. Once.
  void Serve();

  /// Hands leadership to another node if this one leads, so that stopping costs no election.
  runtime::Task<void> PrepareToStop(Instant deadline);

  // KvKeyspace
  runtime::World& world() override;
  Replica& replica() override;
  kv::Store& store() override;
  std::uint64_t cluster_id() const override;
  std::vector<Member> members() const override;
  runtime::Task<Result<std::int64_t>> LeaseRenew(std::int64_t id, Instant deadline) override;
  runtime::Task<Result<std::int64_t>> LeaseRemaining(std::int64_t id, Instant deadline) override;
  std::vector<std::int64_t> LeasesByEnd() override;

  /// This node's replica of a raft keyspace; nullptr: it has none, or the shard is not one's.
  KvKeyspace* kv(ShardId shard);
  /// The Raft replica of any ordered shard, control's included; nullptr as for kv().
  RaftReplica* raft_replica(ShardId shard);
  Control& control();
  /// Of this start of the node: no other start had it. For clock::MakeActor.
  std::uint16_t incarnation() const;
  /// One that no start has had or will have: for who needs a second name within this one. Durable
  /// when it answers. Error kInvalidConfig: there are none left; kIo.
  runtime::Task<Result<std::uint16_t>> TakeIncarnation();
  /// What the WAL held at a place of a Journal's; moved out once.
  storage::WalShard TakeJournal(ShardId place);

  const NodeConfig& config() const;
  const storage::EngineFactory& engines() const;
  storage::Wal& wal();
  LostMemory& lost_memory();
  Transport& transport();
  RaftReplica& raft_replica();  ///< `main`'s
  storage::WalStats wal_stats() const;
  /// A leader is known and this replica has caught up with what was committed when it started.
  bool ready() const;
  /// Why this node must stop, for good: kRemovedNode, kForgottenNode. Whoever runs it destroys it
  /// as soon as it knows, without handing anything over: what it still holds counts nowhere.
  const std::optional<Error>& end() const;
  runtime::Notification& ended();  ///< notified when end() is set

 private:
  struct Parts;
  explicit Node(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace coterie::node

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "model/cells/store.h"
#include "node/control.h"
#include "placement/cluster_map.h"
#include "runtime/task.h"

namespace coterie::node {

/// Where the acknowledgement of a write stands. A value; wait for it with Acknowledged.
struct WriteTicket {
  std::uint64_t number = 0;  ///< 0: promised already
};

/// One replica's view of a shard, for `keyspace digest`.
struct ShardDigest {
  ShardId shard;
  NodeId node;
  std::uint64_t digest = 0;
  std::string applied;  ///< the vector, as text
};

/// The convergent keyspaces on one node, as doors use them. An edit is made on this node's replica
/// at once, on the caller's stack; replicas elsewhere learn of it at the end of the turn.
class Leaderless {
 public:
  virtual ~Leaderless() = default;

  /// Whether this node may read and coordinate for the shard: its replica is active here.
  virtual bool Serves(const placement::Shard& shard) const = 0;
  /// Active replicas elsewhere, the best to ask first.
  virtual std::vector<NodeId> Others(const placement::Shard& shard) const = 0;
  virtual cells::Store& store() = 0;

  /// Runs `make` on an edit of `shard` and, unless it stays empty, journals and sends what it made.
  /// The ticket is of W = `keyspace`.promise.write acknowledgements, each as durable as it says.
  /// Errors (not applied): kOverloaded (unacknowledged writes are at their bound),
  /// kNotReplica, kClockTooFarAhead, and what Edit::refused() says.
  virtual Result<WriteTicket> Write(const placement::Keyspace& keyspace,
                                    const placement::Shard& shard,
                                    const std::function<void(cells::Edit&)>& make) = 0;
  /// Write, stamped with `time` instead of a time of its own: for an edit whose time was decided
  /// elsewhere. Writing the same again does no harm. Also kClockTooFarAhead.
  virtual Result<WriteTicket> WriteAt(const placement::Keyspace& keyspace,
                                      const placement::Shard& shard, clock::HybridTime time,
                                      const std::function<void(cells::Edit&)>& make) = 0;
  /// True if Acknowledged would answer at once.
  virtual bool IsAcknowledged(WriteTicket ticket) const = 0;
  /// Answers when W replicas of distinct failure domains have it. Errors (unknown: it stays here
  /// and goes on spreading): kTimedOut, kTooFewReplicas.
  virtual runtime::Task<Status> Acknowledged(WriteTicket ticket, Instant deadline) = 0;

  /// Makes this replica's state of `key` at least as new as the join of R replicas' (blocking read
  /// repair); at R = 1 nothing. Errors (not applied): kTimedOut, kTooFewReplicas.
  virtual runtime::Task<Status> Refresh(const placement::Keyspace& keyspace,
                                        const placement::Shard& shard, std::string key,
                                        std::uint32_t read, Instant deadline) = 0;
  /// Every mutation stamped before this time, by any replica, is applied here.
  virtual clock::HybridTime StableTime(const placement::Shard& shard) const = 0;
  /// The replica that StableTime waits for the most; 0: none.
  virtual NodeId StableWaitsFor(const placement::Shard& shard) const {
    (void)shard;
    return {};
  }

  virtual runtime::Task<Result<std::vector<ShardDigest>>> Digests(
      const placement::Keyspace& keyspace, Instant deadline) = 0;
  /// Losers of last-writer-wins races seen on this node: how many ever, and the newest 1000, oldest
  /// first. Each is recorded as durably as what made it lose.
  struct Conflicts {
    std::uint64_t count = 0;
    std::vector<cells::Conflict> newest;
  };
  virtual Conflicts conflicts(const placement::Keyspace& keyspace) const = 0;
  struct Lag {
    NodeId node;
    std::uint64_t mutations = 0;  ///< of this node's that it has not acknowledged
    std::uint64_t bytes = 0;
  };
  virtual std::vector<Lag> lag(const placement::Keyspace& keyspace) const = 0;
  /// This machine's clock, and how far it is ahead of the others'.
  struct Clocks {
    bool synchronized = true;
    std::int64_t bound_ms = 0;      ///< of its error, by the system
    std::int64_t drift_max_ms = 0;  ///< further ahead nobody is believed
    std::uint64_t writes_refused = 0;
    std::uint64_t mutations_refused = 0;  ///< of others
    std::vector<std::pair<NodeId, std::int64_t>> ahead_ms;
  };
  virtual Clocks clocks() const { return {}; }
};

}  // namespace coterie::node

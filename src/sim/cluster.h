#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "check/history.h"
#include "check/watch_order.h"
#include "runtime/sim/simulation.h"
#include "runtime/task.h"
#include "runtime/world.h"
#include "sim/plan.h"
#include "sim/redis_client.h"

namespace coterie::sim {

/// Receives what a watch is sent, in order.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  virtual void OnCreated(std::int64_t header_revision) = 0;
  virtual void OnResponse(check::WatchResponse response) = 0;
};

/// A client of one replica's endpoint, in the world of a client node. Knows the wire, not the
/// history.
class KvClient {
 public:
  virtual ~KvClient() = default;
  /// Runs `op` (compares and steps as a transaction; a single step without compares by its own
  /// request) and answers it with succeeded, revision, seen and count filled in. Errors carry the
  /// outcome: unknown unless the server said, or the client knows, that it was not applied. Ends
  /// within about `timeout`.
  virtual runtime::Task<Result<check::Operation>> Execute(check::Operation op,
                                                          Duration timeout) = 0;
  /// A new lease's id.
  virtual runtime::Task<Result<std::int64_t>> GrantLease(std::int64_t ttl_seconds,
                                                         Duration timeout) = 0;
  /// Renews a lease once: the seconds granted again, 0 if there is no such lease.
  virtual runtime::Task<Result<std::int64_t>> RenewLease(std::int64_t id, Duration timeout) = 0;
  /// Forgets what was before `revision`.
  virtual runtime::Task<Status> Compact(std::int64_t revision, Duration timeout) = 0;
  /// Watches [key, range_end) from `start` on (0: from now), with prev_kv and progress
  /// notifications, until the stream ends or is cancelled; then answers why. `sink` outlives the
  /// call.
  virtual runtime::Task<Status> Watch(std::string key, std::string range_end, std::int64_t start,
                                      WatchSink* sink) = 0;
};

/// The system under test: some replicas in a Simulation. Everything client-visible goes through
/// KvClient.
class Cluster {
 public:
  virtual ~Cluster() = default;
  /// The simulation's node of replica `i` in [0, plan.replicas). The constructor adds them, not
  /// started.
  virtual runtime::NodeHandle node(std::uint32_t i) const = 0;
  /// What the replica's node runs; the same for every boot.
  virtual runtime::Simulation::Main MainOf(std::uint32_t i) = 0;
  /// A client of replica `i`, used within `world` only.
  virtual std::unique_ptr<KvClient> NewClient(runtime::World& world, std::uint32_t i) = 0;
  /// A Redis client of replica `i`, used within `world` only. Requires: has_redis().
  virtual std::unique_ptr<RedisClient> NewRedisClient(runtime::World&, std::uint32_t,
                                                      std::uint32_t /*database*/) {
    return nullptr;
  }
  /// Asked again and again in the liveness phase: "" once the replicas in `core`, all up, hold the
  /// same state; else what differs.
  virtual std::string Divergence(std::span<const std::uint32_t> core) = 0;
  /// Asked after the run: "" or the invariant of the protocol that was broken (two leaders in a
  /// term...).
  virtual std::string BrokenInvariant() { return ""; }
  /// Whether it has the keyspaces that Redis clients use; else plan.redis_clients is not heeded.
  virtual bool has_redis() const { return false; }
  /// Whether the cluster has begun: its first start needs all of its replicas, so a plan's time
  /// begins after it.
  virtual bool begun() const { return true; }
  /// Which checks its history supports.
  virtual bool has_revisions() const { return true; }
};

using ClusterFactory =
    std::function<std::unique_ptr<Cluster>(runtime::Simulation& simulation, const Plan& plan)>;

}  // namespace coterie::sim

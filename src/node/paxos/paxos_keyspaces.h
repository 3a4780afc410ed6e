#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "node/control.h"
#include "node/failure_detector.h"
#include "node/journal.h"
#include "node/registers.h"
#include "node/transport.h"
#include "runtime/task.h"
#include "runtime/world.h"
#include "storage/engine.h"

namespace coterie::node {

namespace registers {
class Rounds;
}

struct PaxosOptions {
  std::size_t cache_bytes_max = 64u << 20;  ///< registers kept in memory
  std::size_t dirty_bytes = 16u << 20;      ///< changed registers, before they go to the engine
  std::uint64_t journal_bytes = 64u << 20;  ///< kept for a replay, at most about
  Duration write_back_interval = 30s;
  Duration reach_patience = 1s;      ///< without a majority's answers, a request is refused
  std::size_t queue_max = 1024;      ///< changes of one key that wait on this node
  std::size_t carries_at_once = 16;  ///< registers of a moving replica under way
};

struct PaxosStats {
  std::uint64_t rounds = 0;         ///< of ballots
  std::uint64_t one_trip = 0;       ///< of them, begun with an accept
  std::uint64_t folded = 0;         ///< changes decided in them
  std::uint64_t reads = 0;          ///< without a ballot
  std::uint64_t reads_settled = 0;  ///< that had to take one
  std::uint64_t carried = 0;        ///< registers decided anew for a replica that moves
};

/// Paxos keyspaces on one node: the acceptors of the shards that have a replica here, and access to
/// every register of the cluster from here. Serves Method::kPaxos and kPaxosKeys.
class PaxosKeyspaces {
 public:
  /// Recovers what this node's acceptors have promised, from `journal` (Journal::kPaxos, not yet
  /// replayed) and an engine in `dir`, and sets the transport's handlers; call before
  /// Transport::Start. Everything passed must outlive this; stop the transport first. `detector`
  /// may be null. Errors: kCorruptState, kCorruptLog, kNewerData, kDiskFull, kIo.
  static runtime::Task<Result<std::unique_ptr<PaxosKeyspaces>>> Open(
      runtime::World& world, NodeId self, Control& control, Transport& transport, Journal& journal,
      storage::EngineFactory engines, std::string dir, FailureDetector* detector = nullptr,
      PaxosOptions options = {});
  ~PaxosKeyspaces();

  /// The registers of a paxos keyspace, from any node; null: there is none of that name. Lives as
  /// long as this; requests on a dropped keyspace fail with kNoKeyspace.
  Registers* Find(std::string_view keyspace);

  /// Whether this node's joining replica of `shard` (active ones: trivially) has all registers, or
  /// all of its leaving one are on the others, as of the shard's present epoch. The driver of a
  /// leaderless shard asks before it reports.
  bool HasFollowed(const placement::Shard& shard) const;

  /// What conditional writes are decided with.
  registers::Rounds& rounds();
  PaxosStats stats() const;

 private:
  struct Parts;
  explicit PaxosKeyspaces(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace coterie::node

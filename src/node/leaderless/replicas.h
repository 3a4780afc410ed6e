#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "clock/dot.h"
#include "model/cells/store.h"
#include "node/control.h"
#include "node/failure_detector.h"
#include "node/journal.h"
#include "node/leaderless/leaderless.h"
#include "node/transport.h"
#include "runtime/world.h"
#include "storage/engine.h"

namespace coterie::node {

struct LeaderlessOptions {
  cells::StoreOptions store;
  std::size_t history_bytes_max = 64u << 20;  ///< recent mutations kept for those who lag
  /// Per shard, mutations of this node that W replicas do not have; over it kOverloaded.
  std::uint64_t unacknowledged_max = 65536;
  std::size_t journal_waiting_bytes_max = 64u << 20;  ///< not on disk yet; over it kOverloaded
  std::size_t in_flight_bytes_max = 8u << 20;         ///< sent to one peer, not answered
  std::uint64_t journal_bytes_max = 128u << 20;       ///< then the engine is flushed
  Duration drift_max = 10s;                           ///< of other machines' clocks
  Duration account_interval = 1s;
  Duration resend_after = 1s;
  Duration read_late = 50ms;  ///< then one replica more is asked
  /// Each write-back holds the reactor for as long as its cells take: often is little at once.
  /// A key that is written often goes to the engine once in so long.
  Duration write_back_interval = 20s;
  Duration expiry_patience = 5s;   ///< of those that do not own an expired object
  Duration scrub_interval = 600s;  ///< between comparisons of whole shards; one shard each time
};

/// This node's replicas of all leaderless keyspaces: cells in memory over an engine of their own,
/// a journal, and the exchange with the other replicas. See README.md. Single reactor.
class LeaderlessReplicas final : public Leaderless {
 public:
  /// What it stands on; all of it outlives it.
  struct Host {
    runtime::World& world;
    Transport& transport;
    Journal& journal;  ///< of Journal::kLeaderless, not replayed yet
    Control& control;
    FailureDetector& detector;
    NodeId self;
    /// Never used before, unless the journal has lost nothing since: dots name mutations once.
    clock::Actor actor;
    /// Another one, never used before and durably taken: for shards that this process has written
    /// to, that have left it and come back.
    std::function<runtime::Task<Result<clock::Actor>>()> next_actor;
    std::string dir;  ///< of the engine, made if missing: <data_dir>/cells
    storage::EngineFactory engines;
    /// Whether what else this node keeps of a shard has moved as well, as of the shard's present
    /// epoch: asked before a joining or leaving replica of a last-writer-wins keyspace is reported.
    /// Empty: there is nothing else. Must not suspend.
    std::function<bool(const placement::Shard&)> has_followed = {};
  };
  /// Loads the state, replays the journal, takes the transport's handlers of mutations, answers and
  /// cells, and follows the cluster map from then on. Errors: kCorruptLog, kCorruptState, kIo,
  /// kDiskFull.
  static runtime::Task<Result<std::unique_ptr<LeaderlessReplicas>>> Open(Host host,
                                                                         LeaderlessOptions options);
  /// After Transport::Stop.
  ~LeaderlessReplicas() override;

  /// Makes a restart quick: everything is written back and the journal is trimmed.
  runtime::Task<void> PrepareToStop(Instant deadline);

  // Leaderless
  bool Serves(const placement::Shard& shard) const override;
  std::vector<NodeId> Others(const placement::Shard& shard) const override;
  /// Its wall clock is set to this turn's.
  cells::Store& store() override;
  /// Also kOverloaded. What `make` does must be a mutation of at most 16 MiB.
  Result<WriteTicket> Write(const placement::Keyspace& keyspace, const placement::Shard& shard,
                            const std::function<void(cells::Edit&)>& make) override;
  Result<WriteTicket> WriteAt(const placement::Keyspace& keyspace, const placement::Shard& shard,
                              clock::HybridTime time,
                              const std::function<void(cells::Edit&)>& make) override;
  bool IsAcknowledged(WriteTicket ticket) const override;
  runtime::Task<Status> Acknowledged(WriteTicket ticket, Instant deadline) override;
  runtime::Task<Status> Refresh(const placement::Keyspace& keyspace, const placement::Shard& shard,
                                std::string key, std::uint32_t read, Instant deadline) override;
  clock::HybridTime StableTime(const placement::Shard& shard) const override;
  runtime::Task<Result<std::vector<ShardDigest>>> Digests(const placement::Keyspace& keyspace,
                                                          Instant deadline) override;
  Conflicts conflicts(const placement::Keyspace& keyspace) const override;
  std::vector<Lag> lag(const placement::Keyspace& keyspace) const override;

  struct Stats {
    std::uint64_t written = 0;        ///< mutations made here
    std::uint64_t applied = 0;        ///< made elsewhere
    std::uint64_t duplicates = 0;     ///< came again
    std::uint64_t resent = 0;         ///< batches given up and sent again
    std::uint64_t pulled = 0;         ///< mutations that came by asking
    std::uint64_t reconciled = 0;     ///< cells that came by reconciliation
    std::uint64_t clock_refused = 0;  ///< mutations from clocks too far ahead
    std::uint64_t tombstones = 0;
    std::size_t history_bytes = 0;
  };
  Stats stats() const;
  /// The mutations of this shard that all its replicas have for good.
  clock::VersionVector stable(ShardId shard) const;

  struct State;

 private:
  explicit LeaderlessReplicas(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coterie::node

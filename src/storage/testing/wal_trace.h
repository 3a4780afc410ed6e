#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "storage/testing/test_world.h"
#include "storage/wal.h"

namespace coterie::storage::testing {

inline constexpr char kWalDir[] = "d/wal";

/// The naive model of a log: what each shard holds, as plain containers.
class WalModel {
 public:
  explicit WalModel(const std::map<ShardId, WalShard>& shards = {}) : shards_(shards) {}
  /// Draws a batch that is legal now, and applies it. Covers appends, truncation by overwriting,
  /// compaction, installed snapshots (past the end and of another term) and hard states.
  WalBatch Draw(Random& random);
  /// Equal for equal contents.
  std::string Print() const { return Print(shards_); }
  static std::string Print(const std::map<ShardId, WalShard>& shards);

 private:
  void Append(ShardId shard, LogIndex at, Random& random, WalBatch& batch);
  void Compact(ShardId shard, LogIndex index, Term term, WalBatch& batch);

  std::map<ShardId, WalShard> shards_;
  std::uint64_t serial_ = 0;
};

/// What one run of a log did to its disk, and what it promised when.
struct WalTrace {
  DiskImage start;
  std::vector<DiskOp> ops;
  std::vector<std::string> states;       // [i]: printed after i batches
  std::vector<std::size_t> given_at;     // operations recorded when batch i was given
  std::vector<std::size_t> answered_at;  // ... when it was answered
  std::uint64_t segments_started = 0;
  std::optional<std::string> crashed;
};

struct WalWorkload {
  std::uint64_t seed = 1;
  int batches = 200;
  WalOptions options{.segment_bytes = 4096, .batch_bytes_max = 1u << 20};
  int sync_fails_in = -1;
  double later = 0.3;  ///< of the batches are given to AppendLater
};

/// Opens a log on `image`, gives it batches, some of them at once, and records.
WalTrace RecordWalTrace(DiskImage image, WalWorkload workload);

/// Recovers from the crash image; nullopt: all promises kept, else what broke. A log that holds
/// every answered batch, in order, and no batch that was not given, is at one of the trace's
/// states.
std::optional<std::string> CheckRecovery(const WalTrace& trace, std::size_t ops, DiskImage image);

struct CrashReport {
  std::uint64_t states = 0;
  std::uint64_t violations = 0;
  std::string first_violation;
};
/// Every crash point of the trace with every kind of loss, the random ones `draws` times.
CrashReport EnumerateCrashes(const WalTrace& trace, int draws, std::uint64_t seed);

}  // namespace coterie::storage::testing

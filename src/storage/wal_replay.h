#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "storage/wal.h"
#include "storage/wal_format.h"
#include "storage/wal_index.h"

namespace coterie::storage::wal {

/// Folds the records of a log, oldest first, into what it holds for each shard.
///
/// The segments before the oldest needed one are gone, and what was live in them then is compacted
/// or overwritten by now. So a shard's first entries may start anywhere above what is known to be
/// compacted at that point; Finish checks that the gap has closed.
class Replay {
 public:
  /// Errors: kCorruptLog, kNewerData.
  Status Apply(std::string_view records, FramePlace place);
  /// Moves the entries out. Errors: kCorruptLog if a shard's entries do not follow what is
  /// compacted.
  Result<std::map<ShardId, WalShard>> Finish();
  Index& index() { return index_; }

 private:
  struct Shard {
    WalShard state;
    std::deque<WalEntry> entries;
  };
  Status ApplyRecord(const Record& record, std::uint64_t segment);
  Status PutEntry(const Record& record, std::uint64_t segment);
  void Compact(const Record& record);

  std::map<ShardId, Shard> shards_;
  Index index_;
};

}  // namespace coterie::storage::wal

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace coterie::storage::wal {

/// What the open log remembers of each shard: in which segment its live entries are, and the small
/// state that every new segment repeats. From it follows which segments nobody needs.
class Index {
 public:
  /// Whether an entry at `index` may be put: at most one past the last, above what is compacted.
  bool Accepts(ShardId shard, LogIndex index) const;
  /// Discards the shard's entries from `index` on, and notes that this one is in `segment`.
  void PutEntry(ShardId shard, LogIndex index, Term term, std::uint64_t segment);
  void PutHardState(ShardId shard, std::string_view hard_state);
  /// Whether compacting at (`index`, `term`) discards every entry: it is past the last one, or the
  /// entry there is of another term, so that what follows it is of another history [Raft §7].
  bool Discards(ShardId shard, LogIndex index, Term term) const;
  void Compact(ShardId shard, LogIndex index, Term term);
  void Reset(ShardId shard, LogIndex index, Term term);

  /// The oldest segment with a live entry; `current` if there is none.
  std::uint64_t OldestSegment(std::uint64_t current) const;
  /// Appends every shard's hard state and compaction as records.
  void PutCheckpoint(std::string& out) const;

 private:
  // Consecutive entries of one term in one segment. A run's segment is never older than the one
  // before it: rewriting an entry discards all that follow.
  struct Run {
    LogIndex first;
    Term term;
    std::uint64_t segment;
  };
  struct Shard {
    std::string hard_state;
    std::deque<Run> runs;
    LogIndex last;  // of the runs; meaningless without any
    LogIndex compacted;
    Term compacted_term;
  };

  std::map<ShardId, Shard> shards_;
};

}  // namespace coterie::storage::wal

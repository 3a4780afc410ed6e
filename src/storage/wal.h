#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::storage {

/// One entry of one shard's log, as the owner gave it. `kind` is the owner's.
struct WalEntry {
  LogIndex index;
  Term term;
  std::uint8_t kind = 0;
  std::string payload;
};

/// What the log held for one shard when it was opened.
struct WalShard {
  std::string hard_state;         ///< the last one put; "" if never
  LogIndex compacted;             ///< entries up to and including it are gone
  Term compacted_term;            ///< the term of that entry
  std::vector<WalEntry> entries;  ///< (compacted, last], without gaps
};

/// Records for one Append, encoded as they are added. An entry discards the shard's entries from
/// its index on: that is how a follower's conflicting suffix is truncated.
class WalBatch {
 public:
  void PutEntry(ShardId shard, LogIndex index, Term term, std::uint8_t kind,
                std::string_view payload);
  void PutHardState(ShardId shard, std::string_view hard_state);
  /// Entries up to `index` are no longer needed. With `index` past the last entry, or with a term
  /// other than that entry's (a snapshot was installed, [Raft §7]), it discards them all, and the
  /// next entry must be `index` + 1. An `index` that is compacted already changes nothing.
  void PutCompaction(ShardId shard, LogIndex index, Term term);
  /// The shard's log begins anew: all entries are gone, and the next is 1. Its hard state stays.
  void PutReset(ShardId shard);
  /// Adds the other's records behind these.
  void Add(WalBatch other);
  bool empty() const { return notes_.empty(); }
  /// What it will take in the log, frame header included.
  std::size_t bytes() const { return frame_.size(); }

 private:
  friend class Wal;
  struct Note {  // what the index of the live log must remember about each record
    ShardId shard;
    std::uint8_t type;
    LogIndex index;
    Term term;
    std::size_t at;  // where the record starts in frame_
  };
  void Begin(ShardId shard, std::uint8_t type, LogIndex index, Term term);
  std::string
      frame_;  // room for a frame header, then the records: a lone batch is written as it is
  std::vector<Note> notes_;
};

struct WalOptions {
  std::uint64_t segment_bytes = 64u << 20;
  /// Bounds one batch; over it the Append is refused with kTooLarge.
  std::uint64_t batch_bytes_max = 64u << 20;
  /// How long after a frame the mark of the log's end is written: what was acknowledged since is
  /// not known to be missing, should it be.
  Duration mark_delay = 100ms;
  /// The data directory has been in use: a log without a single frame was lost.
  bool used_before = false;
  /// What AppendLater was given waits at most so long, and at most so many bytes of it.
  Duration later_interval = 1s;
  std::uint64_t later_bytes_max = 1u << 20;
};

struct WalStats {
  std::uint64_t appends = 0;
  std::uint64_t batches = 0;  ///< one write + fdatasync each
  std::uint64_t bytes = 0;
  std::uint64_t segments = 0;     ///< that hold records still needed
  std::uint64_t later_bytes = 0;  ///< given to AppendLater and not yet written
};

/// The write-ahead log of one reactor, shared by all its shards: numbered segment files of frames,
/// one frame per group commit, each with a checksum that covers its place. See README.md for the
/// format, the torn-tail rule and what a failed fsync does.
class Wal {
 public:
  /// Opens the log in `dir` (created if missing) and answers what it holds.
  /// Errors: kCorruptLog (damage before the end), kNewerData, kIo, kDiskFull.
  static runtime::Task<Result<std::unique_ptr<Wal>>> Open(runtime::World& world, std::string dir,
                                                          WalOptions options);
  /// Abandons a write under way; Appends still waiting are never answered.
  ~Wal();

  /// Not empty: records that were durable are gone from the log's end, and it says which. So it is
  /// at every Open until ForgetCut: whoever promised something by this log may have forgotten it.
  const std::string& cut() const;
  /// What was cut is made good. Answers when that is durable.
  runtime::Task<Status> ForgetCut();
  /// Marks the log's end where it is now, for a stop: later damage of it is noticed.
  runtime::Task<Status> MarkEnd();

  /// The shards found by Open, in shard order. Moved out once.
  std::map<ShardId, WalShard> TakeRecovered();

  /// Answers when the batch is durable. Batches given while a write is under way share the next
  /// one, in call order, and are answered in that order. On a disk error the node crashes
  /// (World::Crash) and nobody is answered: an answer is always success or, for a batch over its
  /// bound, kTooLarge. The batch waits in the caller's frame: destroying it before the write begins
  /// withdraws the batch. Requires: an entry's index is at most one past the shard's last and above
  /// what is compacted.
  runtime::Task<Status> Append(WalBatch batch);

  /// Takes its place in call order among the Appends, but makes no write of its own: it is written
  /// with the next one, or by Flush, or when `later_interval` or `later_bytes_max` is reached. A
  /// crash before loses it and everything given after it, never something before it. Requires:
  /// `batch` within `batch_bytes_max`, and what Append requires. Nothing but the caller bounds what
  /// gathers while the disk is slow: see WalStats::later_bytes.
  void AppendLater(WalBatch batch);
  /// Answers when everything given before is durable; writes it now.
  runtime::Task<void> Flush();
  /// Answers when everything given before is durable; hurries nothing.
  runtime::Task<void> Settled();

  WalStats stats() const;

 private:
  class Impl;
  explicit Wal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace coterie::storage

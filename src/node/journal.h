#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "runtime/task.h"
#include "runtime/world.h"
#include "storage/wal.h"

namespace coterie::node {

/// A log that is this node's alone, kept in the write-ahead log beside those of the Raft groups:
/// what a convergent or a paxos replica must not forget. All records of one turn become one entry.
class Journal {
 public:
  /// WAL places that no shard of a keyspace has.
  static constexpr ShardId kLeaderless{2};
  static constexpr ShardId kPaxos{3};
  static constexpr std::size_t kRecordBytesMax = 32u << 20;

  /// `recovered`: what the WAL held for `place`.
  Journal(runtime::World& world, storage::Wal& wal, ShardId place, storage::WalShard recovered);
  ~Journal();

  /// Calls `replay` with each record above `after`, in order; once, before the first Append. A log
  /// that lost its end goes on above `after`. Error
  /// kCorruptLog: an entry is not records.
  Status Replay(LogIndex after, const std::function<Status(std::string_view record)>& replay);

  /// Adds a record to this turn's entry, and answers the entry's position. It is written at the
  /// turn's end; `lazy` ones wait up to a second for company that is not, or for the timer. A turn
  /// of many megabytes takes several entries. Requires: at most kRecordBytesMax bytes.
  LogIndex Append(std::string_view record, bool lazy = false);
  LogIndex last() const;     ///< the newest position given out
  LogIndex durable() const;  ///< everything up to here survives a crash
  /// Answers when `position` is durable; does not hurry what is lazy. A failed fsync crashes the
  /// node: nobody is answered.
  runtime::Task<void> Durable(LogIndex position);
  /// Calls back, in a turn of its own, whenever durable() has moved; at most one listener.
  void OnDurable(std::function<void()> listener);
  /// Records up to `position` are no longer needed for recovery.
  void Trim(LogIndex position);
  /// Writes what is lazy now, and answers when everything appended before is durable.
  runtime::Task<void> Flush();
  std::uint64_t bytes() const;  ///< kept since the last Trim
  /// What everybody has written to the log since the oldest entry that is kept: as much of it that
  /// entry alone may keep on the disk. 0: none is kept.
  std::uint64_t log_bytes_held() const;
  /// Over it, a journal is to be trimmed although it is quiet.
  static constexpr std::uint64_t kLogBytesHeldMax = 128u << 20;
  std::uint64_t waiting() const;  ///< bytes that are not durable yet: the caller's to bound

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::node

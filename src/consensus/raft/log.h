#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "consensus/raft/messages.h"
#include "consensus/raft/output.h"

namespace coterie::raft {

/// What an entry is charged with in every byte bound: its payload and what surrounds it in memory.
inline std::size_t BytesOf(const Entry& entry) { return sizeof(Entry) + entry.payload.size(); }

/// The replicated log [Raft §5.3] with a forgotten prefix, plus three cursors:
///
///     (0, compacted]  forgotten, covered by the state machine's snapshot
///     (compacted, last]  in memory; of these
///        written:  handed to the driver for writing; (written, last] goes out with the next Output
///        durable:  known to be on disk, and not truncated since
///     commit, emitted: how far the entries are agreed on, and given to the state machine
///
/// and the configurations its entries hold, each in force from its index on.
class RaftLog {
 public:
  RaftLog(LogIndex compacted, Term compacted_term, Configuration configuration,
          std::vector<EntryPtr> entries, LogIndex commit, LogIndex applied);

  LogIndex compacted() const { return compacted_; }
  Term compacted_term() const { return compacted_term_; }
  LogIndex last() const { return LogIndex(compacted_.value + entries_.size()); }
  Term last_term() const { return entries_.empty() ? compacted_term_ : entries_.back()->term; }
  LogIndex durable() const { return durable_; }
  LogIndex commit() const { return commit_; }
  LogIndex emitted() const { return emitted_; }
  std::size_t bytes() const { return bytes_; }

  /// The term at `index` in [compacted, last]; nullopt elsewhere.
  std::optional<Term> TermAt(LogIndex index) const;
  /// Requires: compacted < index <= last.
  const EntryPtr& At(LogIndex index) const;
  /// True if the log holds an entry of `term` at `index` (or has compacted exactly that one).
  bool Matches(LogIndex index, Term term) const;
  /// The highest position <= `index` whose term is <= `term`, for backing up quickly; not below
  /// compacted() [Raft §5.3, the optimisation after fig. 7].
  LogIndex LastNotAfter(LogIndex index, Term term) const;

  /// Requires: entry->index == last() + 1, a configuration payload decodes.
  void Append(EntryPtr entry);
  /// Drops the entries from `from` on. Requires: from > commit().
  void Truncate(LogIndex from);
  /// Forgets everything; the log now starts after (`index`, `term`), committed and emitted so far.
  void Reset(LogIndex index, Term term, Configuration configuration);
  /// Drops the prefix up to `index`. Requires: index <= emitted().
  void Compact(LogIndex index);
  /// Requires: index <= last(). Ignored if not an advance.
  void CommitTo(LogIndex index);

  /// True if there are entries, or a Reset, that no write covers yet.
  bool HasUnwritten() const { return written_ < last() || reset_unwritten_; }
  /// The entries to write now; the write is remembered under `persist_id` until OnPersisted.
  std::vector<EntryPtr> TakeUnwritten(std::uint64_t persist_id);
  void OnPersisted(std::uint64_t persist_id);

  /// Committed, durable here and not given out yet.
  bool HasEmittable() const { return EmittableTo() > emitted_; }
  std::vector<EntryPtr> TakeEmittable();

  const Configuration& configuration() const;
  /// Where the newest configuration stands; compacted() or less if it is not an entry of this log.
  LogIndex configuration_index() const;
  /// Requires: index >= compacted().
  const Configuration& ConfigurationAt(LogIndex index) const;

 private:
  struct Write {
    std::uint64_t persist_id;
    LogIndex last;  ///< how far this write makes the log durable; lowered when the log is truncated
  };
  struct Placed {
    LogIndex index;
    Configuration configuration;
  };
  LogIndex EmittableTo() const { return commit_ < durable_ ? commit_ : durable_; }

  LogIndex compacted_;
  Term compacted_term_;
  std::deque<EntryPtr> entries_;
  std::size_t bytes_ = 0;
  std::vector<Placed> configurations_;  ///< never empty; the first is in force at compacted_
  LogIndex written_;
  bool reset_unwritten_ = false;
  LogIndex durable_;
  std::deque<Write> writes_;  ///< under way, oldest first
  LogIndex commit_;
  LogIndex emitted_;
};

}  // namespace coterie::raft

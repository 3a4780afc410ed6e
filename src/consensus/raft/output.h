#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "consensus/raft/messages.h"

namespace coterie::raft {

/// What a replica must never forget [Raft fig. 2 "persistent state"]. The commit index rides along
/// so that a restart applies sooner; it is a hint, not a promise.
struct HardState {
  Term term;
  NodeId vote;
  LogIndex commit;
  friend bool operator==(const HardState&, const HardState&) = default;
};

/// Names one client read; chosen by the driver, unique per try.
using ReadId = Tagged<struct ReadIdTag>;

struct ReadReady {
  ReadId id;
  LogIndex index;  ///< answer from a state applied at least this far [Raft §6.4 of the thesis]
};

/// What the driver must do, obeyed in this order:
///  1. send `messages` (may go at once, in parallel with 2);
///  2. write `install_snapshot`'s log reset, `entries` and `hard_state` to the WAL in one batch,
///  fsync;
///     then call OnPersisted(persist_id), and only then send `messages_after_persist`;
///  3. apply `committed` in order; answer `reads` once applied that far; fail `reads_failed`;
///  4. stream a snapshot to each of `snapshot_wanted`, then call OnSnapshotSent.
struct Output {
  std::vector<Envelope> messages;

  std::uint64_t persist_id = 0;  ///< 0: nothing to write
  std::optional<HardState> hard_state;
  /// In order, without gaps; the first one discards the WAL's entries from its index on.
  std::vector<EntryPtr> entries;
  std::optional<InstallSnapshot> install_snapshot;
  std::vector<Envelope> messages_after_persist;

  /// Durable here and committed: apply.
  std::vector<EntryPtr> committed;
  std::vector<ReadReady> reads;
  std::vector<ReadId> reads_failed;

  std::vector<NodeId> snapshot_wanted;
  /// They refuse what they had acknowledged: their disks have lost it. They are no longer counted.
  std::vector<NodeId> forgetful;
  /// Leader, term or role changed since the last Output.
  bool leadership_changed = false;
};

}  // namespace coterie::raft

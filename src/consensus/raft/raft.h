#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"
#include "consensus/raft/config.h"
#include "consensus/raft/messages.h"
#include "consensus/raft/output.h"

namespace coterie::raft {

class Core;

enum class Role { kFollower, kPreCandidate, kCandidate, kLeader };

/// What the driver found on disk.
struct Restored {
  HardState hard_state;
  LogIndex compacted;  ///< the state machine's snapshot covers up to here
  Term compacted_term;
  Configuration configuration;    ///< in force at `compacted`
  std::vector<EntryPtr> entries;  ///< (compacted, last]
  LogIndex applied;               ///< >= compacted; entries up to here are not emitted again
  /// The end of the log, or the vote, may be lost after it was promised: the replica recovers. It
  /// takes entries, but neither votes nor campaigns, and no leader counts it, until EndRecovery.
  bool forgotten = false;
};

/// One replica of a Raft group: a value with no I/O, no clock and no randomness of its own
/// [Raft; Raft-thesis]. Every verb mutates state and adds to the pending Output; the driver then
/// takes it. Not thread-safe. See README.md for the messages, invariants and the driver's duties.
class Raft {
 public:
  /// `random` must outlive the core; `now` is the current instant.
  Raft(Config config, Restored restored, Random& random, Instant now);
  ~Raft();
  Raft(Raft&&) noexcept;
  Raft& operator=(Raft&&) noexcept;

  /// A message arrived. Any order, loss, duplication and delay is fine.
  void Step(NodeId from, Message message, Instant now);
  /// Time passed. Call at NextDeadline() or later; calling more often is harmless.
  void Tick(Instant now);
  /// When Tick next has something to do.
  Instant NextDeadline() const;

  /// Appends a command; its index, if this replica leads. `awaited_elsewhere`: somebody waits at
  /// another replica until it is applied there. Errors (all kNotApplied): kNotLeader, kOverloaded,
  /// kProposalDropped (a leadership transfer is under way).
  Result<LogIndex> Propose(std::string command, bool awaited_elsewhere = false);
  /// Starts moving to `target`'s voters and learners: joint first, then alone [Raft §6]. Errors:
  /// kNotLeader, kProposalDropped (a change or a leadership transfer is under way, or no entry of
  /// this term is committed yet), kInvalidArgument (no voters, a node named twice, too many).
  Result<LogIndex> ProposeConfiguration(std::vector<NodeId> voters, std::vector<NodeId> learners);
  /// Asks for a read index: answered in Output::reads or reads_failed. Errors: kNotLeader,
  /// kOverloaded.
  Status Read(ReadId id, Instant now);
  /// Asks the leader to hand over to `to`. Errors: kNotLeader, kBadTransferee.
  Status TransferLeadership(NodeId to, Instant now);

  bool HasOutput() const;
  Output TakeOutput();
  /// Everything of the Output with this id, and of earlier ones, is durable.
  void OnPersisted(std::uint64_t persist_id, Instant now);
  /// The snapshot up to `index` was taken over by `to`'s driver (`ok`), or failed.
  void OnSnapshotSent(NodeId to, LogIndex index, bool ok, Instant now);
  /// The driver cannot reach `peer`: go back to probing it.
  void OnUnreachable(NodeId peer);
  /// The state up to `index` (applied, durable in the state machine) lets the log forget its
  /// entries.
  void Compact(LogIndex index);

  bool recovering() const;
  /// Leader only: `member` says by another way that it recovers.
  void NoteRecovering(NodeId member);
  /// The log is known to agree with this term's leader's, and is durable, up to here.
  LogIndex agreed_index() const;
  /// Ends the recovery. Requires: this term's leader was confirmed, after the replica was made, by
  /// a majority that did not count it, and agreed_index() is that leader's last index then or
  /// later.
  void EndRecovery(Instant now);

  NodeId self() const;
  Role role() const;
  Term term() const;
  /// 0 when unknown.
  NodeId leader() const;
  LogIndex commit_index() const;
  LogIndex last_index() const;
  /// The last entry the log has forgotten, and its term.
  LogIndex compacted_index() const;
  Term compacted_term() const;
  /// The term of an entry still in the log or at compacted_index().
  std::optional<Term> TermAt(LogIndex index) const;
  /// The entry at `index`, or nullptr if the log does not hold it.
  EntryPtr EntryAt(LogIndex index) const;
  /// The newest configuration in the log, and the one in force at `index` (for snapshots).
  const Configuration& configuration() const;
  Configuration ConfigurationAt(LogIndex index) const;
  /// Leader only: how far `peer`'s log is known to agree; 0 if unknown.
  LogIndex MatchIndex(NodeId peer) const;
  /// Leader only: `peer` takes entries as they come; what it has is not being looked for.
  bool IsReplicating(NodeId peer) const;
  std::size_t log_bytes() const;

 private:
  friend std::string CheckInvariants(const Raft& raft);
  std::unique_ptr<Core> core_;
};

/// Checks every numbered invariant of README.md on one replica; "" or a sentence on the first
/// broken one.
std::string CheckInvariants(const Raft& raft);

}  // namespace coterie::raft

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"
#include "consensus/raft/config.h"
#include "consensus/raft/log.h"
#include "consensus/raft/messages.h"
#include "consensus/raft/output.h"
#include "consensus/raft/progress.h"
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"

namespace coterie::raft {

// Each role holds only what means something in that role; a change of role forgets the rest.

struct Follower {
  NodeId leader;        ///< 0: not known in this term
  Instant heard;        ///< when `leader` was last heard; meaningless without one
  Instant election_at;  ///< silence until then means: campaign
};

/// Asks whether it would win, without raising the term [Raft-thesis §9.6].
struct PreCandidate {
  std::map<NodeId, Ballot> ballots;
  Instant retry_at;
};

struct Candidate {
  std::map<NodeId, Ballot> ballots;  ///< its own appears once the vote is durable
  bool leadership_transfer;
  Instant retry_at;
};

/// Reads grouped into rounds: one round of messages confirms all reads that were waiting when it
/// began.
struct ReadRounds {
  struct Round {
    std::uint64_t number;
    LogIndex index;
    std::vector<ReadId> ids;
  };
  std::vector<ReadId> waiting;
  std::deque<Round> under_way;  ///< ascending numbers
  std::size_t pending = 0;      ///< waiting and under way
  std::uint64_t newest = 0;
};

struct Transfer {
  NodeId target;
  Instant give_up_at;
  bool told = false;  ///< TimeoutNow was sent
};

struct Leader {
  std::map<NodeId, Progress> peers;  ///< every other member; sent to in ascending order
  LogIndex first_index;              ///< the no-op that opened the term
  Instant heartbeat_at;
  LogIndex awaited_elsewhere;  ///< the newest command that another node waits for
  LogIndex announced;          ///< the commit index the others are to be told without entries
  Instant announce_at = Instant::max();  ///< when that becomes log_.commit()
  std::size_t uncommitted_bytes = 0;
  ReadRounds reads;
  std::optional<Transfer> transfer;
};

using RoleState = std::variant<Follower, PreCandidate, Candidate, Leader>;

/// The state behind Raft and the protocol itself, cut into files by role and by message. A handler
/// that may change the role must not touch its role reference afterwards.
class Core {
 public:
  Core(Config config, Restored restored, Random& random, Instant now);

  // raft.cc: dispatch.
  void Step(NodeId from, const Message& message);
  void Tick();
  Instant NextDeadline() const;
  void Advance(Instant now) { now_ = now > now_ ? now : now_; }

  // output.cc: what to send, write and apply.
  bool HasOutput() const;
  Output TakeOutput();
  void OnPersisted(std::uint64_t persist_id);
  /// Sends when everything this replica promised so far is durable.
  void SendDurably(NodeId to, Message message);
  void SendNow(NodeId to, Message message);
  bool HardStateDurable() const;

  // recovery.cc
  void NoteRecovering(NodeId member);
  LogIndex agreed_index() const;
  void EndRecovery();

  // follower.cc
  void BecomeFollower(Term term, NodeId leader);
  bool HasLiveLeader() const;
  bool Promotable() const;
  Instant NextElection();
  void HeardFromLeader(NodeId leader);

  // candidate.cc
  void BecomePreCandidate();
  void BecomeCandidate(bool leadership_transfer);
  void CountVotes();

  // leader.cc
  void BecomeLeader();
  LogIndex AppendAsLeader(EntryKind kind, std::string payload);
  void MaybeCommit();
  void Heartbeat();
  bool QuorumHeard(const Leader& leader) const;
  void AnnounceCommit(Leader& leader);
  Result<LogIndex> Propose(std::string command, bool awaited_elsewhere);

  // send_append_entries.cc
  bool OwesCommit(const Leader& leader, const Progress& peer) const;
  bool WantsToSend(const Leader& leader, const Progress& peer) const;
  void SendTo(const Leader& leader, NodeId to, Progress& peer);
  void SendToAll(Leader& leader);
  bool IsActive(const Progress& peer) const;

  // read_index.cc
  Status Read(ReadId id);
  bool CanStartRound(const Leader& leader) const;
  void StartRound(Leader& leader);
  void ConfirmReads(Leader& leader);
  void FailReads(Leader& leader);

  // membership_change.cc
  Result<LogIndex> ProposeConfiguration(std::vector<NodeId> voters, std::vector<NodeId> learners);
  const Configuration& configuration() const;
  void OnConfigurationAppended();
  void OnConfigurationCommitted();

  // leadership_transfer.cc
  Status TransferLeadership(NodeId to);
  void MaybeTransfer(Leader& leader);

  // One file per message. Roles that do not expect a message ignore it.
  void OnRequestVote(NodeId from, const RequestVote& message);
  template <class AnyRole, class AnyMessage>
  void On(AnyRole&, NodeId, const AnyMessage&) {}
  void On(PreCandidate& role, NodeId from, const RequestVoteReply& message);
  void On(Candidate& role, NodeId from, const RequestVoteReply& message);
  void On(Follower& role, NodeId from, const AppendEntries& message);
  void On(PreCandidate& role, NodeId from, const AppendEntries& message);
  void On(Candidate& role, NodeId from, const AppendEntries& message);
  void On(Leader& role, NodeId from, const AppendEntriesReply& message);
  void On(Follower& role, NodeId from, const InstallSnapshot& message);
  void On(PreCandidate& role, NodeId from, const InstallSnapshot& message);
  void On(Candidate& role, NodeId from, const InstallSnapshot& message);
  void On(Follower& role, NodeId from, const TimeoutNow& message);
  void OnSnapshotSent(NodeId to, LogIndex index, bool ok);
  void OnUnreachable(NodeId peer);

  Role role() const { return static_cast<Role>(role_.index()); }
  NodeId leader() const;
  bool IsUpToDate(LogIndex last_index, Term last_term) const;
  std::string CheckInvariants() const;

  // Read by Raft's accessors; written only by the handlers above.
  Config config_;
  Random* random_;
  Instant now_;
  Term term_;
  NodeId vote_;
  RaftLog log_;
  RoleState role_;
  bool recovering_;

 private:
  struct Visible {
    Term term;
    Role role;
    NodeId leader;
    friend bool operator==(const Visible&, const Visible&) = default;
  };
  bool HasWork() const;
  void AcceptEntries(NodeId from, const AppendEntries& message);
  void RejectAppend(NodeId from, const AppendEntries& message, LogIndex prev, Term prev_term);
  void AcknowledgeAppend(NodeId from, LogIndex match, std::uint64_t read_round);
  void AcceptSnapshot(NodeId from, const InstallSnapshot& message);
  void StepDownIfRemoved();
  bool HasWritesUnderWay() const { return persisted_id_ < persist_id_; }

  // output.cc
  std::vector<Envelope> messages_;          ///< may go at once
  std::vector<Envelope> durable_messages_;  ///< wait for what is not durable yet
  std::uint64_t persist_id_ = 0;            ///< of the newest write handed out
  std::uint64_t persisted_id_ = 0;
  HardState written_;                ///< last handed out
  std::uint64_t hard_state_id_ = 0;  ///< the write that carried the newest term or vote
  std::optional<InstallSnapshot> install_;
  std::vector<ReadReady> reads_;
  std::vector<ReadId> reads_failed_;
  std::vector<NodeId> snapshot_wanted_;
  std::vector<NodeId> forgetful_;
  Visible visible_;
  std::uint64_t round_echoed_ = 0;  ///< newest read round answered in term round_term_
  Term round_term_;
  LogIndex agreed_;  ///< vouched for to the leader of agreed_term_
  Term agreed_term_;
};

}  // namespace coterie::raft

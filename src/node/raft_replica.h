#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consensus/raft/raft.h"
#include "model/state_machine.h"
#include "node/proposals.h"
#include "node/replica.h"
#include "node/transport.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/world.h"
#include "storage/engine_home.h"
#include "storage/wal.h"

namespace coterie::node {

class SnapshotTransfer;

struct RaftReplicaOptions {
  ShardId shard;
  raft::Config raft;
  std::size_t command_bytes_max = 4u << 20;
  std::size_t proposals_max = 65536;  ///< waiting at once; over it kOverloaded
  Duration leader_patience = 3s;      ///< how long a request waits for a leader that answers
  std::uint64_t log_entries_kept = 5000;
  std::uint64_t snapshot_every_entries = 50000;
  std::size_t log_bytes_max = 64u << 20;  ///< in memory; over it the log is cut earlier
  /// The WAL keeps every segment with an entry that a group still holds, so a quiet group must not
  /// hold old ones: entries from before so many bytes of everybody's are let go.
  std::uint64_t wal_bytes_behind_max = 128u << 20;
  std::function<void()> on_recovered;  ///< Restored::forgotten is made good, durably
};

/// Drives one Raft core on one node: persist -> send -> apply, in the order Output asks for. Knows
/// nothing of what the commands mean.
///
/// A turn: messages and proposals change the core; at the end of the turn Pump takes its output,
/// sends what may go at once, gives the rest to the WAL (one batch, one fdatasync), and applies
/// what is committed, or, where nobody waits for it, gathers it for some milliseconds.
class RaftReplica final : public Replica {
 public:
  RaftReplica(runtime::World& world, storage::Wal& wal, Transport& transport,
              storage::EngineHome& home, std::unique_ptr<storage::Engine> engine,
              model::StateMachine& machine, RaftReplicaOptions options, raft::Restored restored);
  ~RaftReplica() override;

  /// Registers its calls with the transport and starts its timers.
  void Start();
  /// A Raft message for this shard; nullopt: it could not be read.
  void OnMessage(NodeId from, std::optional<raft::Message> message);
  /// The connection to `peer` is lost.
  void OnUnreachable(NodeId peer);

  runtime::Task<Result<std::unique_ptr<model::StateMachine::Answer>>> Propose(
      std::string command, Instant deadline) override;
  /// Propose, but only while this replica leads in `term`, and never a second time: for commands
  /// that rest on what this leader knew. Errors: kNotLeader, kOverloaded, kProposalDropped (not
  /// applied); kTimedOut, kLeaderChanged (unknown).
  runtime::Task<Result<std::unique_ptr<model::StateMachine::Answer>>> ProposeInTerm(
      std::string command, Term term, Instant deadline);
  runtime::Task<Status> ReadBarrier(Instant deadline) override;
  void CatchUp() override;
  runtime::Task<Status> TransferLeadership(NodeId to, Instant deadline) override;
  ReplicaStatus status() const override;

  /// Moves the group to these voters and learners, and answers when that is committed and the old
  /// ones have no say any more [Raft §6]. Errors: kNotLeader, kProposalDropped (another change, or
  /// a transfer of leadership, is under way), kInvalidArgument (not applied); kLeaderChanged,
  /// kTimedOut (unknown).
  runtime::Task<Status> ChangeMembership(std::vector<NodeId> voters, std::vector<NodeId> learners,
                                         Instant deadline);
  /// The configuration in force is committed, and not a joint one.
  bool ConfigurationSettled() const;

  /// Ends this replica's part in its group for good: it neither hears nor speaks. Who waits for a
  /// proposal is answered kStopped (unknown); later requests kNoLeader.
  void Stop();
  /// What a replica that was taken out must still remember: its vote, and that it is no member.
  std::string HardStateOfNonMember() const;

  const raft::Raft& core() const { return core_; }
  storage::Engine& engine() { return *engine_; }
  /// Outlives a snapshot's installation as long as it is held.
  std::shared_ptr<storage::Engine> shared_engine() { return engine_; }
  /// Messages that were not the protocol's, or denied what is committed: damage, or a node with
  /// another cluster's or an older data directory.
  std::uint64_t malformed_messages() const { return malformed_messages_; }
  const SnapshotTransfer& snapshots() const { return *snapshots_; }
  /// Notified when leader, term or role changed.
  runtime::Notification& leadership_changed() { return leadership_changed_; }
  /// Waits until this replica leads or another leader is known; false at `deadline`.
  runtime::Task<bool> WaitForLeader(Instant deadline);

 private:
  friend class SnapshotTransfer;
  struct ReadRound;
  struct PendingWrite {
    std::uint64_t persist_id;
    std::vector<raft::Envelope> messages;
  };
  class PumpItem final : public runtime::Runnable {
   public:
    explicit PumpItem(RaftReplica& owner) : owner_(owner) {}
    void Run() override { owner_.Pump(); }

   private:
    RaftReplica& owner_;
  };
  /// Calls a member when it fires.
  template <void (RaftReplica::*kCall)()>
  class CallTimer final : public runtime::Timer {
   public:
    explicit CallTimer(RaftReplica& owner) : owner_(owner) {}
    void Fire() override { (owner_.*kCall)(); }

   private:
    RaftReplica& owner_;
  };

  void Schedule();
  void Tick();
  void Pump();
  void SendAll(const std::vector<raft::Envelope>& messages);
  void Persist(raft::Output& output);
  runtime::Task<void> Write(storage::WalBatch batch);
  void TellPersisted();
  void PutHardState(storage::WalBatch& batch);
  void ApplyCommitted();
  /// Nobody here waits for what is committed: it is applied with what follows, off the way of the
  /// answers to the leader, and cheaper.
  bool ApplyMayWait() const;
  void ApplyNow();
  /// Whether `message` denies an entry that is committed here: no leader of a sound group does.
  bool Contradicts(const raft::Message& message) const;
  void StopInContradiction(NodeId from);
  bool leading() const { return core_.role() == raft::Role::kLeader; }
  /// When a request that may wait until `patience` is refused for want of a leader. Once none has
  /// been known for a second that is at once: no request after it is to find out anew.
  Instant RefusedFrom(Instant patience) const {
    return core_.leader() == NodeId() ? std::min(patience, refused_from_) : patience;
  }

  runtime::Task<Result<std::string>> OnForwardProposal(NodeId from, std::string body,
                                                       Instant deadline);
  runtime::Task<Result<std::string>> OnReadIndex(NodeId from, std::string body, Instant deadline);
  /// One try to place a proposal, here or at the leader; true if `waiter` may now be awaited.
  runtime::Task<Result<bool>> Place(Proposals::Waiter* waiter, std::string payload,
                                    Instant deadline);

  /// As long as the core recovers: asks the leader what it must have, until it has it.
  runtime::Task<void> RecoveryLoop();
  runtime::Task<bool> TryToRecover();
  /// It is the group's only member, as far as it knows.
  bool IsAlone() const;

  runtime::Task<void> RunReadRound(std::shared_ptr<ReadRound> round);
  runtime::Task<Result<LogIndex>> AskReadIndex(Instant deadline);
  runtime::Task<Result<LogIndex>> LocalReadIndex(Instant deadline);
  /// False at `deadline`.
  runtime::Task<bool> WaitApplied(LogIndex index, Instant deadline);

  runtime::Task<void> CompactionLoop();
  /// What the log may forget once the state is durable up to `applied`.
  LogIndex Forgettable(LogIndex applied) const;
  bool HoldsOldSegments() const;

  runtime::World& world_;
  storage::Wal& wal_;
  Transport& transport_;
  storage::EngineHome& home_;
  std::shared_ptr<storage::Engine> engine_;  // a snapshot being sent shares it
  model::StateMachine& machine_;
  const RaftReplicaOptions options_;
  Random random_;
  raft::Raft core_;
  raft::HardState hard_state_;
  raft::Configuration compacted_configuration_;  // in force where the WAL's log begins

  std::deque<PendingWrite> writes_;   // given to the WAL, in order
  std::deque<PendingWrite> written_;  // durable, but the core stood still
  std::deque<raft::EntryPtr> to_apply_;
  bool apply_due_ = false;           // what is gathered has waited long enough
  LogIndex flushed_;                 // the engine is durable up to here
  LogIndex old_;                     // entries up to here were there when the WAL had
  std::uint64_t old_wal_bytes_ = 0;  // written so much
  bool frozen_ = false;              // a snapshot is being installed: the core stands still

  Proposals proposals_;
  std::uint64_t next_proposal_;
  std::map<raft::ReadId, runtime::Slot<Result<LogIndex>>*> reads_;
  std::uint64_t next_read_ = 1;
  std::uint64_t malformed_messages_ = 0;
  std::shared_ptr<ReadRound> gathering_;  // read barriers of this turn
  bool round_running_ = false;            // at most one round asks at a time

  Instant refused_from_ = Instant::max();  // while no leader is known
  runtime::Notification leadership_changed_;
  runtime::Notification applied_changed_;
  PumpItem pump_;
  CallTimer<&RaftReplica::Tick> timer_;
  CallTimer<&RaftReplica::ApplyNow> apply_timer_;
  std::unique_ptr<SnapshotTransfer> snapshots_;
  runtime::Scope scope_;
};

}  // namespace coterie::node

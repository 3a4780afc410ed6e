#pragma once

#include <memory>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "model/state_machine.h"
#include "runtime/task.h"

namespace coterie::node {

/// What a replica knows of its shard right now.
struct ReplicaStatus {
  NodeId self;
  NodeId leader;  ///< 0: unknown
  Term term;
  LogIndex commit;
  LogIndex applied;
  LogIndex last;
  bool leading = false;
  bool learner = false;
};

/// One copy of an ordered shard on this node, as doors use it. Requests may be made on any replica:
/// one that does not lead passes them on.
class Replica {
 public:
  virtual ~Replica() = default;

  /// Puts `command` into the log and answers what applying it here gave.
  /// Errors: kNoLeader, kOverloaded, kProposalDropped, kTooLarge (not applied); kTimedOut,
  /// kLeaderChanged, kStopped (unknown).
  virtual runtime::Task<Result<std::unique_ptr<model::StateMachine::Answer>>> Propose(
      std::string command, Instant deadline) = 0;

  /// Answers when this replica's state is at least as new as every write acknowledged anywhere
  /// before this call: reading it then is linearizable [Raft-thesis §6.4]. Errors: kNoLeader,
  /// kTimedOut (not applied).
  virtual runtime::Task<Status> ReadBarrier(Instant deadline) = 0;

  /// Applies at once what is committed here. A replica where nobody waits gathers that for some
  /// milliseconds; a reader that asks for no barrier calls this to see what the replica knows.
  virtual void CatchUp() = 0;

  /// Hands leadership to `to`, and answers when it leads. Errors: kNotLeader, kBadTransferee,
  /// kTimedOut.
  virtual runtime::Task<Status> TransferLeadership(NodeId to, Instant deadline) = 0;

  virtual ReplicaStatus status() const = 0;
};

}  // namespace coterie::node

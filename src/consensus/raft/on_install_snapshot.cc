// A follower whose entries the leader has forgotten takes a state instead [Raft §7].

#include "base/assert.h"
#include "consensus/raft/configuration.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

void Core::On(Follower&, NodeId from, const InstallSnapshot& message) {
  HeardFromLeader(from);
  AcceptSnapshot(from, message);
}

void Core::On(PreCandidate&, NodeId from, const InstallSnapshot& message) {
  BecomeFollower(term_, from);
  AcceptSnapshot(from, message);
}

void Core::On(Candidate&, NodeId from, const InstallSnapshot& message) {
  BecomeFollower(term_, from);
  AcceptSnapshot(from, message);
}

void Core::AcceptSnapshot(NodeId from, const InstallSnapshot& message) {
  if (message.last_index <= log_.commit()) {
    AcknowledgeAppend(from, log_.commit(), 0);
    return;
  }
  if (message.last_term > message.term || message.last_term < log_.compacted_term()) return;
  if (!IsWellFormed(message.configuration)) return;
  if (log_.Matches(message.last_index, message.last_term) && !COT_MUTANT(R14)) {
    // The log already leads there, and what follows may be acknowledged: keep all of it [Raft §7,
    // "if existing log entry has same index and term"]. The streamed state is not needed.
    log_.CommitTo(message.last_index);
    AcknowledgeAppend(from, message.last_index, 0);
    return;
  }
  log_.Reset(message.last_index, message.last_term, message.configuration);
  install_ = message;
  COT_ASSERT(log_.last() == message.last_index);
  COT_ASSERT(log_.HasUnwritten());
  AcknowledgeAppend(from, message.last_index, 0);
}

}  // namespace coterie::raft

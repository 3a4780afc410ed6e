// A leader learns how far a follower's log agrees [Raft §5.3], and whether the driver reached it.

#include <algorithm>

#include "base/assert.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

void Core::On(Leader& role, NodeId from, const AppendEntriesReply& message) {
  const auto at = role.peers.find(from);
  if (at == role.peers.end()) return;  // no longer a member
  Progress& peer = at->second;
  if (message.match_index > log_.last() || message.read_round > role.reads.newest) {
    if (!COT_MUTANT(R15)) return;
    if (message.match_index > log_.last()) return;
  }
  peer.recovering = message.recovering;
  peer.Heard(now_, std::min(message.read_round, role.reads.newest));
  ConfirmReads(role);
  if (!message.success) {
    const LogIndex retry_at = log_.LastNotAfter(message.hint_index, message.hint_term);
    switch (peer.Rejected(message.rejected_index, retry_at, message.read_round)) {
      case Progress::Rejection::kTaken:
        break;
      case Progress::Rejection::kDoubtful:  // ask in a round that is later for sure
        ++role.reads.newest;
        peer.must_send = true;
        break;
      case Progress::Rejection::kForgotten:
        forgetful_.push_back(from);
        break;
    }
    return;
  }
  peer.Succeeded(message.match_index, log_.compacted(), role.reads.newest);
  MaybeTransfer(role);
  MaybeCommit();  // last: committing a configuration may end the leadership
}

void Core::OnSnapshotSent(NodeId to, LogIndex index, bool ok) {
  auto* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  const auto at = leader->peers.find(to);
  if (at == leader->peers.end()) return;
  Progress& peer = at->second;
  if (peer.state() != Progress::State::kSnapshot) return;
  // A failed stream is tried again at the heartbeat's pace.
  peer.Probe(ok ? std::min(index, log_.last()) + 1 : peer.match() + 1, !ok);
}

void Core::OnUnreachable(NodeId node) {
  auto* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return;
  const auto at = leader->peers.find(node);
  if (at == leader->peers.end()) return;
  at->second.Probe(at->second.match() + 1, true);
}

}  // namespace coterie::raft

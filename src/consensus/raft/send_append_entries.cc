// Filling followers' logs: what to send to whom, within each follower's window [Raft §5.3].

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/state.h"

namespace coterie::raft {
namespace {

bool WindowOpen(const Config& config, const Progress& peer) {
  return peer.inflight_messages() < config.inflight_messages_max &&
         peer.inflight_bytes() < config.inflight_bytes_max;
}

/// One message from `first` on, of at most `bytes_max` but at least one entry if there is any.
std::size_t FillBatch(const RaftLog& log, LogIndex first, std::size_t bytes_max,
                      std::vector<EntryPtr>& entries) {
  std::size_t bytes = 0;
  LogIndex end = first;
  while (end <= log.last()) {
    const std::size_t next = BytesOf(*log.At(end));
    if (end > first && bytes + next > bytes_max) break;
    bytes += next;
    ++end;
  }
  entries.reserve(end - first);
  for (LogIndex i = first; i < end; ++i) entries.push_back(log.At(i));
  return bytes;
}

}  // namespace

bool Core::IsActive(const Progress& peer) const {
  return now_ < peer.heard() + config_.election_timeout;
}

/// The follower could commit more than it was told. Without this it would learn only from the next
/// entries or heartbeat, and a client waiting on that follower with it.
bool Core::OwesCommit(const Leader& leader, const Progress& peer) const {
  return std::min(leader.announced, peer.next() - 1) > peer.commit_sent;
}

bool Core::WantsToSend(const Leader& leader, const Progress& peer) const {
  if (peer.must_send) return true;
  if (peer.state() == Progress::State::kSnapshot) return false;
  if (peer.state() == Progress::State::kProbe) return !peer.probe_sent();
  return OwesCommit(leader, peer) || (peer.next() <= log_.last() && WindowOpen(config_, peer));
}

void Core::SendToAll(Leader& leader) {
  if (CanStartRound(leader)) StartRound(leader);
  ConfirmReads(leader);
  bool all_told = true;
  for (auto& [node, peer] : leader.peers) {
    if (WantsToSend(leader, peer)) SendTo(leader, node, peer);
    all_told = all_told && peer.commit_sent >= log_.commit();
  }
  if (all_told) leader.announce_at = Instant::max();
}

void Core::SendTo(const Leader& leader, NodeId to, Progress& peer) {
  const bool must_send = std::exchange(peer.must_send, false);
  AppendEntries message;
  message.term = term_;
  message.leader_commit = log_.commit();
  message.read_round = leader.reads.newest;

  if (peer.state() != Progress::State::kSnapshot && peer.next() <= log_.compacted()) {
    // The entry before next() is forgotten. Streaming a state to a silent node would be wasted.
    if (IsActive(peer)) {
      peer.AwaitSnapshot();
      snapshot_wanted_.push_back(to);
    } else {
      peer.Probe(peer.next(), true);
    }
    COT_ASSERT(!WantsToSend(leader, peer));
  }
  if (peer.state() == Progress::State::kSnapshot || peer.next() <= log_.compacted()) {
    // Nothing can be matched yet; position 0 matches everywhere and keeps the follower loyal.
    if (must_send) SendNow(to, message);
    return;
  }

  bool sent = false;
  const bool probing = peer.state() == Progress::State::kProbe;
  while (probing ? !peer.probe_sent() : peer.next() <= log_.last() && WindowOpen(config_, peer)) {
    message.prev_log_index = peer.next() - 1;
    message.prev_log_term = *log_.TermAt(message.prev_log_index);
    const std::size_t bytes =
        FillBatch(log_, peer.next(), config_.append_bytes_max, message.entries);
    const LogIndex covered = message.prev_log_index + message.entries.size();
    peer.commit_sent = std::min(log_.commit(), covered);
    if (message.entries.empty()) {
      peer.ProbeSent();
    } else {
      peer.Sent(covered, bytes);
    }
    SendNow(to, std::move(message));
    sent = true;
    message = AppendEntries{
        .term = term_, .leader_commit = log_.commit(), .read_round = leader.reads.newest};
  }
  if (sent || !(must_send || OwesCommit(leader, peer))) return;
  message.prev_log_index = peer.next() - 1;
  message.prev_log_term = *log_.TermAt(message.prev_log_index);
  peer.commit_sent = std::min(log_.commit(), message.prev_log_index);
  SendNow(to, std::move(message));
}

}  // namespace coterie::raft

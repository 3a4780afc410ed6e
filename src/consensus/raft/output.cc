// What leaves the core, and when. The rule that keeps Raft safe over crashes: nothing that another
// replica could rely on leaves before what it promises is durable [Raft fig. 2, "Updated on stable
// storage before responding"]. A leader's appends promise nothing of its own disk and go at once.

#include "consensus/raft/output.h"

#include <algorithm>

#include <iterator>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {
namespace {

// Answers held back by a disk that does not answer; past this they are dropped like lost messages.
constexpr std::size_t kDurableMessagesMax = 1024;

/// Merges `message` into the newest waiting one if both acknowledge the log to the same leader: the
/// later answer says all that the earlier one did.
bool Coalesce(std::vector<Envelope>& waiting, NodeId to, const Message& message) {
  if (waiting.empty() || waiting.back().to != to) return false;
  auto* earlier = std::get_if<AppendEntriesReply>(&waiting.back().message);
  const auto* later = std::get_if<AppendEntriesReply>(&message);
  if (earlier == nullptr || later == nullptr) return false;
  if (!earlier->success || !later->success || earlier->term != later->term) return false;
  if (earlier->recovering != later->recovering) return false;
  earlier->match_index = std::max(earlier->match_index, later->match_index);
  earlier->read_round = std::max(earlier->read_round, later->read_round);
  return true;
}

void MoveTo(std::vector<Envelope>& to, std::vector<Envelope>& from) {
  if (to.empty()) {
    to.swap(from);
    return;
  }
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

}  // namespace

void Core::SendNow(NodeId to, Message message) {
  COT_ASSERT(to != config_.self);
  messages_.push_back({to, std::move(message)});
}

void Core::SendDurably(NodeId to, Message message) {
  COT_ASSERT(to != config_.self);
  if (COT_MUTANT(R1) && std::holds_alternative<RequestVoteReply>(message))
    return SendNow(to, message);
  if (COT_MUTANT(R6) && std::holds_alternative<AppendEntriesReply>(message)) {
    return SendNow(to, message);
  }
  if (Coalesce(durable_messages_, to, message)) return;
  if (durable_messages_.size() >= kDurableMessagesMax) return;
  durable_messages_.push_back({to, std::move(message)});
}

bool Core::HardStateDurable() const {
  return written_.term == term_ && written_.vote == vote_ && persisted_id_ >= hard_state_id_;
}

bool Core::HasWork() const {
  if (written_.term != term_ || written_.vote != vote_) return true;
  return log_.HasUnwritten() || install_.has_value();
}

bool Core::HasOutput() const {
  if (HasWork() || !messages_.empty() || log_.HasEmittable()) return true;
  if (!durable_messages_.empty() && !HasWritesUnderWay()) return true;
  if (!reads_.empty() || !reads_failed_.empty() || !snapshot_wanted_.empty()) return true;
  if (!forgetful_.empty()) return true;
  if (visible_ != Visible{term_, role(), leader()}) return true;
  const auto* leads = std::get_if<Leader>(&role_);
  if (leads == nullptr) return false;
  if (CanStartRound(*leads)) return true;
  for (const auto& [node, peer] : leads->peers) {
    if (WantsToSend(*leads, peer)) return true;
  }
  return false;
}

Output Core::TakeOutput() {
  if (auto* leads = std::get_if<Leader>(&role_)) SendToAll(*leads);
  Output out;
  if (HasWork()) {
    out.persist_id = ++persist_id_;
    const HardState now_hard{term_, vote_, log_.commit()};
    if (now_hard.term != written_.term || now_hard.vote != written_.vote) {
      hard_state_id_ = persist_id_;
    }
    if (now_hard != written_) out.hard_state = now_hard;
    written_ = now_hard;
    out.entries = log_.TakeUnwritten(persist_id_);
    out.install_snapshot = std::exchange(install_, std::nullopt);
    out.messages_after_persist = std::exchange(durable_messages_, {});
  } else if (!HasWritesUnderWay()) {
    MoveTo(messages_, durable_messages_);
  }
  out.messages = std::exchange(messages_, {});
  out.committed = log_.TakeEmittable();
  out.reads = std::exchange(reads_, {});
  out.reads_failed = std::exchange(reads_failed_, {});
  out.snapshot_wanted = std::exchange(snapshot_wanted_, {});
  out.forgetful = std::exchange(forgetful_, {});
  const Visible visible{term_, role(), leader()};
  out.leadership_changed = visible != visible_;
  visible_ = visible;
  COT_ASSERT(out.messages_after_persist.empty() || out.persist_id != 0);
  COT_ASSERT(out.entries.empty() || out.persist_id != 0);
  return out;
}

void Core::OnPersisted(std::uint64_t persist_id) {
  COT_ASSERT(persist_id <= persist_id_);
  persisted_id_ = std::max(persisted_id_, persist_id);
  log_.OnPersisted(persist_id);
  if (std::holds_alternative<Candidate>(role_)) {
    CountVotes();
  } else if (std::holds_alternative<Leader>(role_)) {
    MaybeCommit();
  }
}

}  // namespace coterie::raft

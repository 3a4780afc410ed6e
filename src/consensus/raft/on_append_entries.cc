// A follower takes over its leader's log [Raft §5.3].

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {
namespace {

/// Entries follow `prev` without gaps, with terms that never decrease and end at the message's, and
/// payloads that can be read. Anything else is not from a replica of this protocol.
bool IsWellFormed(const AppendEntries& message) {
  Term term = message.prev_log_term;
  LogIndex index = message.prev_log_index;
  for (const EntryPtr& entry : message.entries) {
    if (!entry || entry->index != ++index || entry->term < term) return false;
    term = entry->term;
    if (entry->kind != EntryKind::kConfiguration) continue;
    if (!DecodeConfiguration(entry->payload)) return false;
  }
  return term <= message.term;
}

}  // namespace

void Core::On(Follower&, NodeId from, const AppendEntries& message) {
  HeardFromLeader(from);
  AcceptEntries(from, message);
}

void Core::On(PreCandidate&, NodeId from, const AppendEntries& message) {
  BecomeFollower(term_, from);
  AcceptEntries(from, message);
}

void Core::On(Candidate&, NodeId from, const AppendEntries& message) {
  BecomeFollower(term_, from);
  AcceptEntries(from, message);
}

void Core::AcceptEntries(NodeId from, const AppendEntries& message) {
  if (!IsWellFormed(message)) return;
  LogIndex prev = message.prev_log_index;
  Term prev_term = message.prev_log_term;
  std::size_t skip = 0;
  if (prev < log_.compacted()) {
    // What is compacted is committed, and what is committed every later leader has [Raft §5.4.3].
    skip = std::min<std::size_t>(message.entries.size(), log_.compacted() - prev);
    prev = prev + skip;
    if (prev < log_.compacted()) {
      AcknowledgeAppend(from, log_.commit(), message.read_round);
      return;
    }
    prev_term = log_.compacted_term();
  }
  if (!log_.Matches(prev, prev_term)) {
    RejectAppend(from, message, prev, prev_term);
    return;
  }
  if (COT_MUTANT(R5) && log_.last() > prev) log_.Truncate(std::max(prev, log_.commit()) + 1);
  for (std::size_t i = skip; i < message.entries.size(); ++i) {
    const EntryPtr& entry = message.entries[i];
    // Only a conflict truncates: a late message must not cut off what came after it [Raft §5.3].
    if (entry->index <= log_.last()) {
      if (log_.Matches(entry->index, entry->term)) continue;
      if (entry->index <= log_.commit()) return;  // no leader of a sound group says this
      log_.Truncate(entry->index);
    }
    log_.Append(entry);
  }
  // Beyond the message's own entries the logs may differ, whatever the leader has committed.
  const LogIndex vouched = prev + (message.entries.size() - skip);
  COT_ASSERT(vouched <= log_.last());
  const LogIndex bound = COT_MUTANT(R7) ? log_.last() : vouched;
  log_.CommitTo(std::min(message.leader_commit, bound));
  AcknowledgeAppend(from, vouched, message.read_round);
}

void Core::AcknowledgeAppend(NodeId from, LogIndex match, std::uint64_t read_round) {
  if (round_term_ != term_) {
    round_term_ = term_;
    round_echoed_ = 0;
  }
  if (agreed_term_ != term_) {
    agreed_term_ = term_;
    agreed_ = LogIndex(0);
  }
  agreed_ = std::max(agreed_, match);
  AppendEntriesReply reply{.term = term_, .success = true, .match_index = match};
  reply.read_round = read_round;
  reply.recovering = recovering_;
  if (read_round > round_echoed_ && match > log_.durable() && HardStateDurable()) {
    // Following this leader is already durable, so its reads need not wait for our disk.
    AppendEntriesReply early = reply;
    early.match_index = log_.durable();
    SendNow(from, early);
  }
  round_echoed_ = std::max(round_echoed_, read_round);
  SendDurably(from, reply);
}

void Core::RejectAppend(NodeId from, const AppendEntries& message, LogIndex prev, Term prev_term) {
  COT_ASSERT(message.term == term_);
  // Names the last place where the logs can still agree, so that the leader skips whole terms.
  const LogIndex hint = log_.LastNotAfter(prev, prev_term);
  AppendEntriesReply reply{.term = term_, .success = false};
  reply.rejected_index = message.prev_log_index;
  reply.hint_index = hint;
  reply.hint_term = log_.TermAt(hint).value_or(Term(0));
  reply.recovering = recovering_;
  reply.read_round = message.read_round;
  SendDurably(from, reply);
}

}  // namespace coterie::raft

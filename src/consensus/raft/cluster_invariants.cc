#include <fmt/format.h>

#include <algorithm>

#include "base/coding.h"
#include "consensus/raft/invariants.h"

namespace coterie::raft {
namespace {

std::uint64_t FingerprintOf(const Entry& entry) {
  return (std::uint64_t{Crc32c(entry.payload)} << 32) ^ (entry.payload.size() << 2) ^
         static_cast<std::uint64_t>(entry.kind);
}

}  // namespace

void ClusterInvariants::Break(const Raft& raft, std::string_view promise, LogIndex index) {
  if (!broken_.empty()) return;
  broken_ = fmt::format("{} is broken by node {} in term {} at index {}", promise,
                        raft.self().value, raft.term().value, index.value);
}

void ClusterInvariants::OnRestart(NodeId node) { replicas_.erase(node); }

void ClusterInvariants::Observe(const Raft& raft) {
  auto [at, first_time] = replicas_.try_emplace(raft.self());
  Watched& watched = at->second;
  if (first_time) watched.commit = raft.compacted_index();
  if (raft.term() < watched.term) Break(raft, "a term that never decreases", LogIndex(0));
  if (raft.commit_index() < watched.commit) {
    Break(raft, "a commit index that never decreases", raft.commit_index());
  }
  watched.term = raft.term();
  CheckElection(raft, watched);
  CheckEntries(raft, watched.commit + 1);
  CheckCommitted(raft, watched.commit + 1);
  watched.commit = raft.commit_index();
  if (raft.role() == Role::kLeader) CheckLeader(raft, watched);
}

void ClusterInvariants::CheckElection(const Raft& raft, Watched& watched) {
  if (raft.role() != Role::kLeader) {
    watched.leading_in = Term(0);
    return;
  }
  const auto [at, added] = leaders_.try_emplace(raft.term(), raft.self());
  if (at->second != raft.self()) Break(raft, "Election Safety", raft.last_index());
  if (watched.leading_in != raft.term()) {
    watched.leading_in = raft.term();
    watched.checked = 0;
    watched.last = LogIndex(0);
  }
  if (raft.last_index() < watched.last) Break(raft, "Leader Append-Only", raft.last_index());
  watched.last = raft.last_index();
}

// One index and term name one entry with one predecessor; by induction the whole prefix is the
// same.
void ClusterInvariants::CheckEntries(const Raft& raft, LogIndex first) {
  for (LogIndex i = std::max(first, raft.compacted_index() + 1); i <= raft.last_index(); ++i) {
    const EntryPtr entry = raft.EntryAt(i);
    const Seen seen{*raft.TermAt(i - 1), FingerprintOf(*entry)};
    const auto [at, added] = entries_.try_emplace({i, entry->term}, seen);
    if (added) continue;
    if (at->second.previous_term != seen.previous_term ||
        at->second.fingerprint != seen.fingerprint) {
      Break(raft, "Log Matching", i);
    }
  }
}

void ClusterInvariants::CheckCommitted(const Raft& raft, LogIndex first) {
  for (LogIndex i = std::max(first, raft.compacted_index()); i <= raft.commit_index(); ++i) {
    if (i == LogIndex(0)) continue;
    const Term term = *raft.TermAt(i);
    const auto [at, added] = committed_.try_emplace(i, Committed{term, raft.term()});
    if (added) order_.push_back(i);
    if (at->second.term != term) Break(raft, "State Machine Safety", i);
  }
}

void ClusterInvariants::CheckLeader(const Raft& raft, Watched& watched) {
  for (; watched.checked < order_.size(); ++watched.checked) {
    const LogIndex index = order_[watched.checked];
    const Committed& committed = committed_.at(index);
    if (committed.committed_in >= raft.term() || index < raft.compacted_index()) continue;
    if (raft.TermAt(index) != committed.term) Break(raft, "Leader Completeness", index);
  }
}

}  // namespace coterie::raft

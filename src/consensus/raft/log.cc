#include "consensus/raft/log.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/mutants.h"

namespace coterie::raft {

RaftLog::RaftLog(LogIndex compacted, Term compacted_term, Configuration configuration,
                 std::vector<EntryPtr> entries, LogIndex commit, LogIndex applied)
    : compacted_(compacted),
      compacted_term_(compacted_term),
      commit_(compacted),
      emitted_(applied) {
  configurations_.push_back({compacted, std::move(configuration)});
  for (EntryPtr& entry : entries) Append(std::move(entry));
  written_ = durable_ = last();
  COT_ASSERT(applied >= compacted);
  COT_ASSERT(applied <= last());
  // The stored commit index is a hint: after a crash it may be ahead of what the log kept.
  CommitTo(std::min(std::max(commit, applied), last()));
}

std::optional<Term> RaftLog::TermAt(LogIndex index) const {
  if (index == compacted_) return compacted_term_;
  if (index < compacted_ || index > last()) return std::nullopt;
  return At(index)->term;
}

const EntryPtr& RaftLog::At(LogIndex index) const {
  COT_ASSERT(index > compacted_);
  COT_ASSERT(index <= last());
  return entries_[index - compacted_ - 1];
}

bool RaftLog::Matches(LogIndex index, Term term) const {
  const std::optional<Term> own = TermAt(index);
  if (COT_MUTANT(R8)) return own.has_value();
  return own == term;
}

LogIndex RaftLog::LastNotAfter(LogIndex index, Term term) const {
  index = std::min(index, last());
  while (index > compacted_ && At(index)->term > term) --index;
  return index;
}

void RaftLog::Append(EntryPtr entry) {
  COT_ASSERT(entry->index == last() + 1);
  COT_ASSERT(entry->term >= last_term());
  if (entry->kind == EntryKind::kConfiguration) {
    std::optional<Configuration> configuration = DecodeConfiguration(entry->payload);
    COT_ASSERT(configuration.has_value());
    configurations_.push_back({entry->index, std::move(*configuration)});
  }
  bytes_ += BytesOf(*entry);
  entries_.push_back(std::move(entry));
}

void RaftLog::Truncate(LogIndex from) {
  COT_ASSERT(from > commit_ || COT_MUTANT(R5) || COT_MUTANT(R8));
  COT_ASSERT(from > compacted_);
  while (last() >= from) {
    bytes_ -= BytesOf(*entries_.back());
    entries_.pop_back();
  }
  while (configurations_.back().index >= from) configurations_.pop_back();
  COT_ASSERT(!configurations_.empty());
  const LogIndex kept = last();
  written_ = std::min(written_, kept);
  durable_ = std::min(durable_, kept);
  // A write under way no longer vouches for what was cut off, not even if an entry with the same
  // index and term comes back later: on disk other entries are between the two (the ABA race).
  if (!COT_MUTANT(kAba)) {
    for (Write& write : writes_) write.last = std::min(write.last, kept);
  }
}

void RaftLog::Reset(LogIndex index, Term term, Configuration configuration) {
  COT_ASSERT(index > commit_);
  COT_ASSERT(term >= compacted_term_);
  entries_.clear();
  bytes_ = 0;
  configurations_.clear();
  configurations_.push_back({index, std::move(configuration)});
  compacted_ = written_ = commit_ = emitted_ = index;
  compacted_term_ = term;
  reset_unwritten_ = true;
  durable_ = LogIndex(0);
  for (Write& write : writes_) write.last = LogIndex(0);
}

void RaftLog::Compact(LogIndex index) {
  COT_ASSERT(index <= emitted_);
  if (index <= compacted_) return;
  COT_ASSERT(index <= last());
  compacted_term_ = At(index)->term;
  while (compacted_ < index) {
    bytes_ -= BytesOf(*entries_.front());
    entries_.pop_front();
    ++compacted_;
  }
  auto kept = std::upper_bound(configurations_.begin(), configurations_.end(), index,
                               [](LogIndex i, const Placed& placed) { return i < placed.index; });
  configurations_.erase(configurations_.begin(), kept - 1);
}

void RaftLog::CommitTo(LogIndex index) {
  COT_ASSERT(index <= last());
  commit_ = std::max(commit_, index);
  COT_ASSERT(commit_ >= compacted_);
}

std::vector<EntryPtr> RaftLog::TakeUnwritten(std::uint64_t persist_id) {
  COT_ASSERT(writes_.empty() || writes_.back().persist_id < persist_id);
  COT_ASSERT(written_ <= last());
  std::vector<EntryPtr> taken(entries_.end() - static_cast<std::ptrdiff_t>(last() - written_),
                              entries_.end());
  if (HasUnwritten()) writes_.push_back({persist_id, last()});
  written_ = last();
  reset_unwritten_ = false;
  return taken;
}

void RaftLog::OnPersisted(std::uint64_t persist_id) {
  while (!writes_.empty() && writes_.front().persist_id <= persist_id) {
    durable_ = std::max(durable_, std::min(writes_.front().last, last()));
    writes_.pop_front();
  }
  COT_ASSERT(durable_ <= written_ || COT_MUTANT(kAba));
  COT_ASSERT(written_ <= last());
}

std::vector<EntryPtr> RaftLog::TakeEmittable() {
  const LogIndex to = EmittableTo();
  if (to <= emitted_) return {};
  COT_ASSERT(emitted_ >= compacted_);
  const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(emitted_ - compacted_);
  std::vector<EntryPtr> taken(first, first + static_cast<std::ptrdiff_t>(to - emitted_));
  COT_ASSERT(taken.front()->index == emitted_ + 1);
  emitted_ = to;
  return taken;
}

const Configuration& RaftLog::configuration() const { return configurations_.back().configuration; }

LogIndex RaftLog::configuration_index() const { return configurations_.back().index; }

const Configuration& RaftLog::ConfigurationAt(LogIndex index) const {
  COT_ASSERT(index >= compacted_);
  COT_ASSERT(!configurations_.empty());
  auto after = std::upper_bound(configurations_.begin(), configurations_.end(), index,
                                [](LogIndex i, const Placed& placed) { return i < placed.index; });
  return after == configurations_.begin() ? after->configuration : (after - 1)->configuration;
}

}  // namespace coterie::raft

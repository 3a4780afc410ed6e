#include "storage/wal_index.h"

#include <algorithm>

#include "base/assert.h"
#include "storage/wal_format.h"

namespace coterie::storage::wal {

bool Index::Accepts(ShardId shard, LogIndex index) const {
  const auto found = shards_.find(shard);
  if (found == shards_.end()) return index == LogIndex(1);
  const Shard& s = found->second;
  const LogIndex last = s.runs.empty() ? s.compacted : s.last;
  return index > s.compacted && index <= last + 1;
}

void Index::PutEntry(ShardId shard, LogIndex index, Term term, std::uint64_t segment) {
  Shard& s = shards_[shard];
  while (!s.runs.empty() && s.runs.back().first >= index) s.runs.pop_back();
  const bool same_run =
      !s.runs.empty() && s.runs.back().segment == segment && s.runs.back().term == term;
  COT_ASSERT(s.runs.empty() || s.runs.back().segment <= segment);
  if (!same_run) s.runs.push_back({index, term, segment});
  s.last = index;
}

void Index::PutHardState(ShardId shard, std::string_view hard_state) {
  shards_[shard].hard_state = hard_state;
}

bool Index::Discards(ShardId shard, LogIndex index, Term term) const {
  const auto found = shards_.find(shard);
  if (found == shards_.end()) return true;
  const Shard& s = found->second;
  if (index <= s.compacted) return false;
  if (s.runs.empty() || index > s.last) return true;
  const auto after = std::ranges::upper_bound(s.runs, index, {}, &Run::first);
  COT_ASSERT(after !=
             s.runs.begin());  // above what is compacted and not past the last: it is there
  return std::prev(after)->term != term;
}

void Index::Compact(ShardId shard, LogIndex index, Term term) {
  Shard& s = shards_[shard];
  if (index <= s.compacted) return;
  s.compacted = index;
  s.compacted_term = term;
  if (s.runs.empty()) return;
  while (s.runs.size() > 1 && s.runs[1].first <= index + 1) s.runs.pop_front();
  if (s.last <= index) {
    s.runs.clear();
  } else if (s.runs.front().first <= index) {
    s.runs.front().first = index + 1;
  }
}

void Index::Reset(ShardId shard, LogIndex index, Term term) {
  Shard& s = shards_[shard];
  s.runs.clear();
  s.compacted = index;
  s.compacted_term = term;
}

std::uint64_t Index::OldestSegment(std::uint64_t current) const {
  std::uint64_t oldest = current;
  for (const auto& [id, shard] : shards_) {
    if (!shard.runs.empty()) oldest = std::min(oldest, shard.runs.front().segment);
  }
  return oldest;
}

void Index::PutCheckpoint(std::string& out) const {
  for (const auto& [id, shard] : shards_) {
    if (!shard.hard_state.empty()) wal::PutHardState(out, id, shard.hard_state);
    if (shard.compacted > LogIndex(0))
      PutCompaction(out, id, shard.compacted, shard.compacted_term);
  }
}

}  // namespace coterie::storage::wal

#include "replication/leaderless/history.h"

#include <algorithm>

#include "base/assert.h"

namespace coterie::leaderless {

namespace {
// A quiet series stays small, a busy one is freed in few steps.
constexpr std::size_t kChunkBytesMin = 1u << 10;
constexpr std::size_t kChunkBytesMax = 64u << 10;
constexpr std::size_t kMutationsPerChunk = 512;
}  // namespace

void History::Add(ShardId shard, Dot dot, std::string_view mutation) {
  Series& series = series_[{shard, dot.actor}];
  if (dot.counter != series.last + 1) {
    while (!series.chunks.empty()) PopFront(series);
  }
  Chunk& chunk = Room(series, dot.counter, mutation.size());
  chunk.bytes.append(mutation);
  chunk.ends.push_back(static_cast<std::uint32_t>(chunk.bytes.size()));
  series.last = dot.counter;
  if (bytes_ > bytes_max_) Evict();
}

History::Chunk& History::Room(Series& series, std::uint64_t counter, std::size_t bytes) {
  if (!series.chunks.empty()) {
    Chunk& last = series.chunks.back();
    const bool fits = last.bytes.capacity() - last.bytes.size() >= bytes &&
                      last.ends.size() < last.ends.capacity();
    if (fits) return last;
  }
  Chunk chunk{.first = counter, .order = next_order_++, .bytes = {}, .ends = {}};
  series.next_chunk_bytes = std::clamp(series.next_chunk_bytes * 2, kChunkBytesMin, kChunkBytesMax);
  chunk.bytes.reserve(std::max(series.next_chunk_bytes, bytes));
  chunk.ends.reserve(std::min(kMutationsPerChunk, series.next_chunk_bytes / 16));
  bytes_ += chunk.cost();
  series.chunks.push_back(std::move(chunk));
  return series.chunks.back();
}

void History::PopFront(Series& series) {
  bytes_ -= series.chunks.front().cost();
  series.chunks.pop_front();
  if (series.chunks.empty()) series.next_chunk_bytes = 0;
}

/// The oldest chunks of all series, down to seven eighths of the bound: looking for them costs a
/// pass over the series.
void History::Evict() {
  while (bytes_ > bytes_max_ - bytes_max_ / 8) {
    Series* oldest = nullptr;
    for (auto& [key, series] : series_) {
      if (series.chunks.empty()) continue;
      if (oldest == nullptr || series.chunks.front().order < oldest->chunks.front().order)
        oldest = &series;
    }
    if (oldest == nullptr) return;
    PopFront(*oldest);
  }
}

const History::Series* History::Find(ShardId shard, Actor actor) const {
  const auto found = series_.find({shard, actor});
  return found == series_.end() ? nullptr : &found->second;
}

bool History::Holds(ShardId shard, Actor actor, std::uint64_t after) const {
  const Series* series = Find(shard, actor);
  if (series == nullptr) return false;
  if (after >= series->last) return true;
  return !series->chunks.empty() && series->chunks.front().first <= after + 1;
}

void History::Visit(
    ShardId shard, Actor actor, std::uint64_t after,
    const std::function<bool(std::uint64_t counter, std::string_view mutation)>& visit) const {
  const Series* series = Find(shard, actor);
  if (series == nullptr || after >= series->last) return;
  COT_ASSERT(Holds(shard, actor, after));
  auto chunk = std::ranges::upper_bound(series->chunks, after + 1, {}, &Chunk::first);
  for (--chunk; chunk != series->chunks.end(); ++chunk) {
    for (std::size_t i = after + 1 > chunk->first ? after + 1 - chunk->first : 0;
         i < chunk->ends.size(); ++i) {
      const std::size_t begin = i == 0 ? 0 : chunk->ends[i - 1];
      const std::string_view bytes(chunk->bytes.data() + begin, chunk->ends[i] - begin);
      if (!visit(chunk->first + i, bytes)) return;
    }
  }
}

std::uint64_t History::BytesAfter(ShardId shard, Actor actor, std::uint64_t after) const {
  const Series* series = Find(shard, actor);
  if (series == nullptr) return 0;
  std::uint64_t bytes = 0;
  for (const Chunk& chunk : series->chunks) {
    if (chunk.last() <= after) continue;
    const std::size_t skip = after + 1 > chunk.first ? after + 1 - chunk.first : 0;
    bytes += chunk.bytes.size() - (skip == 0 ? 0 : chunk.ends[skip - 1]);
  }
  return bytes;
}

void History::Trim(ShardId shard, const VersionVector& covered) {
  for (auto at = series_.lower_bound({shard, Actor()});
       at != series_.end() && at->first.first == shard; ++at) {
    const std::uint64_t to = covered.Get(at->first.second);
    Series& series = at->second;
    while (!series.chunks.empty() && series.chunks.front().last() <= to) PopFront(series);
  }
}

void History::Drop(ShardId shard) {
  auto at = series_.lower_bound({shard, Actor()});
  while (at != series_.end() && at->first.first == shard) {
    while (!at->second.chunks.empty()) PopFront(at->second);
    at = series_.erase(at);
  }
}

}  // namespace coterie::leaderless

#include "replication/leaderless/reconciliation.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace coterie::leaderless {

namespace {
// Blocks are merged in pairs at this many, so at the end there are enough of them for even parts.
constexpr std::size_t kBlocksMax = 128;
}  // namespace

ItemId IdOf(std::string_view key, std::string_view cell) {
  // The key's length is in the seed, or "ab" + "c" would be "a" + "bc".
  const XXH128_hash_t of_key = XXH3_128bits_withSeed(key.data(), key.size(), key.size());
  const XXH128_hash_t both = XXH3_128bits_withSeed(cell.data(), cell.size(), of_key.low64);
  return {both.high64 ^ of_key.high64, both.low64};
}

void Fingerprint::Add(const ItemId& id) {
  ++count;
  sum.low += id.low;
  sum.high += id.high + (sum.low < id.low ? 1 : 0);
}

void Fingerprint::Add(const Fingerprint& other) {
  const std::uint64_t total = count + other.count;
  Add(other.sum);
  count = total;
}

void Summariser::Add(std::string_view key, std::string_view cell) {
  const ItemId id = IdOf(key, cell);
  if (all_.count <= kListedMax) items_.push_back({std::string(key), id});
  const bool begins = blocks_.empty() || blocks_.back().fingerprint.count == block_items_;
  if (begins) {
    if (blocks_.size() == kBlocksMax) MergePairs();
    blocks_.push_back({blocks_.empty() ? from_ : std::string(key), {}});
  }
  blocks_.back().fingerprint.Add(id);
  all_.Add(id);
}

/// Requires: an even number of blocks, all full.
void Summariser::MergePairs() {
  for (std::size_t i = 0; i < blocks_.size() / 2; ++i) {
    Summary::Part merged = std::move(blocks_[2 * i]);
    merged.fingerprint.Add(blocks_[2 * i + 1].fingerprint);
    blocks_[i] = std::move(merged);
  }
  blocks_.resize(blocks_.size() / 2);
  block_items_ *= 2;
}

Summary Summariser::Finish() {
  if (all_.count <= kListedMax) return {.items = std::move(items_), .parts = {}};
  Summary summary;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const std::size_t part = i * kParts / blocks_.size();
    if (part == summary.parts.size()) {
      summary.parts.push_back(std::move(blocks_[i]));
    } else {
      summary.parts.back().fingerprint.Add(blocks_[i].fingerprint);
    }
  }
  return summary;
}

void Compare(const std::vector<Item>& mine, const std::vector<Item>& theirs,
             Difference& difference) {
  auto m = mine.begin();
  auto t = theirs.begin();
  while (m != mine.end() || t != theirs.end()) {
    const bool both = m != mine.end() && t != theirs.end() && m->key == t->key;
    const bool take_mine = both || t == theirs.end() || (m != mine.end() && m->key < t->key);
    const bool take_theirs = both || !take_mine;
    if (!both || m->id != t->id) {
      if (take_mine) difference.offered.push_back(m->key);
      if (take_theirs) difference.wanted.push_back(t->key);
    }
    if (take_mine) ++m;
    if (take_theirs) ++t;
  }
}

}  // namespace coterie::leaderless

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "clock/dot.h"

namespace coterie::leaderless {

using clock::Actor;
using clock::Dot;
using clock::VersionVector;

/// The recent mutations of every shard and actor, as encoded bytes: what a replica that lags is
/// sent instead of whole cells. Hinted handoff, catch-up and the answer to a gap all read it
/// [Dynamo §4.6]. Bounded in bytes over all shards: the oldest go first, whoever still lacks them
/// is reconciled. A value; no I/O.
class History {
 public:
  explicit History(std::size_t bytes_max = 64u << 20) : bytes_max_(bytes_max) {}

  /// Takes a copy of the newest mutation of its actor. One that does not follow the actor's last
  /// makes those before it useless, and forgets them.
  void Add(ShardId shard, Dot dot, std::string_view mutation);
  /// Whether every mutation of `actor` after the counter `after`, up to the last that was added,
  /// is here. True of an actor with nothing after `after`.
  bool Holds(ShardId shard, Actor actor, std::uint64_t after) const;
  /// Mutations of `actor` with counters greater than `after`, in order, until `visit` answers
  /// false. Requires: Holds.
  void Visit(
      ShardId shard, Actor actor, std::uint64_t after,
      const std::function<bool(std::uint64_t counter, std::string_view mutation)>& visit) const;
  /// Bytes of the mutations after `after`; what is no longer here is not counted.
  std::uint64_t BytesAfter(ShardId shard, Actor actor, std::uint64_t after) const;
  /// `covered` is known to everybody who may ask.
  void Trim(ShardId shard, const VersionVector& covered);
  void Drop(ShardId shard);
  std::size_t bytes() const { return bytes_; }

 private:
  /// Consecutive mutations end to end; freed together.
  struct Chunk {
    std::uint64_t first = 0;  // counter of the first mutation
    std::uint64_t order = 0;  // among all chunks, by age
    std::string bytes;
    std::vector<std::uint32_t> ends;
    std::uint64_t last() const { return first + ends.size() - 1; }
    std::size_t cost() const { return bytes.capacity() + ends.capacity() * sizeof(ends[0]); }
  };
  struct Series {
    std::deque<Chunk> chunks;
    std::uint64_t last = 0;
    std::size_t next_chunk_bytes = 0;
  };
  using Key = std::pair<ShardId, Actor>;

  Chunk& Room(Series& series, std::uint64_t counter, std::size_t bytes);
  void PopFront(Series& series);
  void Evict();
  const Series* Find(ShardId shard, Actor actor) const;

  const std::size_t bytes_max_;
  std::map<Key, Series> series_;
  std::size_t bytes_ = 0;
  std::uint64_t next_order_ = 0;
};

}  // namespace coterie::leaderless

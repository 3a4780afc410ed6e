#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace coterie::clock {

/// Who makes mutations: one start of one node. Node number in the upper 16 bits, its incarnation in
/// the lower 16. A node whose newest writes may have been lost with a crash starts under a new
/// incarnation, so that no actor ever gives two mutations one number.
using Actor = Tagged<struct ActorTag, std::uint32_t>;
constexpr Actor MakeActor(NodeId node, std::uint16_t incarnation) {
  return Actor(static_cast<std::uint32_t>(node.value) << 16 | incarnation);
}
constexpr NodeId NodeOf(Actor actor) { return NodeId(actor.value >> 16); }

/// The name of one mutation of one shard: its actor's counter-th, from 1 and without gaps [DVV §3].
struct Dot {
  Actor actor;
  std::uint64_t counter = 0;
  friend auto operator<=>(const Dot&, const Dot&) = default;
};
std::string ToText(Dot dot);  ///< "n2.1:57"

/// For each actor how many of its mutations are known: a set of dots without gaps. Small: one entry
/// an actor, sorted. A value.
class VersionVector {
 public:
  using Entry = std::pair<Actor, std::uint64_t>;
  std::uint64_t Get(Actor actor) const;
  bool Covers(Dot dot) const { return Get(dot.actor) >= dot.counter; }
  bool Covers(const VersionVector& other) const;
  /// Raises the actor's entry to at least `dot.counter`. Requires: counter > 0.
  void Include(Dot dot);
  /// Pointwise maximum: what either knows.
  void Join(const VersionVector& other);
  /// Pointwise minimum: what both know.
  void Meet(const VersionVector& other);
  bool empty() const { return entries_.empty(); }
  const std::vector<Entry>& entries() const { return entries_; }  ///< ascending, counters > 0
  friend bool operator==(const VersionVector&, const VersionVector&) = default;

 private:
  friend bool Get(std::string_view& in, VersionVector& vector);
  std::vector<Entry> entries_;
};
void Put(std::string& out, const VersionVector& vector);
/// Removes one from `in`'s front; false if malformed (unsorted, zero counters, too short).
bool Get(std::string_view& in, VersionVector& vector);

}  // namespace coterie::clock

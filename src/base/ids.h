#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace coterie {

/// An integer that does not convert into another kind of integer: `Term` is not `LogIndex`.
/// Arithmetic is limited to what identifiers and counters need.
template <class Tag, class Rep = std::uint64_t>
struct Tagged {
  Rep value{};

  constexpr Tagged() = default;
  constexpr explicit Tagged(Rep v) : value(v) {}

  friend constexpr auto operator<=>(Tagged, Tagged) = default;
  constexpr Tagged& operator++() {
    ++value;
    return *this;
  }
  constexpr Tagged& operator--() {
    --value;
    return *this;
  }
  friend constexpr Tagged operator+(Tagged a, Rep n) { return Tagged(a.value + n); }
  friend constexpr Tagged operator-(Tagged a, Rep n) { return Tagged(a.value - n); }
  /// Distance between two positions of the same kind.
  friend constexpr Rep operator-(Tagged a, Tagged b) { return a.value - b.value; }
};

/// A machine (a process with a data directory). 0 means "none".
using NodeId = Tagged<struct NodeIdTag>;
/// A slice of a keyspace. 0 is the control keyspace's only shard.
using ShardId = Tagged<struct ShardIdTag>;
/// Raft's leadership period [Raft §5.1]. 0 means "before any election".
using Term = Tagged<struct TermTag>;
/// A position in a replicated log, from 1. 0 means "before the first entry".
using LogIndex = Tagged<struct LogIndexTag>;
/// The configuration number of a shard or of membership; a message of an older epoch is refused.
using Epoch = Tagged<struct EpochTag>;

}  // namespace coterie

template <class Tag, class Rep>
struct std::hash<coterie::Tagged<Tag, Rep>> {
  std::size_t operator()(coterie::Tagged<Tag, Rep> id) const noexcept {
    return std::hash<Rep>{}(id.value);
  }
};

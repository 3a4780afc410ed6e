#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "clock/dot.h"

namespace coterie::leaderless {

using clock::Actor;
using clock::Dot;
using clock::VersionVector;

/// What one replica of one shard has applied, and the mutations that came before their turn. Each
/// actor's mutations are applied in order and without gaps, so that a vector says it all
/// [Dynamo §4.4; DVV §3]. A value; no I/O.
class Tracker {
 public:
  explicit Tracker(std::size_t early_bytes_max = 1u << 20) : early_bytes_max_(early_bytes_max) {}

  enum class Verdict : std::uint8_t {
    kNext,   ///< apply it
    kKnown,  ///< applied already: nothing to do
    kEarly,  ///< others of the same actor are missing before it
  };
  Verdict Judge(Dot dot) const;
  /// `dot` was applied. Requires: Judge said kNext.
  void Include(Dot dot);
  /// Remembers a mutation that came early until its turn; false: it is not kept, for want of room.
  bool Keep(Dot dot, std::string_view mutation);
  /// A kept mutation whose turn has come, taken out; nullopt: none.
  std::optional<std::string> TakeReady();
  /// The cells of a replica that had applied `to` were joined.
  void RaiseTo(const VersionVector& to);

  const VersionVector& applied() const { return applied_; }
  std::size_t early_bytes() const { return early_bytes_; }

 private:
  void ForgetKnown();

  std::size_t early_bytes_max_;
  VersionVector applied_;
  std::map<Dot, std::string> early_;
  std::size_t early_bytes_ = 0;
};

}  // namespace coterie::leaderless

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"

namespace coterie::door::redis::ordered {

/// Where scans of this node go on. A cursor of Redis is a number, a position here is a key, so the
/// newest ones are kept by number; it can be used again as long as it is kept.
class Cursors {
 public:
  static constexpr std::size_t kMax = 4096;

  /// Numbers begin at random, so that those of another node or an earlier life are unlikely to be
  /// taken for ours.
  explicit Cursors(Random& random) : next_(1 + (random.Next() >> 20)) {}
  /// `scan`: which one, so that a cursor is not used for another. Never 0.
  std::uint64_t Keep(std::string_view scan, std::string position);
  std::optional<std::string> Find(std::string_view scan, std::uint64_t cursor) const;

 private:
  struct Kept {
    std::string scan;
    std::string position;
  };
  std::uint64_t next_;
  std::map<std::uint64_t, Kept> kept_;
};

}  // namespace coterie::door::redis::ordered

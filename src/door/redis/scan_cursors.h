#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace coterie::door::redis {

/// Positions of scans, as the 64-bit numbers that clients hand back. The upper bits say which part
/// (a shard) a scan is in; the lower name the key it stands behind, which is remembered here for
/// the newest kPositionsMax scans. A number that is forgotten, or comes from another node, begins
/// its part again: what is present throughout is found all the same, some of it twice, as SCAN
/// allows.
class ScanCursors {
 public:
  static constexpr std::size_t kPositionsMax = 16384;
  static constexpr std::uint64_t kPartBits = 24;

  struct Position {
    std::uint64_t part = 0;
    std::string after;  ///< "": from the part's beginning
  };
  /// Never 0. Requires: `part` < 2^24.
  std::uint64_t Make(Position position);
  /// Where a scan stands: 0 is the beginning.
  Position Find(std::uint64_t cursor);

 private:
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, std::string> after_;  // oldest first: numbers only grow
};

}  // namespace coterie::door::redis

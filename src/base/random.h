#pragma once

#include <cstdint>

#include "base/assert.h"

namespace coterie {

/// A seeded generator (xoshiro256** 1.0, seeded by splitmix64). The same seed gives the same draws
/// on every machine, so distributions are written here and std::*_distribution is not used. Not for
/// secrets.
class Random {
 public:
  explicit Random(std::uint64_t seed);

  /// Uniform over all 64-bit values.
  std::uint64_t Next();
  /// Uniform in [0, bound). Requires: bound > 0.
  std::uint64_t Below(std::uint64_t bound);
  /// Uniform in [low, high], both inclusive. Requires: low <= high.
  std::int64_t Between(std::int64_t low, std::int64_t high);
  /// True with probability `p`, in [0, 1].
  bool Chance(double p);
  /// Uniform in [0, 1).
  double Unit();
  /// A new generator whose draws do not depend on how many this one makes later.
  Random Split() { return Random(Next()); }

 private:
  std::uint64_t state_[4];
};

}  // namespace coterie

#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/random.h"

namespace coterie::door::redis {

/// Most elements that a command may ask for with repetitions: a reply is not made larger than what
/// is there times this.
constexpr std::int64_t kRepeatedMax = 1 << 20;

/// As SRANDMEMBER's count: `count` >= 0 different ones (all if there are not so many), < 0 that
/// many with repetitions.
template <class T>
std::vector<T> Sample(std::vector<T> from, std::int64_t count, Random& random) {
  if (from.empty()) return {};
  if (count < 0) {
    std::vector<T> drawn;
    for (std::int64_t i = 0; i < -count; ++i) drawn.push_back(from[random.Below(from.size())]);
    return drawn;
  }
  const std::size_t n = std::min(from.size(), static_cast<std::size_t>(count));
  if (n == from.size()) return from;
  for (std::size_t i = 0; i < n; ++i) std::swap(from[i], from[i + random.Below(from.size() - i)]);
  from.resize(n);
  return from;
}

}  // namespace coterie::door::redis

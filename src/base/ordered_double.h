#pragma once

#include <bit>
#include <cstdint>

namespace coterie {

/// A number whose unsigned order is that of the doubles, both zeros being one: written big-endian,
/// keys sort by it. The sign bit is flipped, and of negative ones every bit. Not for NaN.
constexpr std::uint64_t OrderedBits(double value) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  const auto bits = std::bit_cast<std::uint64_t>(value == 0 ? 0.0 : value);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

constexpr double FromOrderedBits(std::uint64_t ordered) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  return std::bit_cast<double>((ordered & kSign) != 0 ? ordered & ~kSign : ~ordered);
}

}  // namespace coterie

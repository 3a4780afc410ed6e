#include "door/redis/hyperloglog.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <cmath>
#include <limits>

namespace coterie::door::redis {
namespace {

constexpr int kIndexBits = 14;
constexpr int kRankBits = 64 - kIndexBits;  // q in [Ertl]
constexpr double kRegisters = 1 << kIndexBits;

/// The share of registers that are still zero, as the series sigma of [Ertl] counts them.
double Sigma(double x) {
  if (x == 1.0) return std::numeric_limits<double>::infinity();
  double y = 1;
  double z = x;
  for (double before = -1; before != z;) {
    before = z;
    x *= x;
    z += x * y;
    y += y;
  }
  return z;
}

/// The same for registers at the highest rank: tau.
double Tau(double x) {
  if (x == 0.0 || x == 1.0) return 0.0;
  double y = 1;
  double z = 1 - x;
  for (double before = -1; before != z;) {
    before = z;
    x = std::sqrt(x);
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  }
  return z / 3;
}

}  // namespace

HllPlace HllPlaceOf(std::string_view element) {
  const std::uint64_t hash = XXH3_64bits(element.data(), element.size());
  const auto index = static_cast<std::uint16_t>(hash & ((1u << kIndexBits) - 1));
  const std::uint64_t rest = hash >> kIndexBits | std::uint64_t{1} << kRankBits;
  return {index, static_cast<std::uint8_t>(std::countr_zero(rest) + 1)};
}

std::uint64_t HllEstimate(const HllRanks& ranks) {
  std::array<std::uint32_t, 64> with_rank{};
  for (const std::uint8_t rank : ranks) ++with_rank[rank & 63];
  double z = kRegisters * Tau((kRegisters - with_rank[kRankBits + 1]) / kRegisters);
  for (int rank = kRankBits; rank >= 1; --rank) z = 0.5 * (z + with_rank[rank]);
  z += kRegisters * Sigma(with_rank[0] / kRegisters);
  constexpr double kAlpha = 0.72134752044448170368;  // 1 / (2 ln 2)
  return static_cast<std::uint64_t>(std::llround(kAlpha * kRegisters * kRegisters / z));
}

}  // namespace coterie::door::redis

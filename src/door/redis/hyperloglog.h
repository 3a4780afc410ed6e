#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace coterie::door::redis {

/// HyperLogLog with 2^14 registers of ranks 0 to 51: standard error 1.04 / sqrt(2^14) = 0.81 %
/// [HyperLogLog]. Elements are hashed with XXH3 (64 bits); that never changes, or stored
/// registers would count elements anew.
using HllRanks = std::array<std::uint8_t, 16384>;

struct HllPlace {
  std::uint16_t index;
  std::uint8_t rank;
};
HllPlace HllPlaceOf(std::string_view element);
/// How many different elements were added, by Ertl's estimator, which needs neither corrections for
/// small numbers nor tables [Ertl].
std::uint64_t HllEstimate(const HllRanks& ranks);

}  // namespace coterie::door::redis

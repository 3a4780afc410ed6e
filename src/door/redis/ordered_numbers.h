#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "door/redis/ordered_view.h"

namespace coterie::door::redis::ordered {

/// As INCRBYFLOAT takes them: extended precision where the machine has it.
std::optional<long double> ParseLongDouble(std::string_view text);
/// As INCRBYFLOAT prints its result: seventeen decimals at most, no exponent, no trailing zeros.
std::string FormatLongDouble(long double value);
/// A score: any float, "inf" and hexadecimal included; nullopt for "nan" and what is none.
std::optional<double> ParseScore(std::string_view text);
/// nullopt if it would overflow.
std::optional<std::int64_t> Sum(std::int64_t a, std::int64_t b);

enum class TimeUnit : std::uint8_t { kSeconds, kMilliseconds };
enum class TimeBase : std::uint8_t { kNow, kEpoch };
/// The instant, in milliseconds since the epoch, that an argument names. nullopt, with the error
/// written: not an integer, not in range, or, unless `past` is allowed, not positive.
std::optional<std::int64_t> ParseInstant(const Call& call, std::string_view text, TimeUnit unit,
                                         TimeBase base, bool past = false);

/// SET's and GETEX's options.
struct StringOptions {
  bool nx = false, xx = false, get = false, keep_ttl = false, persist = false;
  bool expires = false;
  std::int64_t expires_at_ms = 0;
};
/// From words[first] on; nullopt with the error written.
std::optional<StringOptions> ParseSetOptions(const Call& call, std::size_t first);
std::optional<StringOptions> ParseGetExOptions(const Call& call, std::size_t first);

}  // namespace coterie::door::redis::ordered

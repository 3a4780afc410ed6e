#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace coterie::door::redis {

/// A 64-bit integer written as Redis would write it: no sign but '-', no leading zeros or spaces.
std::optional<std::int64_t> ParseInteger(std::string_view text);
/// A float as Redis takes one: "3", "-1.5e3", "inf", "+inf", "-inf", "0x1.8p3"; not "nan", no
/// spaces.
std::optional<double> ParseDouble(std::string_view text);
/// Case is ignored; `lower` is in lower case.
bool IsWord(std::string_view any, std::string_view lower);
std::string ToUpper(std::string_view text);
std::string ToLower(std::string_view text);

/// Redis's glob patterns: * ? [abc] [^a-c] and \ before a character taken literally. Steps are
/// bounded by the product of both lengths.
bool GlobMatch(std::string_view pattern, std::string_view text);

}  // namespace coterie::door::redis

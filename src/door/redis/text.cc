#include "door/redis/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace coterie::door::redis {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// Whether `c` is in the class that begins after '[' at `pattern`; moves `pattern` behind it.
bool InClass(std::string_view& pattern, char c) {
  bool negated = false;
  if (!pattern.empty() && pattern.front() == '^') {
    negated = true;
    pattern.remove_prefix(1);
  }
  bool found = false;
  while (!pattern.empty() && pattern.front() != ']') {
    if (pattern.size() >= 2 && pattern[0] == '\\') {
      found |= pattern[1] == c;
      pattern.remove_prefix(2);
    } else if (pattern.size() >= 3 && pattern[1] == '-') {
      const auto low = static_cast<unsigned char>(std::min(pattern[0], pattern[2]));
      const auto high = static_cast<unsigned char>(std::max(pattern[0], pattern[2]));
      const auto at = static_cast<unsigned char>(c);
      found |= at >= low && at <= high;
      pattern.remove_prefix(3);
    } else {
      found |= pattern.front() == c;
      pattern.remove_prefix(1);
    }
  }
  if (!pattern.empty()) pattern.remove_prefix(1);  // a class that nobody closed ends here
  return found != negated;
}

/// One pattern element, which is not '*', against one character; moves `pattern` behind it.
bool MatchOne(std::string_view& pattern, char c) {
  const char head = pattern.front();
  pattern.remove_prefix(1);
  if (head == '?') return true;
  if (head == '[') return InClass(pattern, c);
  if (head == '\\' && !pattern.empty()) {
    const char literal = pattern.front();
    pattern.remove_prefix(1);
    return literal == c;
  }
  return head == c;
}

}  // namespace

std::optional<std::int64_t> ParseInteger(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || at != end) return std::nullopt;
  const std::string_view digits = text.front() == '-' ? text.substr(1) : text;
  if (digits.front() == '0' && text.size() > 1) return std::nullopt;  // "007", "-0"
  return value;
}

std::optional<double> ParseDouble(std::string_view text) {
  if (!text.empty() && text.front() == '+') {
    text.remove_prefix(1);
    if (text.empty() || text.front() == '-') return std::nullopt;
  }
  if (text.empty()) return std::nullopt;
  const bool negative = text.front() == '-';
  const std::string_view digits = text.substr(negative ? 1 : 0);
  const bool hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
  if (hexadecimal) {
    text = digits.substr(2);
    if (text.starts_with('-')) return std::nullopt;
  }
  double value = 0;
  const char* end = text.data() + text.size();
  const auto format = hexadecimal ? std::chars_format::hex : std::chars_format::general;
  const auto [at, error] = std::from_chars(text.data(), end, value, format);
  if (hexadecimal && negative) value = -value;
  if (error != std::errc() || at != end || std::isnan(value)) return std::nullopt;
  return value;
}

bool IsWord(std::string_view any, std::string_view lower) {
  if (any.size() != lower.size()) return false;
  for (std::size_t i = 0; i < any.size(); ++i)
    if (Lower(any[i]) != lower[i]) return false;
  return true;
}

std::string ToUpper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  return upper;
}

std::string ToLower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = Lower(c);
  return lower;
}

bool GlobMatch(std::string_view pattern, std::string_view text) {
  // One '*' to come back to is enough: a later one can take over everything an earlier one could.
  std::string_view star_pattern, star_text;
  bool starred = false;
  while (!text.empty() || !pattern.empty()) {
    if (!pattern.empty() && pattern.front() == '*') {
      pattern.remove_prefix(1);
      star_pattern = pattern;
      star_text = text;
      starred = true;
      continue;
    }
    if (!pattern.empty() && !text.empty() && MatchOne(pattern, text.front())) {
      text.remove_prefix(1);
      continue;
    }
    if (!starred || star_text.empty()) return false;
    star_text.remove_prefix(1);
    pattern = star_pattern;
    text = star_text;
  }
  return true;
}

}  // namespace coterie::door::redis

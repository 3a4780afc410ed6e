#include "door/redis/ordered_numbers.h"

#include <fmt/format.h>

#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

constexpr std::size_t kNumberCharactersMax = 5 * 1024;

template <class Float, class Parse>
std::optional<Float> ParseWith(std::string_view text, const Parse& parse) {
  if (text.empty() || text.size() > kNumberCharactersMax) return std::nullopt;
  if (std::isspace(static_cast<unsigned char>(text.front())) != 0) return std::nullopt;
  const std::string terminated(text);
  char* end = nullptr;
  errno = 0;
  const Float value = parse(terminated.c_str(), &end);
  if (end != terminated.c_str() + terminated.size() || std::isnan(value)) return std::nullopt;
  if (errno == ERANGE && (std::isinf(value) || value == 0)) return std::nullopt;
  return value;
}

struct Duration {
  TimeUnit unit;
  TimeBase base;
};

std::optional<Duration> DurationOption(std::string_view word) {
  if (IsWord(word, "ex")) return Duration{TimeUnit::kSeconds, TimeBase::kNow};
  if (IsWord(word, "px")) return Duration{TimeUnit::kMilliseconds, TimeBase::kNow};
  if (IsWord(word, "exat")) return Duration{TimeUnit::kSeconds, TimeBase::kEpoch};
  if (IsWord(word, "pxat")) return Duration{TimeUnit::kMilliseconds, TimeBase::kEpoch};
  return std::nullopt;
}

std::optional<StringOptions> Parse(const Call& call, std::size_t first, bool set) {
  StringOptions options;
  std::string_view number;
  Duration duration{};
  for (std::size_t i = first; i < call.size(); ++i) {
    const std::string_view word = call[i];
    const auto named = DurationOption(word);
    if (named) {
      const bool second = options.expires || options.keep_ttl || options.persist;
      if (second || i + 1 == call.size()) return call.SyntaxError(), std::nullopt;
      options.expires = true;
      duration = *named;
      number = call[++i];
    } else if (set && IsWord(word, "nx") && !options.xx) {
      options.nx = true;
    } else if (set && IsWord(word, "xx") && !options.nx) {
      options.xx = true;
    } else if (set && IsWord(word, "get")) {
      options.get = true;
    } else if (set && IsWord(word, "keepttl") && !options.expires) {
      options.keep_ttl = true;
    } else if (!set && IsWord(word, "persist") && !options.expires) {
      options.persist = true;
    } else {
      call.SyntaxError();
      return std::nullopt;
    }
  }
  if (options.expires) {
    const auto at = ParseInstant(call, number, duration.unit, duration.base);
    if (!at) return std::nullopt;
    options.expires_at_ms = *at;
  }
  return options;
}

}  // namespace

std::optional<long double> ParseLongDouble(std::string_view text) {
  return ParseWith<long double>(text, [](const char* s, char** end) { return strtold(s, end); });
}

std::string FormatLongDouble(long double value) {
  std::string text(kNumberCharactersMax, '\0');
  const int size = std::snprintf(text.data(), text.size(), "%.17Lf", value);
  if (size <= 0 || static_cast<std::size_t>(size) >= text.size()) return {};
  text.resize(static_cast<std::size_t>(size));
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  if (text == "-0") text = "0";
  return text;
}

std::optional<double> ParseScore(std::string_view text) {
  return ParseWith<double>(text, [](const char* s, char** end) { return strtod(s, end); });
}

std::optional<std::int64_t> Sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

std::optional<std::int64_t> ParseInstant(const Call& call, std::string_view text, TimeUnit unit,
                                         TimeBase base, bool past) {
  const auto number = ParseInteger(text);
  if (!number) return call.NotInteger(), std::nullopt;
  std::int64_t ms = *number;
  bool valid = past || ms > 0;
  if (unit == TimeUnit::kSeconds) valid = valid && !__builtin_mul_overflow(ms, 1000, &ms);
  if (base == TimeBase::kNow) {
    valid = valid && !__builtin_add_overflow(ms, call.view.now_ms(), &ms);
  }
  if (valid) return ms;
  call.reply.Error(fmt::format("ERR invalid expire time in '{}' command", call.command.name));
  return std::nullopt;
}

std::optional<StringOptions> ParseSetOptions(const Call& call, std::size_t first) {
  return Parse(call, first, true);
}

std::optional<StringOptions> ParseGetExOptions(const Call& call, std::size_t first) {
  return Parse(call, first, false);
}

}  // namespace coterie::door::redis::ordered

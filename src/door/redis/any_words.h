#pragma once

// For this room's tests: commands that no client would send, and whether what comes back is one
// reply.

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "door/redis/command_table.h"

namespace coterie::door::redis {

/// A command that `kind` serves, with as many words as it accepts: a few keys, on
/// which commands of all types meet, the words that commands look for, numbers at the ends of
/// what numbers can be, and now and then very large words, or very many.
inline std::vector<std::string> AnyWords(Random& random, std::uint8_t kind) {
  static constexpr std::array kKeys = {"a", "b", "c", "d", "{t}e", "{t}f", "", "\xff"};
  static constexpr std::array kWords = {
      "nx",      "xx",        "gt",    "lt",       "ch",    "incr",       "get",     "keepttl",
      "ex",      "px",        "exat",  "pxat",     "limit", "withscores", "count",   "match",
      "weights", "aggregate", "sum",   "min",      "max",   "bylex",      "byscore", "rev",
      "streams", "maxlen",    "minid", "~",        "=",     "*",          "$",       "-",
      "+",       "(",         "[",     "[a",       "(b",    "withvalues", "persist", "type",
      "zset",    "byte",      "bit",   "encoding", "1-1",   "0-*",        "replace", "nomkstream",
      "db",      "async",     "sync",  "hash"};
  static constexpr std::array kNumbers = {"0",
                                          "1",
                                          "-1",
                                          "2",
                                          "-2",
                                          "3",
                                          "100",
                                          "-100",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "9223372036854775806",
                                          "9223372036854775",
                                          "-9223372036854775807",
                                          "9223372036854775808",
                                          "18446744073709551615",
                                          "4294967296",
                                          "2147483648",
                                          "-2147483649",
                                          "1152921504606846976",
                                          "inf",
                                          "-inf",
                                          "nan",
                                          "1e308",
                                          "-1e308",
                                          "1e-320",
                                          "0.5",
                                          "18446744073709551615-18446744073709551615",
                                          "(9223372036854775807",
                                          "(-inf"};
  const auto commands = AllCommands();
  const Command* command = nullptr;
  while (command == nullptr || (command->kinds & kind) == 0)
    command = &commands[random.Below(commands.size())];
  // Those that have none in the table take their key behind the name of a subcommand.
  static constexpr std::array kOfObject = {"encoding", "refcount", "idletime", "freq", "help"};
  const auto least =
      static_cast<std::size_t>(command->arity < 0 ? -command->arity : command->arity);
  std::size_t size = least;
  if (command->arity < 0) size += random.Below(random.Below(400) == 0 ? 3000 : 6);
  std::vector<std::string> words = {std::string(command->name)};
  if (command->id == CommandId::kObject && random.Chance(0.9)) {
    words.emplace_back(kOfObject[random.Below(kOfObject.size())]);
    size = 3;
  }
  while (words.size() < size) {
    const bool key =
        command->first != 0 && words.size() == static_cast<std::size_t>(command->first);
    if (random.Below(500) == 0) {
      const std::size_t large = random.Below(20) == 0 ? 2u << 20 : 1 + random.Below(70'000);
      words.emplace_back(large, random.Chance(0.5) ? '1' : '\0');
      continue;
    }
    switch (key ? 0 : random.Below(6)) {
      case 0:
      case 1:
        words.emplace_back(kKeys[random.Below(kKeys.size())]);
        break;
      case 2:
        words.emplace_back(kWords[random.Below(kWords.size())]);
        break;
      default:
        words.emplace_back(kNumbers[random.Below(kNumbers.size())]);
    }
  }
  return words;
}

/// Steps over one reply; false: there is none, or not a whole one.
inline bool SkipReply(std::string_view& in) {
  const std::size_t end = in.find("\r\n");
  if (end == in.npos || end == 0) return false;
  const char type = in.front();
  const std::string_view head = in.substr(1, end - 1);
  in.remove_prefix(end + 2);
  if (std::string_view("+-:_,#(").find(type) != in.npos) return true;
  std::int64_t size = 0;
  const auto [at, error] = std::from_chars(head.data(), head.data() + head.size(), size);
  if (error != std::errc() || at != head.data() + head.size() || size < -1) return false;
  if (size == -1) return true;
  if (type == '$' || type == '=') {
    const auto bytes = static_cast<std::size_t>(size);
    if (in.size() < bytes + 2 || in.substr(bytes, 2) != "\r\n") return false;
    in.remove_prefix(bytes + 2);
    return true;
  }
  if (type != '*' && type != '~' && type != '%') return false;
  for (std::int64_t i = 0; i < (type == '%' ? 2 * size : size); ++i)
    if (!SkipReply(in)) return false;
  return true;
}

}  // namespace coterie::door::redis

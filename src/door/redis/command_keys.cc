#include "door/redis/command_keys.h"

#include <algorithm>

#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

/// `count` of them from `first` on; nullopt if there are not so many words.
std::optional<std::vector<std::size_t>> Run(std::size_t first, std::int64_t count, Words words) {
  if (count < 1 || static_cast<std::uint64_t>(count) > words.size() - std::min(first, words.size()))
    return std::nullopt;
  std::vector<std::size_t> keys;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) keys.push_back(first + i);
  return keys;
}

std::optional<std::vector<std::size_t>> Counted(std::size_t at, Words words) {
  const auto count = ParseInteger(words[at]);
  if (!count) return std::nullopt;
  return Run(at + 1, *count, words);
}

/// XREAD: half of what follows STREAMS.
std::optional<std::vector<std::size_t>> AfterStreams(Words words) {
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!IsWord(words[i], "streams")) continue;
    const std::size_t rest = words.size() - i - 1;
    if (rest == 0 || rest % 2 != 0) return std::nullopt;
    return Run(i + 1, static_cast<std::int64_t>(rest / 2), words);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::vector<std::size_t>> KeyPositions(const Command& command, Words words) {
  switch (command.id) {
    case CommandId::kZunion:
    case CommandId::kZinter:
    case CommandId::kZdiff:
    case CommandId::kZintercard:
    case CommandId::kSintercard:
      return Counted(1, words);
    case CommandId::kXread:
      return AfterStreams(words);
    case CommandId::kObject:
      if (words.size() == 3) return Run(2, 1, words);
      return std::vector<std::size_t>();
    case CommandId::kCoterie:
    case CommandId::kObject:
      return Run(2, words.size() > 2 ? 1 : 0, words);
    default:
      break;
  }
  std::vector<std::size_t> keys;
  if (command.first == 0) return keys;
  const auto size = static_cast<int>(words.size());
  const int last = command.last < 0 ? size + command.last : command.last;
  for (int i = command.first; i <= last && i < size; i += command.step)
    keys.push_back(static_cast<std::size_t>(i));
  return keys;
}

}  // namespace coterie::door::redis

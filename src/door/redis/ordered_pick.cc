#include "door/redis/ordered_pick.h"

#include <algorithm>
#include <numeric>

#include "door/redis/text.h"

namespace coterie::door::redis::ordered {

std::optional<std::int64_t> ParsePickCount(const Call& call, std::string_view text) {
  constexpr std::int64_t kDrawsMax = 1'000'000;  // what one reply may hold
  const auto count = ParseInteger(text);
  if (!count) return call.NotInteger(), std::nullopt;
  if (*count >= -kDrawsMax) return count;
  call.reply.Error("ERR value is out of range");
  return std::nullopt;
}

std::vector<std::size_t> Pick(Random& random, std::size_t size, std::int64_t count) {
  std::vector<std::size_t> picks;
  if (size == 0) return picks;
  if (count < 0) {
    for (std::int64_t i = 0; i < -count; ++i) picks.push_back(random.Below(size));
    return picks;
  }
  picks.resize(size);
  std::iota(picks.begin(), picks.end(), std::size_t{0});
  const std::size_t wanted = std::min(size, static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < wanted; ++i) {  // [Fisher-Yates]
    std::swap(picks[i], picks[i + random.Below(size - i)]);
  }
  picks.resize(wanted);
  return picks;
}

}  // namespace coterie::door::redis::ordered

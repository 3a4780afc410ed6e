#include "door/redis/ordered_pick.h"

#include <algorithm>
#include <cstdlib>
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

std::vector<Objects::Element> PickElements(Objects& objects, std::string_view key,
                                           std::int64_t count) {
  constexpr std::int64_t kDrawnMax = 32;
  std::vector<Objects::Element> out;
  const std::int64_t size = objects.Find(key).count;
  if (size == 0 || count == 0) return out;
  // Of a large collection few are drawn one by one; the same twice is drawn again.
  if (std::abs(count) <= kDrawnMax && size > 16 * kDrawnMax) {
    for (int tries = 0; tries < 16 * kDrawnMax && std::ssize(out) < std::abs(count); ++tries) {
      auto drawn = objects.Draw(key);
      if (!drawn) return out;
      const bool known =
          std::ranges::find(out, drawn->first, &Objects::Element::first) != out.end();
      if (count < 0 || !known) out.push_back(std::move(*drawn));
    }
    if (std::ssize(out) == std::abs(count)) return out;
    out.clear();
  }
  const auto elements = objects.Elements(key);
  for (const std::size_t pick : Pick(objects.random(), elements.size(), count)) {
    out.push_back(elements[pick]);
  }
  return out;
}

void ReplyPicks(const Call& call, ObjectType type, std::string_view with,
                const std::function<void(const std::string& value)>& reply_value) {
  const bool one = call.size() == 2;
  const auto count = one ? 1 : ParsePickCount(call, call[2]);
  if (!count) return;
  const bool values = call.size() == 4 && IsWord(call[3], with);
  if (call.size() > 4 || (call.size() == 4 && !values)) return call.SyntaxError();
  if (!call.Accepts(call.view.Find(call[1]), type)) return;
  const auto picks = PickElements(call.objects(), call[1], *count);
  if (one) {
    if (picks.empty()) return call.reply.Null();
    return call.reply.Bulk(picks.front().first);
  }
  const bool pairs = values && call.reply.protocol() >= 3;
  call.reply.Array(picks.size() * (values && !pairs ? 2 : 1));
  for (const auto& pick : picks) {
    if (pairs) call.reply.Array(2);
    call.reply.Bulk(pick.first);
    if (values) reply_value(pick.second);
  }
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
  for (std::size_t i = 0; i < wanted; ++i) {  // [Knuth-2 §3.4.2]
    std::swap(picks[i], picks[i + random.Below(size - i)]);
  }
  picks.resize(wanted);
  return picks;
}

}  // namespace coterie::door::redis::ordered

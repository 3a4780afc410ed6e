#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "door/redis/ordered_objects.h"
#include "door/redis/ordered_view.h"

namespace coterie::door::redis::ordered {

/// "cursor [MATCH pattern] [COUNT n] [TYPE t]".
struct ScanRequest {
  static constexpr std::int64_t kCountMax = 10'000;  ///< more are taken for so many

  std::optional<std::string> after;  ///< where it goes on; nullopt: at the start
  std::int64_t count = 10;
  std::optional<std::string> pattern;
  std::optional<std::string> type;  ///< SCAN only
  bool Matches(std::string_view name) const;
};
/// The cursor is words[first]. `scan` names what is scanned. nullopt with the error written.
std::optional<ScanRequest> ParseScan(const Call& call, std::size_t first, std::string_view scan,
                                     bool type_allowed);
/// The head of a scan's reply, and its cursor: 0 if there is no `next`.
void ReplyCursor(const Call& call, std::string_view scan, std::optional<std::string> next);

/// HSCAN and its like: a page of the elements of words[1], which holds a `type`. `reply` writes
/// one, in `words_each` words.
void ScanElements(const Call& call, ObjectType type, std::size_t words_each,
                  const std::function<void(const Objects::Element&)>& reply);

}  // namespace coterie::door::redis::ordered

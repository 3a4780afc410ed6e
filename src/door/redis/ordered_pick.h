#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "door/redis/ordered_objects.h"

namespace coterie::door::redis::ordered {

/// The count of SRANDMEMBER and its like: so many different ones, or, negative, so many draws.
/// nullopt with the error written.
std::optional<std::int64_t> ParsePickCount(const Call& call, std::string_view text);

/// Picks of a collection's elements, in the order drawn. `count` as above.
std::vector<Objects::Element> PickElements(Objects& objects, std::string_view key,
                                           std::int64_t count);

/// HRANDFIELD and its like: "key [count [`with`]]", of a collection of `type`. `reply_value` writes
/// what an element holds besides its name.
void ReplyPicks(const Call& call, ObjectType type, std::string_view with,
                const std::function<void(const std::string& value)>& reply_value);

/// Picks of [0, size), in the order drawn. `count` as above.
std::vector<std::size_t> Pick(Random& random, std::size_t size, std::int64_t count);

}  // namespace coterie::door::redis::ordered

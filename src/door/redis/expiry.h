#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "door/redis/cell_call.h"

namespace coterie::door::redis {

enum class ExpiryUnit : std::uint8_t { kSeconds, kMilliseconds, kUnixSeconds, kUnixMilliseconds };
/// EX, PX, EXAT or PXAT.
std::optional<ExpiryUnit> ExpiryUnitOf(std::string_view word);
/// The deadline that words[i] gives, in milliseconds since the epoch; may have passed, unless
/// `positive` is asked for. nullopt: Redis's error is in the reply.
std::optional<std::int64_t> ParseExpiry(CellCall& call, std::size_t i, ExpiryUnit unit,
                                        std::string_view command, bool positive = true);

}  // namespace coterie::door::redis

#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "door/redis/command.h"

namespace coterie::door::redis {

/// The positions of a command's keys among its words, ascending. nullopt: its arguments do not say
/// (numkeys that is no number, STREAMS missing). Requires: the word count fits the table.
std::optional<std::vector<std::size_t>> KeyPositions(const Command& command, Words words);

}  // namespace coterie::door::redis

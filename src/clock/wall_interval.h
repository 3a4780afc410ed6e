#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"

namespace coterie::clock {

/// What a clock knows of the date, for people: "±3.2 ms", "±1.5 s", or "unsynchronised".
std::string ToText(const WallInterval& wall);

/// Milliseconds since the Unix epoch as deadlines of users' values are set and judged by: the
/// middle, so that an unsynchronised clock, whose bound is wide, is neither early nor late.
std::uint64_t MiddleMs(const WallInterval& wall);
std::int64_t MiddleUs(const WallInterval& wall);  ///< the same in microseconds, for TIME

}  // namespace coterie::clock

#pragma once

#include <string>

#include "base/time.h"

namespace coterie::clock {

/// What a clock knows of the date, for people: "±3.2 ms", "±1.5 s", or "unsynchronised".
std::string ToText(const WallInterval& wall);

}  // namespace coterie::clock

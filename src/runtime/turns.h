#pragma once

#include <cstdint>

#include "base/time.h"

namespace coterie::runtime {

/// How long this process's reactor has been held by single turns: by one item or timer, until its
/// next suspension. Nothing is measured in simulation, where a turn takes no time.
struct TurnStats {
  static constexpr Duration kLong = 10ms;
  Duration longest{};       ///< of the processor's time, rounded up by the turns just before it
  Duration longest_wall{};  ///< with whatever else the machine did meanwhile, and waits for disks
  std::uint64_t long_turns = 0;  ///< over kLong of the processor's time
};

/// A process has one reactor. Its thread only.
inline TurnStats& Turns() {
  static TurnStats stats;
  return stats;
}

}  // namespace coterie::runtime

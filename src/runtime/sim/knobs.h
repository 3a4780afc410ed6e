#pragma once

#include <cstdint>

#include "base/time.h"

namespace coterie::runtime {

/// How a network path between two nodes behaves, per direction. Loss of a datagram loses it; loss
/// of a stream's bytes delays them, and all behind them, by a retransmission.
struct LinkKnobs {
  Duration delay_min = 100us;
  Duration delay_max = 500us;
  double loss = 0;
  double duplicate = 0;  ///< datagrams only
  double slow = 0;       ///< chance of an extra delay up to slow_max; reorders datagrams
  Duration slow_max = 20ms;
  Duration retransmit = 200ms;  ///< the first; each further loss doubles it
};

/// How every byte stream behaves.
struct StreamKnobs {
  /// Chance that a Read answers only a random part of what is there (half of the time one byte),
  /// and that a Write travels in two pieces.
  double split = 0.1;
  std::uint64_t buffer_bytes = 256u << 10;  ///< written and not yet read; then Write waits
  /// Chance that a stream which had to wait for a cut link is reset, not resumed, when it heals.
  double reset_on_heal = 0;
};

/// How one node's disk behaves. Chances are per operation.
struct DiskKnobs {
  Duration operation_min = 1us;
  Duration operation_max = 20us;
  Duration sync_min = 100us;
  Duration sync_max = 1ms;
  double slow = 0;  ///< an operation takes up to slow_max longer
  Duration slow_max = 500ms;
  /// A sync fails: its pages are marked clean though they never reach the disk, so later syncs
  /// succeed without them and only the page cache still shows them (until the machine dies).
  double sync_failure = 0;
  double misdirected_write = 0;  ///< a write lands elsewhere in the same file
  double bit_rot = 0;            ///< a read finds one bit of what it reads flipped, for good
  std::uint64_t capacity_bytes = 1ull << 40;  ///< over it: kDiskFull
  /// What the machine's death may destroy around an unsynced write, synced or not: as on a disk
  /// with such sectors and no power-loss protection. A power of two in [512, 4096].
  std::uint32_t write_unit = 4096;
};

/// How one node's clocks differ from true time.
struct ClockKnobs {
  std::int64_t offset_ns = 0;          ///< wall time minus true time
  std::int64_t drift_ppb = 0;          ///< both clocks gain this many ns a second
  std::int64_t bound_ns = 10'000'000;  ///< the error the wall clock admits
  bool synchronized = true;
  /// The admitted error grows to hold true time, as a disciplined clock's does; else it lies.
  bool honest = true;
};

/// What goes with a dying node.
enum class Death : std::uint8_t {
  kProcess,   ///< the page cache survives; peers' streams are reset
  kMachine,   ///< unsynced disk writes suffer; peers' streams are reset (it boots at once)
  kPowerOff,  ///< unsynced disk writes suffer; peers hear nothing until the node is started again
};

}  // namespace coterie::runtime

#pragma once

#include <cstddef>

#include "base/ids.h"
#include "base/time.h"

namespace coterie::membership {

struct Config {
  NodeId self;
  /// Each other member is probed about once a period, up to `probes_max` of them; beyond that the
  /// load stays the same and a round takes more periods.
  Duration probe_period = 1000ms;
  std::size_t probes_max = 8;
  /// A probe asks `attempts` times, this long apart; from the second time on others are asked, too
  /// [SWIM §3.1]. It has failed when the last wait is over.
  Duration probe_timeout = 250ms;
  int attempts = 3;
  std::size_t helpers = 3;
  /// How long a suspect has to refute: the longer one at first, the shorter one once so many others
  /// suspect it, too [Lifeguard §IV-B].
  Duration suspicion_min = 2000ms;
  Duration suspicion_max = 4000ms;
  std::size_t confirmations = 3;
  /// A suspect is asked this often: it must learn of the suspicion to refute it.
  Duration suspect_ping_interval = 100ms;
  /// Every wait is up to 1 + this many times longer while this node itself seems slow
  /// [Lifeguard §IV-A].
  int health_max = 4;
  /// An update rides on so many messages for each doubling of the membership.
  int retransmit_factor = 3;
  /// Updates in one message, besides the one about its receiver.
  std::size_t updates_max = 8;
  /// Probes made for others at once; over it a request is not answered.
  std::size_t relays_max = 64;
  /// Waking up later than this after the time asked for means that this node stood still, and the
  /// others had no chance to be heard.
  Duration stall = 300ms;
};

}  // namespace coterie::membership

#pragma once

#include "base/time.h"

namespace coterie::paxos {

struct Config {
  /// Requests without an answer are sent again after this.
  Duration resend_interval = 250ms;
  /// A refused proposer tries again after a random time between what the phase took, but at least
  /// `backoff_min`, and that doubled for each try up to `backoff_max`.
  Duration backoff_min = 500us;
  Duration backoff_max = 100ms;
  /// Rounds of one change; then it ends as contended.
  int tries_max = 50;
};

}  // namespace coterie::paxos

#pragma once

#include "base/time.h"

namespace coterie::paxos {

struct Config {
  /// Requests without an answer are sent again after this.
  Duration resend_interval = 250ms;
  /// A refused proposer tries again after a random time below `backoff_min`, doubled for each try
  /// up to `backoff_max`.
  Duration backoff_min = 2ms;
  Duration backoff_max = 100ms;
  /// Rounds of one change; then it ends as contended.
  int tries_max = 30;
};

}  // namespace coterie::paxos

#pragma once

#include <cstddef>

#include "base/ids.h"
#include "base/time.h"

namespace coterie::raft {

struct Config {
  NodeId self;
  /// A follower campaigns after a random silence in [election_timeout, 2 * election_timeout).
  Duration election_timeout = 1000ms;
  Duration heartbeat_interval = 100ms;
  /// A commit index that nobody is known to wait for elsewhere goes with the next entries, or after
  /// this time by itself. 0: at once.
  Duration commit_notice_delay = Duration::zero();
  /// Bounds per AppendEntries message and per follower under way.
  std::size_t append_bytes_max = 1u << 20;
  std::size_t inflight_messages_max = 256;
  std::size_t inflight_bytes_max = 16u << 20;
  /// Proposals that are not committed yet; over it Propose answers kOverloaded.
  std::size_t uncommitted_bytes_max = 64u << 20;
  /// Reads that wait for their round; over it Read answers kOverloaded.
  std::size_t pending_reads_max = 1u << 16;
};

}  // namespace coterie::raft

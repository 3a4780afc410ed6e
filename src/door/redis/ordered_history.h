#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/time.h"
#include "model/kv/store.h"

namespace coterie::door::redis::ordered {

/// What is kept of the past of a raft keyspace while Redis commands change it: revisions that are
/// younger than `kept`, but no more than `revisions_max` of them. `revisions_max` 0: everything, as
/// long as no client compacts.
struct HistoryBound {
  Duration kept = 300s;
  std::uint64_t revisions_max = 100'000;
};

/// Decides how far to compact, from what it is told now and then. Pure. Nothing is done for a
/// keyspace that only etcd clients change: compacting is theirs.
class HistoryPolicy {
 public:
  explicit HistoryPolicy(HistoryBound bound) : bound_(bound) {}

  /// A Redis command has changed something.
  void OnChange() { ++changes_; }
  /// The revision to compact at, once it is worth it; `revision` is the newest one.
  std::optional<kv::Revision> Decide(Instant now, kv::Revision revision, kv::Revision compacted);

 private:
  static constexpr std::uint64_t kWorthIt = 1000;  ///< changes, and revisions
  static constexpr Duration kMarkEvery = 10s;
  struct Mark {
    Instant at;
    kv::Revision revision;
  };
  const HistoryBound bound_;
  std::uint64_t changes_ = 0;
  kv::Revision old_ = 0;    // older than `kept`
  std::deque<Mark> marks_;  // what was newest when, younger than `kept`
};

}  // namespace coterie::door::redis::ordered

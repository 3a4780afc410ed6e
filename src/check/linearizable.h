#pragma once

#include <cstdint>

#include "check/history.h"
#include "check/verdict.h"

namespace coterie::check {

struct LinearizableOptions {
  /// Also judge the revisions, versions and modification marks that answers carried. Without it the
  /// server's stamps are ignored: nothing it says about order is believed.
  bool stamps = false;
  /// Try the order that the answers' revisions suggest before any search (witness.h). It can only
  /// save work: an order that does not explain every answer is dropped.
  bool witness = true;
  /// All budgets together bound the work; a spent one answers kUnknown.
  std::uint64_t steps_max = 50'000'000;
  std::uint64_t memo_entries_max = 8'000'000;  ///< 32 bytes each at half load
};

/// Is there one order of the operations that respects real time (an operation that returned before
/// another was invoked comes first) and in which every answer is what a single store would have
/// given? [Herlihy-Wing §2]. The history is cut into groups of keys that no operation
/// connects, each of which may be judged alone [Herlihy-Wing §3.1, locality]. Serializable reads
/// are left out; failed operations have not happened; unknown ones may happen at any time after
/// their invocation, or never.
///
/// kUnknown also answers histories that Validate refuses.
Verdict CheckLinearizable(const History& history, const LinearizableOptions& options = {});

}  // namespace coterie::check

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"
#include "check/verdict.h"

namespace coterie::check {

struct WatchEvent {
  bool deleted = false;
  KeyValue kv;  ///< of a deletion only key and mod_revision count
  std::optional<KeyValue> prev_kv;
};

struct WatchResponse {
  std::int64_t time_ns = 0;
  std::int64_t revision = 0;  ///< the header's
  std::vector<WatchEvent> events;
  bool progress = false;  ///< a bookmark: no events, everything up to `revision` has been sent
  bool fragment = false;  ///< more of the same revision follows
  std::int64_t compact_revision = 0;  ///< not 0: refused, `start` is compacted
};

/// One create request and what came for it until the stream ended or it was cancelled.
struct WatchAttempt {
  std::int64_t created_ns = 0;
  std::int64_t start_revision = 0;    ///< as asked; 0: from the created response's revision + 1 on
  std::int64_t created_revision = 0;  ///< the created response's header; 0 if it never came
  std::vector<WatchResponse> responses;
};

/// One watch as its user sees it: attempts, each of which resumes where the one before ended.
struct Watch {
  std::string name;
  std::string key;
  std::string range_end;
  bool prev_kv = false;
  bool no_put = false;
  bool no_delete = false;
  std::vector<WatchAttempt> attempts;
};

struct WatchOptions {
  /// Every watch that was not refused must have covered this revision at the end; 0: none must.
  std::int64_t must_reach = 0;
  /// The highest revision that was compacted: what lay at or below may be missing as prev_kv.
  std::int64_t compacted = 0;
};

/// etcd's promises about watches, judged against the writes that clients of the same run made:
///  - ordered: revisions ascend within an attempt;
///  - unique: an event comes once, over resumptions too;
///  - atomic: a revision is never split over two responses, unless the first says `fragment`;
///  - resumable and complete: between the start and the last revision an attempt covered (by an
///  event or a
///    bookmark) no change of a watched key is missing: none that was acknowledged, nor any that
///    another client or watch saw;
///  - bookmarkable: no event at or below a bookmark comes after it, and no header is below its
///  events;
///  - filtered: no event of another key, below the start, or of a refused kind;
///  - true: every event was written by somebody, and prev_kv is what the key held before.
Verdict CheckWatchOrder(const History& history, const std::vector<Watch>& watches,
                        const WatchOptions& options = {});

}  // namespace coterie::check

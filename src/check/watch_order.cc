#include "check/watch_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "check/event_log.h"

namespace coterie::check {
namespace {

std::string Text(const WatchEvent& event) {
  return fmt::format("{} {} at {}", event.deleted ? "delete" : "put", event.kv.key,
                     event.kv.mod_revision);
}

/// Follows one watch through its attempts.
class Follower {
 public:
  explicit Follower(const Watch& watch) : watch_(watch) {}

  /// Ordered, unique, atomic, bookmarkable and filtered: what needs no knowledge of the writes.
  std::string CheckShape() {
    for (std::size_t i = 0; i < watch_.attempts.size(); ++i) {
      attempt_ = i;
      const WatchAttempt& attempt = watch_.attempts[i];
      last_event_ = 0;
      bookmark_ = 0;
      open_fragment_ = false;
      for (const WatchResponse& response : attempt.responses) {
        if (std::string why = CheckResponse(attempt, response); !why.empty()) return why;
      }
    }
    return "";
  }

  /// Complete: every change of a watched key between an attempt's start and what it covered was
  /// sent.
  std::string CheckComplete(const EventLog& log, const WatchOptions& options) {
    bool refused = false;
    std::int64_t covered = 0;
    for (std::size_t i = 0; i < watch_.attempts.size(); ++i) {
      attempt_ = i;
      const WatchAttempt& attempt = watch_.attempts[i];
      if (!attempt.responses.empty() && attempt.responses.back().compact_revision != 0)
        refused = true;
      std::int64_t start = StartOf(attempt);
      const std::int64_t upto = CoveredBy(attempt);
      // A resumption that skips what its predecessors did not cover must not have skipped a change.
      if (i > 0 && covered > 0 && !refused) start = std::min(start, covered + 1);
      if (upto == 0) continue;
      covered = std::max(covered, upto);
      if (std::string why = CheckInterval(log, start, upto); !why.empty()) return why;
    }
    if (!refused && covered < options.must_reach) {
      return Wrong(
          fmt::format("it has covered revision {} only, not {}", covered, options.must_reach));
    }
    return "";
  }

  std::string CheckPrevious(const EventLog& log, const WatchOptions& options) {
    for (std::size_t i = 0; i < watch_.attempts.size(); ++i) {
      attempt_ = i;
      for (const WatchResponse& response : watch_.attempts[i].responses) {
        for (const WatchEvent& event : response.events) {
          if (std::string why = CheckPrevious(log, options, event, response.time_ns);
              !why.empty()) {
            return why;
          }
        }
      }
    }
    return "";
  }

 private:
  std::string Wrong(std::string_view why) const {
    return fmt::format("watch {} (attempt {}): {}", watch_.name, attempt_ + 1, why);
  }
  static std::int64_t StartOf(const WatchAttempt& attempt) {
    return attempt.start_revision > 0 ? attempt.start_revision : attempt.created_revision + 1;
  }
  /// Everything up to this revision has been sent, as far as its user can tell.
  static std::int64_t CoveredBy(const WatchAttempt& attempt) {
    std::int64_t covered = 0;
    for (const WatchResponse& response : attempt.responses) {
      if (response.progress) covered = std::max(covered, response.revision);
      for (const WatchEvent& event : response.events) {
        const std::int64_t whole = event.kv.mod_revision - (response.fragment ? 1 : 0);
        covered = std::max(covered, whole);
      }
    }
    return covered;
  }

  std::string CheckResponse(const WatchAttempt& attempt, const WatchResponse& response) {
    if (response.progress) {
      if (!response.events.empty()) return Wrong("a bookmark carries events");
      // The resume protocol restarts at a bookmark + 1: it must not be behind what was sent.
      if (response.revision < last_event_) {
        return Wrong(
            fmt::format("a bookmark says {} after an event of {}", response.revision, last_event_));
      }
      bookmark_ = std::max(bookmark_, response.revision);
      return "";
    }
    if (response.events.empty()) return "";
    const std::int64_t first = response.events.front().kv.mod_revision;
    if (first == last_event_ && !open_fragment_) {
      return Wrong(fmt::format("revision {} is split over two responses", first));
    }
    for (const WatchEvent& event : response.events) {
      if (std::string why = CheckEvent(attempt, response, event); !why.empty()) return why;
      last_event_ = event.kv.mod_revision;
    }
    open_fragment_ = response.fragment;
    return "";
  }

  std::string CheckEvent(const WatchAttempt& attempt, const WatchResponse& response,
                         const WatchEvent& event) {
    const std::int64_t revision = event.kv.mod_revision;
    if (!sent_.insert({revision, event.kv.key}).second)
      return Wrong(Text(event) + " was sent twice");
    if (revision < last_event_) {
      return Wrong(fmt::format("{} came after an event of {}", Text(event), last_event_));
    }
    if (revision <= bookmark_) {
      return Wrong(fmt::format("{} came after the bookmark {}", Text(event), bookmark_));
    }
    if (revision > response.revision) {
      return Wrong(fmt::format("{} came under a header of {}", Text(event), response.revision));
    }
    if (revision < StartOf(attempt)) {
      return Wrong(fmt::format("{} came to a watch from {} on", Text(event), StartOf(attempt)));
    }
    if (!InRange(event.kv.key, watch_.key, watch_.range_end)) {
      return Wrong(Text(event) + " is of another key");
    }
    if (event.deleted ? watch_.no_delete : watch_.no_put)
      return Wrong(Text(event) + " was filtered out");
    if (!event.deleted && event.kv.version != 0 &&
        (event.kv.version == 1) != (event.kv.create_revision == revision)) {
      return Wrong(fmt::format("{} has version {} and was created at {}", Text(event),
                               event.kv.version, event.kv.create_revision));
    }
    return "";
  }

  std::string CheckInterval(const EventLog& log, std::int64_t start, std::int64_t upto) {
    for (auto key = log.timelines().lower_bound(watch_.key);
         key != log.timelines().end() && InRange(key->first, watch_.key, watch_.range_end); ++key) {
      for (auto it = key->second.lower_bound(start); it != key->second.end() && it->first <= upto;
           ++it) {
        if (it->second.is_put ? watch_.no_put : watch_.no_delete) continue;
        if (sent_.contains({it->first, key->first})) continue;
        return Wrong(
            fmt::format("missed {} {} at {}; it was told of everything from {} to {}\n  {}",
                        it->second.is_put ? "put" : "delete", key->first, it->first, start, upto,
                        it->second.writer == nullptr ? "" : Describe(*it->second.writer)));
      }
    }
    return "";
  }

  std::string CheckPrevious(const EventLog& log, const WatchOptions& options,
                            const WatchEvent& event, std::int64_t seen_ns) {
    if (!watch_.prev_kv) {
      return event.prev_kv ? Wrong(Text(event) + " has a prev_kv that nobody asked for") : "";
    }
    const std::int64_t before = event.kv.mod_revision - 1;
    const EventLog::Event* last = log.LastAt(event.kv.key, before);
    if (event.prev_kv) {
      if (event.prev_kv->key == event.kv.key && last != nullptr && last->is_put &&
          last->revision == event.prev_kv->mod_revision && last->value == event.prev_kv->value) {
        return "";
      }
      return Wrong(fmt::format("{} has the wrong prev_kv: {} of {}", Text(event),
                               event.prev_kv->value, event.prev_kv->mod_revision));
    }
    if (last == nullptr || !last->is_put || options.compacted > before) return "";
    if (log.MayHaveDeleted(event.kv.key, seen_ns)) return "";
    return Wrong(fmt::format("{} has no prev_kv, but the key held {} of {}", Text(event),
                             last->value, last->revision));
  }

  const Watch& watch_;
  std::size_t attempt_ = 0;
  std::int64_t last_event_ = 0;
  std::int64_t bookmark_ = 0;
  bool open_fragment_ = false;
  std::set<std::pair<std::int64_t, std::string>> sent_;
};

/// Adds what clients and watches saw to the log of changes.
std::string ObserveAll(EventLog& log, const History& history, const std::vector<Watch>& watches) {
  for (const Operation& op : history.operations) {
    if (op.outcome != Operation::Outcome::kOk) continue;
    for (const Step& step : op.taken()) {
      for (const KeyValue& kv : step.seen) {
        if (std::string why = log.Observe(kv, false, op.return_ns); !why.empty()) return why;
      }
    }
  }
  for (const Watch& watch : watches) {
    for (const WatchAttempt& attempt : watch.attempts) {
      for (const WatchResponse& response : attempt.responses) {
        for (const WatchEvent& event : response.events) {
          std::string why = log.Observe(event.kv, event.deleted, response.time_ns);
          if (why.empty() && event.prev_kv) {
            why = log.Observe(*event.prev_kv, false, response.time_ns);
          }
          if (!why.empty()) return fmt::format("watch {}: {}", watch.name, why);
        }
      }
    }
  }
  return "";
}

}  // namespace

Verdict CheckWatchOrder(const History& history, const std::vector<Watch>& watches,
                        const WatchOptions& options) {
  if (const Status valid = Validate(history); !valid)
    return Verdict::Unknown(valid.error().message);
  Verdict verdict;
  std::vector<Follower> followers;
  for (const Watch& watch : watches) {
    followers.emplace_back(watch);
    for (const WatchAttempt& attempt : watch.attempts) {
      for (const WatchResponse& response : attempt.responses)
        verdict.checked += response.events.size();
    }
  }
  for (Follower& follower : followers) {
    if (std::string why = follower.CheckShape(); !why.empty()) return Verdict::Violation(why);
  }
  EventLog log(history);
  if (!log.problem().empty()) return Verdict::Violation(log.problem());
  if (std::string why = ObserveAll(log, history, watches); !why.empty())
    return Verdict::Violation(why);
  for (Follower& follower : followers) {
    if (std::string why = follower.CheckComplete(log, options); !why.empty()) {
      return Verdict::Violation(why);
    }
    if (std::string why = follower.CheckPrevious(log, options); !why.empty()) {
      return Verdict::Violation(why);
    }
  }
  return verdict;
}

}  // namespace coterie::check

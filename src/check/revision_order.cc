#include "check/revision_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/assert.h"
#include "check/event_log.h"

namespace coterie::check {
namespace {

/// Sweeps invocations and returns in time order with the highest revision shown so far.
std::string CheckRealTime(const History& history) {
  struct Point {
    std::int64_t time;
    bool is_return;
    const Operation* op;
  };
  std::vector<Point> points;
  for (const Operation& op : history.operations) {
    if (op.outcome != Operation::Outcome::kOk) continue;
    points.push_back({op.invoke_ns, false, &op});
    points.push_back({op.return_ns, true, &op});
  }
  std::ranges::sort(points, [](const Point& a, const Point& b) {
    if (a.time != b.time) return a.time < b.time;
    if (a.is_return != b.is_return) return b.is_return;
    return a.op < b.op;
  });
  const Operation* newest = nullptr;
  std::map<const Operation*, const Operation*> floor;
  for (const Point& point : points) {
    if (!point.is_return) {
      floor[point.op] = newest;
      continue;
    }
    const Operation* before = floor[point.op];
    floor.erase(point.op);
    if (before != nullptr && !point.op->serializable) {
      const bool wrote = point.op->wrote();
      if (wrote ? point.op->revision <= before->revision : point.op->revision < before->revision) {
        return fmt::format("revisions go back in real time: {}\n  came after {}",
                           Describe(*point.op), Describe(*before));
      }
    }
    if (newest == nullptr || newest->revision < point.op->revision) newest = point.op;
  }
  return "";
}

/// Judges one answered operation against the event log.
class Reading {
 public:
  Reading(const EventLog& log, const Operation& op)
      : log_(log), op_(op), at_(op.wrote() ? op.revision - 1 : op.revision) {}

  std::string Check() {
    if (std::string why = CheckCompares(); !why.empty()) return why;
    for (const Step& step : op_.taken()) {
      const bool shows = step.kind == Step::Kind::kGet || step.prev_kv;
      if (shows) {
        if (std::string why = CheckSeen(step); !why.empty()) return why;
      }
      if (step.kind == Step::Kind::kDelete && !shows && step.range_end.empty()) {
        if (std::string why = CheckCount(step); !why.empty()) return why;
      }
      Overlay(step);
    }
    return "";
  }

 private:
  std::string Wrong(std::string_view why) const {
    return fmt::format("{}\n  {}", why, Describe(op_));
  }

  /// The key was not there: it was never put, or deleted last, or an unknown deletion came in
  /// between.
  std::string CheckAbsent(const std::string& key) const {
    if (const auto it = own_.find(key); it != own_.end()) {
      if (it->second) return Wrong(fmt::format("its own put of {} is not seen", key));
      return "";
    }
    const EventLog::Event* last = log_.LastAt(key, at_);
    if (last == nullptr || !last->is_put || log_.MayHaveDeleted(key, op_.return_ns)) return "";
    return Wrong(fmt::format("key {} is missing at revision {}: it was put to {} at {}", key, at_,
                             last->value, last->revision));
  }

  std::string CheckPresent(const KeyValue& kv) const {
    if (const auto it = own_.find(kv.key); it != own_.end()) {
      if (!it->second) return Wrong(fmt::format("its own deletion of {} is not seen", kv.key));
      if (*it->second != kv.value || kv.mod_revision != op_.revision) {
        return Wrong(fmt::format("its own put of {} is not seen", kv.key));
      }
      return "";
    }
    if (kv.mod_revision > at_) {
      return Wrong(
          fmt::format("key {} shows revision {} at revision {}", kv.key, kv.mod_revision, at_));
    }
    const EventLog::Event* last = log_.LastAt(kv.key, at_);
    COT_ASSERT(last != nullptr);  // what was seen has been added to the log
    if (last->revision != kv.mod_revision) {
      return Wrong(fmt::format("stale: key {} at revision {} shows the change of {}, but {} at {}",
                               kv.key, at_, kv.mod_revision,
                               last->is_put ? "it was put to " + last->value : "it was deleted",
                               last->revision));
    }
    if (log_.Exact(kv.key)) {
      const std::optional<KeyValue> state = log_.StateAt(kv.key, at_);
      if (kv.version != 0 && state && *state != kv) {
        return Wrong(fmt::format("key {} has version {} created at {}, not {} at {}", kv.key,
                                 state->version, state->create_revision, kv.version,
                                 kv.create_revision));
      }
    }
    return "";
  }

  std::string CheckSeen(const Step& step) const {
    if (step.kind == Step::Kind::kDelete &&
        step.count != static_cast<std::int64_t>(step.seen.size())) {
      return Wrong(fmt::format("it removed {} keys and shows {}", step.count, step.seen.size()));
    }
    for (const KeyValue& kv : step.seen) {
      if (!InRange(kv.key, step.key, step.range_end)) {
        return Wrong(fmt::format("key {} is outside of what was asked for", kv.key));
      }
      if (std::string why = CheckPresent(kv); !why.empty()) return why;
    }
    const auto seen = [&](const std::string& key) {
      return std::ranges::any_of(step.seen, [&](const KeyValue& kv) { return kv.key == key; });
    };
    for (auto it = log_.timelines().lower_bound(step.key);
         it != log_.timelines().end() && InRange(it->first, step.key, step.range_end); ++it) {
      if (seen(it->first)) continue;
      if (std::string why = CheckAbsent(it->first); !why.empty()) return why;
    }
    return "";
  }

  std::string CheckCount(const Step& step) const {
    if (step.count == 0) return CheckAbsent(step.key);
    if (own_.contains(step.key)) return "";
    const EventLog::Event* last = log_.LastAt(step.key, at_);
    if ((last != nullptr && last->is_put) || log_.MayHavePut(step.key, op_.return_ns)) return "";
    return Wrong(fmt::format("it removed {}, which was not there", step.key));
  }

  std::string CheckCompares() const {
    bool holds = true;
    for (const Compare& compare : op_.compares) {
      if (!log_.Exact(compare.key)) return "";
      holds = holds && Holds(compare);
    }
    if (holds == op_.succeeded) return "";
    return Wrong(
        fmt::format("its comparisons are {} at revision {}", holds ? "true" : "false", at_));
  }
  bool Holds(const Compare& compare) const {
    const std::optional<KeyValue> state = log_.StateAt(compare.key, at_);
    const KeyValue kv = state.value_or(KeyValue{});
    const auto is = [&](auto order) {
      switch (compare.relation) {
        case Compare::Relation::kEqual:
          return order == 0;
        case Compare::Relation::kNotEqual:
          return order != 0;
        case Compare::Relation::kLess:
          return order < 0;
        case Compare::Relation::kGreater:
          return order > 0;
      }
      return false;
    };
    switch (compare.target) {
      case Compare::Target::kValue:
        return state && is(kv.value <=> compare.value);
      case Compare::Target::kVersion:
        return is(kv.version <=> compare.number);
      case Compare::Target::kCreate:
        return is(kv.create_revision <=> compare.number);
      case Compare::Target::kMod:
        return is(kv.mod_revision <=> compare.number);
    }
    return false;
  }

  void Overlay(const Step& step) {
    if (step.kind == Step::Kind::kPut) own_[step.key] = step.value;
    if (step.kind != Step::Kind::kDelete) return;
    if (step.range_end.empty()) own_[step.key] = std::nullopt;
    for (const KeyValue& kv : step.seen) own_[kv.key] = std::nullopt;
  }

  const EventLog& log_;
  const Operation& op_;
  std::int64_t at_;  // the revision that the operation's reads are of
  std::map<std::string, std::optional<std::string>> own_;
};

}  // namespace

Verdict CheckRevisionOrder(const History& history) {
  if (const Status valid = Validate(history); !valid)
    return Verdict::Unknown(valid.error().message);
  Verdict verdict;
  for (const Operation& op : history.operations) {
    if (op.outcome != Operation::Outcome::kOk) continue;
    ++verdict.checked;
    if (op.revision <= 0) return Verdict::Unknown("an answer has no revision: " + Describe(op));
    if (op.wrote() && op.revision == 1) {
      return Verdict::Violation("revision 1 is the empty store's, no write has it: " +
                                Describe(op));
    }
  }
  if (std::string why = CheckRealTime(history); !why.empty()) return Verdict::Violation(why);
  EventLog log(history);
  if (!log.problem().empty()) return Verdict::Violation(log.problem());
  for (const Operation& op : history.operations) {
    if (op.outcome != Operation::Outcome::kOk) continue;
    for (const Step& step : op.taken()) {
      for (const KeyValue& kv : step.seen) {
        const std::string why = log.Observe(kv, false, op.return_ns);
        if (!why.empty()) return Verdict::Violation(why + "\n  " + Describe(op));
      }
    }
  }
  for (const Operation& op : history.operations) {
    if (op.outcome != Operation::Outcome::kOk) continue;
    ++verdict.steps;
    if (std::string why = Reading(log, op).Check(); !why.empty()) return Verdict::Violation(why);
  }
  return verdict;
}

}  // namespace coterie::check

#include "check/event_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"

namespace coterie::check {

EventLog::EventLog(const History& history) {
  BuildFloors(history);
  for (const Operation& op : history.operations) {
    if (op.wrote()) AddAcknowledged(op);
    if (op.outcome == Operation::Outcome::kUnknown) AddUnknown(op);
  }
}

/// For every return: the highest revision an answer had shown by then.
void EventLog::BuildFloors(const History& history) {
  for (const Operation& op : history.operations) {
    if (op.outcome == Operation::Outcome::kOk) floors_.emplace_back(op.return_ns, op.revision);
  }
  std::ranges::sort(floors_);
  for (std::size_t i = 1; i < floors_.size(); ++i) {
    floors_[i].second = std::max(floors_[i].second, floors_[i - 1].second);
  }
}

std::int64_t EventLog::FloorAt(std::int64_t invoke_ns) const {
  const auto it =
      std::ranges::lower_bound(floors_, invoke_ns, {}, [](const auto& f) { return f.first; });
  return it == floors_.begin() ? 0 : std::prev(it)->second;
}

void EventLog::AddAcknowledged(const Operation& op) {
  const auto [it, fresh] = by_revision_.try_emplace(op.revision, &op);
  if (!fresh && problem_.empty()) {
    problem_ = fmt::format("revision {} was given to two writes:\n  {}\n  {}", op.revision,
                           Describe(*it->second), Describe(op));
  }
  for (const Step& step : op.taken()) {
    if (step.kind == Step::Kind::kPut) {
      AddEvent(step.key, {op.revision, true, step.value, 0, 0, &op});
    } else if (step.kind == Step::Kind::kDelete && step.count > 0) {
      if (step.range_end.empty()) {
        AddEvent(step.key, {op.revision, false, "", 0, 0, &op});
      } else if (step.prev_kv) {
        for (const KeyValue& kv : step.seen) AddEvent(kv.key, {op.revision, false, "", 0, 0, &op});
      } else {
        unknown_ranges_.push_back(unknown_.size());
        unknown_.push_back({&op, &step, false});
      }
    }
  }
}

void EventLog::AddUnknown(const Operation& op) {
  for (const auto* branch : {&op.success, &op.failure}) {
    for (const Step& step : *branch) {
      if (step.kind == Step::Kind::kGet) continue;
      if (step.range_end.empty()) {
        unknown_of_key_[step.key].push_back(unknown_.size());
      } else {
        unknown_ranges_.push_back(unknown_.size());
      }
      unknown_.push_back({&op, &step});
    }
  }
}

void EventLog::AddEvent(const std::string& key, Event event) {
  timelines_[key].insert_or_assign(event.revision, std::move(event));
}

const Operation* EventLog::FindWriter(const KeyValue& kv, bool deleted,
                                      std::int64_t seen_ns) const {
  const auto fits = [&](const UnknownWrite& u) {
    const Operation& op = *u.operation;
    if (op.invoke_ns > seen_ns || !InRange(kv.key, u.step->key, u.step->range_end)) return false;
    if ((u.step->kind == Step::Kind::kDelete) != deleted) return false;
    if (!deleted && u.step->value != kv.value) return false;
    if (op.outcome == Operation::Outcome::kOk) return op.revision == kv.mod_revision;
    if (const auto it = revision_of_unknown_.find(&op); it != revision_of_unknown_.end()) {
      return it->second == kv.mod_revision;
    }
    return kv.mod_revision > FloorAt(op.invoke_ns);
  };
  if (const auto it = unknown_of_key_.find(kv.key); it != unknown_of_key_.end()) {
    for (const std::size_t i : it->second) {
      if (fits(unknown_[i])) return unknown_[i].operation;
    }
  }
  for (const std::size_t i : unknown_ranges_) {
    if (fits(unknown_[i])) return unknown_[i].operation;
  }
  return nullptr;
}

std::string EventLog::Observe(const KeyValue& kv, bool deleted, std::int64_t seen_ns) {
  const auto& timeline = TimelineOf(kv.key);
  if (const auto it = timeline.find(kv.mod_revision); it != timeline.end()) {
    Event& event = timelines_.find(kv.key)->second.find(kv.mod_revision)->second;
    if (event.is_put == deleted || (!deleted && event.value != kv.value)) {
      return fmt::format("key {} at revision {} is {} here, but was {}", kv.key, kv.mod_revision,
                         deleted ? "deleted" : kv.value,
                         event.is_put ? event.value : std::string("deleted"));
    }
    if (deleted || kv.version == 0) return "";
    if (event.version == 0) {
      event.version = kv.version;
      event.create_revision = kv.create_revision;
    } else if (event.version != kv.version || event.create_revision != kv.create_revision) {
      return fmt::format(
          "key {} at revision {} was shown with version {} created at {}, and with {} at {}",
          kv.key, kv.mod_revision, event.version, event.create_revision, kv.version,
          kv.create_revision);
    }
    return "";
  }
  const Operation* writer = FindWriter(kv, deleted, seen_ns);
  if (writer == nullptr) {
    return fmt::format("key {} was {} at revision {}, but no operation can have done that", kv.key,
                       deleted ? "deleted" : "put to " + kv.value, kv.mod_revision);
  }
  const auto [it, fresh] = by_revision_.try_emplace(kv.mod_revision, writer);
  if (!fresh && it->second != writer) {
    return fmt::format("revision {} was given to two writes:\n  {}\n  {}", kv.mod_revision,
                       Describe(*it->second), Describe(*writer));
  }
  if (writer->outcome == Operation::Outcome::kUnknown)
    revision_of_unknown_[writer] = kv.mod_revision;
  AddEvent(kv.key, {kv.mod_revision, !deleted, kv.value, kv.create_revision, kv.version, writer});
  return "";
}

const std::map<std::int64_t, EventLog::Event>& EventLog::TimelineOf(std::string_view key) const {
  static const std::map<std::int64_t, Event> kNone;
  const auto it = timelines_.find(key);
  return it == timelines_.end() ? kNone : it->second;
}

const EventLog::Event* EventLog::LastAt(std::string_view key, std::int64_t revision) const {
  const auto& timeline = TimelineOf(key);
  const auto it = timeline.upper_bound(revision);
  return it == timeline.begin() ? nullptr : &std::prev(it)->second;
}

bool EventLog::MayHaveDeleted(std::string_view key, std::int64_t before_ns) const {
  const auto may = [&](std::size_t i) {
    const UnknownWrite& u = unknown_[i];
    return u.step->kind == Step::Kind::kDelete && u.operation->invoke_ns <= before_ns &&
           InRange(key, u.step->key, u.step->range_end);
  };
  const auto it = unknown_of_key_.find(key);
  return (it != unknown_of_key_.end() && std::ranges::any_of(it->second, may)) ||
         std::ranges::any_of(unknown_ranges_, may);
}

bool EventLog::MayHavePut(std::string_view key, std::int64_t before_ns) const {
  const auto it = unknown_of_key_.find(key);
  if (it == unknown_of_key_.end()) return false;
  return std::ranges::any_of(it->second, [&](std::size_t i) {
    return unknown_[i].step->kind == Step::Kind::kPut &&
           unknown_[i].operation->invoke_ns <= before_ns;
  });
}

bool EventLog::Exact(std::string_view key) const {
  if (unknown_of_key_.contains(key)) return false;
  return std::ranges::none_of(unknown_ranges_, [&](std::size_t i) {
    return InRange(key, unknown_[i].step->key, unknown_[i].step->range_end);
  });
}

std::optional<KeyValue> EventLog::StateAt(std::string_view key, std::int64_t revision) const {
  COT_ASSERT(Exact(key));
  // Back to the creation, then forward: lives of keys are short where this is asked.
  const auto& timeline = TimelineOf(key);
  auto it = timeline.upper_bound(revision);
  std::int64_t version = 0;
  std::optional<KeyValue> out;
  while (it != timeline.begin() && std::prev(it)->second.is_put) {
    --it;
    ++version;
    if (!out) out = KeyValue{std::string(key), it->second.value, 0, it->first, 0};
    out->create_revision = it->first;
  }
  if (out) out->version = version;
  return out;
}

}  // namespace coterie::check

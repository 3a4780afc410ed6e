#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check/history.h"

namespace coterie::check {

/// What is known of a store's history by revision: the changes that clients were told of
/// (acknowledged writes), and those that only somebody's answer or watch showed. A change that
/// nobody can have made, or two that exclude each other, are problems.
class EventLog {
 public:
  struct Event {
    std::int64_t revision = 0;
    bool is_put = false;
    std::string value;
    std::int64_t create_revision = 0;  ///< as somebody saw it; 0: nobody did
    std::int64_t version = 0;
    const Operation* writer = nullptr;
  };

  /// Takes the acknowledged writes. `history` must outlive the log.
  explicit EventLog(const History& history);

  /// The first contradiction between acknowledged writes; empty if there is none.
  const std::string& problem() const { return problem_; }

  /// Somebody saw this put (or deletion, of which only key and mod_revision count) at `seen_ns`.
  /// Answers why it cannot be, or "".
  std::string Observe(const KeyValue& kv, bool deleted, std::int64_t seen_ns);

  /// The newest change of `key` at or below `revision`, or nullptr.
  const Event* LastAt(std::string_view key, std::int64_t revision) const;
  /// Changes of `key` by revision.
  const std::map<std::int64_t, Event>& TimelineOf(std::string_view key) const;
  const std::map<std::string, std::map<std::int64_t, Event>, std::less<>>& timelines() const {
    return timelines_;
  }

  /// Whether an operation of unknown outcome, invoked by `before_ns`, may have removed or put `key`
  /// at a revision nobody has shown.
  bool MayHaveDeleted(std::string_view key, std::int64_t before_ns) const;
  bool MayHavePut(std::string_view key, std::int64_t before_ns) const;
  /// No operation of unknown outcome can have touched `key`: its timeline is complete.
  bool Exact(std::string_view key) const;

  /// The key just after the change at or before `revision`: value, version, create and mod.
  /// Requires: Exact(key).
  std::optional<KeyValue> StateAt(std::string_view key, std::int64_t revision) const;

 private:
  struct UnknownWrite {
    const Operation* operation;
    const Step* step;
    bool whole_range_known =
        true;  // false: an acknowledged deletion that did not say what it removed
  };
  void AddAcknowledged(const Operation& op);
  void AddUnknown(const Operation& op);
  void AddEvent(const std::string& key, Event event);
  const Operation* FindWriter(const KeyValue& kv, bool deleted, std::int64_t seen_ns) const;
  std::int64_t FloorAt(std::int64_t invoke_ns) const;
  void BuildFloors(const History& history);

  std::map<std::string, std::map<std::int64_t, Event>, std::less<>> timelines_;
  std::map<std::int64_t, const Operation*> by_revision_;
  std::map<const Operation*, std::int64_t> revision_of_unknown_;
  std::vector<UnknownWrite> unknown_;
  std::map<std::string, std::vector<std::size_t>, std::less<>> unknown_of_key_;
  std::vector<std::size_t> unknown_ranges_;
  std::vector<std::pair<std::int64_t, std::int64_t>> floors_;  // (return instant, highest revision)
  std::string problem_;
};

}  // namespace coterie::check

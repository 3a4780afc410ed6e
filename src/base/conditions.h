#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/time.h"

namespace coterie {

/// How much a condition matters; the table of conditions says what each means.
enum class Severity : std::uint8_t { kNotice, kWarning, kCritical };

/// What lasts and an operator should know of, from the one table (condition_table.inc).
enum class ConditionKind : std::uint8_t {
#define COT_CONDITION(kind, name, severity, meaning, hint) kind,
#include "base/condition_table.inc"
#undef COT_CONDITION
};

/// A row of the table. Views are static.
struct ConditionInfo {
  ConditionKind kind;
  std::string_view name;  ///< "disk_full"
  Severity severity;
  std::string_view meaning;
  std::string_view hint;
};
const ConditionInfo& InfoOf(ConditionKind kind);
/// "notice", "warning" or "critical".
std::string_view NameOf(Severity severity);

/// One condition that holds now.
struct Condition {
  std::string text;  ///< the particulars; may be empty
  Instant since;
};

/// The conditions of one process, by kind and subject (a shard, a file, or ""). Whoever finds that
/// one holds raises it, and clears it when it is over; status, health and metrics show what is
/// here. At most kSubjectsMax subjects are kept of one kind: what is raised beyond them is not
/// shown.
class Conditions {
 public:
  using Key = std::pair<ConditionKind, std::string>;
  static constexpr std::size_t kSubjectsMax = 16;

  /// Raised again, it keeps its `since` and takes the new text. True: it did not hold before.
  bool Raise(ConditionKind kind, std::string_view subject, std::string text, Instant now);
  /// True: it did hold.
  bool Clear(ConditionKind kind, std::string_view subject = {});
  bool Holds(ConditionKind kind) const;
  /// The first critical one, or nullptr.
  const std::pair<const Key, Condition>* critical() const;
  const std::map<Key, Condition>& all() const { return all_; }

 private:
  std::map<Key, Condition> all_;
};

}  // namespace coterie

#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace coterie::check {

/// The return instant of an operation that never returned: it may take effect at any time, for
/// ever.
inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

/// One key as an answer showed it. Zero stamps mean that the answer had none.
struct KeyValue {
  std::string key;
  std::string value;
  std::int64_t create_revision = 0;
  std::int64_t mod_revision = 0;
  std::int64_t version = 0;
  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

/// A guard of a transaction. On an absent key the numbers are 0 and a value comparison is false.
struct Compare {
  enum class Target : std::uint8_t { kValue, kVersion, kCreate, kMod };
  enum class Relation : std::uint8_t { kEqual, kNotEqual, kLess, kGreater };
  std::string key;
  Target target = Target::kValue;
  Relation relation = Relation::kEqual;
  std::string value;        ///< for kValue
  std::int64_t number = 0;  ///< for the others
  friend bool operator==(const Compare&, const Compare&) = default;
};

/// One step of a transaction. `range_end` as in etcd: "" is one key, "\0" is everything from `key`
/// on.
struct Step {
  enum class Kind : std::uint8_t { kGet, kPut, kDelete };
  Kind kind = Kind::kGet;
  std::string key;
  std::string range_end;
  std::string value;           ///< of a put
  std::int64_t lease = 0;      ///< of a put: attached to this lease
  bool prev_kv = false;        ///< a put or delete that asked for what it replaced
  std::vector<KeyValue> seen;  ///< answered: what a get found, or the replaced keys; in key order
  std::int64_t count = 0;      ///< answered: keys found or deleted
  friend bool operator==(const Step&, const Step&) = default;
};

/// One client operation. Every operation is a transaction: a get is one with no compares and one
/// step. The steps of the branch that was not taken carry no answers.
struct Operation {
  enum class Outcome : std::uint8_t {
    kOk,       ///< answered
    kFailed,   ///< definitely not applied
    kUnknown,  ///< may take effect any time after its invocation, or never (Jepsen's info)
  };
  std::uint64_t process = 0;  ///< one operation at a time, unless one's outcome is unknown
  std::int64_t invoke_ns = 0;
  std::int64_t return_ns =
      kNever;  ///< when it was answered or given up; of an unknown one it bounds nothing
  Outcome outcome = Outcome::kUnknown;
  bool serializable = false;  ///< a read that may be stale
  std::vector<Compare> compares;
  std::vector<Step> success;
  std::vector<Step> failure;
  bool succeeded = true;      ///< answered: which branch was taken
  std::int64_t revision = 0;  ///< answered: the header's revision; 0 if there was none
  std::string endpoint;       ///< who was asked
  std::string error;          ///< of a failed or unknown operation

  /// The branch that was taken. Requires: outcome is ok.
  const std::vector<Step>& taken() const { return succeeded ? success : failure; }
  /// Whether a step of either branch may write.
  bool may_write() const;
  /// Whether it was answered and changed the store: a delete of nothing does not.
  bool wrote() const;
  friend bool operator==(const Operation&, const Operation&) = default;
};

/// Operations in the order of their invocation.
struct History {
  std::vector<Operation> operations;
};

// The common shapes, without times and answers.
Operation Get(std::uint64_t process, std::string key);
Operation Put(std::uint64_t process, std::string key, std::string value);
Operation Delete(std::uint64_t process, std::string key);
/// Puts `value` if `key` holds `expected`; otherwise reads `key`.
Operation CompareAndSwap(std::uint64_t process, std::string key, std::string expected,
                         std::string value);

/// Whether `key` is in the etcd range [begin, range_end).
bool InRange(std::string_view key, std::string_view begin, std::string_view range_end);

/// One line for people: "client 3 put x=7 -> ok @12 [1.250 ms, 3.000 ms]".
std::string Describe(const Operation& operation);
/// Milliseconds with three decimals; "never" for kNever.
std::string TimeText(std::int64_t ns);

/// Judges nothing but the record itself: instants in order, one operation at a time per process,
/// answers where they belong. Error kInvalidArgument names the first operation that breaks a rule.
Status Validate(const History& history);

/// JSON lines, one operation a line, pure ASCII: a byte over 0x7e is the code point of the same
/// number.
std::string ToJson(const Operation& operation);
std::string ToJsonLines(const History& history);
/// The inverse. Error kMalformed names the line. Unknown members are ignored.
Result<History> FromJsonLines(std::string_view text);

/// A Jepsen history (EDN, one map a line, `jepsen.independent` tuples [key value]) that Knossos's
/// cas-register can judge. Operations it cannot say (ranges, other compares, several keys) are left
/// out and counted.
struct EdnHistory {
  std::string text;
  std::size_t left_out = 0;
};
EdnHistory ToEdn(const History& history);

/// A JSON string literal, quotes included, in pure ASCII.
void AppendJsonString(std::string& out, std::string_view bytes);

}  // namespace coterie::check

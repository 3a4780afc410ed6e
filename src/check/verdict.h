#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace coterie::check {

/// What a checker found. Only kOk says that the history keeps the promise.
enum class Answer : std::uint8_t {
  kOk,
  kViolation,  ///< the explanation names key, operations and times
  kUnknown,    ///< a budget was spent, or the history does not hold what the check needs
};

/// "ok", "violation" or "unknown".
constexpr std::string_view NameOf(Answer answer) {
  switch (answer) {
    case Answer::kOk:
      return "ok";
    case Answer::kViolation:
      return "violation";
    case Answer::kUnknown:
      return "unknown";
  }
  return "?";
}

struct [[nodiscard]] Verdict {
  Answer answer = Answer::kOk;
  std::string explanation;    ///< empty when ok
  std::uint64_t checked = 0;  ///< operations (or events) that were judged
  std::uint64_t steps = 0;    ///< work done, in the checker's own unit

  bool ok() const { return answer == Answer::kOk; }
  static Verdict Violation(std::string why) { return {Answer::kViolation, std::move(why)}; }
  static Verdict Unknown(std::string why) { return {Answer::kUnknown, std::move(why)}; }
};

}  // namespace coterie::check

#include "base/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/hint.h"

namespace coterie {
namespace {

constexpr std::array kTable = {
#define COT_ERROR(name, number, cause, hint) ErrorInfo{ErrorCode::name, #name, cause, hint},
#include "base/error_table.inc"
#undef COT_ERROR
};

}  // namespace

const ErrorInfo& InfoOf(ErrorCode code) {
  const auto* row = std::find_if(kTable.begin(), kTable.end(),
                                 [&](const ErrorInfo& info) { return info.code == code; });
  COT_ASSERT(row != kTable.end());
  return *row;
}

const ErrorInfo* FindError(std::string_view text) {
  const auto* row = std::find_if(kTable.begin(), kTable.end(), [&](const ErrorInfo& info) {
    return CodeText(info.code) == text;
  });
  return row == kTable.end() ? nullptr : row;
}

std::string CodeText(ErrorCode code) {
  return fmt::format("COT-{:04}", static_cast<unsigned>(code));
}

std::string HintFor(const Error& error) {
  const std::string hint(InfoOf(error.code).hint);
  return error.outcome == Outcome::kUnknown
             ? "It may have happened: read before you write again. " + hint
             : hint;
}

std::string Describe(const Error& error) {
  const ErrorInfo& info = InfoOf(error.code);
  return fmt::format("{} {}{}{} ({}). Hint: {}", CodeText(error.code), info.cause,
                     error.message.empty() ? "" : " ", error.message,
                     error.outcome == Outcome::kUnknown ? "outcome unknown" : "not applied",
                     HintFor(error));
}

}  // namespace coterie

#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace coterie {

/// What went wrong, from the one error table (error_table.inc). Printed as COT-nnnn.
enum class ErrorCode : std::uint16_t {
#define COT_ERROR(name, number, cause, hint) name = number,
#include "base/error_table.inc"
#undef COT_ERROR
};

/// Whether the failed request may have taken effect. Retries, doors and checkers rely on it.
enum class Outcome : std::uint8_t {
  kNotApplied,  ///< it did not happen and will not
  kUnknown,     ///< it may have happened, or may still happen
};

/// One failure: which, whether it happened, and the particulars ("segment 3: checksum mismatch").
struct [[nodiscard]] Error {
  ErrorCode code;
  Outcome outcome = Outcome::kNotApplied;
  std::string message;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

/// A row of the error table. Views are static.
struct ErrorInfo {
  ErrorCode code;
  std::string_view name;  ///< "kNoLeader"
  std::string_view cause;
  std::string_view hint;
};

/// The table's row for `code`; every ErrorCode has one.
const ErrorInfo& InfoOf(ErrorCode code);
/// The row whose printed form is `text` ("COT-1002"), or nullptr.
const ErrorInfo* FindError(std::string_view text);
/// "COT-1002".
std::string CodeText(ErrorCode code);
/// One line for people: "COT-1002 no leader ... (not applied). Hint: ...".
std::string Describe(const Error& error);

/// The failure that did not take effect.
inline std::unexpected<Error> Fail(ErrorCode code, std::string message = {}) {
  return std::unexpected(Error{code, Outcome::kNotApplied, std::move(message)});
}
/// The failure that may have taken effect.
inline std::unexpected<Error> FailUnknown(ErrorCode code, std::string message = {}) {
  return std::unexpected(Error{code, Outcome::kUnknown, std::move(message)});
}
inline Status Ok() { return {}; }

}  // namespace coterie

#define COT_CONCAT_INNER(a, b) a##b
#define COT_CONCAT(a, b) COT_CONCAT_INNER(a, b)

/// Returns from the calling function with the error of `expression`, a Status or Result, if it has
/// one.
#define COT_TRY(expression)                                                         \
  do {                                                                              \
    auto&& cot_try_result = (expression);                                           \
    if (!cot_try_result) return std::unexpected(std::move(cot_try_result.error())); \
  } while (0)

/// `COT_ASSIGN(auto x, F())`: x is F's value, or the calling function returns F's error.
#define COT_ASSIGN(declaration, expression)                                       \
  auto COT_CONCAT(cot_result_, __LINE__) = (expression);                          \
  if (!COT_CONCAT(cot_result_, __LINE__))                                         \
    return std::unexpected(std::move(COT_CONCAT(cot_result_, __LINE__).error())); \
  declaration = std::move(*COT_CONCAT(cot_result_, __LINE__))

/// The same two inside a coroutine.
#define COT_CO_TRY(expression)                                                         \
  do {                                                                                 \
    auto cot_try_result = (expression);                                                \
    if (!cot_try_result) co_return std::unexpected(std::move(cot_try_result.error())); \
  } while (0)

#define COT_CO_ASSIGN(declaration, expression)                                       \
  auto COT_CONCAT(cot_result_, __LINE__) = (expression);                             \
  if (!COT_CONCAT(cot_result_, __LINE__))                                            \
    co_return std::unexpected(std::move(COT_CONCAT(cot_result_, __LINE__).error())); \
  declaration = std::move(*COT_CONCAT(cot_result_, __LINE__))

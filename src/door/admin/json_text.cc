#include "door/admin/json_text.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>

#include "base/hint.h"

namespace coterie::door::admin {
namespace {

/// The length of the UTF-8 sequence that `text` begins with, 0 if it begins with none [RFC 3629
/// §4].
std::size_t Utf8Length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second > 0x9F;
  const bool too_large = first == 0xF4 && second > 0x8F;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

std::string Quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    const std::size_t length = Utf8Length(text);
    if (length == 0) {
      out += fmt::format("\\\\x{:02x}", c);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += text.front();
    } else if (c < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

std::string ErrorJson(const Error& error) {
  const ErrorInfo& info = InfoOf(error.code);
  return fmt::format(R"({{"code":"{}","outcome":"{}","message":{},"cause":{},"hint":{}}})"
                     "\n",
                     CodeText(error.code),
                     error.outcome == Outcome::kUnknown ? "unknown" : "not applied",
                     Quote(error.message), Quote(info.cause), Quote(HintFor(error)));
}

int HttpStatusOf(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kPromiseContradiction:
      return 400;
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kRefusedOutsideDemo:
      return 403;
    case ErrorCode::kNoKeyspace:
    case ErrorCode::kNoNode:
      return 404;
    case ErrorCode::kKeyspaceExists:
    case ErrorCode::kTooFewNodes:
      return 409;
    case ErrorCode::kUnimplemented:
      return 501;
    case ErrorCode::kIo:
    case ErrorCode::kCorruptLog:
    case ErrorCode::kCorruptState:
      return 500;
    default:
      return 503;
  }
}

}  // namespace coterie::door::admin

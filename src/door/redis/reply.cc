#include "door/redis/reply.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace coterie::door::redis {
namespace {

/// "<type><number>\r\n".
void Header(std::string& out, char type, std::int64_t number) {
  char text[24];
  text[0] = type;
  char* end = std::to_chars(text + 1, text + sizeof text - 2, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(text, static_cast<std::size_t>(end - text));
}

/// Errors that clients know by a word of Redis's.
std::string_view WordOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOverloaded:
      return "OOM";
    case ErrorCode::kNoLeader:
    case ErrorCode::kTooFewReplicas:
      return "CLUSTERDOWN";
    case ErrorCode::kContended:
    case ErrorCode::kStaleEpoch:
    case ErrorCode::kNotReplica:
      return "TRYAGAIN";
    case ErrorCode::kNotAnInteger:
    case ErrorCode::kOverflow:
      return "ERR";
    default:
      return "COT";
  }
}

}  // namespace

void Reply::Simple(std::string_view text) {
  out_.push_back('+');
  out_.append(text);
  out_.append("\r\n");
}

void Reply::Error(std::string_view code_and_message) {
  out_.push_back('-');
  const std::size_t begin = out_.size();
  out_.append(code_and_message);
  for (std::size_t i = begin; i < out_.size(); ++i)
    if (out_[i] == '\r' || out_[i] == '\n') out_[i] = ' ';
  out_.append("\r\n");
}

void Reply::Error(const coterie::Error& error) {
  // The two that Redis has as well, word for word: clients compare them.
  if (error.code == ErrorCode::kNotAnInteger)
    return Error("ERR value is not an integer or out of range");
  if (error.code == ErrorCode::kOverflow) return Error("ERR increment or decrement would overflow");
  Error(fmt::format("{} {}", WordOf(error.code), Describe(error)));
}

void Reply::Integer(std::int64_t value) { Header(out_, ':', value); }

void Reply::Bulk(std::string_view bytes) {
  Header(out_, '$', static_cast<std::int64_t>(bytes.size()));
  out_.append(bytes);
  out_.append("\r\n");
}

void Reply::Double(double value) {
  const std::string text = FormatDouble(value);
  if (protocol_ < 3) return Bulk(text);
  out_.push_back(',');
  out_.append(text);
  out_.append("\r\n");
}

void Reply::Boolean(bool value) {
  if (protocol_ < 3) return Integer(value ? 1 : 0);
  out_.append(value ? "#t\r\n" : "#f\r\n");
}

void Reply::Null() { out_.append(protocol_ < 3 ? "$-1\r\n" : "_\r\n"); }
void Reply::NullArray() { out_.append(protocol_ < 3 ? "*-1\r\n" : "_\r\n"); }

void Reply::Array(std::size_t n) { Header(out_, '*', static_cast<std::int64_t>(n)); }
void Reply::Map(std::size_t n) {
  if (protocol_ < 3) return Array(2 * n);
  Header(out_, '%', static_cast<std::int64_t>(n));
}
void Reply::Set(std::size_t n) {
  if (protocol_ < 3) return Array(n);
  Header(out_, '~', static_cast<std::int64_t>(n));
}
void Reply::Push(std::size_t n) {
  if (protocol_ < 3) return Array(n);
  Header(out_, '>', static_cast<std::int64_t>(n));
}

void Reply::Verbatim(std::string_view text) {
  if (protocol_ < 3) return Bulk(text);
  Header(out_, '=', static_cast<std::int64_t>(text.size() + 4));
  out_.append("txt:");
  out_.append(text);
  out_.append("\r\n");
}

std::string FormatDouble(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (std::isnan(value)) return "nan";
  if (value == 0) return std::signbit(value) ? "-0" : "0";
  // As Redis 7.0 prints scores: seventeen significant digits, trailing zeros left out.
  return fmt::format("{:.17g}", value);
}

}  // namespace coterie::door::redis

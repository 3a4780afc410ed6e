#include "door/redis/request_parser.h"

#include <algorithm>

#include "base/assert.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The character that the escape after '\' at `in` stands for; steps over it.
char Unescape(std::string_view& in) {
  if (in.size() >= 3 && in[0] == 'x' && HexDigit(in[1]) >= 0 && HexDigit(in[2]) >= 0) {
    const int byte = HexDigit(in[1]) * 16 + HexDigit(in[2]);
    in.remove_prefix(3);
    return static_cast<char>(byte);
  }
  const char c = in.front();
  in.remove_prefix(1);
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

/// Steps over what follows an opening `quote`, up to the closing one, and appends it to `word`.
bool Quoted(std::string_view& in, char quote, std::string& word) {
  for (;;) {
    if (in.empty()) return false;
    const char c = in.front();
    in.remove_prefix(1);
    if (c == quote) return in.empty() || IsSpace(in.front());
    if (c == '\\' && quote == '"' && !in.empty()) {
      word.push_back(Unescape(in));
    } else if (c == '\\' && quote == '\'' && !in.empty() && in.front() == '\'') {
      word.push_back('\'');
      in.remove_prefix(1);
    } else {
      word.push_back(c);
    }
  }
}

/// Steps over one word of a line; false if a quote is not closed.
bool LineWord(std::string_view& in, std::string& word) {
  while (!in.empty() && !IsSpace(in.front()) && in.front() != '\0') {
    const char c = in.front();
    in.remove_prefix(1);
    if (c == '"' || c == '\'') return Quoted(in, c, word);
    word.push_back(c);
  }
  return true;
}

}  // namespace

RequestParser::State RequestParser::Fail(std::string_view error) {
  error_ = "ERR Protocol error: ";
  error_ += error;
  return State::kError;
}

RequestParser::State RequestParser::Next(std::string_view input) {
  if (!error_.empty()) return State::kError;
  if (!busy_) {
    at_ = 0;
    scanned_ = 0;
    missing_ = 0;
    bulk_size_ = kNone;
    ranges_.clear();
    words_.clear();
    wanted_ = 1;
    if (input.empty()) return State::kMore;
    busy_ = true;
  }
  const State state = input.front() == '*' ? Array(input) : Line(input);
  if (state == State::kRequest) busy_ = false;
  return state;
}

RequestParser::State RequestParser::Number(std::string_view input, std::int64_t& value,
                                           std::string_view too_long, std::string_view invalid) {
  const std::size_t end = input.find('\r', std::max(at_, scanned_));
  if (end == std::string_view::npos || end + 1 >= input.size()) {
    scanned_ = end == std::string_view::npos ? input.size() : end;
    if (scanned_ - at_ > limits_.line_bytes_max) return Fail(too_long);
    wanted_ = input.size() + 1;
    return State::kMore;
  }
  const auto number = ParseInteger(input.substr(at_ + 1, end - at_ - 1));
  if (!number) return Fail(invalid);
  value = *number;
  at_ = end + 2;
  scanned_ = at_;
  return State::kRequest;
}

RequestParser::State RequestParser::ArrayHeader(std::string_view input) {
  std::int64_t count = 0;
  const State state =
      Number(input, count, "too big mbulk count string", "invalid multibulk length");
  if (state != State::kRequest) return state;
  if (count > static_cast<std::int64_t>(limits_.words_max)) return Fail("invalid multibulk length");
  missing_ = count > 0 ? static_cast<std::size_t>(count) : 0;
  return State::kRequest;
}

RequestParser::State RequestParser::Bulk(std::string_view input) {
  if (bulk_size_ == kNone) {
    if (at_ >= input.size()) {
      wanted_ = at_ + 1;
      return State::kMore;
    }
    if (input[at_] != '$') {
      const char what[] = {input[at_], '\''};
      return Fail("expected '$', got '" + std::string(what, 2));
    }
    std::int64_t size = 0;
    const State state = Number(input, size, "too big bulk count string", "invalid bulk length");
    if (state != State::kRequest) return state;
    if (size < 0 || static_cast<std::uint64_t>(size) > limits_.bulk_bytes_max)
      return Fail("invalid bulk length");
    if (static_cast<std::size_t>(size) + at_ > limits_.request_bytes_max)
      return Fail("too big request");
    bulk_size_ = static_cast<std::size_t>(size);
  }
  wanted_ = at_ + bulk_size_ + 2;
  if (input.size() < wanted_) return State::kMore;
  ranges_.push_back({at_, bulk_size_});
  at_ += bulk_size_ + 2;
  scanned_ = at_;
  bulk_size_ = kNone;
  --missing_;
  return State::kRequest;
}

RequestParser::State RequestParser::Array(std::string_view input) {
  if (at_ == 0) {
    const State state = ArrayHeader(input);
    if (state != State::kRequest) return state;
  }
  while (missing_ > 0) {
    const State state = Bulk(input);
    if (state != State::kRequest) return state;
  }
  for (const Range& range : ranges_) words_.push_back(input.substr(range.begin, range.size));
  return State::kRequest;
}

bool RequestParser::SplitLine(std::string_view line) {
  unquoted_.clear();
  for (;;) {
    while (!line.empty() && IsSpace(line.front())) line.remove_prefix(1);
    if (line.empty() || line.front() == '\0') break;
    if (!LineWord(line, unquoted_.emplace_back())) return false;
  }
  for (const std::string& word : unquoted_) words_.push_back(word);
  return true;
}

RequestParser::State RequestParser::Line(std::string_view input) {
  const std::size_t end = input.find('\n', scanned_);
  if (end == std::string_view::npos) {
    scanned_ = input.size();
    wanted_ = input.size() + 1;
    if (scanned_ > limits_.line_bytes_max) return Fail("too big inline request");
    return State::kMore;
  }
  if (end > limits_.line_bytes_max) return Fail("too big inline request");
  std::string_view line = input.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!SplitLine(line)) return Fail("unbalanced quotes in request");
  at_ = end + 1;
  return State::kRequest;
}

}  // namespace coterie::door::redis

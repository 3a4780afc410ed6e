#include "net/http1.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/assert.h"

namespace coterie::net {
namespace {

constexpr std::size_t kChunkLineBytesMax = 256;

bool IsTokenChar(char c) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kOthers.find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, IsTokenChar);
}

bool IsFieldValue(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::uint64_t> ParseNumber(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// True if the comma-separated list has `item`, whatever the case.
bool ListHas(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (Lower(Trim(list.substr(0, comma))) == item) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

/// "HTTP/1.1" -> 1. The error is the status to answer with.
std::expected<int, int> ParseVersion(std::string_view text) {
  const bool shaped = text.size() == 8 && text.starts_with("HTTP/") && text[5] >= '0' &&
                      text[5] <= '9' && text[6] == '.' && text[7] >= '0' && text[7] <= '9';
  if (!shaped) return std::unexpected(400);
  if (text[5] != '1') return std::unexpected(505);
  return text[7] == '0' ? 0 : 1;
}

}  // namespace

void Http1Parser::Feed(std::string_view bytes) {
  if (failed_) return;
  if (position_ == buffer_.size() || position_ > buffer_.size() / 2) {
    buffer_.erase(0, position_);
    scanned_ -= std::min(scanned_, position_);
    position_ = 0;
  }
  buffer_.append(bytes);
}

std::expected<std::optional<Http1Message>, int> Http1Parser::Next() {
  if (failed_) return std::unexpected(*failed_);
  while (state_ != State::kDone) {
    const Step step = Advance();
    if (!step) {
      failed_ = step.error();
      return std::unexpected(*failed_);
    }
    if (!*step) return std::nullopt;
  }
  state_ = State::kStartLine;
  head_bytes_ = 0;
  continue_wanted_ = false;
  return std::exchange(message_, {});
}

bool Http1Parser::TakeContinue() {
  const bool body_missing =
      (state_ == State::kBody || state_ == State::kChunkSize) && buffered_bytes() == 0;
  return std::exchange(continue_wanted_, false) && body_missing;
}

Http1Parser::Step Http1Parser::Advance() {
  switch (state_) {
    case State::kStartLine:
      return ParseStartLine();
    case State::kHeaders:
      return ParseHeaderLine();
    case State::kBody:
      return TakeBody(State::kDone);
    case State::kChunkSize:
      return ParseChunkSize();
    case State::kChunk:
      return TakeBody(State::kChunkEnd);
    case State::kChunkEnd: {
      std::string_view line;
      const Step got = TakeLine(line, 2, 400);
      if (!got || !*got) return got;
      if (!line.empty()) return std::unexpected(400);
      state_ = State::kChunkSize;
      return true;
    }
    case State::kTrailers:
      return ParseTrailerLine();
    case State::kUntilEnd:
      return TakeUntilEnd();
    case State::kDone:
      break;
  }
  return true;
}

/// The next line without its CRLF. `status` answers a line that is too long.
Http1Parser::Step Http1Parser::TakeLine(std::string_view& line, std::size_t bytes_max, int status) {
  COT_ASSERT(position_ <= buffer_.size());
  const std::size_t end = buffer_.find('\n', std::max(scanned_, position_));
  scanned_ = end == std::string::npos ? buffer_.size() : end;
  if (scanned_ - position_ > bytes_max) return std::unexpected(status);
  if (end == std::string::npos) return false;
  // A bare LF is refused: what one hop takes for a line end and the next does not is how requests
  // are smuggled.
  if (end == position_ || buffer_[end - 1] != '\r') return std::unexpected(400);
  line = std::string_view(buffer_).substr(position_, end - 1 - position_);
  position_ = end + 1;
  return true;
}

Http1Parser::Step Http1Parser::ParseStartLine() {
  std::string_view line;
  const Step got =
      TakeLine(line, header_bytes_max_ - std::min(head_bytes_, header_bytes_max_), 431);
  if (!got || !*got) return got;
  head_bytes_ += line.size() + 2;
  if (line.empty()) return true;  // [RFC 9112 §2.2] empty lines before a request are skipped
  return role_ == Role::kServer ? ParseRequestLine(line) : ParseStatusLine(line);
}

Http1Parser::Step Http1Parser::ParseRequestLine(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return std::unexpected(400);
  const std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, last - first - 1);
  const std::expected<int, int> version = ParseVersion(line.substr(last + 1));
  if (!version) return std::unexpected(version.error());
  if (!IsToken(method) || target.empty() || target.find_first_of(" \t") != std::string_view::npos ||
      !IsFieldValue(target)) {
    return std::unexpected(400);
  }
  if (target.starts_with("http://")) {
    const std::size_t path = target.find('/', 7);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  if (target.front() != '/' && target != "*") return std::unexpected(400);
  message_.method = method;
  message_.target = target;
  minor_version_ = *version;
  state_ = State::kHeaders;
  return true;
}

Http1Parser::Step Http1Parser::ParseStatusLine(std::string_view line) {
  if (line.size() < 12 || line[8] != ' ') return std::unexpected(400);
  const std::expected<int, int> version = ParseVersion(line.substr(0, 8));
  const std::optional<std::uint64_t> status = ParseNumber(line.substr(9, 3), 10);
  if (!version || !status || *status < 100) return std::unexpected(400);
  message_.status = static_cast<int>(*status);
  minor_version_ = *version;
  state_ = State::kHeaders;
  return true;
}

Http1Parser::Step Http1Parser::ParseHeaderLine() {
  std::string_view line;
  const Step got =
      TakeLine(line, header_bytes_max_ - std::min(head_bytes_, header_bytes_max_), 431);
  if (!got || !*got) return got;
  head_bytes_ += line.size() + 2;
  if (line.empty()) return EndHead();
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return std::unexpected(400);
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trim(line.substr(colon + 1));
  if (!IsToken(name) || !IsFieldValue(value)) return std::unexpected(400);
  message_.headers.emplace_back(Lower(name), value);
  return true;
}

Http1Parser::Step Http1Parser::EndHead() {
  bool chunked = false;
  std::optional<std::uint64_t> length;
  std::size_t hosts = 0;
  message_.keep_alive = minor_version_ >= 1;
  for (const auto& [name, value] : message_.headers) {
    if (name == "content-length") {
      const std::optional<std::uint64_t> number = ParseNumber(value, 10);
      if (!number || (length && *length != *number)) return std::unexpected(400);
      length = number;
    } else if (name == "transfer-encoding") {
      if (chunked || Lower(value) != "chunked") return std::unexpected(501);
      chunked = true;
    } else if (name == "connection") {
      if (ListHas(value, "close")) message_.keep_alive = false;
      if (minor_version_ == 0 && ListHas(value, "keep-alive")) message_.keep_alive = true;
    } else if (name == "expect") {
      continue_wanted_ = Lower(value) == "100-continue" && minor_version_ >= 1;
    } else if (name == "host") {
      ++hosts;
    }
  }
  // Two ways to say where a body ends are one too many [RFC 9112 §6.3].
  if (chunked && (length || minor_version_ == 0)) return std::unexpected(400);
  if (role_ == Role::kServer && (hosts > 1 || (minor_version_ >= 1 && hosts == 0)))
    return std::unexpected(400);
  if (length && *length > body_bytes_max_) return std::unexpected(413);
  need_ = length.value_or(0);
  if (role_ == Role::kClient) {
    const int status = message_.status;
    if (status / 100 == 1) {
      message_ = {};
      state_ = State::kStartLine;
      return true;
    }
    if (no_body_ || status == 204 || status == 304) {
      no_body_ = false;
      need_ = 0;
      state_ = State::kDone;
      return true;
    }
    if (!chunked && !length) {
      state_ = State::kUntilEnd;
      return true;
    }
  }
  state_ = chunked ? State::kChunkSize : State::kBody;
  return true;
}

Http1Parser::Step Http1Parser::TakeBody(State next) {
  const std::size_t take =
      static_cast<std::size_t>(std::min<std::uint64_t>(need_, buffered_bytes()));
  message_.body.append(buffer_, position_, take);
  position_ += take;
  need_ -= take;
  if (need_ > 0) return false;
  state_ = next;
  return true;
}

Http1Parser::Step Http1Parser::ParseChunkSize() {
  std::string_view line;
  const Step got = TakeLine(line, kChunkLineBytesMax, 400);
  if (!got || !*got) return got;
  const std::string_view digits = Trim(line.substr(0, line.find(';')));
  const std::optional<std::uint64_t> size = ParseNumber(digits, 16);
  if (!size) return std::unexpected(400);
  COT_ASSERT(message_.body.size() <= body_bytes_max_);
  if (*size > body_bytes_max_ - message_.body.size()) return std::unexpected(413);
  need_ = *size;
  state_ = need_ == 0 ? State::kTrailers : State::kChunk;
  return true;
}

Http1Parser::Step Http1Parser::ParseTrailerLine() {
  std::string_view line;
  const Step got =
      TakeLine(line, header_bytes_max_ - std::min(head_bytes_, header_bytes_max_), 431);
  if (!got || !*got) return got;
  head_bytes_ += line.size() + 2;
  if (line.empty()) state_ = State::kDone;
  return true;
}

Http1Parser::Step Http1Parser::TakeUntilEnd() {
  if (buffered_bytes() > body_bytes_max_ - message_.body.size()) return std::unexpected(413);
  message_.body.append(buffer_, position_);
  position_ = buffer_.size();
  if (!ended_) return false;
  message_.keep_alive = false;
  state_ = State::kDone;
  return true;
}

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

std::string EncodeHttp1Response(const HttpResponse& response, bool keep_alive, bool head_only) {
  const int status = response.status >= 200 && response.status <= 599 ? response.status : 500;
  const bool bodiless = status == 204 || status == 304;
  COT_ASSERT(response.content_type.find_first_of("\r\n") == std::string::npos);  // a handler's own
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", status, ReasonOf(status));
  if (!bodiless) {
    fmt::format_to(std::back_inserter(out), "content-type: {}\r\ncontent-length: {}\r\n",
                   response.content_type, response.body.size());
  }
  if (!keep_alive) out += "connection: close\r\n";
  out += "\r\n";
  if (!head_only && !bodiless) out += response.body;
  return out;
}

std::string EncodeHttp1Request(const HttpRequest& request, std::string_view host) {
  std::string out =
      fmt::format("{} {}{}{} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", request.method,
                  request.path, request.query.empty() ? "" : "?", request.query, host);
  for (const auto& [name, value] : request.headers) {
    fmt::format_to(std::back_inserter(out), "{}: {}\r\n", name, value);
  }
  const bool body = !request.body.empty() || request.method == "POST" || request.method == "PUT";
  if (body) fmt::format_to(std::back_inserter(out), "content-length: {}\r\n", request.body.size());
  out += "\r\n";
  out += request.body;
  return out;
}

}  // namespace coterie::net

#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace coterie::net {

/// One HTTP/1 message as it came off the wire.
struct Http1Message {
  std::string method;  ///< requests
  std::string target;  ///< requests: origin form, "/path?query"
  int status = 0;      ///< answers
  Headers headers;     ///< lower-case names
  std::string body;
  bool keep_alive = true;
};

/// HTTP/1 as a codec [RFC 9112]: bytes in, whole messages out. No I/O. Linear in what arrives, and
/// holds at most one message beside the bytes not looked at yet.
class Http1Parser {
 public:
  enum class Role { kServer, kClient };

  Http1Parser(Role role, std::size_t header_bytes_max, std::size_t body_bytes_max)
      : role_(role), header_bytes_max_(header_bytes_max), body_bytes_max_(body_bytes_max) {}

  void Feed(std::string_view bytes);
  /// The next whole message; nullopt if more bytes are needed. The error is the HTTP status to
  /// answer with (400, 413, 431, 501, 505); the connection is of no use afterwards.
  std::expected<std::optional<Http1Message>, int> Next();
  /// True once after a head that asks for `100 Continue` while its body has not come.
  bool TakeContinue();
  /// Clients: the next answer has no body whatever its headers say (HEAD).
  void ExpectNoBody() { no_body_ = true; }
  /// The peer ended its side: ends an answer whose length is that of the connection.
  void End() { ended_ = true; }
  /// A message has begun and is not whole.
  bool mid_message() const { return state_ != State::kStartLine || position_ < buffer_.size(); }
  std::size_t buffered_bytes() const { return buffer_.size() - position_; }

 private:
  enum class State {
    kStartLine,
    kHeaders,
    kBody,
    kChunkSize,
    kChunk,
    kChunkEnd,
    kTrailers,
    kUntilEnd,
    kDone
  };
  using Step = std::expected<bool, int>;  // false: needs more bytes

  Step Advance();
  Step TakeLine(std::string_view& line, std::size_t bytes_max, int status);
  Step ParseStartLine();
  Step ParseRequestLine(std::string_view line);
  Step ParseStatusLine(std::string_view line);
  Step ParseHeaderLine();
  Step ParseTrailerLine();
  Step ParseChunkSize();
  Step EndHead();
  Step TakeBody(State next);
  Step TakeUntilEnd();

  Role role_;
  std::size_t header_bytes_max_;
  std::size_t body_bytes_max_;
  State state_ = State::kStartLine;
  std::string buffer_;
  std::size_t position_ = 0;  // consumed up to here
  std::size_t scanned_ = 0;   // no line end in [position_, scanned_)
  std::size_t head_bytes_ = 0;
  std::uint64_t need_ = 0;  // body or chunk bytes still to come
  int minor_version_ = 1;
  bool ended_ = false;
  bool no_body_ = false;
  bool continue_wanted_ = false;
  std::optional<int> failed_;
  Http1Message message_;
};

/// "HTTP/1.1 200 OK ..." with Content-Length. `head_only` leaves the body out (HEAD).
std::string EncodeHttp1Response(const HttpResponse& response, bool keep_alive, bool head_only);
std::string EncodeHttp1Request(const HttpRequest& request, std::string_view host);
/// "Not Found"; "" for numbers without a name.
std::string_view ReasonOf(int status);

}  // namespace coterie::net

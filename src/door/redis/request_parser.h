#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coterie::door::redis {

/// Bounds of one request. What a client claims costs nothing: memory grows with bytes that came.
struct RequestLimits {
  std::size_t bulk_bytes_max = 64u << 20;      ///< of one word; at most 512 MiB
  std::size_t words_max = 1u << 20;            ///< of one request
  std::size_t line_bytes_max = 64u << 10;      ///< of an inline request, and of a length line
  std::size_t request_bytes_max = 256u << 20;  ///< of a whole request
};

/// Finds requests in a connection's input: arrays of bulk strings, and lines of words for people
/// with telnet [RESP3 "Sending commands"]. Pure, total on any input; looks at each byte once,
/// however it is cut.
class RequestParser {
 public:
  explicit RequestParser(RequestLimits limits) : limits_(limits) {}

  enum class State : std::uint8_t {
    kRequest,  ///< words() and consumed() tell which
    kMore,     ///< the request's end has not come
    kError,    ///< error() tells why; there is no way on in this input
  };
  /// `input`: everything that no earlier kRequest consumed, its beginning unchanged since then.
  State Next(std::string_view input);
  /// Views of `input` (of this object, for quoted words of lines); empty for a blank request.
  /// Valid until the next call.
  std::span<const std::string_view> words() const { return words_; }
  std::size_t consumed() const { return at_; }  ///< bytes of `input` that belonged to the request
  std::string_view error() const { return error_; }  ///< as Redis words it, with its "ERR"
  /// How much longer `input` must at least become for the next step.
  std::size_t wanted() const { return wanted_; }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};
  struct Range {
    std::size_t begin, size;
  };

  State Array(std::string_view input);
  State ArrayHeader(std::string_view input);
  /// The bulk string at at_: kRequest once it is all there.
  State Bulk(std::string_view input);
  State Line(std::string_view input);
  bool SplitLine(std::string_view line);
  /// The number of "<type><number>\r\n" at at_, which it steps over.
  State Number(std::string_view input, std::int64_t& value, std::string_view too_long,
               std::string_view invalid);
  State Fail(std::string_view error);

  RequestLimits limits_;
  std::vector<Range> ranges_;  // of the words found so far
  std::vector<std::string_view> words_;
  std::vector<std::string> unquoted_;
  bool busy_ = false;              // in the middle of a request
  std::size_t missing_ = 0;        // words that have not come
  std::size_t bulk_size_ = kNone;  // of the word at at_, once its length is known
  std::size_t at_ = 0;
  std::size_t scanned_ = 0;  // up to here there is no end of the present line
  std::size_t wanted_ = 0;
  std::string error_;
};

}  // namespace coterie::door::redis

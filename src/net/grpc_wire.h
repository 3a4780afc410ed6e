#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "net/grpc.h"

namespace coterie::net {

// The parts of the gRPC wire format that are not HTTP/2 [gRPC over HTTP2]: message prefixes,
// grpc-timeout, grpc-message. No I/O.

inline constexpr std::size_t kGrpcPrefixBytes = 5;

/// Writes the five bytes that precede a message of `body_bytes`: flag 0 (not compressed),
/// big-endian length.
void StoreGrpcPrefix(char* to, std::uint32_t body_bytes);

/// Cuts the bytes of one direction of a call into messages. Holds at most one partial message;
/// memory grows with bytes that arrived, never with a claimed length.
class GrpcMessageReader {
 public:
  enum class Event { kNeedMore, kMessage, kCompressed, kTooLarge };

  explicit GrpcMessageReader(std::size_t message_bytes_max) : bytes_max_(message_bytes_max) {}

  /// Takes from the front of `bytes` up to the end of one message and moves that into `message`
  /// (kMessage), or takes all of it (kNeedMore). The other answers are final.
  Event Next(std::string_view& bytes, std::string& message);
  /// Bytes of the message that is not whole yet, its prefix not counted.
  std::size_t partial_bytes() const { return body_.size(); }
  bool between_messages() const { return prefix_have_ == 0; }
  /// The length the current message claims.
  std::size_t claimed_bytes() const { return need_; }
  void Reset();

 private:
  std::size_t bytes_max_;
  std::size_t need_ = 0;
  std::uint8_t prefix_have_ = 0;
  char prefix_[kGrpcPrefixBytes] = {};
  std::string body_;
};

/// "grpc: received message larger than max (N vs. M)", the text grpc-go uses and clients match on.
std::string TooLargeText(std::size_t bytes, std::size_t bytes_max);

/// "100m" -> 100 ms. Units H M S m u n, at most eight digits; nullopt otherwise.
std::optional<Duration> ParseGrpcTimeout(std::string_view text);
/// The inverse; rounds up to a unit that fits eight digits, and to 1 ns at least.
std::string FormatGrpcTimeout(Duration timeout);

/// grpc-message is percent-encoded: bytes outside 0x20..0x7e and '%' become %XX.
std::string PercentEncode(std::string_view text);
/// Malformed escapes stay as they are, as the format demands.
std::string PercentDecode(std::string_view text);

/// Bytes that wait to be sent on one stream, in order. Holds what it is given without copying it.
class OutQueue {
 public:
  /// Queues `message` with its gRPC prefix.
  void PushMessage(std::string message);
  /// Queues `bytes` as they are.
  void PushRaw(std::string bytes);
  std::size_t bytes() const { return bytes_; }
  /// Appends the first `count` bytes to `to`. Requires: count <= bytes().
  void Take(std::size_t count, std::string& to);
  void Clear();

 private:
  struct Piece {
    std::string body;
    bool prefixed = false;
    std::size_t size() const { return body.size() + (prefixed ? kGrpcPrefixBytes : 0); }
  };
  std::vector<Piece> pieces_;
  std::size_t first_ = 0;   // pieces before it are sent
  std::size_t offset_ = 0;  // into the first piece
  std::size_t bytes_ = 0;
};

}  // namespace coterie::net

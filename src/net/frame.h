#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"

namespace coterie::net {

/// One message between nodes. On the wire, little-endian: u32 body length, u32 CRC32C of all that
/// follows it and of the length, u8 version (1), u8 flags (0), u16 type, u64 epoch, u32 deadline in
/// ms from sending (0: none), then the protobuf body.
struct FrameHead {
  std::uint16_t type = 0;
  Epoch epoch;
  std::uint32_t deadline_ms = 0;
};
struct Frame : FrameHead {
  std::string body;
};

inline constexpr std::size_t kFrameHeaderBytes = 24;

/// Appends the encoded frame to `out`.
void EncodeFrame(const FrameHead& head, std::string_view body, std::string& out);

/// Cuts a byte stream into frames. Memory grows with bytes that arrived, never with a claimed
/// length.
class FrameDecoder {
 public:
  explicit FrameDecoder(std::size_t body_bytes_max = 64u << 20) : body_bytes_max_(body_bytes_max) {}
  void Feed(std::string_view bytes);
  /// The next whole frame, nullopt if more bytes are needed. Errors (the stream is dead, every
  /// later call answers the same): kMalformed (checksum, version), kTooLarge. A frame with
  /// flags is a newer version's, and passed over.
  Result<std::optional<Frame>> Next();

 private:
  Result<std::optional<Frame>> NextOfAny();

  std::size_t body_bytes_max_;
  std::string buffer_;
  std::size_t consumed_ = 0;
  bool flagged_ = false;  // the last one has flags
  std::optional<Error> dead_;
};

}  // namespace coterie::net

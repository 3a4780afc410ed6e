#include "net/frame.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::net {
namespace {

constexpr std::uint8_t kVersion = 1;
// The checksum covers the length before it and all that follows it.
constexpr std::size_t kCrcAt = 4;
constexpr std::size_t kCrcEnd = 8;

std::uint32_t Checksum(std::string_view frame) {
  return Crc32c(frame.substr(kCrcEnd), Crc32c(frame.substr(0, kCrcAt)));
}

}  // namespace

void EncodeFrame(const FrameHead& frame, std::string_view body, std::string& out) {
  COT_ASSERT(body.size() <= UINT32_MAX);
  const std::size_t start = out.size();
  char header[kFrameHeaderBytes] = {};
  StoreFixed32(header, static_cast<std::uint32_t>(body.size()));
  header[8] = static_cast<char>(kVersion);
  header[9] = 0;  // flags
  header[10] = static_cast<char>(frame.type & 0xff);
  header[11] = static_cast<char>(frame.type >> 8);
  StoreFixed64(header + 12, frame.epoch.value);
  StoreFixed32(header + 20, frame.deadline_ms);
  out.append(header, kFrameHeaderBytes);
  out.append(body);
  const std::uint32_t crc = Checksum(std::string_view(out).substr(start));
  StoreFixed32(out.data() + start + kCrcAt, crc);
}

void FrameDecoder::Feed(std::string_view bytes) {
  if (dead_) return;
  // Moving the rest to the front only once most of the buffer is consumed keeps the cost per byte
  // constant.
  if (consumed_ == buffer_.size()) {
    buffer_.clear();
    consumed_ = 0;
  } else if (consumed_ > buffer_.size() / 2) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  buffer_.append(bytes);
}

Result<std::optional<Frame>> FrameDecoder::Next() {
  for (;;) {
    auto next = NextOfAny();
    // One with flags is a newer version's: whole, and passed over.
    if (!next || !*next || !flagged_) return next;
  }
}

Result<std::optional<Frame>> FrameDecoder::NextOfAny() {
  if (dead_) return std::unexpected(*dead_);
  COT_ASSERT(consumed_ <= buffer_.size());
  const auto die = [this](ErrorCode code, std::string message) {
    dead_ = Error{code, Outcome::kNotApplied, std::move(message)};
    buffer_ = {};
    consumed_ = 0;
    return std::unexpected(*dead_);
  };
  const std::string_view rest = std::string_view(buffer_).substr(consumed_);
  if (rest.size() < kFrameHeaderBytes) return std::nullopt;
  const char* header = rest.data();
  const std::size_t body_bytes = LoadFixed32(header);
  const auto version = static_cast<std::uint8_t>(header[8]);
  if (version != kVersion) {  // not even its length can be trusted
    return die(ErrorCode::kMalformed, fmt::format("frame of version {}", version));
  }
  if (body_bytes > body_bytes_max_) {
    return die(ErrorCode::kTooLarge,
               fmt::format("frame of {} bytes, over {}", body_bytes, body_bytes_max_));
  }
  if (rest.size() - kFrameHeaderBytes < body_bytes) return std::nullopt;
  const std::string_view whole = rest.substr(0, kFrameHeaderBytes + body_bytes);
  if (Checksum(whole) != LoadFixed32(header + kCrcAt)) {
    return die(ErrorCode::kMalformed, "frame checksum mismatch");
  }
  flagged_ = header[9] != 0;
  Frame frame;
  frame.type = static_cast<std::uint16_t>(static_cast<std::uint8_t>(header[10]) |
                                          static_cast<std::uint8_t>(header[11]) << 8);
  frame.epoch.value = LoadFixed64(header + 12);
  frame.deadline_ms = LoadFixed32(header + 20);
  frame.body = whole.substr(kFrameHeaderBytes);
  consumed_ += whole.size();
  return frame;
}

}  // namespace coterie::net

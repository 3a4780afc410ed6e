#include "net/grpc_wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace coterie::net {

void StoreGrpcPrefix(char* to, std::uint32_t body_bytes) {
  to[0] = 0;
  to[1] = static_cast<char>(body_bytes >> 24);
  to[2] = static_cast<char>(body_bytes >> 16);
  to[3] = static_cast<char>(body_bytes >> 8);
  to[4] = static_cast<char>(body_bytes);
}

GrpcMessageReader::Event GrpcMessageReader::Next(std::string_view& bytes, std::string& message) {
  if (prefix_have_ < kGrpcPrefixBytes) {
    const std::size_t take = std::min<std::size_t>(kGrpcPrefixBytes - prefix_have_, bytes.size());
    std::copy_n(bytes.data(), take, prefix_ + prefix_have_);
    prefix_have_ = static_cast<std::uint8_t>(prefix_have_ + take);
    bytes.remove_prefix(take);
    if (prefix_have_ < kGrpcPrefixBytes) return Event::kNeedMore;
    need_ = 0;
    for (std::size_t i = 1; i < kGrpcPrefixBytes; ++i) {
      need_ = need_ << 8 | static_cast<std::uint8_t>(prefix_[i]);
    }
  }
  if (prefix_[0] != 0) return Event::kCompressed;
  if (need_ > bytes_max_) return Event::kTooLarge;
  COT_ASSERT(body_.size() <= need_);
  if (body_.empty() && bytes.size() >= need_) {
    message.assign(bytes.data(), need_);
    bytes.remove_prefix(need_);
    prefix_have_ = 0;
    return Event::kMessage;
  }
  const std::size_t take = std::min(need_ - body_.size(), bytes.size());
  body_.append(bytes.data(), take);
  bytes.remove_prefix(take);
  if (body_.size() < need_) return Event::kNeedMore;
  message = std::move(body_);
  body_.clear();
  prefix_have_ = 0;
  return Event::kMessage;
}

void GrpcMessageReader::Reset() {
  need_ = 0;
  prefix_have_ = 0;
  body_.clear();
}

std::string TooLargeText(std::size_t bytes, std::size_t bytes_max) {
  return fmt::format("grpc: received message larger than max ({} vs. {})", bytes, bytes_max);
}

namespace {

struct TimeoutUnit {
  char letter;
  std::int64_t ns;
};
constexpr std::array<TimeoutUnit, 6> kUnits{{{'n', 1},
                                             {'u', 1'000},
                                             {'m', 1'000'000},
                                             {'S', 1'000'000'000},
                                             {'M', 60'000'000'000},
                                             {'H', 3'600'000'000'000}}};
constexpr std::int64_t kTimeoutValueMax = 99'999'999;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::optional<Duration> ParseGrpcTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  std::int64_t value = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  for (const TimeoutUnit& unit : kUnits) {
    if (unit.letter != text.back()) continue;
    // 99999999 hours are over what 64 bits of nanoseconds hold: such a deadline never comes.
    const std::int64_t limit = INT64_MAX / unit.ns;
    return Duration(value > limit ? INT64_MAX : value * unit.ns);
  }
  return std::nullopt;
}

std::string FormatGrpcTimeout(Duration timeout) {
  const std::int64_t ns = std::max<std::int64_t>(timeout.count(), 1);
  for (const TimeoutUnit& unit : kUnits) {
    const std::int64_t value = ns / unit.ns + (ns % unit.ns != 0 ? 1 : 0);
    if (value <= kTimeoutValueMax) return fmt::format("{}{}", value, unit.letter);
  }
  return fmt::format("{}H", kTimeoutValueMax);
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      out.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && text.size() - i > 2) {
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out.push_back(static_cast<char>(high << 4 | low));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

void OutQueue::PushMessage(std::string message) {
  COT_ASSERT(message.size() <= UINT32_MAX);
  pieces_.push_back({std::move(message), true});
  bytes_ += pieces_.back().size();
}

void OutQueue::PushRaw(std::string bytes) {
  if (bytes.empty()) return;
  pieces_.push_back({std::move(bytes), false});
  bytes_ += pieces_.back().size();
}

void OutQueue::Take(std::size_t count, std::string& to) {
  COT_ASSERT(count <= bytes_);
  bytes_ -= count;
  while (count > 0) {
    COT_ASSERT(first_ < pieces_.size());
    Piece& piece = pieces_[first_];
    const std::size_t prefix = piece.prefixed ? kGrpcPrefixBytes : 0;
    if (offset_ < prefix) {
      char text[kGrpcPrefixBytes];
      StoreGrpcPrefix(text, static_cast<std::uint32_t>(piece.body.size()));
      const std::size_t take = std::min(count, prefix - offset_);
      to.append(text + offset_, take);
      offset_ += take;
      count -= take;
    }
    const std::size_t take = std::min(count, piece.size() - offset_);
    if (take > 0) to.append(piece.body, offset_ - prefix, take);
    offset_ += take;
    count -= take;
    if (offset_ < piece.size()) continue;
    piece.body = {};
    offset_ = 0;
    ++first_;
  }
  if (first_ == pieces_.size()) {
    pieces_.clear();
    first_ = 0;
  } else if (first_ > 32 && first_ > pieces_.size() / 2) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void OutQueue::Clear() {
  pieces_.clear();
  first_ = offset_ = bytes_ = 0;
}

}  // namespace coterie::net

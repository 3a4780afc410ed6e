#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/grpc_wire.h"

// HTTP/2 frames written by hand, for tests and fuzzers [RFC 9113 §6, RFC 7541 §6.2.2].

namespace coterie::net::test {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum FrameType : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
inline constexpr std::uint8_t kEndStream = 0x1;
inline constexpr std::uint8_t kAck = 0x1;
inline constexpr std::uint8_t kEndHeaders = 0x4;

inline std::string BigEndian32(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

inline std::string RawFrame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                            std::string_view payload) {
  std::string out = BigEndian32(static_cast<std::uint32_t>(payload.size())).substr(1);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  out += BigEndian32(stream);
  return out.append(payload);
}

/// Literal fields without indexing or Huffman coding; lengths under 127 only.
inline std::string HeaderBlock(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += '\0';
    out += static_cast<char>(name.size());
    out += name;
    out += static_cast<char>(value.size());
    out += value;
  }
  return out;
}

inline std::vector<std::pair<std::string, std::string>> GrpcFields(
    std::string path, std::vector<std::pair<std::string, std::string>> more = {}) {
  std::vector<std::pair<std::string, std::string>> fields{
      {":method", "POST"}, {":scheme", "http"}, {":path", std::move(path)},
      {":authority", "x"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

inline std::string GrpcBody(std::string_view message, std::uint8_t flag = 0) {
  char prefix[kGrpcPrefixBytes];
  StoreGrpcPrefix(prefix, static_cast<std::uint32_t>(message.size()));
  prefix[0] = static_cast<char>(flag);
  return std::string(prefix, kGrpcPrefixBytes).append(message);
}

/// A whole unary call.
inline std::string UnaryFrames(std::uint32_t stream, std::string path, std::string_view message) {
  return RawFrame(kHeaders, kEndHeaders, stream, HeaderBlock(GrpcFields(std::move(path)))) +
         RawFrame(kData, kEndStream, stream, GrpcBody(message));
}

}  // namespace coterie::net::test

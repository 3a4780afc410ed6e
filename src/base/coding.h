#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace coterie {

// Fixed-width and varint integers in byte strings. Big-endian where order must survive (keys),
// little-endian where only size matters (records). Get* remove what they read from `in`'s front and
// answer nullopt when `in` is too short or malformed, leaving it in an unspecified state.

void PutFixed32(std::string& out, std::uint32_t v);
void PutFixed64(std::string& out, std::uint64_t v);
void PutBigEndian64(std::string& out, std::uint64_t v);
void PutVarint(std::string& out, std::uint64_t v);
/// Varint length, then the bytes.
void PutLengthPrefixed(std::string& out, std::string_view bytes);

std::optional<std::uint32_t> GetFixed32(std::string_view& in);
std::optional<std::uint64_t> GetFixed64(std::string_view& in);
std::optional<std::uint64_t> GetBigEndian64(std::string_view& in);
std::optional<std::uint64_t> GetVarint(std::string_view& in);
/// The view points into the bytes that `in` viewed.
std::optional<std::string_view> GetLengthPrefixed(std::string_view& in);

inline void StoreFixed32(char* to, std::uint32_t v) { std::memcpy(to, &v, 4); }
inline void StoreFixed64(char* to, std::uint64_t v) { std::memcpy(to, &v, 8); }
inline std::uint32_t LoadFixed32(const char* from) {
  std::uint32_t v;
  std::memcpy(&v, from, 4);
  return v;
}
inline std::uint64_t LoadFixed64(const char* from) {
  std::uint64_t v;
  std::memcpy(&v, from, 8);
  return v;
}

/// CRC32C (Castagnoli) of `bytes`, continuing from `seed`.
std::uint32_t Crc32c(std::string_view bytes, std::uint32_t seed = 0);

/// Lower-case hexadecimal, two characters a byte.
std::string Hex(std::string_view bytes);

}  // namespace coterie

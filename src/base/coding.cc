#include "base/coding.h"

#include <isa-l/crc.h>

#include <bit>

namespace coterie {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

void PutFixed32(std::string& out, std::uint32_t v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

void PutFixed64(std::string& out, std::uint64_t v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

void PutBigEndian64(std::string& out, std::uint64_t v) { PutFixed64(out, __builtin_bswap64(v)); }

void PutVarint(std::string& out, std::uint64_t v) {
  while (v >= 0x80) {
    out.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out.push_back(static_cast<char>(v));
}

void PutLengthPrefixed(std::string& out, std::string_view bytes) {
  PutVarint(out, bytes.size());
  out.append(bytes);
}

std::optional<std::uint32_t> GetFixed32(std::string_view& in) {
  if (in.size() < 4) return std::nullopt;
  const std::uint32_t v = LoadFixed32(in.data());
  in.remove_prefix(4);
  return v;
}

std::optional<std::uint64_t> GetFixed64(std::string_view& in) {
  if (in.size() < 8) return std::nullopt;
  const std::uint64_t v = LoadFixed64(in.data());
  in.remove_prefix(8);
  return v;
}

std::optional<std::uint64_t> GetBigEndian64(std::string_view& in) {
  const auto v = GetFixed64(in);
  if (!v) return std::nullopt;
  return __builtin_bswap64(*v);
}

std::optional<std::uint64_t> GetVarint(std::string_view& in) {
  std::uint64_t v = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (in.empty()) return std::nullopt;
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    if (shift == 63 && byte > 1) return std::nullopt;
    v |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return v;
  }
  return std::nullopt;
}

std::optional<std::string_view> GetLengthPrefixed(std::string_view& in) {
  const auto size = GetVarint(in);
  if (!size || *size > in.size()) return std::nullopt;
  const std::string_view bytes = in.substr(0, *size);
  in.remove_prefix(*size);
  return bytes;
}

std::uint32_t Crc32c(std::string_view bytes, std::uint32_t seed) {
  // ISA-L leaves the customary inversion before and after to its caller.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  std::uint32_t crc = ~seed;
  while (!bytes.empty()) {
    const std::size_t step = std::min<std::size_t>(bytes.size(), 1U << 30);
    crc = crc32_iscsi(data, static_cast<int>(step), crc);
    data += step;
    bytes.remove_prefix(step);
  }
  return ~crc;
}

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

}  // namespace coterie

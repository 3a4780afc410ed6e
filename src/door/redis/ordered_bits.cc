#include <algorithm>
#include <bit>
#include <optional>

#include "door/redis/ordered_kv.h"
#include "door/redis/ordered_view.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

constexpr std::int64_t kBitsMax = std::int64_t{8} * 512 * 1024 * 1024;

std::optional<std::size_t> ParseOffset(const Call& call, std::string_view text) {
  const auto offset = ParseInteger(text);
  if (offset && *offset >= 0 && *offset < kBitsMax) return static_cast<std::size_t>(*offset);
  call.reply.Error("ERR bit offset is not an integer or out of range");
  return std::nullopt;
}

unsigned BitOf(std::string_view value, std::size_t offset) {
  const std::size_t at = offset / 8;
  if (at >= value.size()) return 0;
  return (static_cast<unsigned char>(value[at]) >> (7 - offset % 8)) & 1;
}

void GetBit(const Call& call) {
  const auto offset = ParseOffset(call, call[2]);
  if (!offset) return;
  const auto& object = call.view.Find(call[1]);
  if (call.Accepts(object, ObjectType::kString)) call.reply.Integer(BitOf(object.value, *offset));
}

void SetBit(const Call& call) {
  const auto offset = ParseOffset(call, call[2]);
  if (!offset) return;
  if (call[3] != "0" && call[3] != "1") {
    return call.reply.Error("ERR bit is not an integer or out of range");
  }
  const auto& object = call.view.Find(call[1]);
  if (!call.Accepts(object, ObjectType::kString)) return;
  const std::size_t at = *offset / 8;
  if (at >= kTransactionBytesMax) {
    return call.reply.Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  }
  std::string value = object.value;
  const unsigned old = BitOf(value, *offset);
  call.reply.Integer(old);
  if (at < value.size() && (old != 0) == (call[3] == "1")) return;
  value.resize(std::max(value.size(), at + 1));
  const auto mask = static_cast<unsigned char>(1u << (7 - *offset % 8));
  const auto byte = static_cast<unsigned char>(value[at]);
  value[at] = static_cast<char>(call[3] == "1" ? byte | mask : byte & ~mask);
  call.view.PutString(call[1], std::move(value), object.expires_at_ms);
}

/// BITCOUNT key [start end [BYTE|BIT]]: the bits asked for as [first, last], in bits.
void BitCount(const Call& call) {
  const bool whole = call.size() == 2;
  if (!whole && call.size() != 4 && call.size() != 5) return call.SyntaxError();
  const auto start = whole ? 0 : ParseInteger(call[2]);
  const auto stop = whole ? -1 : ParseInteger(call[3]);
  if (!start || !stop) return call.NotInteger();
  const bool bits = call.size() == 5 && IsWord(call[4], "bit");
  if (call.size() == 5 && !bits && !IsWord(call[4], "byte")) return call.SyntaxError();
  const auto& object = call.view.Find(call[1]);
  if (!call.Accepts(object, ObjectType::kString)) return;
  const std::int64_t unit = bits ? 1 : 8;
  const auto size = static_cast<std::int64_t>(object.value.size()) * 8 / unit;
  std::int64_t first = *start, last = *stop;
  if (first < 0 && last < 0 && first > last) return call.reply.Integer(0);
  if (first < 0) first = std::max<std::int64_t>(first + size, 0);
  if (last < 0) last = std::max<std::int64_t>(last + size, 0);
  last = std::min(last, size - 1);
  if (first > last) return call.reply.Integer(0);
  std::int64_t count = 0;
  for (std::int64_t bit = first * unit; bit < (last + 1) * unit;) {
    const auto at = static_cast<std::size_t>(bit);
    if (bit % 8 == 0 && bit + 8 <= (last + 1) * unit) {
      count += std::popcount(static_cast<unsigned char>(object.value[at / 8]));
      bit += 8;
    } else {
      count += BitOf(object.value, at);
      ++bit;
    }
  }
  call.reply.Integer(count);
}

}  // namespace

Handler BitHandler(CommandId id) {
  switch (id) {
    case CommandId::kGetbit:
      return GetBit;
    case CommandId::kSetbit:
      return SetBit;
    case CommandId::kBitcount:
      return BitCount;
    default:
      return nullptr;
  }
}

}  // namespace coterie::door::redis::ordered

#include "model/cells/layout.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/coding.h"
#include "base/ordered_double.h"
#include "model/cells/value.h"

namespace coterie::cells {

void PutEscaped(std::string& out, std::string_view key) {
  while (true) {
    const std::size_t zero = key.find('\0');
    if (zero == std::string_view::npos) break;
    out.append(key.substr(0, zero + 1));
    out.push_back('\xff');
    key.remove_prefix(zero + 1);
  }
  out.append(key);
  out.append("\0\x01", 2);
}

std::optional<std::string_view> GetEscaped(std::string_view& in, std::string& scratch) {
  std::size_t zero = in.find('\0');
  if (zero == std::string_view::npos || zero + 1 >= in.size()) return std::nullopt;
  if (in[zero + 1] == '\x01') {
    const std::string_view key = in.substr(0, zero);
    in.remove_prefix(zero + 2);
    return key;
  }
  scratch.clear();
  while (true) {
    if (zero == std::string_view::npos || zero + 1 >= in.size()) return std::nullopt;
    scratch.append(in.substr(0, zero));
    const char mark = in[zero + 1];
    in.remove_prefix(zero + 2);
    if (mark == '\x01') return scratch;
    if (mark != '\xff') return std::nullopt;
    scratch.push_back('\0');
    zero = in.find('\0');
  }
}

void PutCellKey(std::string& out, std::string_view key, Kind kind, std::string_view element) {
  out.reserve(out.size() + key.size() + element.size() + 3);
  PutEscaped(out, key);
  out.push_back(static_cast<char>(kind));
  out.append(element);
}

std::optional<CellName> ParseCellKey(std::string_view bytes, std::string& scratch) {
  const auto key = GetEscaped(bytes, scratch);
  if (!key || bytes.empty()) return std::nullopt;
  CellName name{.key = *key, .kind = static_cast<Kind>(bytes.front()), .element = bytes.substr(1)};
  switch (name.kind) {
    case Kind::kRegister:
    case Kind::kCounter:
    case Kind::kExpiry:
    case Kind::kHll:
      if (!name.element.empty()) return std::nullopt;
      return name;
    case Kind::kField:
    case Kind::kMember:
    case Kind::kScored:
      return name;
    case Kind::kOperation:
      if (name.element.empty() || name.element.size() > 64) return std::nullopt;
      return name;
    case Kind::kEntry:
      if (name.element.size() != 16) return std::nullopt;
      return name;
    case Kind::kRank:
      if (name.element.size() != 2) return std::nullopt;
      if (static_cast<unsigned char>(name.element[0]) >= kHllRegisters >> 8) return std::nullopt;
      return name;
  }
  return std::nullopt;
}

std::string SpaceKey(char space, ShardId shard) {
  std::string out(1, space);
  PutBigEndian64(out, shard.value);
  return out;
}

std::string EndOfSpace(std::string prefix) {
  while (static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

void PutOrderedDouble(std::string& out, double value) { PutBigEndian64(out, OrderedBits(value)); }

std::optional<double> GetOrderedDouble(std::string_view& in) {
  const auto bits = GetBigEndian64(in);
  if (!bits) return std::nullopt;
  return FromOrderedBits(*bits);
}

std::string EncodeFixed(std::uint64_t value) {
  std::string out;
  PutBigEndian64(out, value);
  return out;
}
std::uint64_t DecodeFixed(std::string_view value) { return *GetBigEndian64(value); }

std::string EncodeScore(double score) { return EncodeFixed(std::bit_cast<std::uint64_t>(score)); }
double DecodeScore(std::string_view value) { return std::bit_cast<double>(DecodeFixed(value)); }

std::string EncodeId(StreamId id) {
  std::string out;
  PutBigEndian64(out, id.ms);
  PutBigEndian64(out, id.sequence);
  return out;
}

StreamId DecodeId(std::string_view element) {
  const std::uint64_t ms = *GetBigEndian64(element);
  return {.ms = ms, .sequence = *GetBigEndian64(element)};
}

std::string EncodeFields(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string out;
  PutVarint(out, fields.size());
  for (const auto& [name, value] : fields) {
    PutLengthPrefixed(out, name);
    PutLengthPrefixed(out, value);
  }
  return out;
}

bool DecodeFields(std::string_view in, std::vector<std::pair<std::string, std::string>>* fields) {
  const auto count = GetVarint(in);
  if (!count || *count > in.size()) return false;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto name = GetLengthPrefixed(in);
    if (!name) return false;
    const auto value = GetLengthPrefixed(in);
    if (!value) return false;
    if (fields != nullptr) fields->emplace_back(*name, *value);
  }
  return in.empty();
}

std::optional<std::int64_t> ParseInteger(std::string_view value) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  // "007" and "-0" are text: what comes back must be what was stored.
  const bool negative = value.front() == '-';
  const std::string_view digits = value.substr(negative ? 1 : 0);
  if (digits.front() == '0' && (digits.size() > 1 || negative)) return std::nullopt;
  return number;
}

namespace {

bool IsWellFormedValue(keyspace::Conflict policy, Kind kind, std::string_view value) {
  switch (kind) {
    case Kind::kRegister:
    case Kind::kField:
      return policy != keyspace::Conflict::kLww || IsTagged(value);
    case Kind::kExpiry:
    case Kind::kOperation:
      return value.size() == 8;
    case Kind::kScored:
      return value.size() == 8 && !std::isnan(DecodeScore(value));
    case Kind::kRank:
      return value.size() == 1;
    case Kind::kEntry:
      return DecodeFields(value, nullptr);
    case Kind::kCounter:
      return false;
    case Kind::kHll:
    case Kind::kMember:
      return value.empty();
  }
  return false;
}

}  // namespace

bool IsWellFormed(keyspace::Conflict policy, const CellName& name, const crdt::Cell& cell) {
  const bool sums =
      name.kind == Kind::kCounter || name.kind == Kind::kField || name.kind == Kind::kScored;
  for (const crdt::Entry& entry : cell.entries) {
    if (entry.value && !IsWellFormedValue(policy, name.kind, *entry.value)) return false;
    if (!sums && !entry.value) return false;
  }
  return true;
}

}  // namespace coterie::cells

#include "door/redis/ordered_layout.h"

#include <limits>

#include "base/coding.h"
#include "base/ordered_double.h"

namespace coterie::door::redis::ordered {
namespace {

constexpr std::string_view kReserved("\0redis/", 7);

std::string Reserved(char kind) {
  std::string out(kReserved);
  out += kind;
  out += '/';
  return out;
}

// The length in front keeps the elements of "a" apart from those of "ab".
std::string Owned(char kind, std::string_view key) {
  std::string out = Reserved(kind);
  PutBigEndian64(out, key.size());
  out += key;
  return out;
}

constexpr std::size_t kPrefixBytes = kReserved.size() + 2;

}  // namespace

std::string_view ToText(ObjectType type) {
  switch (type) {
    case ObjectType::kNone:
      return "none";
    case ObjectType::kString:
      return "string";
    case ObjectType::kHash:
      return "hash";
    case ObjectType::kSet:
      return "set";
    case ObjectType::kSortedSet:
      return "zset";
    case ObjectType::kForeign:
      return "foreign";
  }
  return "none";
}

KeyRange WithPrefix(std::string prefix) {
  std::string end = prefix;
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return {std::move(prefix), std::string(1, '\0')};
  end.back() = static_cast<char>(end.back() + 1);
  return {std::move(prefix), std::move(end)};
}

std::string StringRecord(std::string_view key) {
  if (!key.empty() && key.front() != '\0') return std::string(key);
  return Reserved('k').append(key);
}

std::optional<std::string> KeyOfString(std::string_view record) {
  if (record.empty()) return std::nullopt;
  if (record.front() != '\0') return std::string(record);
  if (!record.starts_with(Reserved('k'))) return std::nullopt;
  const std::string_view key = record.substr(kPrefixBytes);
  if (!key.empty() && key.front() != '\0') return std::nullopt;  // it would be plain
  return std::string(key);
}

KeyRange PlainStrings() { return {std::string(1, '\1'), std::string(1, '\0')}; }
KeyRange EscapedStrings() { return WithPrefix(Reserved('k')); }

std::string HeaderRecord(std::string_view key) { return Reserved('h').append(key); }
KeyRange Headers() { return WithPrefix(Reserved('h')); }
std::string KeyOfHeader(std::string_view record) {
  return std::string(record.substr(kPrefixBytes));
}

std::string EncodeHeader(const Header& header) {
  std::string out(1, static_cast<char>(header.type));
  PutVarint(out, header.count);
  return out;
}

std::optional<Header> DecodeHeader(std::string_view value) {
  if (value.empty()) return std::nullopt;
  const auto type = static_cast<ObjectType>(value.front());
  if (type < ObjectType::kHash || type > ObjectType::kSortedSet) return std::nullopt;
  value.remove_prefix(1);
  const auto count = GetVarint(value);
  constexpr std::uint64_t kCountMax = std::uint64_t{1} << 48;
  if (!count || *count == 0 || *count > kCountMax || !value.empty()) return std::nullopt;
  return Header{type, *count};
}

std::string ElementRecord(std::string_view key, std::string_view element) {
  return Owned('e', key).append(element);
}
KeyRange Elements(std::string_view key) { return WithPrefix(Owned('e', key)); }
std::string_view ElementOf(std::string_view key, std::string_view record) {
  return record.substr(kPrefixBytes + 8 + key.size());
}

std::string ScoreRecord(std::string_view key, double score, std::string_view member) {
  std::string out = Owned('s', key);
  PutBigEndian64(out, OrderedBits(score));
  return out.append(member);
}
KeyRange Scores(std::string_view key) { return WithPrefix(Owned('s', key)); }

std::string ScoreBound(std::string_view key, double score, bool behind) {
  std::string out = Owned('s', key);
  PutBigEndian64(out, OrderedBits(score) + (behind ? 1 : 0));  // infinity is not the last pattern
  return out;
}

Scored ScoredOf(std::string_view key, std::string_view record) {
  record.remove_prefix(kPrefixBytes + 8 + key.size());
  const auto ordered = GetBigEndian64(record);
  return {std::string(record), ordered ? FromOrderedBits(*ordered) : 0};
}

std::string EncodeScore(double score) {
  std::string out;
  PutBigEndian64(out, OrderedBits(score));
  return out;
}

double DecodeScore(std::string_view bytes) {
  const auto ordered = GetBigEndian64(bytes);
  return ordered ? FromOrderedBits(*ordered) : 0;
}

std::string ExpiryRecord(std::string_view key) { return Reserved('x').append(key); }
KeyRange Expiries() { return WithPrefix(Reserved('x')); }
std::string KeyOfExpiry(std::string_view record) {
  return std::string(record.substr(kPrefixBytes));
}

std::string EncodeExpiry(const Expiry& expiry) {
  std::string out;
  PutBigEndian64(out, expiry.at_ms);
  PutBigEndian64(out, static_cast<std::uint64_t>(expiry.belongs_to));
  return out;
}

std::optional<Expiry> DecodeExpiry(std::string_view value) {
  const auto at_ms = GetBigEndian64(value);
  if (!at_ms) return std::nullopt;
  const auto belongs_to = GetBigEndian64(value);
  constexpr std::uint64_t kLast = std::numeric_limits<std::int64_t>::max();
  if (!belongs_to || !value.empty() || *at_ms == 0 || *at_ms > kLast) return std::nullopt;
  return Expiry{*at_ms, static_cast<std::int64_t>(*belongs_to)};
}

}  // namespace coterie::door::redis::ordered

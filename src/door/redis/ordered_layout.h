#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// How Redis objects lie in the kv store of a raft keyspace. A string is stored raw under its own
// key, so that etcd clients see it; everything else lies below one reserved prefix.
namespace coterie::door::redis::ordered {

enum class ObjectType : std::uint8_t {
  kNone = 0,
  kString = 1,
  kHash = 2,
  kSet = 3,
  kSortedSet = 4,
  kForeign = 255,  ///< something that is not ours is where a header belongs
};
/// "none", "string", "hash", "set", "zset", "foreign".
std::string_view ToText(ObjectType type);

/// A range of kv keys, `end` exclusive; "\0" stands for the end of the keyspace, as in etcd.
struct KeyRange {
  std::string begin;
  std::string end;
  friend bool operator==(const KeyRange&, const KeyRange&) = default;
};

/// Where the string `key` is. Those that kv could not take, the empty one and those that begin with
/// a zero byte, lie below the reserved prefix.
std::string StringRecord(std::string_view key);
/// The Redis key that StringRecord maps to `record`; nullopt if no key does.
std::optional<std::string> KeyOfString(std::string_view record);
/// What the strings with a key of their own span, and the others.
KeyRange PlainStrings();
KeyRange EscapedStrings();

/// A collection's type and count.
std::string HeaderRecord(std::string_view key);
KeyRange Headers();
std::string KeyOfHeader(std::string_view record);
struct Header {
  ObjectType type = ObjectType::kNone;
  std::uint64_t count = 0;
};
std::string EncodeHeader(const Header& header);
/// nullopt: no EncodeHeader made it.
std::optional<Header> DecodeHeader(std::string_view value);

/// One element: a field of a hash (its value), a member of a set (empty) or of a sorted set
/// (score).
std::string ElementRecord(std::string_view key, std::string_view element);
KeyRange Elements(std::string_view key);
std::string_view ElementOf(std::string_view key, std::string_view record);

/// A member of a sorted set, in order of score, then of bytes; no value.
std::string ScoreRecord(std::string_view key, double score, std::string_view member);
KeyRange Scores(std::string_view key);
/// From the first member with this score on, or behind the last one with it.
std::string ScoreBound(std::string_view key, double score, bool behind);
struct Scored {
  std::string member;
  double score = 0;
};
Scored ScoredOf(std::string_view key, std::string_view record);
std::string EncodeScore(double score);
double DecodeScore(std::string_view bytes);

/// When a key expires.
std::string ExpiryRecord(std::string_view key);
KeyRange Expiries();
std::string KeyOfExpiry(std::string_view record);
/// It holds for one state of the key only: an etcd client that puts a string anew does not know of
/// it.
struct Expiry {
  static constexpr std::int64_t kSameTransaction = 0;  ///< the put with the record's own revision
  static constexpr std::int64_t kCollection = -1;      ///< the collection, as long as it lives
  std::uint64_t at_ms = 0;
  std::int64_t belongs_to = kSameTransaction;  ///< else: mod_revision of the string
};
std::string EncodeExpiry(const Expiry& expiry);
/// nullopt: no EncodeExpiry made it.
std::optional<Expiry> DecodeExpiry(std::string_view value);

/// Everything with these first bytes.
KeyRange WithPrefix(std::string prefix);

}  // namespace coterie::door::redis::ordered

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "crdt/cell.h"
#include "keyspace/promise.h"
#include "model/cells/store.h"

// Bytes: the keys that cells have between nodes, the engine's keys and records, and the values
// inside cells.
namespace coterie::cells {

/// What a cell is to its object. Part of every cell's key: never renumbered.
enum class Kind : std::uint8_t {
  kRegister = 0x01,   ///< the assigned string
  kCounter = 0x02,    ///< what was added to it
  kExpiry = 0x03,     ///< the deadline
  kHll = 0x04,        ///< that it is a HyperLogLog, if no rank says so
  kOperation = 0x10,  ///< an addition with a name: the name
  kField = 0x20,      ///< of a hash: the field
  kMember = 0x21,     ///< of a set: the member
  kScored = 0x22,     ///< of a sorted set: the member
  kEntry = 0x23,      ///< of a stream: the id, 16 bytes
  kRank = 0x24,       ///< of a HyperLogLog: the register's number, 2 bytes
};
constexpr std::uint16_t kHllRegisters = 16384;
constexpr bool IsSingleton(Kind kind) { return kind < Kind::kOperation; }

/// Appends `key` so that bytes compare as the keys do and no key's is another's prefix.
void PutEscaped(std::string& out, std::string_view key);
/// Appends the key that a cell has in its shard.
void PutCellKey(std::string& out, std::string_view key, Kind kind, std::string_view element);
/// A cell's key taken apart; the views are of the bytes, or of `scratch`.
struct CellName {
  std::string_view key;
  Kind kind{};
  std::string_view element;
};
std::optional<CellName> ParseCellKey(std::string_view bytes, std::string& scratch);
/// Removes an escaped key from the front of `in`.
std::optional<std::string_view> GetEscaped(std::string_view& in, std::string& scratch);

// Engine keys: a letter, BE64(shard), then as the letter says.
constexpr char kCellSpace = 'c';    ///< escaped key 00: the key record; cell key: an element
constexpr char kScoreSpace = 'z';   ///< escaped key, ordered score, member: nothing
constexpr char kExpirySpace = 'x';  ///< BE64(deadline), key: nothing
constexpr char kShardSpace = 's';   ///< format, policy
constexpr char kVectorSpace = 'v';  ///< the applied vector
constexpr std::string_view kJournalKey = "j";
std::string SpaceKey(char space, ShardId shard);
/// The first key after every key that begins with `prefix`, a SpaceKey.
std::string EndOfSpace(std::string prefix);

/// Byte order as numeric order; -0 and 0 are one.
void PutOrderedDouble(std::string& out, double value);
std::optional<double> GetOrderedDouble(std::string_view& in);

// Values inside cells.
constexpr std::uint64_t kHidden = 0;  ///< the deadline of what was removed and has cells left
constexpr std::uint64_t kNever = ~std::uint64_t{0};  ///< the deadline of PERSIST
std::string EncodeFixed(std::uint64_t value);        ///< 8 bytes whose order is the numbers'
std::uint64_t DecodeFixed(std::string_view value);   ///< requires: 8 bytes
std::string EncodeScore(double score);
double DecodeScore(std::string_view value);
std::string EncodeId(StreamId id);
StreamId DecodeId(std::string_view element);
std::string EncodeFields(const std::vector<std::pair<std::string, std::string>>& fields);
bool DecodeFields(std::string_view in, std::vector<std::pair<std::string, std::string>>* fields);

/// Whether `value` is Redis's decimal form of a 64-bit integer.
std::optional<std::int64_t> ParseInteger(std::string_view value);

/// True if the cell of another node can stand there: its name's and its values' forms are right.
bool IsWellFormed(keyspace::Conflict policy, const CellName& name, const crdt::Cell& cell);

}  // namespace coterie::cells

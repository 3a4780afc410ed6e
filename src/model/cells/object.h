#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crdt/cell.h"
#include "model/cells/layout.h"
#include "model/cells/value.h"

// One object in memory: its key record, and those of its element cells that are cached.
namespace coterie::cells {

/// Derived from an object's element cells, by whoever joins one.
struct Counts {
  std::uint64_t operations = 0;  ///< live, as all below
  std::uint64_t fields = 0;
  std::uint64_t members = 0;
  std::uint64_t scored = 0;
  std::uint64_t entries = 0;
  std::uint64_t ranks = 0;
  std::uint64_t element_bytes = 0;  ///< of their names
  std::uint64_t cells = 0;          ///< tombstones included
  std::int64_t operation_sum = 0;   ///< of the amounts of the operations
  friend bool operator==(const Counts&, const Counts&) = default;

  std::uint64_t& Of(Kind kind);
  std::uint64_t live() const { return operations + fields + members + scored + entries + ranks; }
};

struct Element {
  crdt::Cell cell;  ///< empty context: there is none
  bool dirty = false;
  bool in_engine = false;
  std::optional<double> indexed_score;  ///< what the engine's index has
};

/// Of sorted-set members, in the order of scores; views of the element names.
struct ByScore {
  bool operator()(const std::pair<double, std::string_view>& a,
                  const std::pair<double, std::string_view>& b) const {
    return a.first != b.first ? a.first < b.first : a.second < b.second;
  }
};

/// What an object has besides an assigned string.
struct Collection {
  /// By kind, then element: the order of the cells' keys.
  using Elements = std::map<std::string, Element, std::less<>>;

  std::array<crdt::Cell, 3> singletons;  ///< counter, expiry, HyperLogLog marker
  Counts counts;
  Elements elements;
  /// No element cell is missing in `elements`.
  bool complete = true;
  std::vector<Elements::iterator> dirty;
  /// Kept while `complete`.
  std::set<std::pair<double, std::string_view>, ByScore> by_score;
  std::size_t bytes = 0;  ///< of `elements`, roughly

  const crdt::Cell& singleton(Kind kind) const {
    return singletons[static_cast<std::size_t>(kind) - 2];
  }
  crdt::Cell& singleton(Kind kind) { return singletons[static_cast<std::size_t>(kind) - 2]; }
};

struct Shard;

struct Object {
  std::string key;
  bool referenced = true;  ///< second chance of the clock hand
  bool dirty = false;      ///< the record or an element
  bool in_engine = false;  ///< the record
  bool edited = false;     ///< by an edit that is not finished
  bool counted = false;    ///< in the shard's count of keys
  std::unique_ptr<Collection> rest;
  crdt::Cell value;  ///< the register
  Shard* shard = nullptr;
  std::size_t charged = 0;                        ///< of the cache's bytes
  std::optional<std::uint64_t> indexed_deadline;  ///< what the engine's index has
  Object* next = nullptr;                         ///< round the clock
  Object* previous = nullptr;

  Collection& Rest() {
    if (rest == nullptr) rest = std::make_unique<Collection>();
    return *rest;
  }
  const Counts& counts() const {
    static constexpr Counts kNone;
    return rest != nullptr ? rest->counts : kNone;
  }
  const crdt::Cell& singleton(Kind kind) const;
  crdt::Cell& singleton(Kind kind);

  bool HasString(Policy policy) const;  ///< assigned or counted
  bool HasHll() const;
  bool HasData(Policy policy) const;
  /// nullopt: none, or "never".
  std::optional<std::uint64_t> Deadline(Policy policy) const;
  /// Neither a cell nor a count: no record is needed.
  bool IsBlank() const;
  std::size_t Bytes() const;
};

/// The key record: format, then a mask of the singletons there are, those, and the counts.
std::string EncodeRecord(const Object& object);
/// Fills in what EncodeRecord put; false if malformed.
bool DecodeRecord(std::string_view bytes, Object& object);

inline std::string ElementName(Kind kind, std::string_view element) {
  std::string name(1, static_cast<char>(kind));
  name.append(element);
  return name;
}

std::size_t CellBytes(const crdt::Cell& cell);

}  // namespace coterie::cells

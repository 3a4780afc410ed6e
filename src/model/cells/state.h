#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/cells/object.h"
#include "model/cells/object_table.h"
#include "model/cells/store.h"

namespace coterie::cells {

Status Corrupt(std::string_view what);

/// One shard's part of the store. Objects are looked up, never iterated: only the orders of
/// `dirty`, `tombstones` and the clock show.
struct Shard {
  ShardId id;
  Policy policy = Policy::kCrdt;
  VersionVector applied;
  VersionVector written;       ///< what the engine has of `applied`
  VersionVector applied_then;  ///< when the sweep that writes back began
  std::size_t sweeping = 0;    ///< the first so many of `dirty` belong to it
  ObjectTable objects;
  std::vector<Object*> dirty;
  std::set<std::string, std::less<>> tombstones;  ///< their cell keys
  std::string purge_from;                         ///< where the present pass of Purge has come
  std::uint64_t keys = 0;                         ///< objects with data, expired ones included
  std::uint64_t deadline_min = 0;                 ///< no object's is less
  std::string prefix;                             ///< of its cells in the engine
};

/// Where a cell is in memory. Valid until the cache is trimmed.
struct Place {
  Object* object;
  Kind kind;
  crdt::Cell* cell;
  Collection::Elements::iterator element;  ///< unless a singleton

  std::string_view name() const {
    return IsSingleton(kind) ? std::string_view() : std::string_view(element->first).substr(1);
  }
  std::string cell_key() const;
};

/// What depends on a cell, before it changes.
struct Before {
  bool exists = false;
  bool live = false;
  double score = 0;
  std::int64_t amount = 0;
  std::size_t bytes = 0;
};

struct Store::State {
  explicit State(StoreOptions o) : options(o) {}

  // -- cache (cache.cc) --------------------------------------------------------------------------
  Shard* FindShard(ShardId shard);
  /// The object, blank if there is none. Its record is in memory; valid until the next Trim.
  Object& Load(Shard& shard, std::string_view key);
  /// nullptr: no shard, no data, or its time has come.
  Object* Visible(ShardId shard, std::string_view key);
  bool IsExpired(const Object& object) const;
  Place Locate(Object& object, Kind kind, std::string_view element);
  /// The cell of a live element, without adding to the cache what is not there; may be null.
  const crdt::Cell* FindLive(Object& object, Kind kind, std::string_view element);
  /// Whether to read its elements in memory: there are few, or the engine must not have them yet.
  bool WantsWhole(const Object& object) const {
    return object.edited || object.rest->counts.cells <= options.whole_cells_max;
  }
  /// Brings every element into memory.
  void Complete(Object& object);
  /// Forgets which objects are edited: the edit is finished.
  void FinishEdit();
  /// Drops what was not used lately, down to the bound. Nothing while somebody iterates.
  void Trim();
  void Evict(Object& object);
  void Fail(Status status);

  // -- changes (change.cc) -----------------------------------------------------------------------
  Before Look(const Place& place) const;
  /// Brings everything derived from the cell up to date with it.
  void Settle(const Place& place, const Before& before);
  /// Joins what another replica made, and reports what was lost.
  void JoinInto(const Place& place, crdt::Cell delta);
  /// Counts the object in or out of its shard, and the cache's bytes.
  void Recount(Object& object);
  void MarkDirty(const Place& place);

  // -- engine (write_back.cc) --------------------------------------------------------------------
  void AppendObject(storage::Batch& batch, Object& object);
  void AppendShard(storage::Batch& batch, Shard& shard);
  std::size_t AppendSwept(storage::Batch& batch, Shard& shard, std::size_t objects_max);
  void AppendPosition(storage::Batch& batch);
  /// Lets the engine have what changed in a shard, or of an object, ahead of WriteBack.
  bool Push(Shard& shard);
  bool Push(Object& object);
  Status ScanShard(Shard& shard);

  StoreOptions options;
  storage::Engine* engine = nullptr;
  std::map<ShardId, std::unique_ptr<Shard>> shards;
  Shard* last_shard = nullptr;
  Object* hand = nullptr;  ///< of the clock
  std::size_t cached_bytes = 0;
  std::size_t dirty_bytes = 0;
  std::uint64_t wall_ms = 0;
  LogIndex journal;
  std::optional<LogIndex> sweep;  ///< the journal's position when the sweep under way began
  std::function<void(cells::Conflict)> on_conflict;
  Status failure;
  int pins = 0;  ///< iterations and edits under way: nothing may leave the cache
  /// What unfinished edits have changed. It must not be in the engine: the edit may change a cell
  /// again under the same dot, and a replay takes a dot that a cell has seen for done.
  std::vector<Object*> edited;
  bool purge_waits = false;
};

/// Keeps the cache from being trimmed while views into it are out.
class Pin {
 public:
  explicit Pin(Store::State& state);
  ~Pin();
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

 private:
  int& pins_;
};

}  // namespace coterie::cells

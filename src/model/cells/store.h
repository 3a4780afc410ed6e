#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "crdt/cell.h"
#include "keyspace/promise.h"
#include "replication/leaderless/mutation.h"
#include "storage/engine.h"

namespace coterie::cells {

using clock::Dot;
using clock::HybridTime;
using clock::VersionVector;
using leaderless::Mutation;
using leaderless::MutationView;

enum class ObjectType : std::uint8_t { kNone, kString, kHash, kSet, kSortedSet, kStream };
std::string_view ToText(ObjectType type);  ///< as Redis's TYPE: "none", "string", ... "zset"

struct StoreOptions {
  /// Cells kept in memory; over it clean ones are dropped and dirty ones written back first.
  std::size_t cache_bytes_max = 256u << 20;
  /// Changed cells wait in memory for being written to the engine together.
  std::size_t dirty_bytes_max = 64u << 20;
  /// Of an object with up to this many element cells all are loaded when one is touched.
  std::uint64_t whole_cells_max = 1024;
};

/// A value that lost a last-writer-wins race: acknowledged, and no longer visible.
struct Conflict {
  ShardId shard;
  std::string key;      ///< the user's key
  std::string element;  ///< hash field or member, "" for a string
  Dot dot;              ///< of the loser
  HybridTime time;
  std::string value;  ///< at most 128 bytes of it
  Dot winner;
};

/// Stream entry ids, as Redis prints them: ms-sequence.
struct StreamId {
  std::uint64_t ms = 0;
  std::uint64_t sequence = 0;
  friend auto operator<=>(const StreamId&, const StreamId&) = default;
};
/// One that no other mutation gives: the hybrid time's parts, and the actor below its logical part.
StreamId StreamIdOf(Dot dot, HybridTime time);

struct ScoredMember {
  std::string member;
  double score = 0;
};
struct StreamEntry {
  StreamId id;
  std::vector<std::pair<std::string, std::string>> fields;
};

/// The objects of all convergent shards on one node: strings, counters, hashes, sets, sorted sets,
/// HyperLogLogs and streams, each element a cell of its own, so that a change costs its own size
/// and not the object's. A write-back cache over the Engine: what is written is in memory until
/// WriteBack; durability is the journal's. Expired objects are invisible to every read. Reads are
/// of this replica's state. Single reactor; nothing suspends but Flush.
class Store {
 public:
  Store(StoreOptions options);
  ~Store();

  /// Takes over the state in `engine`, which must outlive this. Once, before all else. Errors:
  /// kCorruptState, kIo.
  Status Load(storage::Engine& engine);
  /// Declares a shard: how its concurrent writes merge. Needed before anything else names it; again
  /// (as after Load, which knows the shards it found) it must say the same.
  void OpenShard(ShardId shard, keyspace::Conflict policy);
  /// Forgets a shard and deletes its cells.
  Status DropShard(ShardId shard);
  bool HasShard(ShardId shard) const;
  /// Called with every value that a merge dropped; at most one.
  void OnConflict(std::function<void(Conflict)> sink);

  // -- replication -------------------------------------------------------------------------------
  /// Joins a mutation, made here or elsewhere, and includes its dot in the shard's applied vector.
  /// The caller keeps each actor's mutations in order. A mutation that is applied already changes
  /// nothing. Errors: kMalformed, kNotReplica (no such shard; nothing changed); kIo, kCorruptState
  /// (the engine has failed: this and everything later; crash and recover).
  Status Apply(const MutationView& mutation);
  /// What this replica has applied.
  const VersionVector& Applied(ShardId shard) const;
  /// Raises the applied vector without mutations: after the cells of another replica were joined.
  void RaiseApplied(ShardId shard, const VersionVector& to);
  /// Forgets tombstones that `stable` covers, after looking at up to `cells_max`; true: this pass
  /// has not seen all yet. `stable` must be causally stable (crdt/README): the minimum of all
  /// replicas' applied vectors, once this replica has applied each one's own mutations up to there.
  /// What the engine's vector does not cover waits for a WriteBack, which WantsWriteBack asks for.
  Result<bool> Purge(ShardId shard, const VersionVector& stable, std::size_t cells_max);
  std::uint64_t tombstones(ShardId shard) const;

  // -- whole cells: repair, moves ----------------------------------------------------------------
  /// Cells with key >= `from` (and < `to` unless it is ""), in key order, tombstones included,
  /// until `visit` answers false.
  Status VisitCells(ShardId shard, std::string from, std::string to,
                    const std::function<bool(std::string_view key, std::string_view cell)>& visit);
  /// Joins an encoded cell that another replica holds. Error kMalformed.
  Status JoinCell(ShardId shard, std::string_view key, std::string_view cell);
  /// The range [first, second) of the cell keys of one object.
  static std::pair<std::string, std::string> CellsOf(std::string_view key);
  /// The sum over the shard's live entries of a hash of each, tombstones left out: equal on
  /// replicas whose readers see the same, whatever each has purged.
  Result<std::uint64_t> Digest(ShardId shard);

  // -- durability --------------------------------------------------------------------------------
  /// Writes changed cells and applied vectors to the engine in one batch, with `journal` beside
  /// them: the last position of the journal whose mutations are all in it.
  Status WriteBack(LogIndex journal);
  /// The same in steps, so that others have their turn between them: everything that is dirty now,
  /// about `objects_max` objects a step; true while there is more. The engine counts as having what
  /// was applied, and journaled up to `journal`, when it began. A second beginning replaces it.
  void BeginWriteBack(LogIndex journal);
  Result<bool> ContinueWriteBack(std::size_t objects_max);
  /// The position that the loaded state had.
  LogIndex journal_position() const;
  bool WantsWriteBack() const;
  storage::Engine& engine();

  // -- reading -----------------------------------------------------------------------------------
  /// The time by which expiry is judged: set by the driver at the start of each turn.
  void SetWallMs(std::uint64_t wall_ms);
  std::uint64_t wall_ms() const;

  ObjectType TypeOf(ShardId shard, std::string_view key);
  /// A string, or a counter in decimal. nullopt: no string there.
  std::optional<std::string> GetString(ShardId shard, std::string_view key);
  /// Same, appended to `out` without a copy on the way; false: no string there.
  bool AppendString(ShardId shard, std::string_view key, std::string& out);
  /// Values nobody has superseded, greatest first, and the context to supersede them with.
  struct Siblings {
    std::vector<std::string> values;
    VersionVector context;
  };
  Siblings GetSiblings(ShardId shard, std::string_view key);
  /// Milliseconds since the epoch; nullopt: lives until it is deleted.
  std::optional<std::uint64_t> ExpiresAt(ShardId shard, std::string_view key);

  /// When the string that readers see, or saw before it expired, was assigned; nullopt: none was.
  std::optional<HybridTime> AssignedAt(ShardId shard, std::string_view key);

  /// Live elements: fields, members, sorted-set members or stream entries. O(1).
  std::uint64_t Size(ShardId shard, std::string_view key, ObjectType type);
  std::optional<std::string> HashGet(ShardId shard, std::string_view key, std::string_view field);
  bool SetContains(ShardId shard, std::string_view key, std::string_view member);
  std::optional<double> Score(ShardId shard, std::string_view key, std::string_view member);
  /// Elements in byte order, greater than `after` ("" with `from_start`: all), until false.
  using VisitField = std::function<bool(std::string_view field, std::string_view value)>;
  void VisitHash(ShardId shard, std::string_view key, std::string_view after, VisitField visit);
  using VisitMember = std::function<bool(std::string_view member)>;
  void VisitSet(ShardId shard, std::string_view key, std::string_view after, VisitMember visit);
  /// In (score, member) order, or the reverse; starts at the first with score >= `from` (reverse:
  /// the last with score <= `from`).
  using VisitScored = std::function<bool(std::string_view member, double score)>;
  void VisitSortedSet(ShardId shard, std::string_view key, double from, bool reverse,
                      VisitScored visit);
  /// Raises each of `ranks` to the HyperLogLog's; 2^14 registers. False: no such object.
  bool HllRanks(ShardId shard, std::string_view key, std::array<std::uint8_t, 16384>& ranks);
  bool IsHll(ShardId shard, std::string_view key);
  /// Entries with first <= id <= last in order (or the reverse), until false.
  void VisitStream(ShardId shard, std::string_view key, StreamId first, StreamId last, bool reverse,
                   const std::function<bool(const StreamEntry&)>& visit);
  /// Keys of visible objects greater than `after`, in order, at most `max`.
  std::vector<std::string> Keys(ShardId shard, std::string_view after, std::size_t max);
  /// Objects there are, those included whose time has come and that are not removed yet. O(1).
  std::uint64_t KeyCount(ShardId shard);
  /// Objects whose time has come, at most `max`, oldest deadline first; they stay until an edit
  /// removes them.
  std::vector<std::string> Expired(ShardId shard, std::size_t max);

  struct State;

 private:
  friend class Edit;
  std::unique_ptr<State> state_;
};

/// One mutation in the making: reads this replica's state, joins each change into it at once, and
/// collects the deltas. The caller has checked types (TypeOf) where a command would refuse another
/// type; every mutator works whatever the key holds. Lives within one turn. An empty edit uses no
/// dot. Reads see the changes at once, but Keys, Expired, VisitCells and Digest only when it is
/// finished.
class Edit {
 public:
  Edit(Store& store, ShardId shard, Dot dot, HybridTime time);
  ~Edit();

  /// Replaces whatever `key` holds, its expiry included unless `keep_expiry`.
  void SetString(std::string_view key, std::string_view value, bool keep_expiry = false);
  /// Over `context` only: what the client has not seen stays as siblings.
  /// Error kTooManySiblings (not applied) at 100 of them.
  Status SetStringOver(std::string_view key, const VersionVector& context, std::string_view value);
  /// Adds to a counter (which may hold an assigned integer as its base). Errors, not applied:
  /// kNotAnInteger, kOverflow. With `operation` (1..64 bytes), an addition that was made under that
  /// name already, here or elsewhere, is not made again. Answers the new local value.
  Result<std::int64_t> Increment(std::string_view key, std::int64_t amount,
                                 std::string_view operation = {});
  /// Removes what is seen of the object. False: there was nothing.
  bool RemoveKey(std::string_view key);
  /// The same if its time has come; else nothing.
  void RemoveExpired(std::string_view key);
  /// Whether RemoveKey, or SetString over it, makes a mutation of a size that can be sent: it has
  /// every element that is removed. Error kTooLarge (not applied) above these.
  static constexpr std::uint64_t kRemovalCellsMax = 100'000;
  static constexpr std::uint64_t kRemovalBytesMax = 16u << 20;
  Status CheckRemoval(std::string_view key);
  /// `at_ms` nullopt: lives on until deleted (PERSIST), which wins over every deadline.
  void SetExpiry(std::string_view key, std::optional<std::uint64_t> at_ms);

  bool HashSet(std::string_view key, std::string_view field, std::string_view value);  ///< new?
  Result<std::int64_t> HashIncrement(std::string_view key, std::string_view field,
                                     std::int64_t amount);
  bool HashRemove(std::string_view key, std::string_view field);
  bool SetAdd(std::string_view key, std::string_view member);  ///< new?
  bool SetRemove(std::string_view key, std::string_view member);
  bool SortedSetAdd(std::string_view key, std::string_view member, double score);  ///< new?
  double SortedSetIncrement(std::string_view key, std::string_view member, double amount);
  bool SortedSetRemove(std::string_view key, std::string_view member);
  bool HllRaise(std::string_view key, std::uint16_t index, std::uint8_t rank);  ///< changed?
  void HllCreate(std::string_view key);
  /// Its id is StreamIdOf(dot, time), the n-th of one edit further by n; up to 65,536 an edit.
  StreamId StreamAdd(std::string_view key,
                     const std::vector<std::pair<std::string, std::string>>& fields);
  bool StreamRemove(std::string_view key, StreamId id);

  bool empty() const;
  /// The mutation; its dot is in the applied vector from here on. Requires: not empty. Once.
  Mutation Take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::cells

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "clock/dot.h"
#include "clock/hybrid.h"

namespace coterie::crdt {

using clock::Dot;
using clock::HybridTime;
using clock::VersionVector;

/// The unit of replication: one register, or one element of a collection. Everything a convergent
/// keyspace holds is cells, each a join-semilattice of its own: a causal context (every dot this
/// cell has seen) and the entries that survive in it. An entry whose dot the other side's context
/// covers and whose entries lack it was superseded or removed there [DeltaCRDT §7; DVV §4]. A cell
/// with a context and no entries is a tombstone; when it may be forgotten says README.md.
///
/// An entry is either an assigned value or a sum, and never changes: equal dots and kinds mean
/// equal entries.
struct Entry {
  Dot dot;
  HybridTime time;
  /// Assigned payload; nullopt for a sum.
  std::optional<std::string> value;
  /// A sum: all that this actor has added since `run`, the counter of the first dot of its present
  /// run of additions. A removal remembers how much of a run it saw, so that an addition made at
  /// the same time survives with just its own amount. 0 for an assigned value.
  std::uint64_t run = 0;
  double real = 0;           ///< sorted-set increments; finite
  std::int64_t integer = 0;  ///< counter increments; wraps around: callers check
  friend bool operator==(const Entry&, const Entry&) = default;
};

struct Cell {
  /// Ascending by dot, a sum before a value; at most one sum an actor. An actor has one value,
  /// unless AssignOver left older ones of it beside the newest.
  std::vector<Entry> entries;
  VersionVector context;  ///< covers the dots of `entries` and `removed`
  /// Sums that were seen by removals, the newest of each actor, ascending, without their times.
  std::vector<Entry> removed;
  bool live() const { return !entries.empty(); }
  friend bool operator==(const Cell&, const Cell&) = default;
};

/// Which of concurrent assigned values readers see. All stay in the cell until a later mutation
/// that has seen them replaces them: were the hidden ones dropped, then a removal that had seen
/// only the visible one would leave different cells in different orders of arrival.
enum class Merge : std::uint8_t {
  kKeepAll,     ///< all: siblings, set members (add wins), sums
  kLastWriter,  ///< the one with the greatest (time, dot); the others are reported as lost
  kGreatest,    ///< the greatest value, as bytes: HyperLogLog ranks, expiry deadlines
};

/// A value that lost against a concurrent one.
struct Loser {
  Entry entry;
  Dot winner;
};

/// Joins `from` into `into`: commutative, associative, idempotent. Appends to `losers` (may be
/// null) each value that was visible in `into`, or comes visible with `from`, that neither had
/// superseded, and that is hidden now. Answers whether `into` changed.
bool Join(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers = nullptr);
bool Join(Cell& into, Cell&& from, Merge merge, std::vector<Loser>* losers = nullptr);

// Deltas: what one new mutation, named `dot` at `time`, does to a cell of which the maker has seen
// `seen`. The maker joins the delta itself, too. `dot` is newer than all that its actor has made.

/// Replaces every entry seen.
Cell Assign(const Cell& seen, Dot dot, HybridTime time, std::string value);
/// Replaces only what was seen both here and by a client, whose knowledge is `context` (any input
/// is safe); the rest become siblings. For cells of values: of an actor's sum it replaces nothing
/// unless the client has seen the newest addition.
Cell AssignOver(const Cell& seen, const VersionVector& context, Dot dot, HybridTime time,
                std::string value);
/// Removes every entry seen; what is added elsewhere at the same time survives.
Cell Remove(const Cell& seen, Dot dot, HybridTime time);
/// Adds to the actor's own sum; leaves the others' entries alone.
Cell Add(const Cell& seen, Dot dot, HybridTime time, std::int64_t amount);
/// Same for a finite amount; the sum stays finite, at the greatest double.
Cell AddReal(const Cell& seen, Dot dot, HybridTime time, double amount);
/// When one mutation changes one cell again: `later` was made from `into` under the same dot that
/// made `delta`, which `into` has joined. Makes `delta` what the mutation does as a whole, and
/// joins that. (A plain Join would ignore `later`: its dot has been seen.)
void Amend(Cell& into, Cell& delta, Cell later, Dot dot);

/// The assigned entry that readers see; null if there is none or `merge` is kKeepAll.
const Entry* Visible(const Cell& cell, Merge merge);
/// The one that a reader sees under kLastWriter.
inline const Entry* Winner(const Cell& cell) { return Visible(cell, Merge::kLastWriter); }
/// The one that a reader sees under kGreatest.
inline const Entry* Greatest(const Cell& cell) { return Visible(cell, Merge::kGreatest); }
/// Whether anybody's additions survive: without, Sum is 0 because there is nothing.
bool HasSum(const Cell& cell);
/// The sum of what was added and not removed. Wraps as two's complement.
std::int64_t Sum(const Cell& cell);
double SumReal(const Cell& cell);

/// Canonical: equal cells have equal bytes.
std::string Encode(const Cell& cell);
void Encode(const Cell& cell, std::string& out);  ///< appends
/// nullopt: malformed. Total on any input.
std::optional<Cell> Decode(std::string_view bytes);

}  // namespace coterie::crdt

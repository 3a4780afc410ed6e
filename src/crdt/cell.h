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
/// cell has seen) and the entries that survive in it, at most one an actor. An entry whose dot the
/// other side's context covers and whose entries lack it was superseded or removed there
/// [DeltaCRDT §7; DVV §4]. A cell with a context and no entries is a tombstone; it may be forgotten
/// once every replica's applied vector covers its context.
struct Entry {
  Dot dot;
  HybridTime time;
  /// Assigned payload; nullopt for an entry that only adds to a sum.
  std::optional<std::string> value;
  /// What this actor has added since `run`, the counter of the first dot of the present run of
  /// additions; 0: it has added nothing. A removal remembers how much of a run it saw, so that an
  /// addition made at the same time survives with just its own amount.
  std::uint64_t run = 0;
  double real = 0;           ///< sorted-set increments
  std::int64_t integer = 0;  ///< counter increments; saturates at neither end: callers check
  friend bool operator==(const Entry&, const Entry&) = default;
};

struct Cell {
  std::vector<Entry> entries;  ///< ascending by actor, at most one each
  VersionVector context;       ///< covers every entry's dot
  /// Sums that were seen by the newest removal, an actor each, ascending.
  std::vector<Entry> removed;
  bool live() const { return !entries.empty(); }
  friend bool operator==(const Cell&, const Cell&) = default;
};

/// What happens to concurrent assigned values when cells join.
enum class Merge : std::uint8_t {
  kKeepAll,     ///< all stay: siblings, set members (add wins), sums
  kLastWriter,  ///< the greatest (time, dot) stays; the others are reported as lost
  kGreatest,    ///< the greatest value, as bytes, stays: HyperLogLog ranks, expiry deadlines
};

/// A value that lost against a concurrent one.
struct Loser {
  Entry entry;
  Dot winner;
};

/// Joins `from` into `into`: commutative, associative, idempotent for each Merge. Appends to
/// `losers` (may be null) entries that `into` or `from` held, that neither had superseded, and that
/// the merge drops. Answers whether `into` changed.
bool Join(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers = nullptr);

// Deltas: what one new mutation, named `dot` at `time`, does to a cell of which the maker has seen
// `seen`. The maker joins the delta itself, too.

/// Replaces every entry seen.
Cell Assign(const Cell& seen, Dot dot, HybridTime time, std::string value);
/// Replaces only what `context` covers (the client's own knowledge): the rest become siblings.
Cell AssignOver(const VersionVector& context, Dot dot, HybridTime time, std::string value);
/// Removes every entry seen; what is added elsewhere at the same time survives.
Cell Remove(const Cell& seen, Dot dot, HybridTime time);
/// Adds to the actor's own sum; leaves the others' entries alone.
Cell Add(const Cell& seen, Dot dot, HybridTime time, std::int64_t amount);
Cell AddReal(const Cell& seen, Dot dot, HybridTime time, double amount);

/// The assigned entry that a reader sees under kLastWriter: greatest (time, dot); null if none.
const Entry* Winner(const Cell& cell);
/// The sum of what was added and not removed. Unsigned overflow wraps as two's complement.
std::int64_t Sum(const Cell& cell);
double SumReal(const Cell& cell);

/// Canonical: equal cells have equal bytes.
std::string Encode(const Cell& cell);
/// nullopt: malformed. Total on any input.
std::optional<Cell> Decode(std::string_view bytes);

}  // namespace coterie::crdt

#include "crdt/cell.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "base/assert.h"

namespace coterie::crdt {
namespace {

bool IsSum(const Entry& entry) { return !entry.value.has_value(); }

/// Entries are told apart and ordered by this.
auto Key(const Entry& entry) { return std::tuple(entry.dot, entry.value.has_value()); }
bool Before(const Entry& a, const Entry& b) { return Key(a) < Key(b); }

/// The sum of `actor` among entries in any order of dots that ascends; null if there is none.
const Entry* FindSum(const std::vector<Entry>& entries, clock::Actor actor) {
  for (const Entry& entry : entries) {
    if (entry.dot.actor == actor && IsSum(entry)) return &entry;
  }
  return nullptr;
}

/// Erases what `from` has superseded; true if anything was.
bool EraseSuperseded(Cell& into, const Cell& from) {
  auto theirs = from.entries.begin();
  const auto gone = [&](const Entry& entry) {
    while (theirs != from.entries.end() && Before(*theirs, entry)) ++theirs;
    const bool held = theirs != from.entries.end() && Key(*theirs) == Key(entry);
    return !held && from.context.Covers(entry.dot);
  };
  auto kept = into.entries.begin();
  for (auto at = into.entries.begin(); at != into.entries.end(); ++at) {
    if (gone(*at)) continue;
    if (kept != at) *kept = std::move(*at);
    ++kept;
  }
  const bool any = kept != into.entries.end();
  into.entries.erase(kept, into.entries.end());
  return any;
}

/// Takes in the entries that `into` has not seen, and those of the mutation `own` in any case.
/// `take` gives an entry of `from`, by copy or by move.
template <class Take>
bool InsertUnseen(Cell& into, const Cell& from, const Dot* own, Take take) {
  const std::size_t before = into.entries.size();
  for (std::size_t i = 0; i < from.entries.size(); ++i) {
    const Entry& entry = from.entries[i];
    if (into.context.Covers(entry.dot) && (own == nullptr || entry.dot != *own)) continue;
    into.entries.push_back(take(i));
  }
  if (into.entries.size() == before) return false;
  const auto middle = into.entries.begin() + static_cast<std::ptrdiff_t>(before);
  if (before > 0 && Before(*middle, *(middle - 1))) {
    std::sort(into.entries.begin(), into.entries.end(), Before);  // a handful
  }
  return true;
}

/// Keeps the newest floor of each actor. True if `into` changed.
bool JoinFloors(std::vector<Entry>& into, const std::vector<Entry>& from) {
  bool changed = false;
  auto mine = into.begin();
  for (const Entry& floor : from) {
    while (mine != into.end() && mine->dot.actor < floor.dot.actor) ++mine;
    if (mine == into.end() || mine->dot.actor != floor.dot.actor) {
      mine = into.insert(mine, floor);
    } else if (mine->dot.counter < floor.dot.counter) {
      *mine = floor;
    } else {
      continue;
    }
    changed = true;
  }
  return changed;
}

const Entry* FindEntry(const Cell& cell, const Entry& like) {
  const auto at = std::lower_bound(cell.entries.begin(), cell.entries.end(), like, Before);
  return at != cell.entries.end() && Key(*at) == Key(like) ? &*at : nullptr;
}

/// A value that readers saw on one side, before the join.
struct Seen {
  Entry key;  ///< its dot only
  bool counts = false;
};

Seen SeenOf(const Entry* visible, bool counts) {
  Seen seen;
  if (visible == nullptr || !counts) return seen;
  seen.key.dot = visible->dot;
  seen.key.value.emplace();
  seen.counts = true;
  return seen;
}

void Report(const Cell& cell, Merge merge, const Seen& seen, std::vector<Loser>& losers) {
  if (!seen.counts) return;
  const Entry* still = FindEntry(cell, seen.key);
  const Entry* winner = Visible(cell, merge);
  if (still == nullptr || still == winner) return;
  losers.push_back({*still, winner->dot});
}

template <class Take>
bool JoinWith(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers, Take take,
              const Dot* own = nullptr) {
  Seen mine;
  Seen theirs;
  if (losers != nullptr && merge != Merge::kKeepAll) {
    const Entry* arriving = Visible(from, merge);
    mine = SeenOf(Visible(into, merge), true);
    theirs = SeenOf(arriving, arriving != nullptr && !into.context.Covers(arriving->dot));
  }
  bool changed = EraseSuperseded(into, from);
  changed |= InsertUnseen(into, from, own, take);
  if (!into.context.Covers(from.context)) {
    into.context.Join(from.context);
    changed = true;
  }
  changed |= JoinFloors(into.removed, from.removed);
  if (mine.counts || theirs.counts) {
    Report(into, merge, mine, *losers);
    Report(into, merge, theirs, *losers);
  }
  return changed;
}

/// Remembers in `delta` how much of each sum in `seen` it removes, and what earlier removals did:
/// its context covers those, too. The actor's own next addition begins a new run in any case, and
/// needs no floor.
void AddFloors(Cell& delta, const Cell& seen, clock::Actor maker) {
  for (const Entry& floor : seen.removed) {
    const bool known = delta.context.Covers(floor.dot) || floor.dot.actor == maker;
    if (known) delta.removed.push_back(floor);
  }
  std::vector<Entry> floors;  // sums ascend by actor, at most one each
  for (const Entry& entry : seen.entries) {
    if (!IsSum(entry) || entry.dot.actor == maker || !delta.context.Covers(entry.dot)) continue;
    floors.push_back(entry);
    floors.back().time = {};
  }
  JoinFloors(delta.removed, floors);
}

Entry Value(Dot dot, HybridTime time, std::string value) {
  Entry entry;
  entry.dot = dot;
  entry.time = time;
  entry.value = std::move(value);
  return entry;
}

/// The delta of an addition of nothing; its last entry is the sum.
Cell ContinueRun(const Cell& seen, Dot dot, HybridTime time) {
  Cell delta;
  Entry sum;
  sum.run = dot.counter;
  if (const Entry* own = FindSum(seen.entries, dot.actor)) sum = *own;
  sum.dot = dot;
  sum.time = time;
  // The delta's context says that all of the actor's dots are known, so what survives of them
  // has to be in it, and how much of the sum does not.
  for (const Entry& entry : seen.entries) {
    if (entry.dot.actor == dot.actor && !IsSum(entry)) delta.entries.push_back(entry);
  }
  const Entry* floor = FindSum(seen.removed, dot.actor);
  if (floor != nullptr && floor->run == sum.run) delta.removed.push_back(*floor);
  delta.entries.push_back(std::move(sum));
  std::sort(delta.entries.begin(), delta.entries.end(), Before);
  delta.context.Include(dot);
  return delta;
}

Entry& SumIn(Cell& delta) {
  const auto at = std::find_if(delta.entries.begin(), delta.entries.end(), IsSum);
  COT_ASSERT(at != delta.entries.end());
  return *at;
}

std::int64_t Plus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

/// What of `sum` no removal has seen.
template <class Take>
void VisitSums(const Cell& cell, Take take) {
  for (const Entry& entry : cell.entries) {
    if (!IsSum(entry)) continue;
    const Entry* floor = cell.removed.empty() ? nullptr : FindSum(cell.removed, entry.dot.actor);
    take(entry, floor != nullptr && floor->run == entry.run ? floor : nullptr);
  }
}

}  // namespace

bool Join(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers) {
  return JoinWith(into, from, merge, losers, [&](std::size_t i) { return from.entries[i]; });
}

bool Join(Cell& into, Cell&& from, Merge merge, std::vector<Loser>* losers) {
  if (into.context.empty()) {
    into = std::move(from);
    return !into.context.empty();
  }
  return JoinWith(into, from, merge, losers,
                  [&](std::size_t i) { return std::move(from.entries[i]); });
}

Cell Assign(const Cell& seen, Dot dot, HybridTime time, std::string value) {
  Cell delta = Remove(seen, dot, time);
  delta.entries.push_back(Value(dot, time, std::move(value)));
  return delta;
}

Cell AssignOver(const Cell& seen, const VersionVector& context, Dot dot, HybridTime time,
                std::string value) {
  Cell delta;
  delta.context = context;
  // A context may come from a client as bytes. What this cell has not seen may not exist yet, and
  // must not be superseded before it does.
  delta.context.Meet(seen.context);
  for (const Entry& entry : seen.entries) {
    if (delta.context.Covers(entry.dot) || entry.dot.actor != dot.actor) continue;
    if (entry.dot != dot || IsSum(entry)) delta.entries.push_back(entry);
  }
  AddFloors(delta, seen, dot.actor);
  delta.entries.push_back(Value(dot, time, std::move(value)));
  delta.context.Include(dot);
  return delta;
}

Cell Remove(const Cell& seen, Dot dot, HybridTime) {
  Cell delta;
  delta.context = seen.context;
  delta.context.Include(dot);
  AddFloors(delta, seen, dot.actor);
  return delta;
}

Cell Add(const Cell& seen, Dot dot, HybridTime time, std::int64_t amount) {
  Cell delta = ContinueRun(seen, dot, time);
  Entry& sum = SumIn(delta);
  sum.integer = Plus(sum.integer, amount);
  return delta;
}

Cell AddReal(const Cell& seen, Dot dot, HybridTime time, double amount) {
  constexpr double kMax = std::numeric_limits<double>::max();
  Cell delta = ContinueRun(seen, dot, time);
  Entry& sum = SumIn(delta);
  // Adding zero makes the negative one positive: equal sums have equal bytes.
  sum.real = std::clamp(sum.real + std::clamp(amount, -kMax, kMax), -kMax, kMax) + 0.0;
  return delta;
}

void Amend(Cell& into, Cell& delta, Cell later, Dot dot) {
  delta.entries = std::move(later.entries);
  delta.context.Join(later.context);
  JoinFloors(later.removed, delta.removed);
  delta.removed = std::move(later.removed);
  const auto made = [&](const Entry& entry) { return entry.dot == dot; };
  std::erase_if(into.entries, made);
  JoinWith(
      into, delta, Merge::kKeepAll, nullptr, [&](std::size_t i) { return delta.entries[i]; }, &dot);
}

const Entry* Visible(const Cell& cell, Merge merge) {
  if (merge == Merge::kKeepAll) return nullptr;
  const Entry* best = nullptr;
  for (const Entry& entry : cell.entries) {
    if (IsSum(entry)) continue;
    if (best == nullptr) {
      best = &entry;
    } else if (merge == Merge::kLastWriter) {
      if (std::tie(entry.time, entry.dot) > std::tie(best->time, best->dot)) best = &entry;
    } else if (std::tie(*entry.value, entry.dot) > std::tie(*best->value, best->dot)) {
      best = &entry;
    }
  }
  return best;
}

bool HasSum(const Cell& cell) {
  return std::any_of(cell.entries.begin(), cell.entries.end(), IsSum);
}

std::int64_t Sum(const Cell& cell) {
  std::uint64_t sum = 0;
  VisitSums(cell, [&](const Entry& entry, const Entry* floor) {
    sum += static_cast<std::uint64_t>(entry.integer);
    if (floor != nullptr) sum -= static_cast<std::uint64_t>(floor->integer);
  });
  return static_cast<std::int64_t>(sum);
}

double SumReal(const Cell& cell) {
  double sum = 0;
  VisitSums(cell, [&](const Entry& entry, const Entry* floor) {
    sum += floor == nullptr ? entry.real : entry.real - floor->real;
  });
  return sum;
}

}  // namespace coterie::crdt

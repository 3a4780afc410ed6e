#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "model/cells/state.h"

namespace coterie::cells {

std::optional<std::int64_t> AddedTo(const Object& object);

struct Edit::State {
  State(Store::State& s, Shard& sh, Dot d, HybridTime t) : store(s), shard(sh), dot(d), time(t) {
    mutation.shard = shard.id;
    mutation.dot = dot;
    mutation.time = time;
    ++store.pins;
  }
  ~State() { Finish(); }
  void Finish() {
    if (!std::exchange(finished, true)) --store.pins;
    store.FinishEdit();
  }

  /// The object to change: its time has not come, or it is emptied first; a deadline that outlived
  /// its data goes, too.
  Object& Open(std::string_view key);

  // Each joins one delta here and puts it into the mutation.
  void Assign(const Place& place, std::string value);
  void Remove(const Place& place);
  void Add(const Place& place, std::int64_t amount);
  void AddReal(const Place& place, double amount);
  void Enter(const Place& place, crdt::Cell delta);
  void Settle(const Place& place, const Before& before);
  /// The cell was changed by this edit already.
  void Amend(const Place& place, crdt::Cell later);

  /// An assigned value of a register or field as this policy stores it.
  std::string Tagged(std::string_view value) const;
  /// Removes the cell from readers' sight, as this policy deletes.
  void Erase(const Place& place);
  /// Erases all of the object but its register and its deadline. True if anything was there.
  bool EraseOthers(Object& object);
  bool EraseAll(Object& object);
  /// Before its string is assigned anew and is to keep its deadline: where a deadline counts for
  /// the string that it was set for, sets it again.
  void KeepDeadline(Object& object);
  bool EraseElement(std::string_view key, Kind kind, std::string_view element);

  Store::State& store;
  Shard& shard;
  const Dot dot;
  const HybridTime time;
  Mutation mutation;
  bool finished = false;
  std::uint64_t stream_entries = 0;
  /// Where in the mutation a cell is; made when a cell is first changed again.
  std::unordered_map<std::string, std::size_t> places;
};

}  // namespace coterie::cells

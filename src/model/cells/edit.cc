#include "base/assert.h"
#include "model/cells/edit_state.h"

namespace coterie::cells {

Edit::Edit(Store& store, ShardId id, Dot dot, HybridTime time) {
  Shard* shard = store.state_->FindShard(id);
  COT_ASSERT(shard != nullptr);
  COT_ASSERT(!shard->applied.Covers(dot));
  state_ = std::make_unique<State>(*store.state_, *shard, dot, time);
}

Edit::~Edit() { COT_ASSERT(state_->finished || state_->mutation.cells.empty()); }

bool Edit::empty() const { return state_->mutation.cells.empty(); }

Mutation Edit::Take() {
  COT_ASSERT(!empty());
  COT_ASSERT(!state_->finished);
  state_->Finish();
  state_->shard.applied.Include(state_->dot);
  return std::move(state_->mutation);
}

Object& Edit::State::Open(std::string_view key) {
  store.Trim();
  Object& object = store.Load(shard, key);
  if (object.rest == nullptr) return object;
  if (store.IsExpired(object)) {
    EraseAll(object);
  } else if (!object.counted && object.rest->singleton(Kind::kExpiry).live()) {
    Remove(store.Locate(object, Kind::kExpiry, {}));
  }
  return object;
}

void Edit::State::Enter(const Place& place, crdt::Cell delta) {
  crdt::Cell& cell = *place.cell;
  if (cell.context.Get(dot.actor) == dot.counter) return Amend(place, std::move(delta));
  std::string bytes;
  bytes.reserve(CellBytes(delta) + 16);
  crdt::Encode(delta, bytes);
  mutation.cells.push_back({.key = place.cell_key(), .delta = std::move(bytes)});
  const Before before = store.Look(place);
  // What replaces all that was seen is the new cell: joining would only find that out.
  if (cell.removed.empty() && delta.removed.empty() && delta.context.Covers(cell.context)) {
    cell = std::move(delta);
  } else {
    crdt::Join(cell, std::move(delta), crdt::Merge::kKeepAll);
  }
  Settle(place, before);
}

void Edit::State::Settle(const Place& place, const Before& before) {
  store.Settle(place, before);
  if (std::exchange(place.object->edited, true)) return;
  store.edited.push_back(place.object);
}

void Edit::State::Amend(const Place& place, crdt::Cell later) {
  for (std::size_t i = places.size(); i < mutation.cells.size(); ++i) {
    places.emplace(mutation.cells[i].key, i);
  }
  const auto at = places.find(place.cell_key());
  COT_ASSERT(at != places.end());
  std::string& bytes = mutation.cells[at->second].delta;
  auto delta = crdt::Decode(bytes);
  COT_ASSERT(delta.has_value());
  const Before before = store.Look(place);
  crdt::Amend(*place.cell, *delta, std::move(later), dot);
  bytes = crdt::Encode(*delta);
  Settle(place, before);
}

void Edit::State::Assign(const Place& place, std::string value) {
  Enter(place, crdt::Assign(*place.cell, dot, time, std::move(value)));
}
void Edit::State::Remove(const Place& place) { Enter(place, crdt::Remove(*place.cell, dot, time)); }
void Edit::State::Add(const Place& place, std::int64_t amount) {
  Enter(place, crdt::Add(*place.cell, dot, time, amount));
}
void Edit::State::AddReal(const Place& place, double amount) {
  Enter(place, crdt::AddReal(*place.cell, dot, time, amount));
}

std::string Edit::State::Tagged(std::string_view value) const {
  if (shard.policy != Policy::kLww) return std::string(value);
  std::string tagged;
  tagged.reserve(value.size() + 1);
  tagged.push_back(kValueTag);
  tagged.append(value);
  return tagged;
}

void Edit::State::Erase(const Place& place) {
  if (shard.policy == Policy::kLww &&
      (place.kind == Kind::kRegister || place.kind == Kind::kField)) {
    Assign(place, std::string(1, kNothingTag));
  } else {
    Remove(place);
  }
}

bool Edit::State::EraseOthers(Object& object) {
  bool any = false;
  if (object.rest == nullptr) return any;
  for (const Kind kind : {Kind::kCounter, Kind::kHll}) {
    if (!object.rest->singleton(kind).live()) continue;
    Remove(store.Locate(object, kind, {}));
    any = true;
  }
  if (object.rest->counts.live() == 0) return any;
  store.Complete(object);
  Collection& rest = *object.rest;
  for (auto at = rest.elements.begin(); at != rest.elements.end(); ++at) {
    const auto kind = static_cast<Kind>(at->first.front());
    if (!IsLive(shard.policy, kind, at->second.cell)) continue;
    Erase({.object = &object, .kind = kind, .cell = &at->second.cell, .element = at});
    any = true;
  }
  return any;
}

bool Edit::State::EraseAll(Object& object) {
  bool any = EraseOthers(object);
  if (IsLive(shard.policy, Kind::kRegister, object.value)) {
    Erase(store.Locate(object, Kind::kRegister, {}));
    any = true;
  }
  if (object.rest != nullptr && object.rest->singleton(Kind::kExpiry).live()) {
    Remove(store.Locate(object, Kind::kExpiry, {}));
  }
  return any;
}

void Edit::State::KeepDeadline(Object& object) {
  if (shard.policy != Policy::kLww) return;
  const auto deadline = object.Deadline(shard.policy);
  if (deadline) Assign(store.Locate(object, Kind::kExpiry, {}), EncodeFixed(*deadline));
}

void Edit::SetString(std::string_view key, std::string_view value, bool keep_expiry) {
  State& state = *state_;
  Object& object = state.Open(key);
  if (object.rest != nullptr) {
    state.EraseOthers(object);
    if (keep_expiry) {
      state.KeepDeadline(object);
    } else if (object.rest->singleton(Kind::kExpiry).live()) {
      state.Remove(state.store.Locate(object, Kind::kExpiry, {}));
    }
  }
  state.Assign(state.store.Locate(object, Kind::kRegister, {}), state.Tagged(value));
}

namespace {
constexpr std::size_t kSiblingsMax = 100;
}

Status Edit::SetStringOver(std::string_view key, const VersionVector& context,
                           std::string_view value) {
  State& state = *state_;
  state.store.Trim();
  Object& seen = state.store.Load(state.shard, key);
  std::size_t siblings = 1;
  // Those of an object whose time has come are about to go.
  if (!state.store.IsExpired(seen)) {
    for (const crdt::Entry& entry : seen.value.entries) {
      if (!context.Covers(entry.dot)) ++siblings;
    }
  }
  if (siblings > kSiblingsMax) {
    return Fail(ErrorCode::kTooManySiblings, std::string(key.substr(0, 128)));
  }
  Object& object = state.Open(key);
  state.EraseOthers(object);
  const Place place = state.store.Locate(object, Kind::kRegister, {});
  state.Enter(place,
              crdt::AssignOver(*place.cell, context, state.dot, state.time, state.Tagged(value)));
  return Ok();
}

Result<std::int64_t> Edit::Increment(std::string_view key, std::int64_t amount,
                                     std::string_view operation) {
  State& state = *state_;
  Store::State& store = state.store;
  store.Trim();
  std::int64_t base = 0;
  std::int64_t added = 0;
  {
    Object& seen = store.Load(state.shard, key);
    if (!store.IsExpired(seen)) {
      if (const auto assigned = Assigned(state.shard.policy, Kind::kRegister, seen.value)) {
        const auto number = ParseInteger(*assigned);
        if (!number) return Fail(ErrorCode::kNotAnInteger, "the string is not a number");
        base = *number;
      }
      added = AddedTo(seen).value_or(0);
      if (!operation.empty() &&
          !store.Locate(seen, Kind::kOperation, operation).cell->context.empty()) {
        return WrappingAdd(base, added);  // made before
      }
    }
  }
  std::int64_t total = 0;
  if (__builtin_add_overflow(WrappingAdd(base, added), amount, &total)) {
    return Fail(ErrorCode::kOverflow, "the counter would leave 64 bits");
  }
  Object& object = state.Open(key);
  if (!operation.empty()) {
    state.Assign(store.Locate(object, Kind::kOperation, operation),
                 EncodeFixed(static_cast<std::uint64_t>(amount)));
  } else if (state.shard.policy == Policy::kLww) {
    state.KeepDeadline(object);
    state.Assign(store.Locate(object, Kind::kRegister, {}),
                 state.Tagged(std::to_string(WrappingAdd(base, amount))));
  } else {
    state.Add(store.Locate(object, Kind::kCounter, {}), amount);
  }
  return total;
}

bool Edit::RemoveKey(std::string_view key) {
  State& state = *state_;
  state.store.Trim();
  Object& object = state.store.Load(state.shard, key);
  const bool visible = !state.store.IsExpired(object);
  return state.EraseAll(object) && visible;
}

void Edit::RemoveExpired(std::string_view key) {
  State& state = *state_;
  state.store.Trim();
  Object& object = state.store.Load(state.shard, key);
  if (state.store.IsExpired(object)) state.EraseAll(object);
}

Status Edit::CheckRemoval(std::string_view key) {
  State& state = *state_;
  state.store.Trim();
  const Object& object = state.store.Load(state.shard, key);
  const Counts& counts = object.counts();
  // A removal of a cell names it and its context: some 24 bytes beside the names.
  const std::uint64_t bytes = counts.element_bytes + counts.live() * (object.key.size() + 32);
  if (counts.live() <= kRemovalCellsMax && bytes <= kRemovalBytesMax) return Ok();
  return Fail(ErrorCode::kTooLarge, "to remove that object at once would take " +
                                        std::to_string(counts.live()) + " cells; the limit is " +
                                        std::to_string(kRemovalCellsMax) +
                                        " cells or 16 MiB: remove its elements piece by piece");
}

void Edit::SetExpiry(std::string_view key, std::optional<std::uint64_t> at_ms) {
  State& state = *state_;
  Object& object = state.Open(key);
  if (!object.counted) return;
  state.Assign(state.store.Locate(object, Kind::kExpiry, {}), EncodeFixed(at_ms.value_or(kNever)));
}

}  // namespace coterie::cells

#include <algorithm>
#include <ranges>

#include "model/cells/edit_state.h"

// Removing what is too large for one mutation: it is hidden at once, and taken away in parts.
namespace coterie::cells {

namespace {

/// However much the edit has removed, so few more do not matter.
constexpr std::uint64_t kFewCells = 64;
constexpr std::size_t kPartBytesMax = 1u << 20;  // of names, in one part
constexpr std::size_t kLookedAtMax = 8;          // for each cell of a part

bool AllSeen(const crdt::Cell& cell, const VersionVector& seen) {
  return std::ranges::all_of(cell.entries,
                             [&](const crdt::Entry& entry) { return seen.Covers(entry.dot); });
}

/// A removal of a cell names it and its context: some 24 bytes beside the names.
std::uint64_t RemovalBytes(const Object& object) {
  const Counts& counts = object.counts();
  return counts.element_bytes + counts.live() * (object.key.size() + 32);
}

/// Some element names of an object, in the order of its cells, and where to go on ("": the end).
struct Names {
  std::vector<std::string> live;
  std::string resume;
};

class NameCollector {
 public:
  NameCollector(Policy policy, std::size_t cells_max) : policy_(policy), cells_max_(cells_max) {}
  /// False: enough.
  bool Add(std::string_view name, const crdt::Cell& cell) {
    if (IsLive(policy_, static_cast<Kind>(name.front()), cell)) {
      names.live.emplace_back(name);
      bytes_ += name.size();
    }
    const bool enough = names.live.size() >= cells_max_ || bytes_ >= kPartBytesMax ||
                        ++looked_at_ >= cells_max_ * kLookedAtMax;
    if (enough) names.resume = name;
    return !enough;
  }
  Names names;

 private:
  const Policy policy_;
  const std::size_t cells_max_;
  std::size_t bytes_ = 0;
  std::size_t looked_at_ = 0;
};

}  // namespace

void Edit::State::Refuse(ErrorCode code, std::string why) {
  if (refused) refused = Fail(code, std::move(why));
}

/// Whether all of the object can be removed by this mutation, which names each cell.
bool Edit::State::Fits(const Object& object) const {
  const std::uint64_t live = object.counts().live();
  if (live == 0) return true;
  return (live <= kFewCells || mutation.cells.size() + live <= kRemovedMax) &&
         bytes + RemovalBytes(object) <= kBytesMax / 2;
}

bool Edit::RemoveKey(std::string_view key) {
  State& state = *state_;
  state.store.Trim();
  Object& object = state.store.Load(state.shard, key);
  const bool visible = !state.store.IsExpired(object);
  if (state.Fits(object)) return state.EraseAll(object) && visible;
  if (!visible) return false;  // it is being removed
  state.Assign(state.store.Locate(object, Kind::kExpiry, {}), EncodeFixed(kHidden));
  state.hidden.emplace_back(key);
  return true;
}

void Edit::RemoveExpired(std::string_view key) {
  State& state = *state_;
  state.store.Trim();
  Object& object = state.store.Load(state.shard, key);
  if (state.store.IsExpired(object) && state.Fits(object)) state.EraseAll(object);
}

const std::vector<std::string>& Edit::hidden() const { return state_->hidden; }

namespace {

Names LiveNames(Store::State& store, Object& object, std::string_view after,
                std::size_t cells_max) {
  NameCollector collector(object.shard->policy, cells_max);
  if (object.rest == nullptr) return {};
  if (object.rest->complete) {
    const auto& elements = object.rest->elements;
    auto at = after.empty() ? elements.begin() : elements.upper_bound(after);
    while (at != elements.end() && collector.Add(at->first, at->second.cell)) ++at;
    return std::move(collector.names);
  }
  if (!store.Push(object)) return {};
  std::string prefix = object.shard->prefix;
  PutEscaped(prefix, object.key);
  std::string from = prefix;
  from.append(after.empty() ? std::string_view("\x01") : after);
  if (!after.empty()) from.push_back('\0');
  const auto at = store.engine->Iterate(std::move(from), prefix + '\xff');
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const auto cell = crdt::Decode(at->value());
    if (!cell) {
      store.Fail(Corrupt("an element"));
      break;
    }
    if (!collector.Add(at->key().substr(prefix.size()), *cell)) break;
  }
  if (auto status = at->status(); !status) store.Fail(status);
  return std::move(collector.names);
}

}  // namespace

std::optional<std::string> Edit::RemovePart(std::string_view key, std::string_view after,
                                            const VersionVector* seen, std::size_t cells_max) {
  State& state = *state_;
  Store::State& store = state.store;
  store.Trim();
  Object& object = store.Load(state.shard, key);
  if (object.rest == nullptr || (seen == nullptr && !store.IsExpired(object))) return std::nullopt;
  const Names names = LiveNames(store, object, after, cells_max);
  const auto erase = [&](const Place& place) {
    if (seen == nullptr || AllSeen(*place.cell, *seen)) state.Erase(place);
  };
  for (const std::string& name : names.live) {
    const auto kind = static_cast<Kind>(name.front());
    erase(store.Locate(object, kind, std::string_view(name).substr(1)));
  }
  if (!names.resume.empty()) return names.resume;
  for (const Kind kind : {Kind::kRegister, Kind::kCounter, Kind::kHll}) {
    const Place place = store.Locate(object, kind, {});
    if (IsLive(state.shard.policy, kind, *place.cell)) erase(place);
  }
  // Another replica has said meanwhile that it lives on: what it had not seen is added to that.
  const Place expiry = store.Locate(object, Kind::kExpiry, {});
  if (expiry.cell->live() && (seen == nullptr || object.Deadline(state.shard.policy) == kHidden))
    state.Remove(expiry);
  return std::nullopt;
}

const Status& Edit::refused() const { return state_->refused; }

void Edit::Cancel() {
  State& state = *state_;
  for (auto& [place, before] : std::views::reverse(state.undo)) {
    const Before now = state.store.Look(place);
    *place.cell = std::move(before);
    state.Settle(place, now);
  }
  state.undo.clear();
  state.mutation.cells.clear();
  state.Finish();
}

Store::Leaving Store::LeavingOf(ShardId id, std::string_view key) {
  State& state = *state_;
  state.Trim();
  Shard* shard = state.FindShard(id);
  if (shard == nullptr) return {};
  const Object& object = state.Load(*shard, key);
  const auto deadline = object.Deadline(shard->policy);
  if (!deadline) return {};
  const crdt::Entry* entry = crdt::Greatest(object.singleton(Kind::kExpiry));
  return {.parts = object.counts().live() > Edit::kRemovedMax ||
                   RemovalBytes(object) > Edit::kBytesMax / 2,
          .hidden = *deadline == kHidden,
          .since_ms = std::max(*deadline, clock::PhysicalMs(entry->time))};
}

}  // namespace coterie::cells

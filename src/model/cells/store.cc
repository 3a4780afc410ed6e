#include "model/cells/store.h"

#include "base/assert.h"
#include "model/cells/state.h"

namespace coterie::cells {

Store::Store(StoreOptions options) : state_(std::make_unique<State>(options)) {}
Store::~Store() = default;

bool Store::HasShard(ShardId shard) const { return state_->FindShard(shard) != nullptr; }
void Store::OnConflict(std::function<void(Conflict)> sink) {
  state_->on_conflict = std::move(sink);
}
void Store::SetWallMs(std::uint64_t wall_ms) { state_->wall_ms = wall_ms; }
std::uint64_t Store::wall_ms() const { return state_->wall_ms; }

const VersionVector& Store::Applied(ShardId id) const {
  const Shard* shard = state_->FindShard(id);
  COT_ASSERT(shard != nullptr);
  return shard->applied;
}

void Store::RaiseApplied(ShardId id, const VersionVector& to) {
  Shard* shard = state_->FindShard(id);
  COT_ASSERT(shard != nullptr);
  shard->applied.Join(to);
}

std::uint64_t Store::tombstones(ShardId id) const {
  const Shard* shard = state_->FindShard(id);
  return shard != nullptr ? shard->tombstones.size() : 0;
}

namespace {

struct Arrived {
  std::string scratch;
  CellName name;
  crdt::Cell cell;
};

bool Decode(Policy policy, std::string_view key, std::string_view bytes, Arrived& out) {
  const auto name = ParseCellKey(key, out.scratch);
  if (!name) return false;
  auto cell = crdt::Decode(bytes);
  if (!cell || cell->context.empty()) return false;
  out.name = *name;
  out.cell = std::move(*cell);
  return IsWellFormed(policy, out.name, out.cell);
}

/// A mutation speaks for its own actor only, and up to itself.
bool IsDeltaOf(Dot dot, const crdt::Cell& delta) {
  if (delta.context.Get(dot.actor) != dot.counter) return false;
  for (const crdt::Entry& entry : delta.entries) {
    if (entry.dot.actor != dot.actor) return false;
  }
  return true;
}

std::unexpected<Error> Malformed(std::string_view what) {
  return Fail(ErrorCode::kMalformed, std::string(what));
}

}  // namespace

Status Store::Apply(const MutationView& mutation) {
  State& state = *state_;
  COT_TRY(state.failure);
  state.Trim();
  Shard* shard = state.FindShard(mutation.shard);
  if (shard == nullptr) {
    return Fail(ErrorCode::kNotReplica, "the cells of that shard are not held here");
  }
  if (shard->applied.Covers(mutation.dot)) return Ok();
  std::vector<Arrived> arrived(mutation.cells.size());
  for (std::size_t i = 0; i < arrived.size(); ++i) {
    if (!Decode(shard->policy, mutation.cells[i].key, mutation.cells[i].delta, arrived[i]) ||
        !IsDeltaOf(mutation.dot, arrived[i].cell)) {
      return Malformed("a delta of a mutation");
    }
  }
  for (Arrived& one : arrived) {
    Object& object = state.Load(*shard, one.name.key);
    state.JoinInto(state.Locate(object, one.name.kind, one.name.element), std::move(one.cell));
  }
  COT_TRY(state.failure);
  shard->applied.Include(mutation.dot);
  return Ok();
}

Status Store::JoinCell(ShardId id, std::string_view key, std::string_view cell) {
  State& state = *state_;
  COT_TRY(state.failure);
  state.Trim();
  Shard* shard = state.FindShard(id);
  if (shard == nullptr) {
    return Fail(ErrorCode::kNotReplica, "the cells of that shard are not held here");
  }
  Arrived arrived;
  if (!Decode(shard->policy, key, cell, arrived)) return Malformed("a cell");
  Object& object = state.Load(*shard, arrived.name.key);
  state.JoinInto(state.Locate(object, arrived.name.kind, arrived.name.element),
                 std::move(arrived.cell));
  return state.failure;
}

std::pair<std::string, std::string> Store::CellsOf(std::string_view key) {
  std::string first;
  PutEscaped(first, key);
  return {first, first + '\xff'};
}

Result<bool> Store::Purge(ShardId id, const VersionVector& stable, std::size_t cells_max) {
  State& state = *state_;
  COT_TRY(state.failure);
  COT_ASSERT(state.pins == 0);
  Shard* shard = state.FindShard(id);
  if (shard == nullptr) return false;
  std::string scratch;
  auto at = shard->tombstones.upper_bound(shard->purge_from);
  for (std::size_t n = 0; n < cells_max; ++n) {
    if (at == shard->tombstones.end()) {
      shard->purge_from.clear();
      return false;
    }
    shard->purge_from = *at;
    ++at;
    const auto name = ParseCellKey(shard->purge_from, scratch);
    COT_ASSERT(name.has_value());
    state.Trim();
    Object& object = state.Load(*shard, name->key);
    const Place place = state.Locate(object, name->kind, name->element);
    COT_TRY(state.failure);
    if (!stable.Covers(place.cell->context)) continue;
    if (!shard->written.Covers(place.cell->context)) {
      // A replay of the journal would bring back what the tombstone holds down.
      if (shard->applied.Covers(place.cell->context)) state.purge_waits = true;
      continue;
    }
    const Before before = state.Look(place);
    *place.cell = {};
    state.Settle(place, before);
  }
  if (at != shard->tombstones.end()) return true;
  shard->purge_from.clear();
  return false;
}

namespace {

/// Lets the engine have what changed in a range: of one object, if it is within one.
bool PushRange(Store::State& state, Shard& shard, std::string_view from, std::string_view to) {
  std::string scratch;
  std::string_view rest = from;
  const auto key = GetEscaped(rest, scratch);
  if (!key || to.empty() || to > Store::CellsOf(*key).second) return state.Push(shard);
  Object* object = shard.objects.Find(*key);
  return object == nullptr || object->edited || state.Push(*object);
}

/// The cells of one engine record: those of a key record, or one element.
template <class Visit>
Status VisitRecord(std::string_view cell_key, std::string_view value, Visit visit) {
  std::string scratch;
  std::string_view rest = cell_key;
  const auto key = GetEscaped(rest, scratch);
  if (!key || rest.empty()) return Corrupt("a key");
  if (rest.front() != '\0') {
    visit(cell_key, static_cast<Kind>(rest.front()), value, nullptr);
    return Ok();
  }
  Object object;
  if (!DecodeRecord(value, object)) return Corrupt("a key record");
  std::string name(cell_key);
  for (const Kind kind : {Kind::kRegister, Kind::kCounter, Kind::kExpiry, Kind::kHll}) {
    const crdt::Cell& cell = std::as_const(object).singleton(kind);
    if (cell.context.empty()) continue;
    name.back() = static_cast<char>(kind);
    if (!visit(name, kind, std::string_view(), &cell)) break;
  }
  return Ok();
}

}  // namespace

Status Store::VisitCells(ShardId id, std::string from, std::string to,
                         const std::function<bool(std::string_view, std::string_view)>& visit) {
  State& state = *state_;
  Shard* shard = state.FindShard(id);
  if (shard == nullptr || !PushRange(state, *shard, from, to)) return state.failure;
  // Singletons lie in a record before them.
  std::string scratch;
  std::string_view rest = from;
  std::string lower = shard->prefix + from;
  if (GetEscaped(rest, scratch)) {
    lower.resize(lower.size() - rest.size());
    lower.push_back('\0');
  }
  const std::string upper = to.empty() ? EndOfSpace(shard->prefix) : shard->prefix + to;
  const auto at = state.engine->Iterate(lower, upper);
  const std::size_t key_at = shard->prefix.size();
  bool more = true;
  for (at->SeekToFirst(); more && at->Valid(); at->Next()) {
    COT_TRY(VisitRecord(
        at->key().substr(key_at), at->value(),
        [&](std::string_view key, Kind, std::string_view bytes, const crdt::Cell* cell) {
          if (key < from) return true;
          if (!to.empty() && key >= to) return more = false;
          return more = cell != nullptr ? visit(key, crdt::Encode(*cell)) : visit(key, bytes);
        }));
  }
  return at->status();
}

Result<std::uint64_t> Store::Digest(ShardId id) {
  State& state = *state_;
  Shard* shard = state.FindShard(id);
  if (shard == nullptr || !state.Push(*shard)) {
    COT_TRY(state.failure);
    return 0;
  }
  std::uint64_t sum = 0;
  const auto at = state.engine->Iterate(shard->prefix, EndOfSpace(shard->prefix));
  const std::size_t key_at = shard->prefix.size();
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    bool corrupt = false;
    COT_TRY(VisitRecord(
        at->key().substr(key_at), at->value(),
        [&](std::string_view key, Kind kind, std::string_view bytes, const crdt::Cell* cell) {
          std::optional<crdt::Cell> decoded;
          if (cell == nullptr) decoded = crdt::Decode(bytes);
          if (decoded) cell = &*decoded;
          corrupt |= cell == nullptr;
          if (corrupt || !IsLive(shard->policy, kind, *cell)) return !corrupt;
          sum += Fingerprint(shard->policy, key, kind, *cell);
          return true;
        }));
    if (corrupt) {
      COT_TRY(Corrupt("an element"));
    }
  }
  COT_TRY(at->status());
  return sum;
}

}  // namespace coterie::cells

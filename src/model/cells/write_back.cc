#include <algorithm>
#include <cstdint>

#include "base/assert.h"
#include "base/coding.h"
#include "model/cells/state.h"

namespace coterie::cells {
namespace {

constexpr char kShardFormat = 1;

std::string ExpiryKey(const Shard& shard, std::uint64_t deadline, std::string_view key) {
  std::string out = SpaceKey(kExpirySpace, shard.id);
  PutBigEndian64(out, deadline);
  out.append(key);
  return out;
}

std::string ScoreKey(const Object& object, double score, std::string_view member) {
  std::string out = SpaceKey(kScoreSpace, object.shard->id);
  PutEscaped(out, object.key);
  PutOrderedDouble(out, score);
  out.append(member);
  return out;
}

void AppendScore(storage::Batch& batch, const Object& object,
                 const Collection::Elements::iterator& at) {
  Element& element = at->second;
  std::optional<double> score;
  if (IsLive(object.shard->policy, Kind::kScored, element.cell)) score = ScoreOf(element.cell);
  if (score == element.indexed_score) return;
  const std::string_view member = std::string_view(at->first).substr(1);
  if (element.indexed_score) batch.Delete(ScoreKey(object, *element.indexed_score, member));
  if (score) batch.Put(ScoreKey(object, *score, member), {});
  element.indexed_score = score;
}

}  // namespace

Status Corrupt(std::string_view what) {
  return Fail(ErrorCode::kCorruptState, std::string(what) + " of the cells is not one");
}

void Store::State::AppendObject(storage::Batch& batch, Object& object) {
  Shard& shard = *object.shard;
  std::string key = shard.prefix;
  PutEscaped(key, object.key);
  if (object.rest != nullptr) {
    Collection& rest = *object.rest;
    for (const auto& at : rest.dirty) {
      Element& element = at->second;
      element.dirty = false;
      if (static_cast<Kind>(at->first.front()) == Kind::kScored) AppendScore(batch, object, at);
      const bool exists = !element.cell.context.empty();
      if (exists) batch.Put(key + at->first, crdt::Encode(element.cell));
      if (!exists && element.in_engine) batch.Delete(key + at->first);
      element.in_engine = exists;
      if (exists || pins > 0) continue;
      rest.bytes -= std::min(rest.bytes, sizeof(Element) + 64 + at->first.size());
      rest.elements.erase(at);
    }
    rest.dirty.clear();
  }
  const auto deadline = object.Deadline(object.shard->policy);
  if (deadline != object.indexed_deadline) {
    if (object.indexed_deadline) {
      batch.Delete(ExpiryKey(shard, *object.indexed_deadline, object.key));
    }
    if (deadline) batch.Put(ExpiryKey(shard, *deadline, object.key), {});
    object.indexed_deadline = deadline;
  }
  key.push_back('\0');
  const bool blank = object.IsBlank();
  if (!blank) batch.Put(std::move(key), EncodeRecord(object));
  if (blank && object.in_engine) batch.Delete(std::move(key));
  object.in_engine = !blank;
}

void Store::State::AppendShard(storage::Batch& batch, Shard& shard) {
  std::erase_if(shard.dirty, [&](Object* object) {
    if (object->edited) return false;
    AppendObject(batch, *object);
    object->dirty = false;
    Recount(*object);
    return true;
  });
  shard.sweeping = 0;
}

/// The same for the first `objects_max` of those that were dirty when the sweep began.
std::size_t Store::State::AppendSwept(storage::Batch& batch, Shard& shard,
                                      std::size_t objects_max) {
  const std::size_t count = std::min({objects_max, shard.sweeping, shard.dirty.size()});
  const auto end = shard.dirty.begin() + static_cast<std::ptrdiff_t>(count);
  for (auto at = shard.dirty.begin(); at != end; ++at) {
    AppendObject(batch, **at);
    (*at)->dirty = false;
    Recount(**at);
  }
  shard.dirty.erase(shard.dirty.begin(), end);
  shard.sweeping = shard.dirty.empty() ? 0 : shard.sweeping - count;
  return count;
}

bool Store::State::Push(Shard& shard) {
  if (shard.dirty.empty()) return true;
  storage::Batch batch;
  AppendShard(batch, shard);
  dirty_bytes -= std::min(dirty_bytes, batch.bytes());
  auto status = engine->Write(std::move(batch));
  if (!status) Fail(status);
  return status.has_value();
}

bool Store::State::Push(Object& object) {
  if (!object.dirty) return true;
  // It stays in the shard's list, and its record is written once more: a list need not be searched.
  storage::Batch batch;
  AppendObject(batch, object);
  auto status = engine->Write(std::move(batch));
  if (!status) Fail(status);
  return status.has_value();
}

Status Store::State::ScanShard(Shard& shard) {
  shard.keys = 0;
  shard.tombstones.clear();
  shard.deadline_min = ~std::uint64_t{0};
  const auto at = engine->Iterate(shard.prefix, EndOfSpace(shard.prefix));
  std::string scratch;
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const std::string_view cell_key = at->key().substr(shard.prefix.size());
    std::string_view rest = cell_key;
    const auto key = GetEscaped(rest, scratch);
    if (!key || rest.empty()) return Corrupt("a key");
    if (rest.front() != '\0') {
      const auto cell = crdt::Decode(at->value());
      if (!cell) return Corrupt("an element");
      if (!IsLive(shard.policy, static_cast<Kind>(rest.front()), *cell)) {
        shard.tombstones.emplace(cell_key);
      }
      continue;
    }
    Object object;
    object.key = *key;
    if (!DecodeRecord(at->value(), object)) return Corrupt("a key record");
    if (object.HasData(shard.policy)) ++shard.keys;
    if (const auto deadline = object.Deadline(shard.policy);
        deadline && *deadline < shard.deadline_min) {
      shard.deadline_min = *deadline;
    }
    for (const Kind kind : {Kind::kRegister, Kind::kCounter, Kind::kExpiry, Kind::kHll}) {
      const crdt::Cell& cell = std::as_const(object).singleton(kind);
      if (cell.context.empty() || IsLive(shard.policy, kind, cell)) continue;
      std::string name;
      PutCellKey(name, *key, kind, {});
      shard.tombstones.insert(std::move(name));
    }
  }
  return at->status();
}

Status Store::WriteBack(LogIndex journal) {
  BeginWriteBack(journal);
  const auto more = ContinueWriteBack(SIZE_MAX);
  if (!more) return std::unexpected(more.error());
  COT_ASSERT(!*more);
  return Ok();
}

void Store::BeginWriteBack(LogIndex journal) {
  State& state = *state_;
  for (auto& [id, shard] : state.shards) {
    shard->sweeping = shard->dirty.size();
    shard->applied_then = shard->applied;
  }
  state.sweep = journal;
  state.dirty_bytes = 0;
  state.purge_waits = false;
}

Result<bool> Store::ContinueWriteBack(std::size_t objects_max) {
  State& state = *state_;
  if (!state.failure) return std::unexpected(state.failure.error());
  COT_ASSERT(state.edited.empty());
  if (!state.sweep) return false;
  storage::Batch batch;
  std::size_t left = objects_max;
  for (auto& [id, shard] : state.shards) left -= state.AppendSwept(batch, *shard, left);
  const bool more =
      std::ranges::any_of(state.shards, [](const auto& each) { return each.second->sweeping > 0; });
  if (!more) state.AppendPosition(batch);
  if (!batch.empty()) {
    auto status = state.engine->Write(std::move(batch));
    if (!status) state.Fail(status);
    if (!status) return std::unexpected(status.error());
  }
  if (more) return true;
  state.journal = *state.sweep;
  state.sweep.reset();
  return false;
}

/// What the engine has from now on: all that was applied when the sweep began.
void Store::State::AppendPosition(storage::Batch& batch) {
  for (auto& [id, shard] : shards) {
    if (shard->applied_then == shard->written) continue;
    std::string vector;
    clock::Put(vector, shard->applied_then);
    batch.Put(SpaceKey(kVectorSpace, id), std::move(vector));
    shard->written = shard->applied_then;
  }
  if (*sweep == journal) return;
  std::string position;
  PutBigEndian64(position, sweep->value);
  batch.Put(std::string(kJournalKey), std::move(position));
}

LogIndex Store::journal_position() const { return state_->journal; }

bool Store::WantsWriteBack() const {
  return state_->dirty_bytes >= state_->options.dirty_bytes_max || state_->purge_waits ||
         !state_->failure;
}

storage::Engine& Store::engine() { return *state_->engine; }

Status Store::Load(storage::Engine& engine) {
  State& state = *state_;
  COT_ASSERT(state.engine == nullptr);
  COT_ASSERT(state.shards.empty());
  state.engine = &engine;
  COT_ASSIGN(const auto journal, engine.Get(kJournalKey));
  if (journal) {
    std::string_view in = *journal;
    const auto position = GetBigEndian64(in);
    if (!position || !in.empty()) return Corrupt("the journal's position");
    state.journal = LogIndex(*position);
  }
  const std::string space(1, kShardSpace);
  const auto at = engine.Iterate(space, EndOfSpace(space));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    std::string_view in = at->key().substr(1);
    const auto id = GetBigEndian64(in);
    const std::string_view value = at->value();
    if (!id || !in.empty() || value.size() != 2 || value[0] != kShardFormat) {
      return Corrupt("a shard");
    }
    auto shard = std::make_unique<Shard>();
    shard->id = ShardId(*id);
    shard->policy = static_cast<Policy>(value[1]);
    shard->prefix = SpaceKey(kCellSpace, shard->id);
    COT_ASSIGN(const auto vector, engine.Get(SpaceKey(kVectorSpace, shard->id)));
    if (vector) {
      std::string_view bytes = *vector;
      if (!clock::Get(bytes, shard->applied) || !bytes.empty()) return Corrupt("a vector");
    }
    shard->written = shard->applied;
    shard->applied_then = shard->applied;
    COT_TRY(state.ScanShard(*shard));
    state.shards.emplace(shard->id, std::move(shard));
  }
  return at->status();
}

void Store::OpenShard(ShardId id, keyspace::Conflict policy) {
  State& state = *state_;
  COT_ASSERT(state.engine != nullptr);
  if (const Shard* shard = state.FindShard(id)) {
    COT_ASSERT(shard->policy == policy);
    return;
  }
  auto shard = std::make_unique<Shard>();
  shard->id = id;
  shard->policy = policy;
  shard->deadline_min = ~std::uint64_t{0};
  shard->prefix = SpaceKey(kCellSpace, id);
  state.shards.emplace(id, std::move(shard));
  storage::Batch batch;
  batch.Put(SpaceKey(kShardSpace, id), {kShardFormat, static_cast<char>(policy)});
  if (auto status = state.engine->Write(std::move(batch)); !status) state.Fail(status);
}

Status Store::DropShard(ShardId id) {
  State& state = *state_;
  Shard* shard = state.FindShard(id);
  if (shard == nullptr) return Ok();
  COT_ASSERT(state.pins == 0);
  std::vector<Object*> objects;
  for (Object* at = state.hand; at != nullptr; at = at->next == state.hand ? nullptr : at->next) {
    if (at->shard == shard) objects.push_back(at);
  }
  for (Object* object : objects) state.Evict(*object);
  state.last_shard = nullptr;
  state.shards.erase(id);
  storage::Batch batch;
  for (const char space : {kCellSpace, kScoreSpace, kExpirySpace}) {
    const std::string prefix = SpaceKey(space, id);
    batch.DeleteRange(prefix, EndOfSpace(prefix));
  }
  batch.Delete(SpaceKey(kVectorSpace, id));
  batch.Delete(SpaceKey(kShardSpace, id));
  return state.engine->Write(std::move(batch));
}

}  // namespace coterie::cells

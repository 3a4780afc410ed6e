#include "model/cells/state.h"

namespace coterie::cells {

Pin::Pin(Store::State& state) : pins_(state.pins) { ++pins_; }
Pin::~Pin() { --pins_; }

std::string Place::cell_key() const {
  std::string key;
  PutCellKey(key, object->key, kind, name());
  return key;
}

Shard* Store::State::FindShard(ShardId shard) {
  if (last_shard != nullptr && last_shard->id == shard) return last_shard;
  const auto at = shards.find(shard);
  if (at == shards.end()) return nullptr;
  last_shard = at->second.get();
  return last_shard;
}

void Store::State::Fail(Status status) {
  if (failure) failure = std::move(status);
}

Object& Store::State::Load(Shard& shard, std::string_view key) {
  if (Object* found = shard.objects.Find(key)) {
    found->referenced = true;
    return *found;
  }
  auto made = std::make_unique<Object>();
  made->key = key;
  made->shard = &shard;
  Object& object = shard.objects.Insert(std::move(made));
  if (hand == nullptr) {
    hand = object.next = object.previous = &object;
  } else {  // behind the hand: the last that it will come to
    object.next = hand;
    object.previous = hand->previous;
    object.previous->next = hand->previous = &object;
  }
  std::string record_key = shard.prefix;
  PutEscaped(record_key, key);
  record_key.push_back('\0');
  auto record = engine->Get(record_key);
  if (!record) {
    Fail(std::unexpected(record.error()));
  } else if (*record) {
    if (!DecodeRecord(**record, object)) Fail(Corrupt("a key record"));
    object.in_engine = true;
    object.counted = object.HasData(shard.policy);
    object.indexed_deadline = object.Deadline(shard.policy);
  }
  object.charged = object.Bytes();
  cached_bytes += object.charged;
  return object;
}

bool Store::State::IsExpired(const Object& object) const {
  const auto deadline = object.Deadline(object.shard->policy);
  return deadline && *deadline <= wall_ms;
}

Object* Store::State::Visible(ShardId id, std::string_view key) {
  Trim();
  Shard* shard = FindShard(id);
  if (shard == nullptr) return nullptr;
  Object& object = Load(*shard, key);
  if (!object.counted || IsExpired(object)) return nullptr;
  return &object;
}

namespace {

Collection::Elements::iterator Insert(Collection& rest, std::string name) {
  rest.bytes += sizeof(Element) + 64 + name.size();
  return rest.elements.try_emplace(std::move(name)).first;
}

/// Takes over what the engine has of an element.
bool Adopt(Policy policy, Collection& rest, Collection::Elements::iterator at,
           std::string_view bytes) {
  auto cell = crdt::Decode(bytes);
  if (!cell) return false;
  Element& element = at->second;
  element.cell = std::move(*cell);
  element.in_engine = true;
  rest.bytes += CellBytes(element.cell);
  const auto kind = static_cast<Kind>(at->first.front());
  if (kind == Kind::kScored && IsLive(policy, kind, element.cell)) {
    element.indexed_score = ScoreOf(element.cell);
  }
  return true;
}

}  // namespace

Place Store::State::Locate(Object& object, Kind kind, std::string_view element) {
  if (IsSingleton(kind)) {
    return {.object = &object, .kind = kind, .cell = &object.singleton(kind), .element = {}};
  }
  Collection& rest = object.Rest();
  std::string name = ElementName(kind, element);
  auto at = rest.elements.find(name);
  if (at == rest.elements.end() && !rest.complete && rest.counts.cells <= options.whole_cells_max) {
    Complete(object);
    at = rest.elements.find(name);
  }
  if (at == rest.elements.end()) {
    std::optional<std::string> bytes;
    if (!rest.complete) {
      std::string key = object.shard->prefix;
      PutEscaped(key, object.key);
      key.append(name);
      auto got = engine->Get(key);
      if (!got) Fail(std::unexpected(got.error()));
      if (got) bytes = std::move(*got);
    }
    at = Insert(rest, std::move(name));
    if (bytes && !Adopt(object.shard->policy, rest, at, *bytes)) Fail(Corrupt("an element"));
  }
  return {.object = &object, .kind = kind, .cell = &at->second.cell, .element = at};
}

const crdt::Cell* Store::State::FindLive(Object& object, Kind kind, std::string_view element) {
  if (object.rest == nullptr || object.rest->counts.Of(kind) == 0) return nullptr;
  Collection& rest = *object.rest;
  const crdt::Cell* cell = nullptr;
  if (rest.complete) {
    const auto at = rest.elements.find(ElementName(kind, element));
    if (at == rest.elements.end()) return nullptr;
    cell = &at->second.cell;
  } else {
    cell = Locate(object, kind, element).cell;
    Recount(object);
  }
  return IsLive(object.shard->policy, kind, *cell) ? cell : nullptr;
}

void Store::State::Complete(Object& object) {
  if (object.rest == nullptr || object.rest->complete) return;
  Collection& rest = *object.rest;
  const Policy policy = object.shard->policy;
  std::string lower = object.shard->prefix;
  PutEscaped(lower, object.key);
  const std::size_t name_at = lower.size();
  std::string upper = lower + '\xff';
  lower.push_back('\x01');
  const auto cells = engine->Iterate(std::move(lower), std::move(upper));
  for (cells->SeekToFirst(); cells->Valid(); cells->Next()) {
    std::string name(cells->key().substr(name_at));
    if (rest.elements.contains(name)) continue;
    const auto at = Insert(rest, std::move(name));
    if (!Adopt(policy, rest, at, cells->value())) Fail(Corrupt("an element"));
  }
  if (auto status = cells->status(); !status) return Fail(status);
  rest.complete = true;
  for (const auto& [name, element] : rest.elements) {
    if (static_cast<Kind>(name.front()) != Kind::kScored) continue;
    if (!IsLive(policy, Kind::kScored, element.cell)) continue;
    rest.by_score.emplace(ScoreOf(element.cell), std::string_view(name).substr(1));
  }
  Recount(object);
}

void Store::State::Evict(Object& object) {
  Shard& shard = *object.shard;
  if (hand == &object) hand = object.next == &object ? nullptr : object.next;
  object.next->previous = object.previous;
  object.previous->next = object.next;
  cached_bytes -= object.charged;
  shard.objects.Erase(object);
}

void Store::State::FinishEdit() {
  for (Object* object : edited) object->edited = false;
  edited.clear();
}

void Store::State::Trim() {
  if (cached_bytes <= options.cache_bytes_max || pins > 0) return;
  while (cached_bytes > options.cache_bytes_max && hand != nullptr) {
    Object& object = *hand;
    if (object.referenced) {
      object.referenced = false;
      hand = object.next;
      continue;
    }
    if (object.dirty && !Push(*object.shard)) return;
    Evict(object);
  }
}

}  // namespace coterie::cells

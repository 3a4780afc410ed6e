#include <algorithm>

#include "base/coding.h"
#include "model/cells/state.h"

namespace coterie::cells {

std::string_view ToText(ObjectType type) {
  switch (type) {
    case ObjectType::kNone:
      return "none";
    case ObjectType::kString:
      return "string";
    case ObjectType::kHash:
      return "hash";
    case ObjectType::kSet:
      return "set";
    case ObjectType::kSortedSet:
      return "zset";
    case ObjectType::kStream:
      return "stream";
  }
  return "none";
}

StreamId StreamIdOf(Dot dot, HybridTime time) {
  const std::uint64_t logical = time.value & 0xffff;
  return {.ms = clock::PhysicalMs(time),
          .sequence = logical << 48 | std::uint64_t{dot.actor.value} << 16};
}

std::optional<std::int64_t> AddedTo(const Object& object) {
  if (object.rest == nullptr) return std::nullopt;
  const crdt::Cell& counter = object.rest->singleton(Kind::kCounter);
  if (!counter.live() && object.rest->counts.operations == 0) return std::nullopt;
  return WrappingAdd(crdt::Sum(counter), object.rest->counts.operation_sum);
}

bool AppendText(const Object& object, std::string& out) {
  const auto assigned = Assigned(object.shard->policy, Kind::kRegister, object.value);
  const auto added = AddedTo(object);
  if (!added) {
    if (assigned) out.append(*assigned);
    return assigned.has_value();
  }
  const auto base = assigned ? ParseInteger(*assigned) : 0;
  if (base) {
    out.append(std::to_string(WrappingAdd(*base, *added)));
  } else {  // text was assigned while somebody added
    out.append(*assigned);
  }
  return true;
}

ObjectType TypeOf(const Object& object) {
  if (object.HasString(object.shard->policy)) return ObjectType::kString;
  const Counts& counts = object.counts();
  if (counts.fields > 0) return ObjectType::kHash;
  if (counts.members > 0) return ObjectType::kSet;
  if (counts.scored > 0) return ObjectType::kSortedSet;
  if (counts.entries > 0) return ObjectType::kStream;
  return object.HasHll() ? ObjectType::kString : ObjectType::kNone;
}

ObjectType Store::TypeOf(ShardId shard, std::string_view key) {
  const Object* object = state_->Visible(shard, key);
  return object != nullptr ? cells::TypeOf(*object) : ObjectType::kNone;
}

bool Store::AppendString(ShardId shard, std::string_view key, std::string& out) {
  const Object* object = state_->Visible(shard, key);
  return object != nullptr && AppendText(*object, out);
}

std::optional<std::string> Store::GetString(ShardId shard, std::string_view key) {
  std::string out;
  if (!AppendString(shard, key, out)) return std::nullopt;
  return out;
}

Store::Siblings Store::GetSiblings(ShardId shard, std::string_view key) {
  const Object* object = state_->Visible(shard, key);
  if (object == nullptr) return {};
  Siblings siblings{.values = {}, .context = object->value.context};
  if (object->shard->policy != Policy::kSiblings || AddedTo(*object)) {
    std::string text;
    if (AppendText(*object, text)) siblings.values.push_back(std::move(text));
    return siblings;
  }
  std::vector<const crdt::Entry*> entries;
  for (const crdt::Entry& entry : object->value.entries) entries.push_back(&entry);
  std::ranges::sort(entries, [](const crdt::Entry* a, const crdt::Entry* b) {
    return std::tie(a->time, a->dot) > std::tie(b->time, b->dot);
  });
  for (const crdt::Entry* entry : entries) siblings.values.push_back(*entry->value);
  return siblings;
}

std::optional<std::uint64_t> Store::ExpiresAt(ShardId shard, std::string_view key) {
  const Object* object = state_->Visible(shard, key);
  return object != nullptr ? object->Deadline(object->shard->policy) : std::nullopt;
}

std::optional<HybridTime> Store::AssignedAt(ShardId id, std::string_view key) {
  Shard* shard = state_->FindShard(id);
  if (shard == nullptr) return std::nullopt;
  const Object& object = state_->Load(*shard, key);
  if (!IsLive(shard->policy, Kind::kRegister, object.value)) return std::nullopt;
  const crdt::Entry* winner = crdt::Winner(object.value);
  return winner != nullptr ? std::optional(winner->time) : std::nullopt;
}

std::uint64_t Store::Size(ShardId shard, std::string_view key, ObjectType type) {
  const Object* object = state_->Visible(shard, key);
  if (object == nullptr) return 0;
  switch (type) {
    case ObjectType::kNone:
    case ObjectType::kString:
      return 0;
    case ObjectType::kHash:
      return object->counts().fields;
    case ObjectType::kSet:
      return object->counts().members;
    case ObjectType::kSortedSet:
      return object->counts().scored;
    case ObjectType::kStream:
      return object->counts().entries;
  }
  return 0;
}

std::optional<std::string> Store::HashGet(ShardId shard, std::string_view key,
                                          std::string_view field) {
  Object* object = state_->Visible(shard, key);
  if (object == nullptr) return std::nullopt;
  const crdt::Cell* cell = state_->FindLive(*object, Kind::kField, field);
  if (cell == nullptr) return std::nullopt;
  return FieldText(object->shard->policy, *cell);
}

bool Store::SetContains(ShardId shard, std::string_view key, std::string_view member) {
  Object* object = state_->Visible(shard, key);
  return object != nullptr && state_->FindLive(*object, Kind::kMember, member) != nullptr;
}

std::optional<double> Store::Score(ShardId shard, std::string_view key, std::string_view member) {
  Object* object = state_->Visible(shard, key);
  if (object == nullptr) return std::nullopt;
  const crdt::Cell* cell = state_->FindLive(*object, Kind::kScored, member);
  if (cell == nullptr) return std::nullopt;
  return ScoreOf(*cell);
}

bool Store::IsHll(ShardId shard, std::string_view key) {
  const Object* object = state_->Visible(shard, key);
  return object != nullptr && object->HasHll();
}

bool Store::HllRanks(ShardId shard, std::string_view key, std::array<std::uint8_t, 16384>& ranks) {
  Object* object = state_->Visible(shard, key);
  if (object == nullptr || !object->HasHll()) return false;
  state_->Complete(*object);
  const auto& elements = object->rest->elements;
  for (auto at = elements.lower_bound(ElementName(Kind::kRank, {})); at != elements.end(); ++at) {
    const std::string_view index = std::string_view(at->first).substr(1);
    const auto i = static_cast<std::size_t>(static_cast<unsigned char>(index[0]) << 8 |
                                            static_cast<unsigned char>(index[1]));
    ranks[i] = std::max(ranks[i], RankOf(at->second.cell));
  }
  return true;
}

std::uint64_t Store::KeyCount(ShardId id) {
  const Shard* shard = state_->FindShard(id);
  return shard != nullptr ? shard->keys : 0;
}

}  // namespace coterie::cells

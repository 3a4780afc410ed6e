#include <charconv>

#include "model/cells/state.h"

namespace coterie::cells {

Before Store::State::Look(const Place& place) const {
  const Policy policy = place.object->shard->policy;
  Before before{
      .exists = !place.cell->context.empty(),
      .live = IsLive(policy, place.kind, *place.cell),
  };
  if (IsSingleton(place.kind)) return before;
  before.bytes = CellBytes(*place.cell);
  if (before.live && place.kind == Kind::kScored) before.score = ScoreOf(*place.cell);
  if (before.live && place.kind == Kind::kOperation) before.amount = AmountOf(*place.cell);
  return before;
}

void Store::State::MarkDirty(const Place& place) {
  Object& object = *place.object;
  if (!object.dirty) {
    object.dirty = true;
    object.shard->dirty.push_back(&object);
    dirty_bytes += 64 + object.key.size() + CellBytes(object.value);
  }
  if (IsSingleton(place.kind)) return;
  Element& element = place.element->second;
  if (element.dirty) return;
  element.dirty = true;
  object.rest->dirty.push_back(place.element);
  dirty_bytes += 64 + place.element->first.size() + CellBytes(element.cell);
}

void Store::State::Recount(Object& object) {
  const bool has_data = object.HasData(object.shard->policy);
  if (has_data != object.counted) {
    object.counted = has_data;
    has_data ? ++object.shard->keys : --object.shard->keys;
  }
  const std::size_t bytes = object.Bytes();
  cached_bytes += bytes - object.charged;
  object.charged = bytes;
}

namespace {

void SettleElement(const Place& place, const Before& before, bool exists, bool live) {
  Collection& rest = *place.object->rest;
  rest.bytes += CellBytes(*place.cell) - before.bytes;
  if (exists != before.exists) exists ? ++rest.counts.cells : --rest.counts.cells;
  if (live != before.live) {
    std::uint64_t& count = rest.counts.Of(place.kind);
    live ? ++count : --count;
    if (live) {
      rest.counts.element_bytes += place.name().size();
    } else {
      rest.counts.element_bytes -= place.name().size();
    }
  }
  if (place.kind == Kind::kOperation) {
    const std::int64_t amount = live ? AmountOf(*place.cell) : 0;
    // Two's complement: what was added can be taken off again whatever the sum.
    std::int64_t& sum = rest.counts.operation_sum;
    sum =
        WrappingAdd(sum, static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(before.amount)));
    sum = WrappingAdd(sum, amount);
  }
  if (place.kind == Kind::kScored && rest.complete) {
    const double score = live ? ScoreOf(*place.cell) : 0;
    if (live == before.live && score == before.score) return;
    if (before.live) rest.by_score.erase({before.score, place.name()});
    if (live) rest.by_score.emplace(score, place.name());
  }
}

}  // namespace

void Store::State::Settle(const Place& place, const Before& before) {
  Object& object = *place.object;
  Shard& shard = *object.shard;
  const bool exists = !place.cell->context.empty();
  const bool live = IsLive(shard.policy, place.kind, *place.cell);
  if (!IsSingleton(place.kind)) SettleElement(place, before, exists, live);
  const bool was_tombstone = before.exists && !before.live;
  const bool is_tombstone = exists && !live;
  if (is_tombstone && !was_tombstone) shard.tombstones.insert(place.cell_key());
  if (was_tombstone && !is_tombstone) shard.tombstones.erase(place.cell_key());
  if (place.kind == Kind::kRegister || (place.kind == Kind::kExpiry && live)) {
    const auto deadline = object.Deadline(shard.policy);
    if (deadline && *deadline < shard.deadline_min) shard.deadline_min = *deadline;
  }
  MarkDirty(place);
  Recount(object);
}

namespace {

/// Joining is taking over: nothing here that the delta has not seen, and the reverse.
bool Replaces(const crdt::Cell& cell, const crdt::Cell& delta) {
  if (!cell.removed.empty() || !delta.removed.empty()) return false;
  if (!delta.context.Covers(cell.context)) return false;
  for (const crdt::Entry& entry : delta.entries) {
    if (cell.context.Covers(entry.dot)) return false;
  }
  return true;
}

/// Drops from what arrives the entries that this replica has seen removed and then forgotten: their
/// mutations are applied here, and they are not in the cell.
void DropForgotten(const crdt::Cell& cell, const VersionVector& applied, crdt::Cell& arriving) {
  std::erase_if(arriving.entries, [&](const crdt::Entry& entry) {
    // What the cell's context covers is the join's to judge.
    return applied.Covers(entry.dot) && !cell.context.Covers(entry.dot);
  });
}

bool ReportsLosers(Policy policy, Kind kind) {
  if (kind == Kind::kRegister) return policy != Policy::kSiblings;
  return kind == Kind::kField || kind == Kind::kScored;
}

constexpr std::size_t kConflictValueBytesMax = 128;

}  // namespace

void Store::State::JoinInto(const Place& place, crdt::Cell delta) {
  Shard& shard = *place.object->shard;
  crdt::Cell& cell = *place.cell;
  const Before before = Look(place);
  DropForgotten(cell, shard.applied, delta);
  std::vector<crdt::Loser> losers;
  if (Replaces(cell, delta)) {
    cell = std::move(delta);
  } else {
    const bool reports = ReportsLosers(shard.policy, place.kind) && on_conflict;
    if (!crdt::Join(cell, std::move(delta),
                    reports ? crdt::Merge::kLastWriter : crdt::Merge::kKeepAll,
                    reports ? &losers : nullptr)) {
      return;
    }
  }
  Settle(place, before);
  for (const crdt::Loser& loser : losers) {
    std::string_view value = *loser.entry.value;
    std::string score;
    if (place.kind == Kind::kScored) {
      char text[32];
      const auto end = std::to_chars(text, text + sizeof text, DecodeScore(value)).ptr;
      value = score.assign(text, end);
    } else if (shard.policy == Policy::kLww) {
      if (value.front() == kNothingTag) continue;  // no value was lost
      value.remove_prefix(1);
    }
    on_conflict({.shard = shard.id,
                 .key = place.object->key,
                 .element = std::string(place.name()),
                 .dot = loser.entry.dot,
                 .time = loser.entry.time,
                 .value = std::string(value.substr(0, kConflictValueBytesMax)),
                 .winner = loser.winner});
  }
}

}  // namespace coterie::cells

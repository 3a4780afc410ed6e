#include <cmath>
#include <limits>

#include "base/coding.h"
#include "model/cells/state.h"

namespace coterie::cells {
namespace {

/// Live elements of one kind with `first` <= element <= `last` (nullopt: no bound), in order or in
/// reverse, until `visit` answers false. What `visit` changes in the store is harmless.
struct Span {
  Kind kind;
  std::string_view first;
  std::optional<std::string_view> last;
  bool reverse = false;
};

template <class Visit>
void VisitInMemory(Object& object, const Span& span, Visit visit) {
  const auto& elements = object.rest->elements;
  const Policy policy = object.shard->policy;
  auto begin = elements.lower_bound(ElementName(span.kind, span.first));
  auto end = span.last ? elements.upper_bound(ElementName(span.kind, *span.last))
                       : elements.lower_bound(std::string(1, static_cast<char>(span.kind) + 1));
  const auto show = [&](const auto& at) {
    if (!IsLive(policy, span.kind, at->second.cell)) return true;
    return visit(std::string_view(at->first).substr(1), at->second.cell);
  };
  if (span.reverse) {
    while (begin != end && show(--end)) {
    }
  } else {
    while (begin != end && show(begin)) ++begin;
  }
}

template <class Visit>
void VisitInEngine(Store::State& state, Object& object, const Span& span, Visit visit) {
  if (!state.Push(object)) return;
  const Policy policy = object.shard->policy;
  std::string prefix = object.shard->prefix;
  PutEscaped(prefix, object.key);
  prefix.push_back(static_cast<char>(span.kind));
  std::string upper = span.last ? prefix + std::string(*span.last) + '\0' : EndOfSpace(prefix);
  const std::size_t element_at = prefix.size();
  const auto at = state.engine->Iterate(prefix.append(span.first), std::move(upper));
  span.reverse ? at->SeekToLast() : at->SeekToFirst();
  for (; at->Valid(); span.reverse ? at->Prev() : at->Next()) {
    const auto cell = crdt::Decode(at->value());
    if (!cell) return state.Fail(Corrupt("an element"));
    if (!IsLive(policy, span.kind, *cell)) continue;
    if (!visit(at->key().substr(element_at), *cell)) return;
  }
  if (auto status = at->status(); !status) state.Fail(status);
}

template <class Visit>
void VisitElements(Store::State& state, Object& object, const Span& span, Visit visit) {
  if (object.rest == nullptr || object.rest->counts.Of(span.kind) == 0) return;
  if (state.WantsWhole(object)) state.Complete(object);
  const Pin pin(state);
  if (object.rest->complete) {
    VisitInMemory(object, span, visit);
  } else {
    VisitInEngine(state, object, span, visit);
  }
}

template <class Visit>
void VisitInMemoryByScore(const Collection& rest, double from, bool reverse, Visit visit) {
  // Found anew at each step: `visit` may change scores.
  const auto& set = rest.by_score;
  if (!reverse) {
    auto at = set.lower_bound({from, {}});
    while (at != set.end()) {
      const auto seen = *at;
      if (!visit(seen.second, seen.first)) return;
      at = set.upper_bound(seen);
    }
    return;
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  auto at = from == kInfinity ? set.end() : set.lower_bound({std::nextafter(from, kInfinity), {}});
  while (at != set.begin()) {
    const auto seen = *--at;
    if (!visit(seen.second, seen.first)) return;
    at = set.lower_bound(seen);
  }
}

template <class Visit>
void VisitInEngineByScore(Store::State& state, Object& object, double from, bool reverse,
                          Visit visit) {
  if (!state.Push(object)) return;
  std::string prefix = SpaceKey(kScoreSpace, object.shard->id);
  PutEscaped(prefix, object.key);
  const std::size_t score_at = prefix.size();
  std::string lower = prefix;
  std::string upper = EndOfSpace(prefix);
  if (reverse) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (from != kInfinity) {
      upper = prefix;
      PutOrderedDouble(upper, std::nextafter(from, kInfinity));
    }
  } else {
    PutOrderedDouble(lower, from);
  }
  const auto at = state.engine->Iterate(std::move(lower), std::move(upper));
  reverse ? at->SeekToLast() : at->SeekToFirst();
  for (; at->Valid(); reverse ? at->Prev() : at->Next()) {
    std::string_view in = at->key().substr(score_at);
    const auto score = GetOrderedDouble(in);
    if (!score) return state.Fail(Corrupt("an index of scores"));
    if (!visit(in, *score)) return;
  }
  if (auto status = at->status(); !status) state.Fail(status);
}

}  // namespace

void Store::VisitHash(ShardId shard, std::string_view key, std::string_view after,
                      VisitField visit) {
  Object* object = state_->Visible(shard, key);
  if (object == nullptr) return;
  const Policy policy = object->shard->policy;
  VisitElements(*state_, *object, {.kind = Kind::kField, .first = after, .last = {}},
                [&](std::string_view field, const crdt::Cell& cell) {
                  if (!after.empty() && field == after) return true;
                  if (crdt::HasSum(cell)) return visit(field, FieldText(policy, cell));
                  return visit(field, *Assigned(policy, Kind::kField, cell));
                });
}

void Store::VisitSet(ShardId shard, std::string_view key, std::string_view after,
                     VisitMember visit) {
  Object* object = state_->Visible(shard, key);
  if (object == nullptr) return;
  VisitElements(*state_, *object, {.kind = Kind::kMember, .first = after, .last = {}},
                [&](std::string_view member, const crdt::Cell&) {
                  return (!after.empty() && member == after) || visit(member);
                });
}

void Store::VisitSortedSet(ShardId shard, std::string_view key, double from, bool reverse,
                           VisitScored visit) {
  Object* object = state_->Visible(shard, key);
  if (object == nullptr || object->counts().scored == 0 || std::isnan(from)) return;
  if (state_->WantsWhole(*object)) state_->Complete(*object);
  const Pin pin(*state_);
  if (object->rest->complete) {
    VisitInMemoryByScore(*object->rest, from, reverse, visit);
  } else {
    VisitInEngineByScore(*state_, *object, from, reverse, visit);
  }
}

void Store::VisitStream(ShardId shard, std::string_view key, StreamId first, StreamId last,
                        bool reverse, const std::function<bool(const StreamEntry&)>& visit) {
  Object* object = state_->Visible(shard, key);
  if (object == nullptr || last < first) return;
  const std::string from = EncodeId(first);
  const std::string to = EncodeId(last);
  VisitElements(*state_, *object,
                {.kind = Kind::kEntry, .first = from, .last = to, .reverse = reverse},
                [&](std::string_view id, const crdt::Cell& cell) {
                  StreamEntry entry{.id = DecodeId(id), .fields = {}};
                  (void)DecodeFields(*crdt::Winner(cell)->value, &entry.fields);
                  return visit(entry);
                });
}

std::vector<std::string> Store::Keys(ShardId id, std::string_view after, std::size_t max) {
  State& state = *state_;
  std::vector<std::string> keys;
  Shard* shard = state.FindShard(id);
  if (shard == nullptr || !state.Push(*shard)) return keys;
  std::string lower = shard->prefix;
  if (!after.empty()) lower = shard->prefix + CellsOf(after).second;
  const auto at = state.engine->Iterate(std::move(lower), EndOfSpace(shard->prefix));
  std::string scratch;
  at->SeekToFirst();
  while (at->Valid() && keys.size() < max) {
    std::string_view rest = at->key().substr(shard->prefix.size());
    const auto key = GetEscaped(rest, scratch);
    Object object;
    object.shard = shard;
    if (!key || rest != std::string_view("\0", 1) || !DecodeRecord(at->value(), object)) {
      state.Fail(Corrupt("a key record"));
      return keys;
    }
    if (object.HasData(shard->policy) && !state.IsExpired(object)) keys.emplace_back(*key);
    if (object.counts().cells > 0) {
      at->Seek(shard->prefix + CellsOf(*key).second);
    } else {
      at->Next();
    }
  }
  if (auto status = at->status(); !status) state.Fail(status);
  return keys;
}

std::vector<std::string> Store::Expired(ShardId id, std::size_t max) {
  State& state = *state_;
  std::vector<std::string> keys;
  Shard* shard = state.FindShard(id);
  if (shard == nullptr || max == 0 || shard->deadline_min > state.wall_ms) return keys;
  if (!state.Push(*shard)) return keys;
  const std::string prefix = SpaceKey(kExpirySpace, id);
  const auto at = state.engine->Iterate(prefix, EndOfSpace(prefix));
  at->SeekToFirst();
  for (; at->Valid() && keys.size() < max; at->Next()) {
    std::string_view in = at->key().substr(prefix.size());
    const auto deadline = GetBigEndian64(in);
    if (!deadline) {
      state.Fail(Corrupt("an index of deadlines"));
      return keys;
    }
    if (keys.empty()) shard->deadline_min = *deadline;
    if (*deadline > state.wall_ms) return keys;
    keys.emplace_back(in);
  }
  if (keys.empty()) shard->deadline_min = ~std::uint64_t{0};
  return keys;
}

}  // namespace coterie::cells

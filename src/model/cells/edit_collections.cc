#include <algorithm>
#include <cmath>
#include <limits>

#include "model/cells/edit_state.h"

namespace coterie::cells {

bool Edit::State::EraseElement(std::string_view key, Kind kind, std::string_view element) {
  Object* object = store.Visible(shard.id, key);
  if (object == nullptr || store.FindLive(*object, kind, element) == nullptr) return false;
  Erase(store.Locate(*object, kind, element));
  return true;
}

bool Edit::HashSet(std::string_view key, std::string_view field, std::string_view value) {
  State& state = *state_;
  Object& object = state.Open(key);
  const Place place = state.store.Locate(object, Kind::kField, field);
  const bool fresh = !IsLive(state.shard.policy, Kind::kField, *place.cell);
  state.Assign(place, state.Tagged(value));
  return fresh;
}

Result<std::int64_t> Edit::HashIncrement(std::string_view key, std::string_view field,
                                         std::int64_t amount) {
  State& state = *state_;
  const Policy policy = state.shard.policy;
  std::int64_t seen = 0;
  if (Object* object = state.store.Visible(state.shard.id, key)) {
    if (const crdt::Cell* cell = state.store.FindLive(*object, Kind::kField, field)) {
      const auto number = ParseInteger(FieldText(policy, *cell));
      if (!number) return Fail(ErrorCode::kNotAnInteger, "the field is not a number");
      seen = *number;
    }
  }
  std::int64_t total = 0;
  if (__builtin_add_overflow(seen, amount, &total)) {
    return Fail(ErrorCode::kOverflow, "the field would leave 64 bits");
  }
  Object& object = state.Open(key);
  const Place place = state.store.Locate(object, Kind::kField, field);
  if (policy == Policy::kLww) {
    state.Assign(place, state.Tagged(std::to_string(total)));
  } else {
    state.Add(place, amount);
  }
  return total;
}

bool Edit::HashRemove(std::string_view key, std::string_view field) {
  return state_->EraseElement(key, Kind::kField, field);
}

bool Edit::SetAdd(std::string_view key, std::string_view member) {
  State& state = *state_;
  Object& object = state.Open(key);
  const Place place = state.store.Locate(object, Kind::kMember, member);
  const bool fresh = !place.cell->live();
  // Again even if it is there: against a removal elsewhere at this time, the newest addition wins.
  state.Assign(place, {});
  return fresh;
}

bool Edit::SetRemove(std::string_view key, std::string_view member) {
  return state_->EraseElement(key, Kind::kMember, member);
}

bool Edit::SortedSetAdd(std::string_view key, std::string_view member, double score) {
  State& state = *state_;
  Object& object = state.Open(key);
  const Place place = state.store.Locate(object, Kind::kScored, member);
  const bool fresh = !place.cell->live();
  state.Assign(place, EncodeScore(std::isnan(score) ? 0 : score));
  return fresh;
}

double Edit::SortedSetIncrement(std::string_view key, std::string_view member, double amount) {
  State& state = *state_;
  Object& object = state.Open(key);
  const Place place = state.store.Locate(object, Kind::kScored, member);
  if (std::isfinite(amount)) {
    state.AddReal(place, amount);
  } else if (!std::isnan(amount)) {
    // Sums are finite: an infinity is assigned.
    const double score = (place.cell->live() ? ScoreOf(*place.cell) : 0) + amount;
    state.Assign(place, EncodeScore(std::isnan(score) ? 0 : score));
  }
  return place.cell->live() ? ScoreOf(*place.cell) : 0;
}

bool Edit::SortedSetRemove(std::string_view key, std::string_view member) {
  return state_->EraseElement(key, Kind::kScored, member);
}

bool Edit::HllRaise(std::string_view key, std::uint16_t index, std::uint8_t rank) {
  State& state = *state_;
  if (index >= kHllRegisters) return false;
  Object& object = state.Open(key);
  const char name[] = {static_cast<char>(index >> 8), static_cast<char>(index & 0xff)};
  const Place place = state.store.Locate(object, Kind::kRank, {name, sizeof name});
  if (RankOf(*place.cell) >= rank) {
    state.store.Recount(object);
    return false;
  }
  state.Assign(place, std::string(1, static_cast<char>(rank)));
  return true;
}

void Edit::HllCreate(std::string_view key) {
  State& state = *state_;
  Object& object = state.Open(key);
  if (object.Rest().singleton(Kind::kHll).live()) return;
  state.Assign(state.store.Locate(object, Kind::kHll, {}), {});
}

StreamId Edit::StreamAdd(std::string_view key,
                         const std::vector<std::pair<std::string, std::string>>& fields) {
  State& state = *state_;
  Object& object = state.Open(key);
  StreamId id = StreamIdOf(state.dot, state.time);
  id.sequence += state.stream_entries++;
  state.Assign(state.store.Locate(object, Kind::kEntry, EncodeId(id)), EncodeFields(fields));
  return id;
}

bool Edit::StreamRemove(std::string_view key, StreamId id) {
  return state_->EraseElement(key, Kind::kEntry, EncodeId(id));
}

}  // namespace coterie::cells

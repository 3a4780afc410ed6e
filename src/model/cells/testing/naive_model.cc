#include "model/cells/testing/naive_model.h"

#include <algorithm>
#include <charconv>

namespace coterie::cells::testing {
namespace {

using keyspace::Conflict;

std::optional<std::int64_t> Number(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (std::to_string(number) != text) return std::nullopt;
  return number;
}

bool Saw(const NaiveModel::Event& later, const NaiveModel::Event& earlier) {
  if (later.dot == earlier.dot) {
    return earlier.sequence < later.sequence && later.what != NaiveModel::What::kAdd;
  }
  return later.seen.Covers(earlier.dot) && !later.kept.contains({earlier.dot, earlier.sequence});
}

std::string Quoted(std::string_view bytes) {
  std::string out = "'";
  for (const char c : bytes) c == '\0' ? out += "\\0" : out += c;
  return out + "'";
}

std::string Padded(std::uint64_t value, std::size_t width) {
  std::string digits = std::to_string(value);
  return std::string(width - std::min(width, digits.size()), '0') + digits;
}

std::string Decimal(double value) { return std::to_string(static_cast<std::int64_t>(value)); }

}  // namespace

std::string IdText(StreamId id) { return Padded(id.ms, 20) + "-" + Padded(id.sequence, 20); }
std::string IndexText(std::uint16_t index) { return Padded(index, 5); }

bool NaiveModel::View::live(Conflict policy, char kind) const {
  if (policy == Conflict::kLww && (kind == 'r' || kind == 'f')) {
    return !puts.empty() && puts.back()->value.has_value();
  }
  return !puts.empty() || !adds.empty();
}

std::int64_t NaiveModel::View::sum() const {
  double sum = 0;
  for (const Event* add : adds) sum += add->amount;
  return static_cast<std::int64_t>(sum);
}

NaiveModel::View NaiveModel::Look(const At& at, const std::string& key, const CellId& cell) const {
  View view;
  const auto object = objects_.find(key);
  if (object == objects_.end()) return view;
  const auto events = object->second.find(cell);
  if (events == object->second.end()) return view;
  const auto known = [&](const Event& e) { return at.seen.Covers(e.dot) || e.dot == at.dot; };
  for (const Event& event : events->second) {
    if (event.what == What::kDelete || !known(event)) continue;
    const bool superseded = std::ranges::any_of(
        events->second, [&](const Event& later) { return known(later) && Saw(later, event); });
    if (superseded) continue;
    (event.what == What::kPut ? view.puts : view.adds).push_back(&event);
  }
  std::ranges::sort(view.puts, [](const Event* a, const Event* b) {
    return std::tie(a->time, a->dot) < std::tie(b->time, b->dot);
  });
  return view;
}

bool NaiveModel::Live(const At& at, const std::string& key, const CellId& cell) const {
  return Look(at, key, cell).live(policy_, cell.first);
}

std::vector<std::string> NaiveModel::LiveElements(const At& at, const std::string& key,
                                                  char kind) const {
  std::vector<std::string> out;
  const auto object = objects_.find(key);
  if (object == objects_.end()) return out;
  for (const auto& [cell, events] : object->second) {
    if (cell.first == kind && Live(at, key, cell)) out.push_back(cell.second);
  }
  return out;
}

bool NaiveModel::HasData(const At& at, const std::string& key) const {
  for (const char kind : std::string_view("rcHofmzsh")) {
    if (!LiveElements(at, key, kind).empty()) return true;
  }
  return false;
}

std::optional<std::uint64_t> NaiveModel::Deadline(const At& at, const std::string& key) const {
  std::optional<std::uint64_t> greatest;
  const View string = Look(at, key, {'r', ""});
  const bool counts_since = policy_ == Conflict::kLww && string.live(policy_, 'r');
  for (const Event* put : Look(at, key, {'x', ""}).puts) {
    if (counts_since && put->time < string.puts.back()->time) continue;
    greatest = std::max(greatest.value_or(0), static_cast<std::uint64_t>(std::stoull(*put->value)));
  }
  if (greatest == ~std::uint64_t{0}) return std::nullopt;
  return greatest;
}

bool NaiveModel::Expired(const At& at, const std::string& key) const {
  const auto deadline = Deadline(at, key);
  return deadline && *deadline <= at.wall_ms;
}

bool NaiveModel::Visible(const At& at, const std::string& key) const {
  return HasData(at, key) && !Expired(at, key);
}

std::optional<std::string> NaiveModel::Assigned(const At& at, const std::string& key,
                                                const CellId& cell) const {
  const View view = Look(at, key, cell);
  return view.puts.empty() ? std::nullopt : view.puts.back()->value;
}

std::optional<std::string> NaiveModel::FieldText(const At& at, const std::string& key,
                                                 const std::string& field) const {
  const View view = Look(at, key, {'f', field});
  const auto assigned = Assigned(at, key, {'f', field});
  if (view.adds.empty()) return assigned;
  const auto base = assigned ? Number(*assigned) : 0;
  return base ? std::to_string(*base + view.sum()) : assigned;
}

double NaiveModel::Score(const At& at, const std::string& key, const std::string& member) const {
  const auto assigned = Assigned(at, key, {'z', member});
  const double base = assigned ? std::stod(*assigned) : 0;
  return base + static_cast<double>(Look(at, key, {'z', member}).sum());
}

std::optional<std::int64_t> NaiveModel::Added(const At& at, const std::string& key) const {
  const View counter = Look(at, key, {'c', ""});
  const auto operations = LiveElements(at, key, 'o');
  if (counter.adds.empty() && operations.empty()) return std::nullopt;
  std::int64_t sum = counter.sum();
  for (const auto& operation : operations) sum += *Number(*Assigned(at, key, {'o', operation}));
  return sum;
}

std::optional<std::string> NaiveModel::Text(const At& at, const std::string& key) const {
  const auto assigned = Assigned(at, key, {'r', ""});
  const auto added = Added(at, key);
  if (!added) return assigned;
  const auto base = assigned ? Number(*assigned) : 0;
  return base ? std::to_string(*base + *added) : assigned;
}

void NaiveModel::Do(At& at, const std::string& key, const CellId& cell, What what,
                    std::optional<std::string> value, double amount, const VersionVector* context) {
  const View view = Look(at, key, cell);
  Event made{.dot = at.dot,
             .sequence = ++at.sequence,
             .time = at.time,
             .seen = {},
             .kept = {},
             .what = what,
             .value = std::move(value),
             .amount = amount};
  std::vector<Event>& events = objects_[key][cell];
  if (what != What::kAdd) {
    for (const Event& event : events) {
      if (at.seen.Covers(event.dot) || event.dot == at.dot) made.seen.Join(event.seen);
    }
    if (context != nullptr) made.seen.Meet(*context);
  }
  for (const auto* survivors : {&view.puts, &view.adds}) {
    for (const Event* event : *survivors) {
      if (event->dot.actor != at.dot.actor || made.seen.Covers(event->dot)) continue;
      made.kept.emplace(event->dot, event->sequence);
    }
  }
  made.seen.Include(at.dot);
  events.push_back(std::move(made));
}

void NaiveModel::Erase(At& at, const std::string& key, const CellId& cell) {
  const bool nothing = policy_ == Conflict::kLww && (cell.first == 'r' || cell.first == 'f');
  Do(at, key, cell, nothing ? What::kPut : What::kDelete, std::nullopt);
}

void NaiveModel::EraseOthers(At& at, const std::string& key) {
  for (const char kind : std::string_view("cHofmzsh")) {
    for (const auto& element : LiveElements(at, key, kind)) Erase(at, key, {kind, element});
  }
}

bool NaiveModel::EraseAll(At& at, const std::string& key) {
  const bool any = HasData(at, key);
  EraseOthers(at, key);
  for (const char kind : std::string_view("rx")) {
    if (Live(at, key, {kind, ""})) Erase(at, key, {kind, ""});
  }
  return any;
}

void NaiveModel::Open(At& at, const std::string& key) {
  if (Expired(at, key)) {
    EraseAll(at, key);
  } else if (!HasData(at, key) && Live(at, key, {'x', ""})) {
    Erase(at, key, {'x', ""});
  }
}

void NaiveModel::KeepDeadline(At& at, const std::string& key) {
  const auto deadline = Deadline(at, key);
  if (policy_ != Conflict::kLww || !deadline) return;
  Do(at, key, {'x', ""}, What::kPut, std::to_string(*deadline));
}

void NaiveModel::SetString(At& at, const std::string& key, const std::string& value,
                           bool keep_expiry) {
  Open(at, key);
  EraseOthers(at, key);
  if (keep_expiry) {
    KeepDeadline(at, key);
  } else if (Live(at, key, {'x', ""})) {
    Erase(at, key, {'x', ""});
  }
  Do(at, key, {'r', ""}, What::kPut, value);
}

void NaiveModel::SetStringOver(At& at, const std::string& key, const VersionVector& context,
                               const std::string& value) {
  Open(at, key);
  EraseOthers(at, key);
  Do(at, key, {'r', ""}, What::kPut, value, 0, &context);
}

std::optional<std::int64_t> NaiveModel::Increment(At& at, const std::string& key,
                                                  std::int64_t amount,
                                                  const std::string& operation) {
  std::int64_t base = 0;
  std::int64_t added = 0;
  if (!Expired(at, key)) {
    if (const auto assigned = Assigned(at, key, {'r', ""})) {
      if (!Number(*assigned)) return std::nullopt;
      base = *Number(*assigned);
    }
    added = Added(at, key).value_or(0);
    if (!operation.empty() && Live(at, key, {'o', operation})) return base + added;
  }
  Open(at, key);
  if (!operation.empty()) {
    Do(at, key, {'o', operation}, What::kPut, std::to_string(amount));
  } else if (policy_ == Conflict::kLww) {
    KeepDeadline(at, key);
    Do(at, key, {'r', ""}, What::kPut, std::to_string(base + amount));
  } else {
    Do(at, key, {'c', ""}, What::kAdd, std::nullopt, static_cast<double>(amount));
  }
  return base + added + amount;
}

bool NaiveModel::RemoveKey(At& at, const std::string& key) {
  const bool expired = Expired(at, key);
  return EraseAll(at, key) && !expired;
}

void NaiveModel::SetExpiry(At& at, const std::string& key, std::optional<std::uint64_t> at_ms) {
  Open(at, key);
  if (!HasData(at, key)) return;
  Do(at, key, {'x', ""}, What::kPut, std::to_string(at_ms.value_or(~std::uint64_t{0})));
}

bool NaiveModel::Put(At& at, const std::string& key, char kind, const std::string& element,
                     const std::string& value) {
  Open(at, key);
  const bool fresh = !Live(at, key, {kind, element});
  Do(at, key, {kind, element}, What::kPut, value);
  return fresh;
}

bool NaiveModel::Remove(At& at, const std::string& key, char kind, const std::string& element) {
  if (!Visible(at, key) || !Live(at, key, {kind, element})) return false;
  Erase(at, key, {kind, element});
  return true;
}

std::optional<std::int64_t> NaiveModel::HashIncrement(At& at, const std::string& key,
                                                      const std::string& field,
                                                      std::int64_t amount) {
  std::int64_t seen = 0;
  if (Visible(at, key) && Live(at, key, {'f', field})) {
    const auto number = Number(*FieldText(at, key, field));
    if (!number) return std::nullopt;
    seen = *number;
  }
  Open(at, key);
  if (policy_ == Conflict::kLww) {
    Do(at, key, {'f', field}, What::kPut, std::to_string(seen + amount));
  } else {
    Do(at, key, {'f', field}, What::kAdd, std::nullopt, static_cast<double>(amount));
  }
  return seen + amount;
}

double NaiveModel::ScoreIncrement(At& at, const std::string& key, const std::string& member,
                                  double amount) {
  Open(at, key);
  Do(at, key, {'z', member}, What::kAdd, std::nullopt, amount);
  return Score(at, key, member);
}

bool NaiveModel::Raise(At& at, const std::string& key, const std::string& index,
                       std::uint8_t rank) {
  Open(at, key);
  for (const Event* put : Look(at, key, {'h', index}).puts) {
    if (std::stoi(*put->value) >= rank) return false;
  }
  Do(at, key, {'h', index}, What::kPut, std::to_string(rank));
  return true;
}

void NaiveModel::HllCreate(At& at, const std::string& key) {
  Open(at, key);
  if (!Live(at, key, {'H', ""})) Do(at, key, {'H', ""}, What::kPut, "");
}

std::string NaiveModel::Show(const At& at, const std::string& key) const {
  if (!Visible(at, key)) return "none";
  const auto text = Text(at, key);
  const auto fields = LiveElements(at, key, 'f');
  const auto members = LiveElements(at, key, 'm');
  const auto scored = LiveElements(at, key, 'z');
  const auto entries = LiveElements(at, key, 's');
  const auto ranks = LiveElements(at, key, 'h');
  const bool hll = Live(at, key, {'H', ""}) || !ranks.empty();
  std::string out = text               ? "string"
                    : !fields.empty()  ? "hash"
                    : !members.empty() ? "set"
                    : !scored.empty()  ? "zset"
                    : !entries.empty() ? "stream"
                                       : "string";
  if (text) out += " text=" + Quoted(*text);
  out += " siblings=";
  if (policy_ != Conflict::kSiblings || Added(at, key)) {
    if (text) out += Quoted(*text);
  } else {
    const View view = Look(at, key, {'r', ""});
    for (auto put = view.puts.rbegin(); put != view.puts.rend(); ++put) {
      out += Quoted(*(*put)->value);
    }
  }
  if (const auto deadline = Deadline(at, key)) out += " until=" + std::to_string(*deadline);
  out += " " + std::to_string(fields.size()) + " fields:";
  for (const auto& f : fields) out += Quoted(f) + "=" + Quoted(*FieldText(at, key, f));
  out += " " + std::to_string(members.size()) + " members:";
  for (const auto& m : members) out += Quoted(m);
  out += " " + std::to_string(scored.size()) + " scored:";
  std::set<std::pair<double, std::string>> order;
  for (const auto& m : scored) order.emplace(Score(at, key, m), m);
  for (const auto& [score, m] : order) out += Quoted(m) + "=" + Decimal(score);
  out += " " + std::to_string(entries.size()) + " entries:";
  for (const auto& e : entries) out += e + "=" + Quoted(*Assigned(at, key, {'s', e}));
  if (hll) out += " hll:";
  for (const auto& index : ranks) {
    int greatest = 0;
    for (const Event* put : Look(at, key, {'h', index}).puts) {
      greatest = std::max(greatest, std::stoi(*put->value));
    }
    out += std::to_string(std::stoi(index)) + "=" + std::to_string(greatest) + ",";
  }
  return out;
}

std::string Show(Store& store, ShardId shard, const std::string& key) {
  const ObjectType type = store.TypeOf(shard, key);
  if (type == ObjectType::kNone) return "none";
  std::string out(ToText(type));
  if (const auto text = store.GetString(shard, key)) out += " text=" + Quoted(*text);
  const auto siblings = store.GetSiblings(shard, key);
  out += " siblings=";
  for (const auto& value : siblings.values) out += Quoted(value);
  if (const auto deadline = store.ExpiresAt(shard, key)) {
    out += " until=" + std::to_string(*deadline);
  }
  out += " " + std::to_string(store.Size(shard, key, ObjectType::kHash)) + " fields:";
  store.VisitHash(shard, key, "", [&](std::string_view field, std::string_view value) {
    out += Quoted(field) + "=" + Quoted(value);
    return true;
  });
  out += " " + std::to_string(store.Size(shard, key, ObjectType::kSet)) + " members:";
  store.VisitSet(shard, key, "", [&](std::string_view member) {
    out += Quoted(member);
    return true;
  });
  out += " " + std::to_string(store.Size(shard, key, ObjectType::kSortedSet)) + " scored:";
  store.VisitSortedSet(shard, key, -1e300, false, [&](std::string_view member, double score) {
    out += Quoted(member) + "=" + Decimal(score);
    return true;
  });
  out += " " + std::to_string(store.Size(shard, key, ObjectType::kStream)) + " entries:";
  const StreamId last{.ms = ~std::uint64_t{0}, .sequence = ~std::uint64_t{0}};
  store.VisitStream(shard, key, {}, last, false, [&](const StreamEntry& entry) {
    out += IdText(entry.id) + "=" + Quoted(entry.fields.front().second);
    return true;
  });
  if (store.IsHll(shard, key)) out += " hll:";
  std::array<std::uint8_t, 16384> ranks{};
  (void)store.HllRanks(shard, key, ranks);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i] > 0) out += std::to_string(i) + "=" + std::to_string(ranks[i]) + ",";
  }
  return out;
}

}  // namespace coterie::cells::testing

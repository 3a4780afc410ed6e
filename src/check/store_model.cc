#include "check/store_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "check/relation.h"

namespace coterie::check {
namespace {

template <class Visit>
void ForEachSeen(const Operation& op, Visit visit) {
  if (op.outcome != Operation::Outcome::kOk) return;
  for (const Step& step : op.taken()) {
    for (const KeyValue& kv : step.seen) visit(kv);
  }
}

}  // namespace

StoreModel::StoreModel(std::vector<std::string> keys, std::span<const Operation* const> operations,
                       bool stamps)
    : stamps_(stamps), keys_(std::move(keys)), names_{"absent"} {
  COT_ASSERT(std::ranges::is_sorted(keys_));
  if (stamps_) {
    ResolveRevisions(operations);
  } else {
    IndexModRevisions(operations);
  }
  for (const Operation* op : operations) ops_.push_back(Compile(*op));
  COT_ASSERT(ops_.size() == operations.size());
}

/// An operation of unknown outcome whose value somebody saw has that answer's revision, provided
/// that nobody else wrote the value.
void StoreModel::ResolveRevisions(std::span<const Operation* const> operations) {
  std::map<std::pair<std::string, std::string>, const Operation*> writer;  // nullptr: several
  for (const Operation* op : operations) {
    for (const auto* branch : {&op->success, &op->failure}) {
      for (const check::Step& step : *branch) {
        if (step.kind != check::Step::Kind::kPut) continue;
        auto [it, fresh] = writer.try_emplace({step.key, step.value}, op);
        if (!fresh && it->second != op) it->second = nullptr;
      }
    }
  }
  for (const Operation* op : operations) {
    ForEachSeen(*op, [&](const KeyValue& kv) {
      const auto it = writer.find({kv.key, kv.value});
      if (it == writer.end() || it->second == nullptr || kv.mod_revision == 0) return;
      if (it->second->outcome == Operation::Outcome::kUnknown) {
        resolved_.try_emplace(it->second, kv.mod_revision);
      }
    });
  }
}

/// Without stamps "mod = m" still means "unchanged since I read it": if all who saw m at that key
/// saw one value, and no one saw that value with another m, the comparison is one of values.
void StoreModel::IndexModRevisions(std::span<const Operation* const> operations) {
  std::map<std::pair<std::string, std::string>, std::set<std::int64_t>> mods_of;
  std::map<std::pair<std::string, std::int64_t>, std::set<std::string>> values_of;
  for (const Operation* op : operations) {
    ForEachSeen(*op, [&](const KeyValue& kv) {
      if (kv.mod_revision == 0) return;
      mods_of[{kv.key, kv.value}].insert(kv.mod_revision);
      values_of[{kv.key, kv.mod_revision}].insert(kv.value);
    });
  }
  for (const auto& [at, values] : values_of) {
    if (values.size() == 1 && mods_of[{at.first, *values.begin()}].size() == 1) {
      value_at_mod_[at] = *values.begin();
    }
  }
}

std::uint32_t StoreModel::Number(std::string_view value) {
  const auto it = numbers_.find(value);
  if (it != numbers_.end()) return it->second;
  const auto number = static_cast<std::uint32_t>(names_.size());
  names_.emplace_back(value);
  numbers_.emplace(value, number);
  return number;
}

std::uint32_t StoreModel::CellOf(std::string_view key) const {
  return static_cast<std::uint32_t>(std::ranges::lower_bound(keys_, key) - keys_.begin());
}

StoreModel::CompiledCompare StoreModel::Compile(const Compare& compare, bool known) {
  CompiledCompare out{CellOf(compare.key), compare.target, compare.relation, 0, compare.number};
  COT_ASSERT(out.cell < keys_.size());
  if (compare.target == Compare::Target::kValue) {
    out.value = Number(compare.value);
    return out;
  }
  if (stamps_ || (compare.number == 0 && compare.relation != Compare::Relation::kLess)) return out;
  const auto it = value_at_mod_.find({compare.key, compare.number});
  const bool equality = compare.relation == Compare::Relation::kEqual ||
                        compare.relation == Compare::Relation::kNotEqual;
  if (compare.target == Compare::Target::kMod && equality && it != value_at_mod_.end()) {
    out.target = Compare::Target::kValue;
    out.value = Number(it->second);
    return out;
  }
  out.decidable = false;
  if (!known) refusal_ = "a comparison of stamps in an operation of unknown outcome";
  return out;
}

StoreModel::CompiledStep StoreModel::Compile(const check::Step& step, bool answered) {
  CompiledStep out{step.kind, CellOf(step.key), 0, 0, false, step.count, {}};
  if (step.range_end.empty()) {
    out.last = out.first + 1;
  } else if (step.range_end == std::string_view("\0", 1)) {
    out.last = static_cast<std::uint32_t>(keys_.size());
  } else {
    out.last = std::max(out.first, CellOf(step.range_end));
  }
  COT_ASSERT(out.last <= keys_.size());
  if (step.kind == check::Step::Kind::kPut) out.value = Number(step.value);
  out.shows = answered && (step.kind == check::Step::Kind::kGet || step.prev_kv);
  if (!answered) return out;
  for (const KeyValue& kv : step.seen) {
    const std::uint32_t cell = CellOf(kv.key);
    if (cell >= keys_.size() || keys_[cell] != kv.key) {
      out.foreign = true;
      continue;
    }
    out.seen.push_back({cell, {Number(kv.value), kv.version, kv.create_revision, kv.mod_revision}});
  }
  return out;
}

StoreModel::CompiledOp StoreModel::Compile(const Operation& op) {
  CompiledOp out;
  out.known = op.outcome == Operation::Outcome::kOk;
  out.reads = out.known && !op.wrote();
  out.succeeded = op.succeeded;
  out.serializable = op.serializable;
  if (stamps_) {
    const auto it = resolved_.find(&op);
    out.revision = it != resolved_.end() ? it->second : op.revision;
  }
  for (const Compare& c : op.compares) out.compares.push_back(Compile(c, out.known));
  for (const check::Step& s : op.success) {
    out.success.push_back(Compile(s, out.known && op.succeeded));
  }
  for (const check::Step& s : op.failure) {
    out.failure.push_back(Compile(s, out.known && !op.succeeded));
  }
  return out;
}

bool StoreModel::Holds(const State& state, const CompiledCompare& compare) const {
  const Cell& cell = state.cells[compare.cell];
  switch (compare.target) {
    case Compare::Target::kValue: {
      if (cell.value == 0) return false;
      const int order = names_[cell.value].compare(names_[compare.value]);
      return Compares(order, compare.relation, 0);
    }
    case Compare::Target::kVersion:
      if (!stamps_) return Compares(cell.value == 0 ? 0 : 1, compare.relation, compare.number);
      return Compares(cell.version, compare.relation, compare.number);
    case Compare::Target::kCreate:
      if (!stamps_) return Compares(cell.value == 0 ? 0 : 1, compare.relation, compare.number);
      return Compares(cell.create, compare.relation, compare.number);
    case Compare::Target::kMod:
      if (!stamps_) return Compares(cell.value == 0 ? 0 : 1, compare.relation, compare.number);
      return Compares(cell.mod, compare.relation, compare.number);
  }
  return false;
}

/// Compares what a step showed with the cells, and learns revisions that only the answer knows.
bool StoreModel::Shows(State& state, const CompiledStep& step) const {
  if (step.foreign) return false;
  std::size_t next = 0;
  for (std::uint32_t i = step.first; i < step.last; ++i) {
    Cell& cell = state.cells[i];
    if (cell.value == 0) continue;
    if (next == step.seen.size() || step.seen[next].cell != i) return false;
    const Cell& shown = step.seen[next++].shown;
    if (shown.value != cell.value) return false;
    if (!stamps_ || shown.mod == 0) continue;
    if (shown.version != cell.version) return false;
    if (cell.mod == kSomeRevision) {
      if (cell.create == kSomeRevision) cell.create = shown.create;
      cell.mod = shown.mod;
    }
    if (cell.create == kSomeRevision) cell.create = shown.create;
    if (shown.mod != cell.mod || shown.create != cell.create) return false;
  }
  return next == step.seen.size();
}

bool StoreModel::Run(State& state, const CompiledOp& op, const CompiledStep& step,
                     bool& wrote) const {
  if (step.shows && !Shows(state, step)) return false;
  const std::int64_t revision = !stamps_ ? 0 : op.revision != 0 ? op.revision : kSomeRevision;
  if (step.kind == check::Step::Kind::kPut) {
    Cell& cell = state.cells[step.first];
    const bool fresh = cell.value == 0;
    cell.value = step.value;
    if (stamps_) {
      cell.version = fresh ? 1 : cell.version + 1;
      if (fresh) cell.create = revision;
      cell.mod = revision;
    }
    wrote = true;
  } else if (step.kind == check::Step::Kind::kDelete) {
    std::int64_t removed = 0;
    for (std::uint32_t i = step.first; i < step.last; ++i) {
      if (state.cells[i].value != 0) ++removed;
      state.cells[i] = Cell{};
    }
    if (op.known && removed != step.count) return false;
    wrote = wrote || removed > 0;
  }
  return true;
}

/// Revisions: a write makes one above all that were shown before; a read shows one not below them.
bool StoreModel::Stamp(State& state, const CompiledOp& op, bool wrote) const {
  if (!stamps_ || op.revision == 0) return true;
  if (!op.known && !wrote) return true;  // its revision is that of the effect it has elsewhere
  if (wrote ? op.revision <= state.floor : op.revision < state.floor) return false;
  state.floor = op.revision;
  return true;
}

bool StoreModel::Step(State& state, std::uint32_t i) const {
  const CompiledOp& op = ops_[i];
  bool decided = true;
  bool holds = true;
  for (const CompiledCompare& compare : op.compares) {
    if (!compare.decidable) {
      decided = false;
    } else {
      holds = holds && Holds(state, compare);
    }
  }
  // One false comparison decides; an undecidable one beside true ones leaves it to the record.
  const bool branch = !holds ? false : decided ? true : op.succeeded;
  if (op.known && branch != op.succeeded) return false;
  bool wrote = false;
  for (const CompiledStep& step : branch ? op.success : op.failure) {
    if (!Run(state, op, step, wrote)) return false;
  }
  return Stamp(state, op, wrote);
}

Fingerprint StoreModel::Hash(const State& state) const {
  Fingerprint f{Mix(static_cast<std::uint64_t>(state.floor)), 1};
  for (const Cell& cell : state.cells) {
    for (const std::uint64_t word :
         {std::uint64_t{cell.value}, static_cast<std::uint64_t>(cell.version),
          static_cast<std::uint64_t>(cell.create), static_cast<std::uint64_t>(cell.mod)}) {
      f.a = Mix(f.a ^ word);
      f.b = Mix(f.b + word * 0x2545f4914f6cdd1d);
    }
  }
  return f;
}

std::string StoreModel::DescribeState(const State& state) const {
  std::string out;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const Cell& cell = state.cells[i];
    if (!out.empty()) out += ", ";
    out += fmt::format("{} = {}", keys_[i], names_[cell.value]);
    if (stamps_ && cell.value != 0) {
      out += cell.mod == kSomeRevision ? " (mod unknown)" : fmt::format(" (mod {})", cell.mod);
    }
  }
  return out;
}

}  // namespace coterie::check

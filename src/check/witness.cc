#include "check/witness.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "check/relation.h"

namespace coterie::check {
namespace {

/// A store with just enough in it to replay operations, and to take a transaction back.
class ReplayStore {
 public:
  struct Cell {
    std::string value;
    std::int64_t create = 0;
    std::int64_t mod = 0;
  };
  using Cells = std::map<std::string, Cell, std::less<>>;

  const Cells& cells() const { return cells_; }
  const Cell* Find(std::string_view key) const {
    const auto it = cells_.find(key);
    return it == cells_.end() ? nullptr : &it->second;
  }
  void Put(const std::string& key, const std::string& value, std::int64_t revision) {
    const auto it = cells_.find(key);
    if (it == cells_.end()) {
      undo_.emplace_back(key, std::nullopt);
      cells_.emplace(key, Cell{value, revision, revision});
      return;
    }
    undo_.emplace_back(key, it->second);
    it->second = {value, it->second.create, revision};
  }
  std::int64_t Delete(const Step& step) {
    std::int64_t removed = 0;
    auto it = cells_.lower_bound(step.key);
    while (it != cells_.end() && InRange(it->first, step.key, step.range_end)) {
      undo_.emplace_back(it->first, std::move(it->second));
      it = cells_.erase(it);
      ++removed;
    }
    return removed;
  }
  void Keep() { undo_.clear(); }
  void TakeBack() {
    for (; !undo_.empty(); undo_.pop_back()) {
      auto& [key, before] = undo_.back();
      if (before) {
        cells_.insert_or_assign(key, std::move(*before));
      } else {
        cells_.erase(key);
      }
    }
  }

 private:
  Cells cells_;
  std::vector<std::pair<std::string, std::optional<Cell>>> undo_;
};

/// What an answer needs that the store does not have: the key there, or gone.
struct Need {
  std::string key;
  bool present = false;
};

enum class Fit : std::uint8_t { kFits, kNeeds, kNever };

class Replay {
 public:
  explicit Replay(std::span<const Operation* const> operations) : all_(operations) {}

  bool Run() {
    if (!Sort() || !RespectsRealTime()) return false;
    for (std::size_t i = 0; i < order_.size(); ++i) {
      const Placed& placed = order_[i];
      // Each try more brings in one more unknown write.
      for (std::size_t tries = 0;; ++tries) {
        Need need;
        const Fit fit = Apply(*placed.op, placed.revision, need);
        if (fit == Fit::kFits) {
          store_.Keep();
          break;
        }
        store_.TakeBack();
        if (fit == Fit::kNever || tries > kUnknownPerAnswer) return false;
        if (!BringIn(need, until_[i])) return false;
      }
    }
    return true;
  }

 private:
  static constexpr std::size_t kUnknownPerAnswer = 64;
  struct Placed {
    const Operation* op;
    std::int64_t revision;
    bool writes;
  };
  struct Spare {
    const Operation* op;
    bool used = false;
  };

  /// Every value that only one operation wrote tells its writer's revision when it is seen.
  std::map<const Operation*, std::int64_t> RevisionsSeen() const {
    std::unordered_map<std::string, const Operation*> writer;  // nullptr: several
    const auto id = [](const std::string& key, const std::string& value) {
      return std::to_string(key.size()) + ":" + key + value;
    };
    for (const Operation* op : all_) {
      for (const auto* branch : {&op->success, &op->failure}) {
        for (const Step& step : *branch) {
          if (step.kind != Step::Kind::kPut) continue;
          const auto [it, fresh] = writer.try_emplace(id(step.key, step.value), op);
          if (!fresh && it->second != op) it->second = nullptr;
        }
      }
    }
    std::map<const Operation*, std::int64_t> out;
    for (const Operation* op : all_) {
      if (op->outcome != Operation::Outcome::kOk) continue;
      for (const Step& step : op->taken()) {
        for (const KeyValue& kv : step.seen) {
          const auto it = writer.find(id(kv.key, kv.value));
          if (it == writer.end() || it->second == nullptr || kv.mod_revision == 0) continue;
          if (it->second->outcome == Operation::Outcome::kUnknown)
            out.try_emplace(it->second, kv.mod_revision);
        }
      }
    }
    return out;
  }

  bool Sort() {
    const auto seen = RevisionsSeen();
    for (const Operation* op : all_) {
      if (op->outcome == Operation::Outcome::kOk) {
        if (op->revision <= 0) return false;
        order_.push_back({op, op->revision, op->wrote()});
      } else if (const auto it = seen.find(op); it != seen.end()) {
        order_.push_back({op, it->second, true});
      } else {
        AddSpare(*op);
      }
    }
    // A read at a revision comes after the write that made it.
    std::ranges::sort(order_, [](const Placed& a, const Placed& b) {
      if (a.revision != b.revision) return a.revision < b.revision;
      if (a.writes != b.writes) return a.writes;
      return a.op->invoke_ns < b.op->invoke_ns;
    });
    const auto twice = [](const Placed& a, const Placed& b) {
      return a.revision == b.revision && a.writes && b.writes;
    };
    return std::ranges::adjacent_find(order_, twice) == order_.end();
  }

  void AddSpare(const Operation& op) {
    for (const auto* branch : {&op.success, &op.failure}) {
      for (const Step& step : *branch) {
        if (step.kind == Step::Kind::kGet) continue;
        auto& list = step.range_end.empty() ? spare_of_key_[step.key] : spare_ranges_;
        if (list.empty() || list.back() != spare_.size()) list.push_back(spare_.size());
      }
    }
    spare_.push_back({&op});
  }

  bool RespectsRealTime() {
    std::int64_t latest_invoke = std::numeric_limits<std::int64_t>::min();
    for (const Placed& placed : order_) {
      if (ReturnOf(*placed.op) < latest_invoke) return false;
      latest_invoke = std::max(latest_invoke, placed.op->invoke_ns);
    }
    until_.resize(order_.size());
    std::int64_t earliest_return = kNever;
    for (std::size_t i = order_.size(); i-- > 0;) {
      earliest_return = std::min(earliest_return, ReturnOf(*order_[i].op));
      until_[i] = earliest_return;
    }
    return true;
  }
  static std::int64_t ReturnOf(const Operation& op) {
    return op.outcome == Operation::Outcome::kOk ? op.return_ns : kNever;
  }

  bool Holds(const Compare& compare) const {
    const ReplayStore::Cell* cell = store_.Find(compare.key);
    switch (compare.target) {
      case Compare::Target::kValue:
        return cell != nullptr && Compares(cell->value.compare(compare.value), compare.relation, 0);
      case Compare::Target::kCreate:
        return Compares(cell == nullptr ? 0 : cell->create, compare.relation, compare.number);
      case Compare::Target::kMod:
        return Compares(cell == nullptr ? 0 : cell->mod, compare.relation, compare.number);
      case Compare::Target::kVersion:
        break;
    }
    return false;
  }
  /// Stamps that the replay does not have cannot be compared with.
  bool Decidable(const Compare& compare) const {
    if (compare.target == Compare::Target::kVersion) return false;
    const ReplayStore::Cell* cell = store_.Find(compare.key);
    if (cell == nullptr || compare.target == Compare::Target::kValue) return true;
    return (compare.target == Compare::Target::kMod ? cell->mod : cell->create) != 0;
  }

  Fit Apply(const Operation& op, std::int64_t revision, Need& need) {
    const bool known = op.outcome == Operation::Outcome::kOk;
    bool holds = true;
    for (const Compare& compare : op.compares) {
      if (!Decidable(compare)) return Fit::kNever;
      holds = holds && Holds(compare);
    }
    const std::vector<Step>& steps = holds ? op.success : op.failure;
    if (known && holds != op.succeeded) return NeedOfCompares(op, need);
    bool wrote = false;
    for (const Step& step : steps) {
      const bool shows = known && (step.kind == Step::Kind::kGet || step.prev_kv);
      if (shows) {
        if (const Fit fit = Shows(step, need); fit != Fit::kFits) return fit;
      }
      if (step.kind == Step::Kind::kPut) {
        store_.Put(step.key, step.value, revision);
        wrote = true;
      } else if (step.kind == Step::Kind::kDelete) {
        const std::int64_t removed = store_.Delete(step);
        wrote = wrote || removed > 0;
        if (!known || removed == step.count) continue;
        if (!step.range_end.empty()) return Fit::kNever;
        need = {step.key, step.count > 0};
        return Fit::kNeeds;
      }
    }
    // An unknown write that was seen must have its effect where it is placed.
    return known || wrote ? Fit::kFits : Fit::kNever;
  }

  /// The other branch was taken: what it saw, or an expected absence, says which key is off.
  Fit NeedOfCompares(const Operation& op, Need& need) const {
    for (const Compare& compare : op.compares) {
      const bool there = store_.Find(compare.key) != nullptr;
      for (const Step& step : op.taken()) {
        if (step.kind != Step::Kind::kGet || step.key != compare.key || !step.range_end.empty())
          continue;
        if (step.seen.empty() != there) continue;
        need = {step.key, !there};
        return Fit::kNeeds;
      }
      const bool absence = compare.target != Compare::Target::kValue && compare.number == 0 &&
                           compare.relation == Compare::Relation::kEqual;
      if (absence && there == op.succeeded) {
        need = {compare.key, !there};
        return Fit::kNeeds;
      }
    }
    return Fit::kNever;
  }

  Fit Shows(const Step& step, Need& need) const {
    auto it = store_.cells().lower_bound(step.key);
    const auto in_range = [&] {
      return it != store_.cells().end() && InRange(it->first, step.key, step.range_end);
    };
    for (const KeyValue& kv : step.seen) {
      if (in_range() && it->first < kv.key) {
        need = {it->first, false};
        return Fit::kNeeds;
      }
      if (!in_range() || it->first != kv.key || it->second.value != kv.value) return Fit::kNever;
      const bool stamped = kv.mod_revision != 0 && it->second.mod != 0;
      if (stamped && kv.mod_revision != it->second.mod) return Fit::kNever;
      ++it;
    }
    if (!in_range()) return Fit::kFits;
    need = {it->first, false};
    return Fit::kNeeds;
  }

  /// Applies an unknown write that meets `need`. It may come here if nothing that is still to come
  /// returned before it was invoked.
  bool BringIn(const Need& need, std::int64_t until) {
    const auto it = spare_of_key_.find(need.key);
    if (it != spare_of_key_.end() && BringInOneOf(it->second, need, until)) return true;
    return BringInOneOf(spare_ranges_, need, until);
  }
  bool BringInOneOf(const std::vector<std::size_t>& candidates, const Need& need,
                    std::int64_t until) {
    for (const std::size_t i : candidates) {
      Spare& spare = spare_[i];
      if (spare.used || spare.op->invoke_ns > until) continue;
      Need ignored;
      const Fit fit = Apply(*spare.op, 0, ignored);
      if (fit == Fit::kFits && (store_.Find(need.key) != nullptr) == need.present) {
        store_.Keep();
        return spare.used = true;
      }
      store_.TakeBack();
    }
    return false;
  }

  std::span<const Operation* const> all_;
  std::vector<Placed> order_;
  std::vector<std::int64_t> until_;  // the earliest return from here on
  std::vector<Spare> spare_;
  std::map<std::string, std::vector<std::size_t>> spare_of_key_;
  std::vector<std::size_t> spare_ranges_;
  ReplayStore store_;
};

}  // namespace

bool RevisionsAreAWitness(std::span<const Operation* const> operations) {
  return Replay(operations).Run();
}

}  // namespace coterie::check

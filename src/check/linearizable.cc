#include "check/linearizable.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "check/register_model.h"
#include "check/store_model.h"
#include "check/wgl.h"
#include "check/witness.h"

namespace coterie::check {
namespace {

using Ops = std::vector<const Operation*>;

/// Keys that operations connect, and those operations.
struct Component {
  std::vector<std::string> keys;  // sorted
  Ops ops;
};

/// Union-find over the sorted keys of a history.
class Components {
 public:
  explicit Components(const Ops& ops) {
    std::vector<std::string_view> keys;
    for (const Operation* op : ops) {
      ForEachKey(*op, [&](const std::string& key, const std::string&) { keys.push_back(key); });
      for (const auto* branch : {&op->success, &op->failure}) {
        for (const Step& step : *branch) {
          for (const KeyValue& kv : step.seen) keys.push_back(kv.key);
        }
      }
    }
    std::ranges::sort(keys);
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    keys_.assign(keys.begin(), keys.end());
    parent_.resize(keys_.size());
    std::iota(parent_.begin(), parent_.end(), 0U);
    for (const Operation* op : ops) Connect(*op);
  }

  std::vector<Component> Split(const Ops& ops) {
    std::vector<std::uint32_t> number(keys_.size(), UINT32_MAX);
    std::vector<Component> out;
    const auto of_root = [&](std::uint32_t root) -> Component& {
      if (number[root] == UINT32_MAX) {
        number[root] = static_cast<std::uint32_t>(out.size());
        out.emplace_back();
      }
      return out[number[root]];
    };
    for (std::uint32_t i = 0; i < keys_.size(); ++i) of_root(Root(i)).keys.push_back(keys_[i]);
    for (const Operation* op : ops) {
      const std::uint32_t first = FirstKey(*op);
      if (first < keys_.size()) of_root(Root(first)).ops.push_back(op);
    }
    return out;
  }

 private:
  template <class Visit>
  static void ForEachKey(const Operation& op, Visit visit) {
    static const std::string kOne;
    for (const Compare& c : op.compares) visit(c.key, kOne);
    for (const auto* branch : {&op.success, &op.failure}) {
      for (const Step& s : *branch) visit(s.key, s.range_end);
    }
  }
  std::uint32_t IndexOf(std::string_view key) const {
    return static_cast<std::uint32_t>(std::ranges::lower_bound(keys_, key) - keys_.begin());
  }
  std::uint32_t FirstKey(const Operation& op) const {
    std::uint32_t first = static_cast<std::uint32_t>(keys_.size());
    ForEachKey(op, [&](const std::string& key, const std::string&) {
      if (first == keys_.size()) first = IndexOf(key);
    });
    return first;
  }
  void Connect(const Operation& op) {
    const std::uint32_t first = FirstKey(op);
    ForEachKey(op, [&](const std::string& key, const std::string& range_end) {
      for (std::uint32_t i = IndexOf(key); i < keys_.size() && InRange(keys_[i], key, range_end);
           ++i) {
        parent_[Root(i)] = Root(first);
      }
    });
  }
  std::uint32_t Root(std::uint32_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }

  std::vector<std::string> keys_;
  std::vector<std::uint32_t> parent_;
};

/// An unknown write that somebody saw has happened before that somebody's return, if nobody else
/// wrote the value to that key: then it is an ordinary operation with that return.
std::vector<Interval> IntervalsOf(const Ops& ops) {
  struct Writer {
    std::uint32_t op;
    bool several;
  };
  std::unordered_map<std::string, Writer> writers;
  bool any_unknown = false;
  const auto id = [](const std::string& key, const std::string& value) {
    return fmt::format("{}:{}{}", key.size(), key, value);
  };
  std::vector<Interval> out;
  for (std::uint32_t i = 0; i < ops.size(); ++i) {
    const bool known = ops[i]->outcome == Operation::Outcome::kOk;
    out.push_back({ops[i]->invoke_ns, known ? ops[i]->return_ns : kNever});
    any_unknown = any_unknown || !known;
  }
  if (!any_unknown) return out;
  for (std::uint32_t i = 0; i < ops.size(); ++i) {
    for (const auto* branch : {&ops[i]->success, &ops[i]->failure}) {
      for (const Step& step : *branch) {
        if (step.kind != Step::Kind::kPut) continue;
        auto [it, fresh] = writers.try_emplace(id(step.key, step.value), Writer{i, false});
        if (!fresh && it->second.op != i) it->second.several = true;
      }
    }
  }
  for (const Operation* op : ops) {
    if (op->outcome != Operation::Outcome::kOk) continue;
    for (const Step& step : op->taken()) {
      for (const KeyValue& kv : step.seen) {
        const auto it = writers.find(id(kv.key, kv.value));
        if (it == writers.end() || it->second.several) continue;
        const Operation& writer = *ops[it->second.op];
        if (writer.outcome == Operation::Outcome::kOk) continue;
        Interval& interval = out[it->second.op];
        // Seen before it was invoked: leave it open, and the search will find the contradiction.
        if (op->return_ns >= writer.invoke_ns) {
          interval.return_ns = std::min(interval.return_ns, op->return_ns);
          interval.must_change = true;
        }
      }
    }
  }
  return out;
}

/// Turns the operations of a one-key component into register operations, if they all are.
class RegisterCompiler {
 public:
  bool Compile(const Ops& ops) {
    model.names.emplace_back("absent");
    for (const Operation* op : ops) {
      const std::optional<RegisterModel::Op> compiled = One(*op);
      if (!compiled) return false;
      model.ops.push_back(*compiled);
    }
    return true;
  }
  RegisterModel model;

 private:
  using Op = RegisterModel::Op;
  using Guard = Op::Guard;

  std::uint32_t Number(const std::string& value) {
    auto [it, fresh] = numbers_.try_emplace(value, static_cast<std::uint32_t>(model.names.size()));
    if (fresh) model.names.push_back(value);
    return it->second;
  }
  std::uint32_t Seen(const Step& step) {
    return step.seen.empty() ? 0 : Number(step.seen[0].value);
  }

  std::optional<Op> One(const Operation& op) {
    const bool known = op.outcome == Operation::Outcome::kOk;
    if (op.compares.empty()) {
      if (op.success.size() != 1) return std::nullopt;
      return Plain(op.success[0], known);
    }
    return Cas(op, known);
  }

  std::optional<Op> Plain(const Step& step, bool known) {
    if (!step.range_end.empty() || step.seen.size() > 1) return std::nullopt;
    Op out;
    const std::uint32_t seen = known ? Seen(step) : 0;
    switch (step.kind) {
      case Step::Kind::kGet:
        if (known) out = {Guard::kMust, false, seen, 0};
        return out;
      case Step::Kind::kPut:
        out = {known && step.prev_kv ? Guard::kMust : Guard::kNone, true, seen, Number(step.value)};
        return out;
      case Step::Kind::kDelete:
        out = {Guard::kNone, true, 0, 0};
        if (!known) return out;
        if (step.count > 1 || (step.prev_kv && (seen != 0) != (step.count == 1))) {
          out.guard = Guard::kNever;
        } else if (step.prev_kv) {
          out = {Guard::kMust, true, seen, 0};
        } else {
          out.guard = step.count == 0 ? Guard::kMust : Guard::kMustNot;
        }
        return out;
    }
    return std::nullopt;
  }

  /// if value(key) = x then put key [else get key].
  std::optional<Op> Cas(const Operation& op, bool known) {
    if (op.compares.size() != 1 || op.success.size() != 1 || op.failure.size() > 1) {
      return std::nullopt;
    }
    const Compare& compare = op.compares[0];
    const Step& put = op.success[0];
    if (compare.target != Compare::Target::kValue || put.kind != Step::Kind::kPut || put.prev_kv ||
        compare.relation != Compare::Relation::kEqual) {
      return std::nullopt;
    }
    if (!op.failure.empty() &&
        (op.failure[0].kind != Step::Kind::kGet || !op.failure[0].range_end.empty())) {
      return std::nullopt;
    }
    const std::uint32_t expected = Number(compare.value);
    const std::uint32_t to = Number(put.value);
    if (!known) return Op{Guard::kIf, true, expected, to};
    if (op.succeeded) return Op{Guard::kMust, true, expected, to};
    if (op.failure.empty()) return Op{Guard::kMustNot, false, expected, 0};
    const std::uint32_t seen = Seen(op.failure[0]);
    return Op{seen == expected ? Guard::kNever : Guard::kMust, false, seen, 0};
  }

  std::unordered_map<std::string, std::uint32_t> numbers_;
};

/// Leaves out unknown puts whose value nobody saw, where only a "value is not x" could tell that
/// they happened and no answer says such a thing.
void DropUnseen(RegisterModel& model, std::vector<Interval>& intervals, Ops& ops) {
  using Guard = RegisterModel::Op::Guard;
  std::vector<bool> seen(model.names.size(), false);
  for (const RegisterModel::Op& op : model.ops) {
    if (op.guard == Guard::kMustNot) return;
    if (op.guard == Guard::kMust || op.guard == Guard::kIf) seen[op.value] = true;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const RegisterModel::Op& op = model.ops[i];
    const bool optional = intervals[i].return_ns == kNever;
    if (optional && (!op.writes || !seen[op.to])) continue;
    model.ops[kept] = op;
    intervals[kept] = intervals[i];
    ops[kept++] = ops[i];
  }
  model.ops.resize(kept);
  intervals.resize(kept);
  ops.resize(kept);
}

std::string KeysText(const std::vector<std::string>& keys) {
  std::string out;
  for (std::size_t i = 0; i < keys.size() && i < 8; ++i) out += (i == 0 ? "" : ", ") + keys[i];
  return keys.size() > 8 ? out + fmt::format(" and {} more", keys.size() - 8) : out;
}

std::string Explain(const Component& component, const Ops& ops, const WglResult& result) {
  const Operation& blocked = *ops[result.blocked];
  std::string out =
      fmt::format("key {}: no order explains the history up to {}.\n  cannot be placed: {}\n",
                  KeysText(component.keys), TimeText(blocked.return_ns), Describe(blocked));
  out += fmt::format("  a longest order that fits the rest ends in the state: {}\n", result.state);
  for (const std::uint32_t i : result.tail) out += fmt::format("    {}\n", Describe(*ops[i]));
  constexpr int kConcurrentMax = 12;
  int shown = 0;
  for (const Operation* op : ops) {
    const bool known = op->outcome == Operation::Outcome::kOk;
    if (op == &blocked || op->invoke_ns > blocked.return_ns) continue;
    if (known && op->return_ns < blocked.invoke_ns) continue;
    if (shown++ == 0) out += "  under way at the same time:\n";
    if (shown <= kConcurrentMax) out += fmt::format("    {}\n", Describe(*op));
  }
  if (shown > kConcurrentMax) out += fmt::format("    and {} more\n", shown - kConcurrentMax);
  return out;
}

template <class M>
Verdict Search(const M& model, const Component& component, const Ops& ops,
               const std::vector<Interval>& intervals, const LinearizableOptions& options) {
  WglSearch<M> search(model, intervals);
  const WglResult result = search.Run(options.steps_max, options.memo_entries_max);
  Verdict verdict;
  verdict.checked = ops.size();
  verdict.steps = result.steps;
  if (result.answer == WglResult::Answer::kNotLinearizable) {
    verdict.answer = Answer::kViolation;
    verdict.explanation = Explain(component, ops, result);
  } else if (result.answer == WglResult::Answer::kBudgetSpent) {
    verdict.answer = Answer::kUnknown;
    verdict.explanation =
        fmt::format("key {}: the budget of {} steps or {} memo entries is spent",
                    KeysText(component.keys), options.steps_max, options.memo_entries_max);
  }
  return verdict;
}

Verdict CheckComponent(const Component& component, const LinearizableOptions& options) {
  Ops ops = component.ops;
  std::vector<Interval> intervals = IntervalsOf(ops);
  if (!options.stamps && component.keys.size() == 1) {
    RegisterCompiler compiler;
    if (compiler.Compile(ops)) {
      DropUnseen(compiler.model, intervals, ops);
      return Search(compiler.model, component, ops, intervals, options);
    }
  }
  const StoreModel model(component.keys, ops, options.stamps);
  if (!model.refusal().empty()) return Verdict::Unknown(model.refusal());
  return Search(model, component, ops, intervals, options);
}

}  // namespace

Verdict CheckLinearizable(const History& history, const LinearizableOptions& options) {
  if (const Status valid = Validate(history); !valid)
    return Verdict::Unknown(valid.error().message);
  Ops ops;
  for (const Operation& op : history.operations) {
    if (op.outcome == Operation::Outcome::kFailed || op.serializable) continue;
    if (op.outcome == Operation::Outcome::kUnknown && !op.may_write()) continue;
    ops.push_back(&op);
  }
  Verdict total;
  if (options.witness && !options.stamps && ops.size() <= options.steps_max &&
      RevisionsAreAWitness(ops)) {
    total.checked = total.steps = ops.size();
    return total;
  }
  LinearizableOptions left = options;
  for (const Component& component : Components(ops).Split(ops)) {
    Verdict verdict = CheckComponent(component, left);
    total.checked += verdict.checked;
    total.steps += verdict.steps;
    left.steps_max -= std::min(left.steps_max, verdict.steps);
    if (verdict.ok() || total.answer == Answer::kViolation) continue;
    if (verdict.answer == Answer::kViolation || total.ok()) {
      total.answer = verdict.answer;
      total.explanation = std::move(verdict.explanation);
    }
    if (total.answer == Answer::kViolation) break;
  }
  return total;
}

}  // namespace coterie::check

#include "check/simulated_store.h"

#include <fmt/format.h>

#include <algorithm>

namespace coterie::check {
namespace {

std::string RandomKey(Random& random, const HistoryShape& shape) {
  return fmt::format("k{}", random.Below(static_cast<std::uint64_t>(shape.keys)));
}

Operation RandomOperation(Random& random, const HistoryShape& shape, std::uint64_t process,
                          int& fresh) {
  const auto value = [&] {
    if (shape.values == 0) return fmt::format("v{}", ++fresh);
    return fmt::format("v{}", random.Below(static_cast<std::uint64_t>(shape.values)));
  };
  const std::string key = RandomKey(random, shape);
  Operation op;
  switch (random.Below(shape.multi_key ? 8 : 6)) {
    case 0:
    case 1:
      op = Get(process, key);
      break;
    case 2:
    case 3:
      op = Put(process, key, value());
      break;
    case 4:
      op = Delete(process, key);
      break;
    case 5: {
      const std::string expected =
          shape.values == 0
              ? fmt::format("v{}", random.Below(static_cast<std::uint64_t>(fresh) + 1))
              : value();
      op = CompareAndSwap(process, key, expected, value());
      break;
    }
    case 6:
      op = Get(process, "k0");
      op.success[0].range_end = "l";
      break;
    default:
      op = Put(process, key, value());
      op.success.push_back({.kind = Step::Kind::kGet, .key = RandomKey(random, shape)});
      op.compares.push_back({.key = RandomKey(random, shape), .value = value()});
      op.compares[0].relation = static_cast<Compare::Relation>(random.Below(4));
      if (random.Chance(0.5)) op.failure.push_back({.kind = Step::Kind::kDelete, .key = key});
      break;
  }
  op.success[0].prev_kv = op.success[0].kind != Step::Kind::kGet && random.Chance(0.3);
  op.serializable = shape.serializable && !op.may_write() && random.Chance(0.3);
  return op;
}

void Forget(Operation& op) {
  for (auto* branch : {&op.success, &op.failure}) {
    for (Step& step : *branch) {
      step.seen.clear();
      step.count = 0;
    }
  }
  op.succeeded = true;
  op.revision = 0;
}

}  // namespace

bool SimulatedStore::Holds(const Compare& compare) const {
  const auto it = live_.find(compare.key);
  const auto holds = [&](const auto& a, const auto& b) {
    switch (compare.relation) {
      case Compare::Relation::kEqual:
        return a == b;
      case Compare::Relation::kNotEqual:
        return a != b;
      case Compare::Relation::kLess:
        return a < b;
      case Compare::Relation::kGreater:
        return a > b;
    }
    return false;
  };
  const KeyValue kv = it == live_.end() ? KeyValue{} : it->second;
  switch (compare.target) {
    case Compare::Target::kValue:
      return it != live_.end() && holds(kv.value, compare.value);
    case Compare::Target::kVersion:
      return holds(kv.version, compare.number);
    case Compare::Target::kCreate:
      return holds(kv.create_revision, compare.number);
    case Compare::Target::kMod:
      return holds(kv.mod_revision, compare.number);
  }
  return false;
}

void SimulatedStore::Apply(Operation& op) {
  Forget(op);
  op.succeeded = std::ranges::all_of(op.compares, [&](const Compare& c) { return Holds(c); });
  const std::int64_t next = revision_ + 1;
  bool wrote = false;
  for (Step& step : op.succeeded ? op.success : op.failure) {
    for (const auto& [key, kv] : live_) {
      if (!InRange(key, step.key, step.range_end)) continue;
      if (step.kind == Step::Kind::kGet || step.prev_kv) step.seen.push_back(kv);
      if (step.kind != Step::Kind::kPut) ++step.count;
    }
    if (step.kind == Step::Kind::kPut) {
      KeyValue& kv = live_[step.key];
      if (kv.version == 0) kv.create_revision = next;
      kv = {step.key, step.value, kv.create_revision, next, kv.version + 1};
      wrote = true;
    } else if (step.kind == Step::Kind::kDelete) {
      wrote = wrote || step.count > 0;
      std::erase_if(live_,
                    [&](const auto& e) { return InRange(e.first, step.key, step.range_end); });
    }
  }
  if (wrote) revision_ = next;
  op.revision = revision_;
}

History ValidHistory(Random& random, const HistoryShape& shape) {
  struct Busy {
    std::size_t op;
    bool applied;
  };
  SimulatedStore store;
  History history;
  std::vector<std::vector<Busy>> busy(static_cast<std::size_t>(shape.processes));
  std::vector<std::size_t> lost;  // unknown and not applied yet
  std::int64_t now = 0;
  int fresh = 0;
  int left = shape.operations;
  for (bool under_way = true; left > 0 || under_way;) {
    ++now;
    const std::size_t p = random.Below(busy.size());
    if (busy[p].empty()) {
      if (left > 0) {
        --left;
        busy[p].push_back({history.operations.size(), false});
        history.operations.push_back(RandomOperation(random, shape, p, fresh));
        history.operations.back().invoke_ns = now;
      }
    } else if (Operation& op = history.operations[busy[p][0].op]; !busy[p][0].applied) {
      busy[p][0].applied = true;
      if (random.Chance(shape.unknown)) {
        lost.push_back(busy[p][0].op);
        busy[p].clear();
      } else {
        store.Apply(op);
      }
    } else {
      op.outcome = Operation::Outcome::kOk;
      op.return_ns = now;
      busy[p].clear();
    }
    if (!lost.empty() && random.Chance(0.2)) {
      Operation& op = history.operations[lost.back()];
      lost.pop_back();
      store.Apply(op);
      Forget(op);
    }
    under_way = std::ranges::any_of(busy, [](const auto& b) { return !b.empty(); });
  }
  return history;
}

void Mutate(Random& random, History& history) {
  if (history.operations.empty()) return;
  Operation& op = history.operations[random.Below(history.operations.size())];
  if (op.outcome != Operation::Outcome::kOk) return;
  auto& steps = op.succeeded ? op.success : op.failure;
  switch (random.Below(4)) {
    case 0:
      if (!op.compares.empty()) {
        op.succeeded = !op.succeeded;
        return;
      }
      [[fallthrough]];
    case 1:
      for (Step& step : steps) {
        if (step.seen.empty()) {
          step.count ^= step.kind == Step::Kind::kDelete ? 1 : 0;
          continue;
        }
        KeyValue& kv = step.seen[random.Below(step.seen.size())];
        if (random.Chance(0.5)) {
          kv.value = fmt::format("v{}", random.Below(4));
        } else {
          step.seen.pop_back();
        }
        return;
      }
      return;
    case 2:
      op.revision = std::max<std::int64_t>(1, op.revision + random.Between(-1, 1));
      return;
    default: {
      // Another client's answer in place of this one's.
      const Operation& other = history.operations[random.Below(history.operations.size())];
      if (other.outcome != Operation::Outcome::kOk || steps.empty() || other.taken().empty())
        return;
      if (steps[0].kind == Step::Kind::kGet && other.taken()[0].key == steps[0].key) {
        steps[0].seen = other.taken()[0].seen;
      }
      return;
    }
  }
}

BruteForce::BruteForce(const History& history, bool stamps) : stamps_(stamps) {
  for (const Operation& op : history.operations) {
    if (op.outcome != Operation::Outcome::kFailed && !op.serializable) ops_.push_back(op);
  }
  used_.resize(ops_.size(), false);
}

bool BruteForce::SameAnswer(const Operation& recorded, const Operation& replayed) const {
  if (recorded.succeeded != replayed.succeeded) return false;
  const auto& a = recorded.taken();
  const auto& b = replayed.taken();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].kind == Step::Kind::kDelete && a[i].count != b[i].count) return false;
    if (a[i].seen.size() != b[i].seen.size()) return false;
    for (std::size_t j = 0; j < a[i].seen.size(); ++j) {
      if (a[i].seen[j].key != b[i].seen[j].key) return false;
      if (a[i].seen[j].value != b[i].seen[j].value) return false;
      if (stamps_ && a[i].seen[j] != b[i].seen[j]) return false;
    }
  }
  return !stamps_ || recorded.revision == replayed.revision;
}

bool BruteForce::Extend(const SimulatedStore& store) {
  bool all = true;
  std::int64_t first_return = kNever;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    if (used_[i] || ops_[i].outcome != Operation::Outcome::kOk) continue;
    all = false;
    first_return = std::min(first_return, ops_[i].return_ns);
  }
  if (all) return true;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    if (used_[i] || ops_[i].invoke_ns > first_return) continue;
    SimulatedStore next = store;
    Operation replayed = ops_[i];
    next.Apply(replayed);
    if (ops_[i].outcome == Operation::Outcome::kOk && !SameAnswer(ops_[i], replayed)) continue;
    used_[i] = true;
    const bool found = Extend(next);
    used_[i] = false;
    if (found) return true;
  }
  return false;
}

}  // namespace coterie::check

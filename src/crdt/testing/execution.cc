#include "crdt/testing/execution.h"

#include <algorithm>

namespace coterie::crdt::testing {
namespace {

using Kind = Operation::Kind;

bool Replaces(Kind kind) { return kind != Kind::kAdd; }
bool Assigns(Kind kind) { return kind == Kind::kAssign || kind == Kind::kAssignOver; }

}  // namespace

Execution::Execution(Random random, ExecutionOptions options, JoinFunction join)
    : random_(random), options_(options), join_(std::move(join)) {
  const auto count = static_cast<std::size_t>(options_.replicas);
  made_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    Replica replica;
    replica.actor = clock::MakeActor(NodeId(i + 1), 0);
    replica.received.resize(count);
    replica.reports.assign(count, std::vector<std::size_t>(count));
    replicas_.push_back(std::move(replica));
  }
}

std::string Execution::Run() {
  for (int step = 0; step < options_.steps; ++step) {
    const std::size_t at = random_.Below(replicas_.size());
    const std::size_t other = random_.Below(replicas_.size());
    if (random_.Chance(options_.mutate)) {
      Mutate(at);
    } else if (random_.Chance(0.7)) {
      DeliverDelta(at, other);
    } else {
      JoinState(at, other);
    }
    if (options_.forget != Forget::kNever) {
      for (std::size_t from = 0; from < replicas_.size(); ++from) {
        if (random_.Chance(0.3)) replicas_[at].reports[from] = replicas_[from].received;
      }
      MaybeForget(replicas_[at]);
    }
    reachable_.push_back(replicas_[at].cell);
    if (std::string wrong = Check(replicas_[at]); !wrong.empty()) return wrong;
  }
  return "";
}

/// The delta of one random change, recorded as an operation.
Cell Execution::Make(Replica& replica, Dot dot, HybridTime time) {
  const int id = static_cast<int>(operations_.size());
  Operation made{.kind = Kind::kAdd, .dot = dot, .time = time};
  made.replaced = replica.known;
  if (const Entry* visible = Visible(replica.cell, options_.merge)) {
    made.overwrote = visible->value;
  }
  made.value = "v" + std::to_string(id);
  made.amount = random_.Between(-9, 9);
  Cell delta;
  const std::uint64_t what = random_.Below(10);
  if (options_.siblings && (what < 3 || what >= 5)) {
    made.kind = Kind::kAssignOver;
    std::pair<VersionVector, std::set<int>> read;
    if (!reads_.empty()) read = reads_[random_.Below(reads_.size())];
    delta = AssignOver(replica.cell, read.first, dot, time, made.value);
    made.replaced.clear();
    for (const int seen : replica.known) {
      // Within one mutation the later change replaces the earlier.
      if (read.second.contains(seen) || operations_[static_cast<std::size_t>(seen)].dot == dot) {
        made.replaced.insert(seen);
      }
    }
  } else if (what < 3) {
    made.kind = Kind::kAssign;
    delta = Assign(replica.cell, dot, time, made.value);
  } else if (what < 5) {
    made.kind = Kind::kRemove;
    delta = Remove(replica.cell, dot, time);
  } else {
    delta = Add(replica.cell, dot, time, made.amount);
  }
  if (!Replaces(made.kind)) made.replaced.clear();
  // Whoever hears of a mutation hears what had become of its actor's earlier ones.
  const std::set<int> live = Live(replica.known);
  for (const int seen : replica.known) {
    const bool own = operations_[static_cast<std::size_t>(seen)].dot.actor == dot.actor;
    if (own && !live.contains(seen)) made.replaced.insert(seen);
  }
  operations_.push_back(std::move(made));
  replica.known.insert(id);
  return delta;
}

void Execution::Mutate(std::size_t at) {
  Replica& replica = replicas_[at];
  // Dots of a shard, not of a cell: some went to other cells.
  replica.counter += 1 + random_.Below(2);
  const Dot dot{replica.actor, replica.counter};
  replica.time += random_.Below(3);
  const HybridTime time(replica.time);
  Mutation mutation;
  mutation.dot = dot;
  const int first = static_cast<int>(operations_.size());
  mutation.delta = Make(replica, dot, time);
  join_(replica.cell, mutation.delta, options_.merge, &replica.losers);
  while (random_.Chance(options_.amended)) {
    Cell later = Make(replica, dot, time);
    Amend(replica.cell, mutation.delta, std::move(later), dot);
  }
  for (int id = first; id < static_cast<int>(operations_.size()); ++id) {
    mutation.operations.insert(id);
  }
  reachable_.push_back(mutation.delta);
  made_[at].push_back(std::move(mutation));
  replica.received[at] = made_[at].size();
  if (random_.Chance(0.5)) reads_.emplace_back(replica.cell.context, replica.known);
}

/// Who hears of a removal hears of what it removed: its context says so.
void Execution::Learn(Replica& replica, const Mutation& mutation) {
  replica.known.insert(mutation.operations.begin(), mutation.operations.end());
  for (const int id : mutation.operations) {
    const std::set<int>& replaced = operations_[static_cast<std::size_t>(id)].replaced;
    replica.known.insert(replaced.begin(), replaced.end());
  }
}

void Execution::DeliverDelta(std::size_t to, std::size_t from) {
  Replica& replica = replicas_[to];
  std::size_t& received = replica.received[from];
  if (made_[from].empty()) return;
  std::size_t which = random_.Below(made_[from].size());
  which = std::min(which, received);  // again, or the next
  if (options_.forget != Forget::kNever) which = received;
  if (which == made_[from].size()) return;
  const Mutation& mutation = made_[from][which];
  join_(replica.cell, mutation.delta, options_.merge, &replica.losers);
  Learn(replica, mutation);
  received = std::max(received, which + 1);
}

void Execution::JoinState(std::size_t to, std::size_t from) {
  Replica& into = replicas_[to];
  const Replica& other = replicas_[from];
  join_(into.cell, other.cell, options_.merge, &into.losers);
  into.known.insert(other.known.begin(), other.known.end());
  for (std::size_t i = 0; i < into.received.size(); ++i) {
    into.received[i] = std::max(into.received[i], other.received[i]);
  }
}

/// Forgets a tombstone that nothing on its way can need.
void Execution::MaybeForget(Replica& replica) {
  if (replica.cell.live() || replica.cell.context.empty()) return;
  for (std::size_t other = 0; other < replicas_.size(); ++other) {
    const std::vector<std::size_t>& report =
        &replicas_[other] == &replica ? replica.received : replica.reports[other];
    for (std::size_t maker = 0; maker < replicas_.size(); ++maker) {
      const std::uint64_t seen = replica.cell.context.Get(replicas_[maker].actor);
      const auto made = std::count_if(made_[maker].begin(), made_[maker].end(),
                                      [&](const Mutation& m) { return m.dot.counter <= seen; });
      if (report[maker] < static_cast<std::size_t>(made)) return;
    }
    if (options_.forget == Forget::kStable && replica.received[other] < report[other]) return;
  }
  replica.cell = {};
  ++forgotten_;
}

/// Operations whose effect nothing known has ended.
std::set<int> Execution::Live(const std::set<int>& known) const {
  std::set<int> live = known;
  for (const int id : known) {
    for (const int ended : operations_[static_cast<std::size_t>(id)].replaced) live.erase(ended);
  }
  return live;
}

std::string Execution::Check(const Replica& replica) const {
  std::multiset<std::string> values;
  std::int64_t sum = 0;
  const Operation* winner = nullptr;
  for (const int id : Live(replica.known)) {
    const Operation& operation = operations_[static_cast<std::size_t>(id)];
    if (operation.kind == Kind::kAdd) sum += operation.amount;
    if (!Assigns(operation.kind)) continue;
    values.insert(operation.value);
    const auto order = [&](const Operation& o) {
      return std::tuple(options_.merge == Merge::kGreatest ? o.value : std::string(),
                        options_.merge == Merge::kLastWriter ? o.time : HybridTime(), o.dot);
    };
    if (winner == nullptr || order(operation) > order(*winner)) winner = &operation;
  }
  std::multiset<std::string> held;
  for (const Entry& entry : replica.cell.entries) {
    if (entry.value) held.insert(*entry.value);
  }
  if (held != values) return "values differ";
  if (Sum(replica.cell) != sum) {
    return "sum is " + std::to_string(Sum(replica.cell)) + ", should be " + std::to_string(sum);
  }
  const Entry* visible = Visible(replica.cell, options_.merge);
  if (options_.merge == Merge::kKeepAll) return "";
  if ((visible == nullptr) != (winner == nullptr)) return "visibility differs";
  if (visible != nullptr && visible->value != winner->value) return "the wrong value is visible";
  if (Decode(Encode(replica.cell)) != replica.cell) return "does not survive encoding";
  return "";
}

std::string Execution::Converge() {
  for (std::size_t to = 0; to < replicas_.size(); ++to) {
    for (std::size_t from = 0; from < replicas_.size(); ++from) {
      const bool once = options_.forget != Forget::kNever;
      for (std::size_t i = once ? replicas_[to].received[from] : 0; i < made_[from].size(); ++i) {
        const Mutation& mutation = made_[from][i];
        join_(replicas_[to].cell, mutation.delta, options_.merge, &replicas_[to].losers);
        Learn(replicas_[to], mutation);
      }
    }
    if (options_.forget != Forget::kNever) {
      // What was forgotten is not compared: only what is read.
      if (replicas_[to].cell.entries != replicas_[0].cell.entries) return "entries differ";
      if (std::string wrong = Check(replicas_[to]); !wrong.empty()) return "at the end " + wrong;
      continue;
    }
    if (replicas_[to].cell != replicas_[0].cell) return "replicas differ at the end";
    if (Encode(replicas_[to].cell) != Encode(replicas_[0].cell)) return "bytes differ at the end";
    if (std::string wrong = Check(replicas_[to]); !wrong.empty()) return "at the end " + wrong;
  }
  if (options_.forget != Forget::kNever) return "";
  if (std::string wrong = CheckAnyOrder(); !wrong.empty()) return wrong;
  return options_.merge == Merge::kKeepAll ? "" : CheckLosers();
}

std::string Execution::CheckAnyOrder() {
  std::vector<const Cell*> deltas;
  for (const std::vector<Mutation>& mutations : made_) {
    for (const Mutation& mutation : mutations) deltas.push_back(&mutation.delta);
  }
  Cell late;
  for (std::size_t left = deltas.size(); left > 0; --left) {
    std::swap(deltas[random_.Below(left)], deltas[left - 1]);
    join_(late, *deltas[left - 1], options_.merge, nullptr);
  }
  return late == replicas_[0].cell ? "" : "deltas in another order end in another state";
}

/// Each value that is not visible at the end was overwritten by somebody who saw it as the visible
/// one, or was reported.
std::string Execution::CheckLosers() const {
  std::set<std::string> accounted;
  for (const Replica& replica : replicas_) {
    for (const Loser& loser : replica.losers) accounted.insert(*loser.entry.value);
    const Entry* visible = Visible(replica.cell, options_.merge);
    if (visible != nullptr) accounted.insert(*visible->value);
  }
  for (const Operation& operation : operations_) {
    if (Replaces(operation.kind) && operation.overwrote) accounted.insert(*operation.overwrote);
  }
  for (const Operation& operation : operations_) {
    if (Assigns(operation.kind) && !accounted.contains(operation.value)) {
      return operation.value + " was lost and nobody reported it";
    }
  }
  return "";
}

}  // namespace coterie::crdt::testing

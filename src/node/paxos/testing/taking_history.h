#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check/register_model.h"
#include "check/wgl.h"
#include "node/paxos/testing/conditional_history.h"

namespace coterie::node::testing {

/// Clients that set a few keys if they are absent (SETNX), take what is there (GETDEL) and look,
/// without pause; the linearizability checker judges all answers of a key.
class TakingHistory {
 public:
  /// On the paxos keyspace, or by conditional writes on the leaderless one.
  TakingHistory(PaxosCluster& cluster, bool paxos) : cluster_(cluster), paxos_(paxos) {}

  runtime::Task<void> Client(PaxosNode* node, std::uint64_t seed, Duration pause) {
    Random random(seed);
    while (!stopping_) {
      const auto kind = static_cast<Kind>(random.Below(3));
      co_await Once(node, "k" + std::to_string(random.Below(kKeysOfAll)), kind);
      co_await runtime::Sleep(node->world->executor(), pause);
    }
  }
  void Stop() { stopping_ = true; }
  int successes() const { return successes_; }

  /// "": every answer fits one order.
  std::string Judge() {
    for (auto& [key, of] : keys_) {
      check::WglSearch search(of.model, of.intervals);
      const check::WglResult result = search.Run(50'000'000, 8'000'000);
      if (result.answer == check::WglResult::Answer::kBudgetSpent) return key + ": too hard";
      if (result.answer == check::WglResult::Answer::kLinearizable) continue;
      std::string text = key + " was " + result.state + " and no order explains " +
                         of.told[result.blocked] + " after";
      for (const std::uint32_t op : result.tail) text += " | " + of.told[op];
      return text;
    }
    return "";
  }

 private:
  static constexpr std::uint64_t kKeysOfAll = 2;
  enum class Kind { kSetIfAbsent, kTake, kLook };
  using Op = check::RegisterModel::Op;
  struct Key {
    check::RegisterModel model;
    std::vector<check::Interval> intervals;
    std::vector<std::string> told;
    std::map<std::string, std::uint32_t> numbers;
  };

  std::uint32_t NumberOf(Key& key, const std::string& value) {
    if (key.model.names.empty()) key.model.names.emplace_back();
    const auto [at, added] =
        key.numbers.emplace(value, static_cast<std::uint32_t>(key.model.names.size()));
    if (added) key.model.names.push_back(value);
    return at->second;
  }

  runtime::Task<void> Once(PaxosNode* node, std::string key, Kind kind) {
    const std::string value = "v" + std::to_string(next_++);
    // What the last call of the change function saw: the one that counts.
    const auto saw = std::make_shared<std::optional<Registers::Value>>();
    Registers::Decide decide = [kind, value, saw](const std::optional<Registers::Value>& current) {
      *saw = current;
      if (kind == Kind::kSetIfAbsent && !current) {
        return Registers::Change{true, Registers::Value{value, 0}};
      }
      if (kind == Kind::kTake && current) return Registers::Change{true, std::nullopt};
      return Registers::Change{};
    };
    Key& of = keys_[key];
    const std::uint32_t number = NumberOf(of, value);
    const std::int64_t invoked = cluster_.sim().Now().time_since_epoch().count();
    const std::size_t place = of.model.ops.size();
    // Until it is answered it may have happened: its node may die.
    Op unknown{.guard = Op::Guard::kIf, .writes = true, .value = 0, .to = number};
    if (kind == Kind::kTake) unknown = {.guard = Op::Guard::kNone, .writes = true};
    if (kind == Kind::kLook) unknown = {};
    of.model.ops.push_back(unknown);
    of.intervals.push_back({.invoke_ns = invoked});
    of.told.push_back(value + "?");
    const Instant deadline = node->world->Now() + 3s;
    Registers& registers = paxos_ ? *node->paxos->Find("r") : *node->conditional;
    auto answer = co_await registers.Update(key, std::move(decide), deadline);
    if (!answer) {
      if (answer.error().outcome == Outcome::kUnknown) co_return;
      of.model.ops[place] = {};  // has no effect
      co_return;
    }
    ++successes_;
    const std::uint32_t held = *saw ? NumberOf(of, (*saw)->bytes) : 0;
    Op op{.guard = Op::Guard::kMust, .writes = false, .value = held};
    if (kind == Kind::kSetIfAbsent && held == 0) op = {Op::Guard::kMust, true, 0, number};
    if (kind == Kind::kTake && held != 0) op = {Op::Guard::kMust, true, held, 0};
    of.model.ops[place] = op;
    of.intervals[place].return_ns = cluster_.sim().Now().time_since_epoch().count();
    const std::string what = kind == Kind::kSetIfAbsent ? "SETNX " + value
                             : kind == Kind::kTake      ? "GETDEL"
                                                        : "GET";
    of.told[place] = what + " -> " + (held == 0 ? "nothing" : of.model.names[held]);
  }

  PaxosCluster& cluster_;
  const bool paxos_;
  std::map<std::string, Key> keys_;
  std::uint64_t next_ = 1;
  bool stopping_ = false;
  int successes_ = 0;
};

/// Where clients of all three nodes take and set.
struct TakingWorld {
  bool paxos = false;  ///< else on a leaderless keyspace of these R and W
  std::uint32_t read = 2;
  std::uint32_t write = 2;
  bool faults = false;  ///< machines lose power, links are cut
  double slow = 0;      ///< of messages, by up to 20 ms
};

inline std::string RunTaking(std::uint64_t seed, const TakingWorld& options, int* successes) {
  PaxosOptions paxos;
  paxos.write_back_interval = 50ms;
  PaxosCluster cluster(seed, 3, 3, paxos, seed % 2 == 0);
  cluster.DeclareQuorums(options.read, options.write);
  cluster.sim().SetAllLinks({.slow = options.slow});
  TakingHistory history(cluster, options.paxos);
  cluster.StartAll();
  const auto start = [&](NodeId node) {
    const std::uint64_t own = seed * 100 + node.value;
    cluster.On(node, [&history, own](PaxosNode& n) { return history.Client(&n, own, 1ms); });
  };
  for (std::uint64_t id = 1; id <= 3; ++id) start(NodeId(id));
  Random random(seed);
  for (int i = 0; i < 6 && options.faults; ++i) {
    cluster.sim().RunFor(Duration(std::chrono::milliseconds(50 + random.Below(150))));
    const NodeId victim(1 + random.Below(3));
    if (random.Chance(0.5)) {
      cluster.Kill(victim, runtime::Death::kPowerOff);
      cluster.sim().RunFor(Duration(std::chrono::milliseconds(100 + random.Below(200))));
      cluster.Start(victim);
      cluster.AwaitConnected();
      start(victim);
    } else {
      cluster.sim().CutBoth(cluster.handle(victim), cluster.handle(NodeId(victim.value % 3 + 1)));
      cluster.sim().RunFor(300ms);
      cluster.sim().HealAll();
    }
  }
  if (!options.faults) cluster.sim().RunFor(1s);
  history.Stop();
  cluster.sim().RunFor(4s);
  *successes += history.successes();
  return history.Judge();
}

}  // namespace coterie::node::testing

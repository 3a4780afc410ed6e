#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/random.h"
#include "node/paxos/testing/paxos_cluster.h"

namespace coterie::node::testing {

inline runtime::Task<void> Conditionally(
    PaxosNode* node, std::string key, Registers::Decide decide,
    std::function<void(const PaxosCluster::Answer& answer)> done) {
  const Instant deadline = node->world->Now() + 4s;
  auto answer = co_await node->conditional->Update(std::move(key), std::move(decide), deadline);
  done(answer);
}

/// Sets `key` on node `at` if it is absent, and runs until that is answered.
inline PaxosCluster::Answer Conditional(PaxosCluster& cluster, NodeId at, std::string key,
                                        std::string value, std::uint64_t expires_at_ms = 0) {
  std::optional<PaxosCluster::Answer> out;
  cluster.On(at, [&out, key, value, expires_at_ms](PaxosNode& node) {
    return Conditionally(
        &node, key,
        [value, expires_at_ms](const std::optional<Registers::Value>& current) {
          if (current) return Registers::Change{};
          return Registers::Change{true, Registers::Value{value, expires_at_ms}};
        },
        [&out](const PaxosCluster::Answer& answer) { out = answer; });
  });
  EXPECT_TRUE(cluster.RunUntil([&] { return out.has_value(); }));
  return *out;
}

/// A plain edit of the leaderless keyspace on node `at`.
inline bool Plain(PaxosCluster& cluster, NodeId at, const std::function<void(cells::Edit&)>& make) {
  const placement::ClusterMapPtr map = cluster.node(at)->control->map();
  const placement::Keyspace& keyspace = map->keyspaces.at("c");
  bool written = false;
  cluster.On(at, [&](PaxosNode& node) -> runtime::Task<void> {
    written = node.leaderless->Write(keyspace, keyspace.shards[0], make).has_value();
    return []() -> runtime::Task<void> { co_return; }();
  });
  cluster.RunUntil([&] { return written; }, 1s);
  return written;
}

/// Clients that append to the lists in a few keys, each only if the list is what it read before or,
/// half of them, whatever it is; every answer is checked against all before it.
class ConditionalHistory {
 public:
  runtime::Task<void> Client(PaxosNode* node, std::uint64_t seed) {
    Random random(seed);
    while (!stopping_) {
      const std::string key = "k" + std::to_string(random.Below(2));
      const std::string floor = longest_[key];
      const std::string id = "<" + std::to_string(next_++) + ">";
      const bool reads = random.Chance(0.3);
      Registers::Decide append = [id, reads](const std::optional<Registers::Value>& current) {
        const std::string list = current ? current->bytes : "";
        if (reads) return Registers::Change{};
        return Registers::Change{true, Registers::Value{list + id, 0}};
      };
      const Instant deadline = node->world->Now() + 3s;
      auto answer = co_await node->conditional->Update(key, std::move(append), deadline);
      if (!answer) {
        if (answer.error().outcome == Outcome::kNotApplied) never_.insert(id);
      } else {
        ++successes_;
        Check(key, floor, *answer ? (*answer)->bytes : "", reads ? "" : id);
      }
      co_await runtime::Sleep(node->world->executor(), 5ms);
    }
  }
  void Stop() { stopping_ = true; }
  const std::string& failure() const { return failure_; }
  int successes() const { return successes_; }

 private:
  void Check(const std::string& key, const std::string& floor, const std::string& list,
             const std::string& id) {
    std::string& longest = longest_[key];
    if (!list.starts_with(floor)) Fail(key + " answers " + list + " after " + floor);
    if (!list.starts_with(longest) && !longest.starts_with(list)) {
      Fail("two histories of " + key + ": " + list + " and " + longest);
    }
    if (!id.empty() && !list.ends_with(id)) Fail(id + " is not in " + list);
    for (const std::string& never : never_) {
      if (list.find(never) != std::string::npos) Fail(never + " was said not to be applied");
    }
    if (list.size() > longest.size()) longest = list;
  }
  void Fail(std::string what) {
    if (failure_.empty()) failure_ = std::move(what);
  }

  std::map<std::string, std::string> longest_;
  std::set<std::string> never_;
  std::uint64_t next_ = 1;
  bool stopping_ = false;
  int successes_ = 0;
  std::string failure_;
};

inline std::string RunConditional(std::uint64_t seed, int* successes) {
  PaxosOptions options;
  options.write_back_interval = 50ms;
  PaxosCluster cluster(seed, 3, 3, options, seed % 2 == 0);
  ConditionalHistory history;
  cluster.StartAll();
  const auto start = [&](NodeId node) {
    for (std::uint64_t i = 0; i < 2; ++i) {
      const std::uint64_t own = seed * 100 + node.value * 10 + i;
      cluster.On(node, [&history, own](PaxosNode& n) { return history.Client(&n, own); });
    }
  };
  for (std::uint64_t id = 1; id <= 3; ++id) start(NodeId(id));
  Random random(seed);
  for (int i = 0; i < 8 && history.failure().empty(); ++i) {
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
  cluster.sim().RunFor(500ms);
  history.Stop();
  cluster.sim().RunFor(4s);
  *successes += history.successes();
  return history.failure();
}

}  // namespace coterie::node::testing

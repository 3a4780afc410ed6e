// Any sequence of added, drained and removed machines, with reports in any order and lost for a
// while: the promises of plan.h, checked at every change against their definition.

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <vector>

#include "base/random.h"
#include "placement/plan.h"
#include "placement/test_map.h"

namespace coterie::placement {
namespace {

using testing::AddKeyspace;
using testing::AddNode;
using testing::PromiseOf;

std::size_t Active(const std::vector<ShardReplica>& replicas, const ClusterMap& map) {
  return static_cast<std::size_t>(std::ranges::count_if(replicas, [&](const ShardReplica& r) {
    return r.phase == Phase::kActive && map.nodes.contains(r.node);
  }));
}

std::string DomainOf(const ClusterMap& map, NodeId node) {
  const std::string& domain = map.nodes.at(node).failure_domain;
  return domain.empty() ? "#" + std::to_string(node.value) : domain;
}

/// Pairs of replicas that share a failure domain.
int PairsOf(const ClusterMap& map, const std::vector<NodeId>& nodes) {
  int pairs = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      pairs += DomainOf(map, nodes[i]) == DomainOf(map, nodes[j]) ? 1 : 0;
    }
  }
  return pairs;
}

/// The fewest pairs that `replicas` replicas on open machines can make: one after the other into
/// the least crowded domain that has a machine left.
int FewestPairs(const ClusterMap& map, std::size_t replicas) {
  std::map<std::string, int> room;
  for (const auto& [id, node] : map.nodes) {
    if (!node.draining) ++room[DomainOf(map, id)];
  }
  std::map<std::string, int> used;
  int pairs = 0;
  for (std::size_t i = 0; i < replicas; ++i) {
    const std::string* best = nullptr;
    for (const auto& [domain, machines] : room) {
      if (used[domain] == machines) continue;
      if (best == nullptr || used[domain] < used[*best]) best = &domain;
    }
    if (best == nullptr) break;
    pairs += used[*best]++;
  }
  return pairs;
}

std::set<NodeId> VotersOf(const std::vector<ShardReplica>& replicas) {
  std::set<NodeId> voters;
  for (const ShardReplica& replica : replicas) {
    if (replica.phase != Phase::kJoining) voters.insert(replica.node);
  }
  return voters;
}

std::set<NodeId> LiveOf(std::set<NodeId> nodes, const ClusterMap& map) {
  std::erase_if(nodes, [&](NodeId node) { return !map.nodes.contains(node); });
  return nodes;
}

/// Values that ballots have decided: who accepted each. The least that may be so: an accept reaches
/// a majority and nobody else; a report carries over what it must, and no more.
class Decided {
 public:
  explicit Decided(std::uint64_t seed) : random_(seed) {}

  /// A majority accepts one more value, if it is there.
  void Decide(const Shard& shard, const ClusterMap& map) {
    std::set<NodeId> majority = Majority(shard, map);
    if (majority.empty()) return;
    std::vector<std::set<NodeId>>& values = values_[shard.id];
    values.push_back(std::move(majority));
    if (values.size() > kValuesMax) values.erase(values.begin());
  }

  /// Whether `node` can have done what its report says; if so, it is done.
  bool CarryOver(const Shard& shard, NodeId node, const ClusterMap& map) {
    if (!map.nodes.contains(node) || Majority(shard, map).empty()) return false;
    const bool joins = !VotersOf(shard.replicas).contains(node);
    for (std::set<NodeId>& holders : values_[shard.id]) {
      if (joins || holders.contains(node)) holders.merge(Majority(shard, map));
    }
    return true;
  }

  /// No majority of voters that can answer lacks a value. One that lost its majority may have lost
  /// them all.
  void Check(ShardId shard, const std::set<NodeId>& before, const std::set<NodeId>& after,
             const ClusterMap& map) {
    if (LiveOf(before, map).size() <= before.size() / 2) values_.erase(shard);
    for (const std::set<NodeId>& holders : values_[shard]) {
      const std::set<NodeId> live = LiveOf(after, map);
      const auto lack = static_cast<std::size_t>(
          std::ranges::count_if(live, [&](NodeId node) { return !holders.contains(node); }));
      EXPECT_LE(lack, after.size() / 2) << "a decided value is lost";
    }
  }

 private:
  static constexpr std::size_t kValuesMax = 4;

  std::set<NodeId> Majority(const Shard& shard, const ClusterMap& map) {
    const std::set<NodeId> voters = VotersOf(shard.replicas);
    std::set<NodeId> majority = LiveOf(voters, map);
    if (majority.size() <= voters.size() / 2) return {};
    while (majority.size() > voters.size() / 2 + 1) {
      majority.erase(
          std::next(majority.begin(), static_cast<std::ptrdiff_t>(random_.Below(majority.size()))));
    }
    return majority;
  }

  Random random_;
  std::map<ShardId, std::vector<std::set<NodeId>>> values_;
};

class Walk {
 public:
  Walk(std::uint64_t seed, bool domains) : random_(seed), domains_(domains), decided_(seed) {
    const auto nodes = random_.Between(1, 7);
    for (int i = 0; i < nodes; ++i) Add();
    for (const char* name : {"a", "b", "c"}) {
      const auto replicas = static_cast<std::uint32_t>(random_.Between(1, 5));
      // Refused where there are too few machines: then the map has fewer keyspaces.
      (void)AddKeyspace(map_, PromiseOf(name, replicas, 1u << random_.Below(5)));
    }
  }

  void Run() {
    for (int i = 0; i < 60; ++i) {
      Disturb();
      for (std::int64_t steps = random_.Between(0, 3); steps > 0; --steps) StepOnce();
      for (const std::uint64_t p = random_.Below(4); const auto& waiting : Waiting()) {
        if (random_.Below(4) < p) Report(waiting);
      }
    }
    Finish();
  }

 private:
  struct Waiter {
    ShardId shard;
    Epoch epoch;
    NodeId node;
  };

  void Add() {
    const std::uint64_t id = next_node_++;
    AddNode(map_, id, domains_ ? std::string(1, static_cast<char>('a' + random_.Below(4))) : "");
  }

  NodeId Any() {
    auto node = map_.nodes.begin();
    std::advance(node, static_cast<std::ptrdiff_t>(random_.Below(map_.nodes.size())));
    return node->first;
  }

  void Disturb() {
    const std::uint64_t what = random_.Below(10);
    if (what == 0 && map_.nodes.size() < 9) Add();
    if (map_.nodes.empty()) return;
    if (what == 1) map_.nodes[Any()].draining = true;
    if (what == 2) map_.nodes[Any()].draining = false;
    if (what == 3) map_.nodes.erase(Any());
    if (what == 4) {
      for (const NodeId node : Drained(map_)) map_.nodes.erase(node);
    }
  }

  std::vector<Waiter> Waiting() {
    std::vector<Waiter> waiting;
    for (const auto& [name, keyspace] : map_.keyspaces) {
      for (const Shard& shard : keyspace.shards) {
        for (const ShardReplica& replica : shard.replicas) {
          if (replica.phase != Phase::kActive && !replica.ready) {
            waiting.push_back({shard.id, shard.epoch, replica.node});
          }
        }
      }
    }
    // Fisher and Yates: reports come in any order.
    for (std::size_t i = waiting.size(); i > 1; --i) {
      std::swap(waiting[i - 1], waiting[random_.Below(i)]);
    }
    return waiting;
  }

  void Report(const Waiter& waiter) {
    if (!decided_.CarryOver(*map_.FindShard(waiter.shard), waiter.node, map_)) return;
    EXPECT_TRUE(ApplyReport(map_, waiter.shard, waiter.epoch, waiter.node));
  }

  /// Makes some of the next changes, as if another disturbance came between them.
  void StepOnce() {
    const auto changes = NextSteps(map_);
    EXPECT_EQ(changes, NextSteps(ClusterMap(map_)));
    for (const auto& [name, keyspace] : map_.keyspaces) {
      for (const Shard& shard : keyspace.shards) decided_.Decide(shard, map_);
    }
    for (const ShardChange& change : changes) {
      if (random_.Below(8) == 0) continue;
      CheckChange(change);
      ASSERT_TRUE(ApplyChange(map_, change));
    }
    CheckMovesAtOnce();
  }

  void CheckChange(const ShardChange& change) {
    const Shard& shard = *map_.FindShard(change.shard);
    std::uint32_t wanted = 0;
    for (const auto& [name, keyspace] : map_.keyspaces) {
      if (map_.FindShard(change.shard) >= keyspace.shards.data() &&
          map_.FindShard(change.shard) < keyspace.shards.data() + keyspace.shards.size()) {
        wanted = keyspace.promise.replicas;
      }
    }
    ASSERT_GT(wanted, 0u);
    std::set<NodeId> nodes;
    for (const ShardReplica& replica : change.replicas) {
      EXPECT_TRUE(nodes.insert(replica.node).second) << "twice on one machine";
      EXPECT_TRUE(map_.nodes.contains(replica.node) ||
                  std::ranges::count(shard.replicas, replica.node, &ShardReplica::node) == 1)
          << "on a machine that is gone";
    }
    CheckVoters(shard, change);
    const std::size_t before = Active(shard.replicas, map_);
    const std::size_t after = Active(change.replicas, map_);
    EXPECT_GE(after, std::min<std::size_t>(before, wanted)) << testing::Text(shard.replicas);
    EXPECT_LE(after, std::max<std::size_t>(before, wanted)) << testing::Text(change.replicas);
    for (const ShardReplica& replica : change.replicas) CheckOrigin(shard, replica, before);
  }

  /// One voter comes or goes, after a report that was made among the same voters, and no report
  /// outlives the change. Unless too few are left: of those that are not, one at a time goes; and
  /// when there is none, others begin.
  void CheckVoters(const Shard& shard, const ShardChange& change) {
    const std::set<NodeId> before = VotersOf(shard.replicas);
    const std::set<NodeId> after = VotersOf(change.replicas);
    std::vector<NodeId> moved;
    std::ranges::set_symmetric_difference(before, after, std::back_inserter(moved));
    decided_.Check(shard.id, before, after, map_);
    if (moved.empty() || LiveOf(before, map_).empty()) return;
    EXPECT_EQ(moved.size(), 1u) << testing::Text(shard.replicas) << " to "
                                << testing::Text(change.replicas);
    for (const ShardReplica& replica : change.replicas) EXPECT_FALSE(replica.ready);
    if (LiveOf(before, map_).size() <= before.size() / 2) return;
    EXPECT_TRUE(std::ranges::any_of(shard.replicas, &ShardReplica::ready))
        << testing::Text(shard.replicas) << " to " << testing::Text(change.replicas);
  }

  /// A replica becomes active only with everything: after its report, back from leaving, or
  /// because nobody else has anything. It goes only after its report.
  void CheckOrigin(const Shard& shard, const ShardReplica& replica, std::size_t active_before) {
    if (replica.phase != Phase::kActive) return;
    const auto old = std::ranges::find(shard.replicas, replica.node, &ShardReplica::node);
    const bool complete =
        old != shard.replicas.end() && (old->phase != Phase::kJoining || old->ready);
    EXPECT_TRUE(complete || active_before == 0) << testing::Text(shard.replicas);
  }

  void CheckMovesAtOnce() {
    std::map<NodeId, std::uint32_t> joining;
    for (const auto& [name, keyspace] : map_.keyspaces) {
      for (const Shard& shard : keyspace.shards) {
        for (const ShardReplica& replica : shard.replicas) {
          if (replica.phase == Phase::kJoining) ++joining[replica.node];
        }
      }
    }
    for (const auto& [node, count] : joining) EXPECT_LE(count, kMovesPerNodeMax);
  }

  void Finish() {
    while (map_.nodes.size() < 6) Add();
    int rounds = 0;
    for (; rounds < 500; ++rounds) {
      const auto changes = NextSteps(map_);
      const auto waiting = Waiting();
      if (changes.empty() && waiting.empty()) break;
      for (const ShardChange& change : changes) {
        CheckChange(change);
        ASSERT_TRUE(ApplyChange(map_, change));
      }
      for (const Waiter& waiter : Waiting()) {
        if (random_.Chance(0.5)) Report(waiter);
      }
    }
    ASSERT_LT(rounds, 500) << "the steps do not come to an end";
    for (const auto& [name, keyspace] : map_.keyspaces) CheckFinal(keyspace);
  }

  void CheckFinal(const Keyspace& keyspace) {
    const auto open = static_cast<std::size_t>(std::ranges::count_if(
        map_.nodes, [](const auto& entry) { return !entry.second.draining; }));
    const std::size_t wanted = keyspace.promise.replicas;
    if (open < wanted) return;
    for (const Shard& shard : keyspace.shards) {
      EXPECT_EQ(shard.replicas.size(), wanted) << testing::Text(shard.replicas);
      std::vector<NodeId> nodes;
      for (const ShardReplica& replica : shard.replicas) {
        EXPECT_EQ(replica.phase, Phase::kActive);
        ASSERT_TRUE(map_.nodes.contains(replica.node));
        EXPECT_FALSE(map_.nodes.at(replica.node).draining) << testing::Text(shard.replicas);
        nodes.push_back(replica.node);
      }
      EXPECT_EQ(PairsOf(map_, nodes), FewestPairs(map_, wanted)) << testing::Text(shard.replicas);
    }
    if (!domains_) EXPECT_LE(testing::SkewOf(map_, keyspace), 1u);
  }

  Random random_;
  const bool domains_;
  Decided decided_;
  std::uint64_t next_node_ = 1;
  ClusterMap map_;
};

// Each machine a failure domain of its own: the end is balanced within one.
TEST(PlanRandom, WithoutSharedDomains) {
  for (std::uint64_t seed = 1; seed <= 100 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Walk(seed, /*domains=*/false).Run();
  }
}

// Machines share failure domains: the end has the fewest pairs in one domain that any placement
// could have.
TEST(PlanRandom, WithSharedDomains) {
  for (std::uint64_t seed = 1; seed <= 100 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Walk(seed, /*domains=*/true).Run();
  }
}

// One machine more: exactly its share of each balanced keyspace moves, for any numbers.
TEST(PlanRandom, AddingOneMachineMovesTheLeast) {
  Random random(7);
  for (int round = 0; round < 100; ++round) {
    ClusterMap map;
    const auto nodes = random.Between(3, 8);
    for (int id = 1; id <= nodes; ++id) AddNode(map, static_cast<std::uint64_t>(id));
    const auto replicas = static_cast<std::uint32_t>(random.Between(1, 3));
    const std::uint32_t shards = 1u << random.Below(7);
    ASSERT_TRUE(AddKeyspace(map, PromiseOf("k", replicas, shards)).has_value());
    AddNode(map, 99);
    std::uint32_t joins = 0;
    for (bool busy = true; busy;) {
      const auto changes = NextSteps(map);
      busy = !changes.empty();
      for (const ShardChange& change : changes) {
        for (const ShardReplica& replica : change.replicas) {
          if (replica.phase == Phase::kJoining) {
            EXPECT_EQ(replica.node, NodeId(99));
            ++joins;
          }
        }
        ASSERT_TRUE(ApplyChange(map, change));
        for (const ShardReplica& replica : change.replicas) {
          (void)ApplyReport(map, change.shard, map.FindShard(change.shard)->epoch, replica.node);
        }
      }
    }
    EXPECT_EQ(joins, replicas * shards / static_cast<std::uint32_t>(nodes + 1));
    EXPECT_LE(testing::SkewOf(map, *map.Find("k")), 1u);
  }
}

}  // namespace
}  // namespace coterie::placement

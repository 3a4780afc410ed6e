// Claim: whatever one node's death, cut links, lost power, slow disks and moving replicas do, all
// answers about a register tell one history in real-time order, every change in it exactly once;
// nothing that was said not to be applied is; and one dead machine never makes a gap.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "node/paxos/mutants.h"
#include "node/paxos/testing/paxos_cluster.h"

namespace coterie::node {
namespace {

using placement::Phase;
using testing::PaxosCluster;
using testing::PaxosNode;

constexpr int kKeys = 2;

/// What is known of one register: its value is the list of all changes ever decided.
struct Known {
  std::string longest;  ///< the longest list that anybody was answered with
  std::set<std::string> never;
};

/// Clients on all nodes that change and read a few registers without pause, and check every answer.
class History {
 public:
  explicit History(PaxosCluster& cluster) : cluster_(cluster) {}

  runtime::Task<void> Client(PaxosNode* node, std::uint64_t seed, Duration pause) {
    Random random(seed);
    while (!stopping_) {
      const std::string key = "k" + std::to_string(random.Below(kKeys));
      const int kind = static_cast<int>(random.Below(4));
      const Instant deadline = node->world->Now() + 3s;
      if (kind == 0) {
        co_await Read(node, key, deadline);
      } else {
        co_await Change(node, key, kind == 1, deadline);
      }
      co_await runtime::Sleep(node->world->executor(), pause);
    }
  }
  void Stop() { stopping_ = true; }
  const std::string& failure() const { return failure_; }
  int successes() const { return successes_; }
  int failures() const { return failures_; }
  /// The longest time without any success since the last call.
  Duration TakeGap() {
    Note();
    return std::exchange(gap_, Duration::zero());
  }
  void BeginGap() {
    last_ = cluster_.sim().Now();
    gap_ = Duration::zero();
  }
  std::string List(const std::string& key) { return known_[key].longest; }
  void Check(const std::string& key, const std::string& floor, const std::string& list) {
    Known& known = known_[key];
    if (!list.starts_with(floor)) {
      Fail(key + " answers " + list + ", though " + floor + " was answered before");
    }
    if (!list.starts_with(known.longest) && !known.longest.starts_with(list)) {
      Fail("two histories of " + key + ": " + list + " and " + known.longest);
    }
    for (const std::string& id : known.never) {
      if (list.find(id) != std::string::npos) Fail(id + " was said not to be applied");
    }
    if (list.size() > known.longest.size()) known.longest = list;
  }

 private:
  runtime::Task<void> Read(PaxosNode* node, std::string key, Instant deadline) {
    const std::string floor = known_[key].longest;
    auto answer = co_await node->paxos->Find("r")->Read(key, deadline);
    if (!answer) {
      ++failures_;
      if (answer.error().outcome != Outcome::kNotApplied) Fail("a read is not known");
      co_return;
    }
    Note();
    Check(key, floor, *answer ? (*answer)->bytes : "");
  }
  runtime::Task<void> Change(PaxosNode* node, std::string key, bool if_even, Instant deadline) {
    const std::string floor = known_[key].longest;
    const std::string id = "<" + std::to_string(next_++) + ">";
    Registers::Decide append = [id, if_even](const std::optional<Registers::Value>& current) {
      const std::string list = current ? current->bytes : "";
      if (if_even && std::ranges::count(list, '<') % 2 != 0) return Registers::Change{};
      return Registers::Change{true, Registers::Value{list + id, 0}};
    };
    auto answer = co_await node->paxos->Find("r")->Update(key, std::move(append), deadline);
    if (!answer) {
      ++failures_;
      if (answer.error().outcome == Outcome::kNotApplied) known_[key].never.insert(id);
      co_return;
    }
    Note();
    const std::string list = *answer ? (*answer)->bytes : "";
    if (!if_even && !list.ends_with(id)) Fail(id + " was not folded in: " + list);
    const std::size_t at = list.find(id);
    if (at != std::string::npos && list.find(id, at + 1) != std::string::npos) {
      Fail(id + " was applied twice");
    }
    Check(key, floor, list);
  }
  void Note() {
    ++successes_;
    const Instant now = cluster_.sim().Now();
    gap_ = std::max(gap_, now - last_);
    last_ = now;
  }
  void Fail(std::string what) {
    if (failure_.empty()) failure_ = std::move(what);
  }

  PaxosCluster& cluster_;
  std::map<std::string, Known> known_;
  std::uint64_t next_ = 1;
  bool stopping_ = false;
  int successes_ = 0;
  int failures_ = 0;
  Instant last_{};
  Duration gap_{};
  std::string failure_;
};

void StartClients(PaxosCluster& cluster, History& history, NodeId node, std::uint64_t seed,
                  Duration pause) {
  for (int i = 0; i < 2; ++i) {
    const std::uint64_t own = seed * 100 + node.value * 10 + static_cast<std::uint64_t>(i);
    cluster.On(node,
               [&history, own, pause](PaxosNode& n) { return history.Client(&n, own, pause); });
  }
}

/// Reads every register from every node that is up.
void ReadAll(PaxosCluster& cluster, History& history, int nodes) {
  for (int i = 1; i <= nodes; ++i) {
    for (int k = 0; k < kKeys; ++k) {
      const std::string key = "k" + std::to_string(k);
      const std::string floor = history.List(key);
      const auto read = cluster.Read(NodeId(static_cast<std::uint64_t>(i)), key);
      ASSERT_TRUE(read.has_value()) << Describe(read.error());
      history.Check(key, floor, *read ? (*read)->bytes : "");
    }
  }
}

class Nemesis {
 public:
  Nemesis(PaxosCluster& cluster, History& history, int nodes, std::uint64_t seed)
      : cluster_(cluster), history_(history), nodes_(nodes), random_(seed), seed_(seed) {}

  void Act() {
    const NodeId node(1 + random_.Below(static_cast<std::uint64_t>(nodes_)));
    const NodeId other(1 + random_.Below(static_cast<std::uint64_t>(nodes_)));
    switch (random_.Below(8)) {
      case 0:
      case 1:
        if (cluster_.node(node) == nullptr) return;
        cluster_.Kill(node,
                      random_.Chance(0.5) ? runtime::Death::kPowerOff : runtime::Death::kProcess);
        down_.insert(node);
        return;
      case 2:
      case 3:
      case 4:
        for (const NodeId id : down_) cluster_.Start(id);
        starting_.merge(down_);
        return;
      case 5:
        if (node != other) cluster_.sim().Cut(cluster_.handle(node), cluster_.handle(other));
        return;
      case 6:
        if (node != other) cluster_.sim().CutBoth(cluster_.handle(node), cluster_.handle(other));
        return;
      default:
        cluster_.sim().HealAll();
        return;
    }
  }
  /// Clients on nodes that have come back.
  void Follow() {
    for (auto node = starting_.begin(); node != starting_.end();) {
      if (cluster_.node(*node) == nullptr) {
        ++node;
        continue;
      }
      StartClients(cluster_, history_, *node, ++seed_ * 7, 2ms);
      node = starting_.erase(node);
    }
  }
  void End() {
    cluster_.sim().HealAll();
    for (const NodeId id : down_) cluster_.Start(id);
    starting_.merge(down_);
    cluster_.AwaitConnected();
    Follow();
  }

 private:
  PaxosCluster& cluster_;
  History& history_;
  const int nodes_;
  Random random_;
  std::uint64_t seed_;
  std::set<NodeId> down_, starting_;
};

std::string RunFaults(std::uint64_t seed, int nodes, int replicas, int* successes) {
  PaxosOptions options;
  options.write_back_interval = 50ms;
  options.cache_bytes_max = 1 << 12;
  PaxosCluster cluster(seed, nodes, replicas, options, seed % 3 == 0);
  if (seed % 4 == 1) {
    runtime::DiskKnobs slow;
    slow.sync_max = 30ms;
    cluster.sim().SetDisk(cluster.handle(NodeId(1)), slow);
  }
  if (seed % 4 == 2) cluster.sim().SetAllLinks({.loss = 0.02, .slow = 0.05});
  History history(cluster);
  cluster.StartAll();
  for (int i = 1; i <= nodes; ++i) {
    StartClients(cluster, history, NodeId(static_cast<std::uint64_t>(i)), seed, 2ms);
  }
  Nemesis nemesis(cluster, history, nodes, seed);
  for (int i = 0; i < 20 && history.failure().empty(); ++i) {
    cluster.sim().RunFor(
        Duration(std::chrono::milliseconds(20 + cluster.sim().random().Below(80))));
    nemesis.Follow();
    nemesis.Act();
  }
  nemesis.End();
  cluster.sim().RunFor(500ms);
  history.Stop();
  cluster.sim().RunFor(4s);
  if (history.failure().empty()) ReadAll(cluster, history, nodes);
  *successes += history.successes();
  return history.failure();
}

TEST(RegisterHistory, IsOneUnderFaults) {
  int successes = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const int nodes = seed % 2 == 0 ? 3 : 5;
    ASSERT_EQ(RunFaults(seed, nodes, seed % 4 == 3 ? 3 : nodes, &successes), "") << "seed " << seed;
  }
  std::printf("%d successes\n", successes);
  EXPECT_GT(successes, 1000);  // a cluster that refuses everything would pass, too
}

// Any one machine dies, with power or without: the clients on the others go on without a gap, and
// so they do when it comes back.
void KillOne(int nodes, NodeId victim, runtime::Death death) {
  PaxosCluster cluster(victim.value * 31, nodes, nodes);
  // Clocks that differ by seconds starve nobody.
  for (int i = 1; i <= nodes; ++i) {
    runtime::ClockKnobs knobs;
    knobs.offset_ns = i * 1'500'000'000;
    cluster.sim().SetClock(cluster.handle(NodeId(static_cast<std::uint64_t>(i))), knobs);
  }
  History history(cluster);
  cluster.StartAll();
  for (int i = 1; i <= nodes; ++i) {
    const NodeId node(static_cast<std::uint64_t>(i));
    StartClients(cluster, history, node, victim.value, 5ms);
  }
  cluster.sim().RunFor(500ms);
  history.BeginGap();
  cluster.Kill(victim, death);
  cluster.sim().RunFor(1500ms);
  EXPECT_LT(history.TakeGap(), 300ms);
  EXPECT_EQ(history.failures(), 0);
  cluster.Start(victim);
  cluster.sim().RunFor(1s);
  EXPECT_LT(history.TakeGap(), 300ms);
  EXPECT_EQ(history.failures(), 0);
  EXPECT_GT(history.successes(), 300);
  EXPECT_EQ(history.failure(), "");
}

TEST(RegisterHistory, OneDeathMakesNoGap) {
  for (std::uint64_t victim = 1; victim <= 3; ++victim) {
    KillOne(3, NodeId(victim), runtime::Death::kPowerOff);
    KillOne(3, NodeId(victim), runtime::Death::kMachine);
  }
  KillOne(5, NodeId(4), runtime::Death::kPowerOff);
}

// Replicas move round the cluster, one after the other, while clients work and machines die: each
// next map is made as placement makes it.
std::string RunMoves(std::uint64_t seed, int* moves) {
  PaxosOptions options;
  options.write_back_interval = 50ms;
  PaxosCluster cluster(seed, 5, 3, options, seed % 2 == 0);
  History history(cluster);
  cluster.StartAll();
  for (int i = 1; i <= 5; ++i) {
    StartClients(cluster, history, NodeId(static_cast<std::uint64_t>(i)), seed, 3ms);
  }
  Random random(seed);
  std::vector<NodeId> active{NodeId(1), NodeId(2), NodeId(3)};
  const auto replicas = [&active] {
    std::vector<placement::ShardReplica> all;
    for (const NodeId node : active) all.push_back({.node = node});
    return all;
  };
  const auto tell = [&](std::vector<placement::ShardReplica> next) {
    cluster.SetReplicas(std::move(next));
    for (std::uint64_t id = 1; id <= 5; ++id) {
      cluster.sim().RunFor(Duration(std::chrono::milliseconds(random.Below(20))));
      cluster.Tell(NodeId(id));
    }
  };
  for (int i = 0; i < 6 && history.failure().empty(); ++i) {
    const std::size_t out = random.Below(active.size());
    const NodeId from = active[out];
    NodeId to(1 + random.Below(5));
    while (std::ranges::count(active, to) > 0) to = NodeId(to.value % 5 + 1);
    auto next = replicas();
    next.push_back({.node = to, .phase = Phase::kJoining, .replaces = from});
    tell(next);
    const NodeId victim = NodeId(1 + random.Below(5));
    if (random.Chance(0.5)) {
      cluster.Kill(victim, runtime::Death::kPowerOff);
      cluster.sim().RunFor(200ms);
      cluster.Start(victim);
    }
    if (!cluster.RunUntil([&] { return cluster.Reported(to); })) return "a join never ends";
    active[out] = to;
    next = replicas();
    next.push_back({.node = from, .phase = Phase::kLeaving});
    tell(next);
    if (!cluster.RunUntil([&] { return cluster.Reported(from); })) return "a leave never ends";
    tell(replicas());
    ++*moves;
  }
  cluster.AwaitConnected();
  cluster.sim().RunFor(200ms);
  history.Stop();
  cluster.sim().RunFor(4s);
  if (history.failure().empty()) ReadAll(cluster, history, 5);
  return history.failure();
}

TEST(RegisterHistory, IsOneWhileReplicasMove) {
  int moves = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    ASSERT_EQ(RunMoves(seed, &moves), "") << "seed " << seed;
  }
  EXPECT_EQ(moves, 24);
}

}  // namespace
}  // namespace coterie::node

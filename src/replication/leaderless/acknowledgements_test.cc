#include "replication/leaderless/acknowledgements.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"

namespace coterie::leaderless {
namespace {

const NodeId kSelf(1), kB(2), kC(3), kD(4);

// Claim: W replicas means W counters, this node's among them.
TEST(Acknowledgements, CountsReplicas) {
  Acknowledgements acks;
  acks.SetReplicas(kSelf, {{kSelf, "", true}, {kB, "", true}, {kC, "", true}}, false);
  acks.OwnUpTo(10);
  EXPECT_EQ(acks.Promised(1), 10u);
  EXPECT_EQ(acks.Promised(2), 0u);
  EXPECT_TRUE(acks.UpTo(kB, 7));
  EXPECT_FALSE(acks.UpTo(kB, 5));  // an old answer
  EXPECT_EQ(acks.Promised(2), 7u);
  acks.UpTo(kC, 9);
  EXPECT_EQ(acks.Promised(2), 9u);
  EXPECT_EQ(acks.Promised(3), 7u);
  EXPECT_EQ(acks.Promised(4), 0u);
}

// Claim: replicas that would fail together count once, and replicas that are joining or leaving do
// not count.
TEST(Acknowledgements, CountsFailureDomainsOfActiveReplicas) {
  Acknowledgements acks;
  acks.SetReplicas(kSelf, {{kSelf, "x", true}, {kB, "x", true}, {kC, "y", true}, {kD, "z", false}},
                   false);
  acks.OwnUpTo(5);
  acks.UpTo(kB, 6);
  acks.UpTo(kD, 6);
  EXPECT_EQ(acks.domains(), 2u);
  EXPECT_EQ(acks.Promised(1), 6u);
  EXPECT_EQ(acks.Promised(2), 0u);
  acks.UpTo(kC, 4);
  EXPECT_EQ(acks.Promised(2), 4u);
  // D becomes active: what it said before counts now.
  acks.SetReplicas(kSelf, {{kSelf, "x", true}, {kB, "x", true}, {kD, "z", true}}, false);
  EXPECT_EQ(acks.Promised(2), 6u);
}

// Claim: where the coordinator's own disk is what was promised, nobody else's stands in for it.
TEST(Acknowledgements, MayNeedThisNode) {
  Acknowledgements acks;
  acks.SetReplicas(kSelf, {{kSelf, "", true}, {kB, "", true}, {kC, "", true}}, true);
  acks.UpTo(kB, 9);
  acks.UpTo(kC, 9);
  EXPECT_EQ(acks.Promised(2), 0u);
  acks.OwnUpTo(3);
  EXPECT_EQ(acks.Promised(1), 3u);
  EXPECT_EQ(acks.Promised(2), 3u);
}

// Claim: Promised(w) is the greatest counter that at least w domains have reached, by counting.
TEST(Acknowledgements, EqualsCounting) {
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    std::vector<Acknowledgements::Replica> replicas;
    const std::uint64_t n = 1 + random.Below(6);
    for (std::uint64_t i = 1; i <= n; ++i) {
      const std::uint64_t domain = random.Below(4);
      replicas.push_back(
          {NodeId(i), domain == 0 ? "" : std::to_string(domain), i == 1 || random.Chance(0.8)});
    }
    Acknowledgements acks;
    acks.SetReplicas(NodeId(1), replicas, false);
    std::map<NodeId, std::uint64_t> counters;
    for (int i = 0; i < 12; ++i) {
      const NodeId node(1 + random.Below(n));
      const std::uint64_t counter = random.Below(20);
      counters[node] = std::max(counters[node], counter);
      acks.UpTo(node, counter);
    }
    for (std::uint32_t w = 1; w <= 7; ++w) {
      std::uint64_t promised = 0;
      for (std::uint64_t counter = 1; counter < 20; ++counter) {
        std::set<std::string> domains;
        for (const auto& replica : replicas) {
          if (!replica.counts || counters[replica.node] < counter) continue;
          domains.insert(replica.failure_domain.empty()
                             ? "node " + std::to_string(replica.node.value)
                             : replica.failure_domain);
        }
        if (domains.size() >= w) promised = counter;
      }
      ASSERT_EQ(acks.Promised(w), promised) << "round " << round << " w " << w;
    }
  }
}

// What can be reached is counted by failure domains, too, and by those that count.
TEST(Acknowledgements, CountsDomainsOfSome) {
  Acknowledgements acks;
  acks.SetReplicas(NodeId(1),
                   {{NodeId(1), "a"}, {NodeId(2), "a"}, {NodeId(3), ""}, {NodeId(4), "b", false}},
                   false);
  EXPECT_EQ(acks.DomainsOf([](NodeId) { return true; }), acks.domains());
  EXPECT_EQ(acks.DomainsOf([](NodeId node) { return node != NodeId(1); }), 2u);
  EXPECT_EQ(acks.DomainsOf([](NodeId node) { return node < NodeId(3); }), 1u);
  EXPECT_EQ(acks.DomainsOf([](NodeId node) { return node == NodeId(4); }), 0u);
}

}  // namespace
}  // namespace coterie::leaderless

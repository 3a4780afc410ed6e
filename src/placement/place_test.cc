#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"
#include "placement/plan.h"
#include "placement/test_map.h"

namespace coterie::placement {
namespace {

using testing::AddKeyspace;
using testing::AddNode;
using testing::PromiseOf;

// Five machines, three replicas: each shard on three different ones, and no machine carries more
// than one replica more than another; the next keyspace fills up what the first left emptier.
TEST(Place, SpreadsEvenly) {
  ClusterMap map;
  for (int id = 1; id <= 5; ++id) AddNode(map, id);
  ASSERT_TRUE(AddKeyspace(map, PromiseOf("a", 3, 16)).has_value());
  const Keyspace& a = *map.Find("a");
  ASSERT_EQ(a.shards.size(), 16u);
  for (std::size_t i = 0; i < a.shards.size(); ++i) {
    EXPECT_EQ(a.shards[i].id, ShardId(16 + i));
    std::set<NodeId> nodes;
    for (const ShardReplica& replica : a.shards[i].replicas) {
      EXPECT_EQ(replica.phase, Phase::kActive);
      nodes.insert(replica.node);
    }
    EXPECT_EQ(nodes.size(), 3u);
  }
  EXPECT_LE(testing::SkewOf(map, a), 1u);
  ASSERT_TRUE(AddKeyspace(map, PromiseOf("b", 1, 2)).has_value());
  std::map<NodeId, std::uint32_t> total = testing::LoadsOf(a);
  for (const auto& [node, load] : testing::LoadsOf(*map.Find("b"))) total[node] += load;
  for (const auto& [node, load] : total) EXPECT_EQ(load, 10u) << node.value;
}

// The same map and promise give the same placement: every node may compute it.
TEST(Place, IsDeterministic) {
  ClusterMap map;
  for (int id = 1; id <= 7; ++id) AddNode(map, id, id % 2 == 0 ? "even" : "");
  const auto one = Place(map, PromiseOf("a", 3, 64), ShardId(16));
  const auto two = Place(ClusterMap(map), PromiseOf("a", 3, 64), ShardId(16));
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(*one, *two);
}

// No two replicas share a failure domain where there are enough of them; where there are not, they
// crowd as little as can be.
TEST(Place, FailureDomains) {
  ClusterMap map;
  AddNode(map, 1, "a");
  AddNode(map, 2, "a");
  AddNode(map, 3, "a");
  AddNode(map, 4, "b");
  AddNode(map, 5, "c");
  const auto three = Place(map, PromiseOf("k", 3, 16), ShardId(16));
  ASSERT_TRUE(three.has_value());
  const auto in_a = [](const Shard& shard) {
    return std::ranges::count_if(shard.replicas,
                                 [](const ShardReplica& r) { return r.node.value <= 3; });
  };
  for (const Shard& shard : three->shards)
    EXPECT_EQ(in_a(shard), 1) << testing::Text(shard.replicas);
  const auto four = Place(map, PromiseOf("k", 4, 16), ShardId(16));
  ASSERT_TRUE(four.has_value());
  for (const Shard& shard : four->shards)
    EXPECT_EQ(in_a(shard), 2) << testing::Text(shard.replicas);
}

// Too few machines that take replicas, or too few failure domains for W, are refused by name.
TEST(Place, TooFew) {
  ClusterMap map;
  for (int id = 1; id <= 3; ++id) AddNode(map, id);
  EXPECT_TRUE(Place(map, PromiseOf("k", 3, 1), ShardId(16)).has_value());
  map.nodes[NodeId(2)].draining = true;
  const auto draining = Place(map, PromiseOf("k", 3, 1), ShardId(16));
  ASSERT_FALSE(draining.has_value());
  EXPECT_EQ(draining.error().code, ErrorCode::kTooFewNodes);
  EXPECT_NE(draining.error().message.find("'k' wants 3 replicas, and 2"), std::string::npos);
  ClusterMap shared;
  for (int id = 1; id <= 3; ++id) AddNode(shared, id, "one rack");
  auto promise = PromiseOf("k", 3, 1);
  EXPECT_TRUE(Place(shared, promise, ShardId(16)).has_value());
  promise.write = 2;
  EXPECT_EQ(Place(shared, promise, ShardId(16)).error().code, ErrorCode::kTooFewNodes);
}

}  // namespace
}  // namespace coterie::placement

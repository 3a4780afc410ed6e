#include "placement/cluster_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "placement/test_map.h"

namespace coterie::placement {
namespace {

// The hash is XXH64 with seed 0 as its specification's examples have it: data on disk and in other
// nodes' hands depends on it.
TEST(ClusterMap, HashNeverChanges) {
  EXPECT_EQ(KeyHash(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(KeyHash("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(KeyHash("abc"), 0x44BC2CF5AD770999u);
}

// What stands between the first '{' and the next '}' hashes alone, unless it is empty: the examples
// of the Redis Cluster specification.
TEST(ClusterMap, HashTags) {
  EXPECT_EQ(HashedPart("{user1000}.following"), "user1000");
  EXPECT_EQ(HashedPart("{user1000}.followers"), "user1000");
  EXPECT_EQ(HashedPart("foo{}{bar}"), "foo{}{bar}");
  EXPECT_EQ(HashedPart("foo{{bar}}zap"), "{bar");
  EXPECT_EQ(HashedPart("foo{bar}{zap}"), "bar");
  EXPECT_EQ(HashedPart("foo"), "foo");
  EXPECT_EQ(HashedPart("foo{bar"), "foo{bar");
  EXPECT_EQ(HashedPart("}foo{bar}"), "bar");
  EXPECT_EQ(HashedPart(""), "");
}

// The top bits of the hash name the shard: with twice the shards each splits in two.
TEST(ClusterMap, ShardsByTopBits) {
  for (const std::uint32_t shards : {1u, 2u, 16u, 1024u}) {
    Keyspace keyspace;
    for (std::uint32_t i = 0; i < shards; ++i) keyspace.shards.push_back({.id = ShardId(100 + i)});
    for (int i = 0; i < 100; ++i) {
      const std::string key = "key:" + std::to_string(i);
      const std::uint64_t position = keyspace.ShardOf(key).id - ShardId(100);
      const auto expected =
          static_cast<std::uint64_t>(static_cast<unsigned __int128>(KeyHash(key)) * shards >> 64);
      EXPECT_EQ(position, expected) << key << " of " << shards;
    }
    EXPECT_EQ(keyspace.ShardOf("{t}a").id, keyspace.ShardOf("b{t}").id);
  }
}

// Keys of the kind people use fall evenly: no shard of 16 has twice another's.
TEST(ClusterMap, KeysSpreadEvenly) {
  Keyspace keyspace;
  for (std::uint32_t i = 0; i < 16; ++i) keyspace.shards.push_back({.id = ShardId(i)});
  std::vector<int> counts(16);
  for (int i = 0; i < 16000; ++i) {
    ++counts[keyspace.ShardOf("user:" + std::to_string(i)).id.value];
  }
  EXPECT_LT(*std::ranges::max_element(counts), 2 * *std::ranges::min_element(counts));
}

// Things are found by what they are called, and nothing is found that is not there.
TEST(ClusterMap, Lookups) {
  ClusterMap map;
  for (int id = 1; id <= 3; ++id) testing::AddNode(map, id);
  auto cart = testing::PromiseOf("cart", 3, 16);
  auto lock = testing::PromiseOf("lock", 3, 4);
  lock.redis_database = 2;
  ASSERT_TRUE(testing::AddKeyspace(map, lock).has_value());
  ASSERT_TRUE(testing::AddKeyspace(map, cart).has_value());
  EXPECT_EQ(map.Find("cart"), &map.keyspaces.at("cart"));
  EXPECT_EQ(map.Find("nothing"), nullptr);
  EXPECT_EQ(map.FindDatabase(2), map.Find("lock"));
  EXPECT_EQ(map.FindDatabase(0), map.Find("cart"));
  EXPECT_EQ(map.FindDatabase(7), nullptr);
  for (const auto& [name, keyspace] : map.keyspaces) {
    for (const Shard& shard : keyspace.shards) EXPECT_EQ(map.FindShard(shard.id), &shard);
  }
  EXPECT_EQ(map.FindShard(ShardId(15)), nullptr);
  EXPECT_EQ(map.FindShard(ShardId(36)), nullptr);
}

}  // namespace
}  // namespace coterie::placement

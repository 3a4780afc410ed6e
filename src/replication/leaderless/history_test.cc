#include "replication/leaderless/history.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"

namespace coterie::leaderless {
namespace {

const Actor kA = clock::MakeActor(NodeId(1), 1);
const ShardId kShard(20);

std::vector<std::string> After(const History& history, ShardId shard, Actor actor,
                               std::uint64_t after) {
  std::vector<std::string> all;
  history.Visit(shard, actor, after, [&](std::uint64_t, std::string_view bytes) {
    all.emplace_back(bytes);
    return true;
  });
  return all;
}

// Claim: a range of one actor's mutations comes back in order; what was never there, or is gone,
// is not claimed.
TEST(History, AnswersRanges) {
  History history;
  EXPECT_FALSE(history.Holds(kShard, kA, 0));
  for (std::uint64_t i = 1; i <= 5; ++i) history.Add(kShard, {kA, i}, "m" + std::to_string(i));
  EXPECT_TRUE(history.Holds(kShard, kA, 0));
  EXPECT_EQ(After(history, kShard, kA, 3), (std::vector<std::string>{"m4", "m5"}));
  EXPECT_TRUE(history.Holds(kShard, kA, 5));
  EXPECT_TRUE(After(history, kShard, kA, 9).empty());
  EXPECT_EQ(history.BytesAfter(kShard, kA, 3), 4u);
}

// Claim: a mutation that does not follow the last one leaves no hole that is claimed as whole.
TEST(History, AJumpForgetsWhatWasBefore) {
  History history;
  history.Add(kShard, {kA, 1}, "m1");
  history.Add(kShard, {kA, 7}, "m7");
  EXPECT_FALSE(history.Holds(kShard, kA, 0));
  EXPECT_FALSE(history.Holds(kShard, kA, 5));
  EXPECT_TRUE(history.Holds(kShard, kA, 6));
  EXPECT_EQ(After(history, kShard, kA, 6), (std::vector<std::string>{"m7"}));
}

// Claim: it always equals a naive model with some of the oldest left out; what it holds it holds
// whole; it stays within its bound; and trimming everything gives all its memory back.
TEST(History, FollowsTheModel) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const std::size_t bound = 20'000 + random.Below(60'000);
    History history(bound);
    std::map<std::pair<ShardId, Actor>, std::vector<std::string>> model;
    for (int step = 0; step < 1500; ++step) {
      const ShardId shard(20 + random.Below(3));
      const Actor actor = clock::MakeActor(NodeId(1 + random.Below(3)), 1);
      auto& all = model[{shard, actor}];
      if (random.Chance(0.9)) {
        all.push_back(std::string(random.Below(300), static_cast<char>('a' + step % 26)));
        history.Add(shard, {actor, all.size()}, all.back());
      } else if (!all.empty() && random.Chance(0.3)) {
        VersionVector covered;
        covered.Include({actor, 1 + random.Below(all.size())});
        history.Trim(shard, covered);
      }
      ASSERT_LE(history.bytes(), bound + 8192);
      if (all.empty()) continue;
      const std::uint64_t after = random.Below(all.size() + 1);
      if (!history.Holds(shard, actor, after)) continue;
      const auto found = After(history, shard, actor, after);
      ASSERT_EQ(found, std::vector<std::string>(all.begin() + static_cast<long>(after), all.end()));
      std::uint64_t bytes = 0;
      for (const std::string& one : found) bytes += one.size();
      EXPECT_EQ(history.BytesAfter(shard, actor, after), bytes);
    }
    for (const auto& [key, all] : model) history.Drop(key.first);
    EXPECT_EQ(history.bytes(), 0u);
  }
}

// Claim: a small bound is met by forgetting the oldest of all series, not of the one that grows.
TEST(History, ForgetsTheOldestFirst) {
  History history(40'000);
  const Actor quiet = clock::MakeActor(NodeId(2), 1);
  history.Add(kShard, {quiet, 1}, "old");
  for (std::uint64_t i = 1; i <= 500; ++i) history.Add(kShard, {kA, i}, std::string(200, 'x'));
  EXPECT_FALSE(history.Holds(kShard, quiet, 0));
  EXPECT_FALSE(history.Holds(kShard, kA, 0));
  EXPECT_TRUE(history.Holds(kShard, kA, 499));
}

}  // namespace
}  // namespace coterie::leaderless

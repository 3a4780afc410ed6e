#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "door/redis/gather.h"
#include "door/redis/hyperloglog.h"
#include "door/redis/sampling.h"
#include "door/redis/scan_cursors.h"

namespace coterie::door::redis {
namespace {

// Estimates of 300 sets of 10 to 10^6 elements have the promised standard error of 0.81 %, and no
// bias beyond what chance allows.
TEST(HyperLogLog, StandardErrorIsAsPromised) {
  Random random(3);
  double squares = 0, sum = 0;
  int sets = 0;
  for (const std::uint64_t size : {10u, 1000u, 20'000u, 50'000u, 200'000u}) {
    for (int set = 0; set < 20; ++set) {
      HllRanks ranks{};
      for (std::uint64_t i = 0; i < size; ++i) {
        const std::string element = std::to_string(random.Next());
        const HllPlace place = HllPlaceOf(element);
        ranks[place.index] = std::max(ranks[place.index], place.rank);
      }
      const double error = static_cast<double>(HllEstimate(ranks)) / static_cast<double>(size) - 1;
      squares += error * error;
      sum += error;
      ++sets;
    }
  }
  EXPECT_LT(std::sqrt(squares / sets), 0.0095);
  EXPECT_LT(std::abs(sum / sets), 0.003);
}

TEST(HyperLogLog, EdgesOfTheRanks) {
  HllRanks ranks{};
  EXPECT_EQ(HllEstimate(ranks), 0u);
  ranks[5] = 1;
  EXPECT_EQ(HllEstimate(ranks), 1u);
  Random random(4);
  for (int i = 0; i < 100'000; ++i) {
    const HllPlace place = HllPlaceOf(std::to_string(random.Next()));
    ASSERT_LT(place.index, ranks.size());
    ASSERT_GE(place.rank, 1);
    ASSERT_LE(place.rank, 51);
  }
}

// The newest positions are kept; a forgotten one begins its part again, never a later one.
TEST(ScanCursors, ForgottenPositionsBeginTheirPartAgain) {
  ScanCursors cursors;
  const std::uint64_t first = cursors.Make({.part = 3, .after = "key"});
  EXPECT_NE(first, 0u);
  EXPECT_LT(first, std::uint64_t{1} << 63);
  EXPECT_EQ(cursors.Find(first).after, "key");
  EXPECT_EQ(cursors.Find(first).part, 3u);
  for (std::size_t i = 0; i < ScanCursors::kPositionsMax; ++i)
    cursors.Make({.part = 1, .after = "other"});
  EXPECT_EQ(cursors.Find(first).after, "");
  EXPECT_EQ(cursors.Find(first).part, 3u);
  EXPECT_EQ(cursors.Find(0).part, 0u);
  EXPECT_EQ(cursors.Find(~std::uint64_t{0}).after, "");
}

// A sample of different elements has each once; one with repetitions has the number asked for.
TEST(Sample, CountsAsRedisDoes) {
  Random random(1);
  const std::vector<int> all = {1, 2, 3, 4, 5, 6, 7};
  for (int round = 0; round < 100; ++round) {
    auto few = Sample(all, 4, random);
    std::ranges::sort(few);
    EXPECT_EQ(few.size(), 4u);
    EXPECT_EQ(std::ranges::adjacent_find(few), few.end());
    EXPECT_EQ(Sample(all, -20, random).size(), 20u);
  }
  EXPECT_EQ(Sample(all, 100, random).size(), 7u);
  EXPECT_TRUE(Sample(std::vector<int>(), -3, random).empty());
}

// Replies of other nodes are taken apart whatever they hold, and refused if they are cut.
TEST(Gather, TakesRepliesApart) {
  const std::string reply = "*3\r\n$1\r\na\r\n$-1\r\n:7\r\n";
  const auto elements = ElementsOf(reply);
  ASSERT_TRUE(elements.has_value());
  EXPECT_EQ(*elements, (std::vector<std::string_view>{"$1\r\na\r\n", "$-1\r\n", ":7\r\n"}));
  EXPECT_EQ(BytesOf((*elements)[0]), "a");
  EXPECT_EQ(BytesOf((*elements)[1]), "");
  EXPECT_EQ(IntegerOf((*elements)[2]), 7);
  for (std::size_t n = 0; n < reply.size(); ++n)
    EXPECT_FALSE(ElementsOf(std::string_view(reply).substr(0, n))) << n;
  EXPECT_FALSE(ElementsOf("-ERR no\r\n"));
  EXPECT_FALSE(ElementsOf("*99999999999\r\n"));
}

}  // namespace
}  // namespace coterie::door::redis

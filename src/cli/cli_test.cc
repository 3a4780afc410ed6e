#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "cli/etcd_load.h"
#include "cli/exit_code.h"
#include "cli/fault_plan.h"
#include "cli/json.h"
#include "cli/latency_histogram.h"

namespace coterie::cli {
namespace {

// Claim: what was printed reads back the same, with every character that JSON escapes.
TEST(JsonTest, RoundTrips) {
  Json inner = Json::Array();
  inner.Push(Json()).Push(true).Push(-3).Push(2.5).Push("tab\t\"quote\" \\ \n \x01 end");
  Json document = Json::Object();
  document.Set("list", std::move(inner)).Set("empty", Json::Object());
  for (const bool indented : {false, true}) {
    const std::string text = document.ToText(indented);
    const Result<Json> again = Json::Parse(text);
    ASSERT_TRUE(again) << text;
    EXPECT_EQ(again->ToText(indented), text);
  }
  EXPECT_EQ((*Json::Parse(document.ToText()))["list"][4].Text(), "tab\t\"quote\" \\ \n \x01 end");
}

// Claim: what is missing reads as null, zero and empty; what is no JSON is an error.
TEST(JsonTest, MissingIsNull) {
  const Result<Json> document = Json::Parse(R"({"a":[1]})");
  ASSERT_TRUE(document);
  EXPECT_TRUE((*document)["b"]["c"][7].IsNull());
  EXPECT_EQ((*document)["a"][0].Int(), 1);
  EXPECT_EQ((*document)["a"][1].Int(), 0);
  for (const char* text : {"", "{", "[1,]", "nul", "{\"a\":1}x"}) {
    EXPECT_FALSE(Json::Parse(text)) << text;
  }
}

// Claim: an unknown outcome has its own exit code whatever the error, so that scripts can tell.
TEST(ExitCodes, UnknownOutcomeDecides) {
  EXPECT_EQ(ExitCodeFor({ErrorCode::kTimedOut, Outcome::kUnknown, {}}), kExitOutcomeUnknown);
  EXPECT_EQ(ExitCodeFor({ErrorCode::kNoLeader, Outcome::kNotApplied, {}}), kExitPromise);
  EXPECT_EQ(ExitCodeFor({ErrorCode::kUnknownConfigKey, Outcome::kNotApplied, {}}), kExitUsage);
  EXPECT_EQ(ExitCodeFor({ErrorCode::kNoDemo, Outcome::kNotApplied, {}}), kExitCannotConnect);
  EXPECT_EQ(ExitCodeFor({ErrorCode::kCompacted, Outcome::kNotApplied, {}}), kExitRefused);
  EXPECT_EQ(ExitCodeFor({ErrorCode::kSyncFailed, Outcome::kNotApplied, {}}), kExitServer);
}

// Claim: a partition cuts both directions between every two groups, and nothing inside a group.
TEST(FaultPlan, PartitionLinks) {
  const std::vector<std::string> nodes = {"n1", "n2", "n3"};
  const std::vector<Link> isolated = {{"n1", "n3"}, {"n2", "n3"}, {"n3", "n1"}, {"n3", "n2"}};
  EXPECT_EQ(PartitionLinks("n3", nodes).value(), isolated);
  EXPECT_EQ(PartitionLinks("n1,n2|n3", nodes).value(), isolated);
  EXPECT_EQ(PartitionLinks("n1|n2|n3", nodes).value().size(), 6u);
  for (const char* wrong : {"", "n4", "n1|n4", "n1,n1|n2,n3", "n1|n2", "n1,n2,n3", "n1,n2,n3|"}) {
    const Result<std::vector<Link>> links = PartitionLinks(wrong, nodes);
    ASSERT_FALSE(links) << wrong;
    EXPECT_EQ(links.error().code, ErrorCode::kInvalidArgument) << wrong;
  }
}

// Claim: quantiles are never under the exact ones and at most 1/32 (and 1 us) over them.
TEST(LatencyHistogramTest, QuantilesAgainstSorting) {
  Random random(7);
  LatencyHistogram histogram;
  std::vector<std::int64_t> exact_us;
  for (int i = 0; i < 20'000; ++i) {
    const std::int64_t us = static_cast<std::int64_t>(random.Below(1ull << random.Below(30)));
    exact_us.push_back(us);
    histogram.Add(std::chrono::microseconds(us));
  }
  std::sort(exact_us.begin(), exact_us.end());
  for (const double fraction : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(fraction * 20'000.0)) - 1;
    const std::int64_t us = histogram.Quantile(fraction).count() / 1000;
    EXPECT_GE(us, exact_us[rank]) << fraction;
    EXPECT_LE(us, exact_us[rank] + exact_us[rank] / 32 + 1) << fraction;
  }
  EXPECT_EQ(histogram.count(), 20'000u);
  EXPECT_EQ(histogram.max().count() / 1000, exact_us.back());
}

// Claim: keys have the length asked for, and different numbers give different keys in number order.
TEST(LoadKeyTest, FixedLengthInOrder) {
  for (const std::size_t bytes : {6u, 8u, 26u, 32u, 100u}) {
    std::string before;
    for (const std::uint64_t number : {0ull, 1ull, 9ull, 10ull, 99'999ull, 999'999ull}) {
      const std::string key = LoadKey(number, bytes);
      EXPECT_EQ(key.size(), bytes);
      EXPECT_LT(before, key);
      before = key;
    }
  }
}

}  // namespace
}  // namespace coterie::cli

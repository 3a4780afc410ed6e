#include <gtest/gtest.h>

#include <string>

#include "door/redis/ordered_fixture.h"
#include "door/redis/ordered_history.h"

namespace coterie::door::redis {
namespace {

using ordered::HistoryPolicy;

// Revisions that are younger than the bound are kept, but no more than the bound.
TEST(HistoryPolicy, KeepsTheYoungAndNotTooMany) {
  HistoryPolicy policy({.kept = 60s, .revisions_max = 10'000});
  Instant now{};
  kv::Revision revision = 1, compacted = -1;
  for (int second = 0; second < 600; ++second, now += 1s) {
    for (int i = 0; i < 50; ++i, ++revision) policy.OnChange();
    const auto at = policy.Decide(now, revision, compacted);
    if (!at) continue;
    EXPECT_GT(*at, compacted);
    compacted = *at;
    EXPECT_LE(compacted, revision - 50 * 50) << "younger than 60 s, but for a mark's distance";
  }
  EXPECT_GE(compacted, revision - 50 * 100);
  for (int i = 0; i < 100'000; ++i, ++revision) policy.OnChange();
  EXPECT_EQ(policy.Decide(now, revision, compacted), revision - 10'000);
}

// What etcd clients alone change is theirs to compact; and 0 keeps everything.
TEST(HistoryPolicy, LeavesOthersAlone) {
  HistoryPolicy quiet({.kept = 1s, .revisions_max = 1});
  EXPECT_EQ(quiet.Decide(Instant{} + 3600s, 1'000'000, -1), std::nullopt);
  HistoryPolicy all({.kept = 1s, .revisions_max = 0});
  for (int i = 0; i < 100'000; ++i) all.OnChange();
  EXPECT_EQ(all.Decide(Instant{} + 3600s, 1'000'000, -1), std::nullopt);
}

class OrderedHistory : public OrderedTest {};

// What was deleted does not stay in the way of KEYS, DBSIZE and FLUSHDB.
TEST_F(OrderedHistory, IsCompactedUnderRedisTraffic) {
  OrderedCommands::Parts parts;
  parts.raft = [this](std::string_view) { return &node; };
  parts.history = {.kept = 300s, .revisions_max = 1000};
  OrderedCommands bounded(world, std::move(parts));
  bounded.SweepExpired("main");
  for (int i = 0; i < 3000; ++i) {
    BeginOn(bounded, *self, {"SETNX", "k" + std::to_string(i), "v"});
    world.executor().Settle();
    BeginOn(bounded, *self, {"DEL", "k" + std::to_string(i)});
    world.executor().Settle();
  }
  world.executor().Advance(Duration(3s));
  EXPECT_EQ(node.store().compact_revision(), node.store().revision() - 1000);
  EXPECT_EQ(Do("DBSIZE"), "0");
  bounded.EndSweep("main");
  world.executor().Advance(Duration(3s));
}

// The whole keyspace is read in many turns, at one moment: what others do meanwhile is not in it.
TEST_F(OrderedHistory, KeysAreThoseOfOneMoment) {
  for (int i = 0; i < 5000; ++i) {
    Raw(*self, {i % 2 == 0 ? "SET" : "SADD", "k" + std::to_string(i), "v"});
  }
  Raw(*self, {"SET", "gone", "v", "PX", "10"});
  Raw(*self, {"SET", std::string("\0zero", 5), "v"});
  world.executor().Advance(Duration(1s));
  auto other = Connect();
  Begin(*self, {"DBSIZE"});
  EXPECT_FALSE(self->reply.has_value()) << "all in one turn";
  EXPECT_EQ(Do(*other, "FLUSHDB"), "OK");
  EXPECT_EQ(self->reply.value_or(""), ":5002\r\n") << "an expired key counts until it is removed";
  for (int i = 0; i < 3000; ++i) Raw(*self, {"SET", "k" + std::to_string(i), "v"});
  Raw(*self, {"SET", "k9999", "v", "PX", "10"});
  world.executor().Advance(Duration(1s));
  EXPECT_EQ(Do("KEYS k299?"),
            R"(["k2990" "k2991" "k2992" "k2993" "k2994" "k2995" "k2996" "k2997" "k2998" "k2999"])");
  EXPECT_EQ(Do("KEYS k99??"), "[]");
  EXPECT_EQ(Do("EXISTS k9999"), "0");
}

}  // namespace
}  // namespace coterie::door::redis

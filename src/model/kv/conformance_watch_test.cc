// etcd's semantics, one claim a test: watches, leases, compaction and hash.
#include <gtest/gtest.h>

#include <limits>

#include "model/kv/test_support.h"

namespace coterie::kv {
namespace {

using etcdserverpb::TxnRequest;
using testing::AddPut;
using testing::Drain;
using testing::kAll;
using testing::Keys;
using testing::Kv;
using testing::Text;

// ---- watches

// A watcher from a past revision reads the history, from the engine as from the recent events.
TEST(Watch, FromThePast) {
  Kv kv;
  kv.Put("a", "1");
  kv.Put("b", "1");
  kv.Put("a", "2");
  auto watcher = kv.Watch("a", {}, 2);
  EXPECT_TRUE(watcher->pending());
  EXPECT_EQ(watcher->synced_to(), 1);
  EXPECT_EQ(Drain(*watcher), "PUT a=1@2 PUT a=2@4");
  EXPECT_FALSE(watcher->pending());
  EXPECT_EQ(watcher->synced_to(), 4);
  kv.Put("a", "3");
  EXPECT_EQ(watcher->synced_to(), 4);
  EXPECT_EQ(Drain(*watcher), "PUT a=3@5");
  auto other = kv.Watch("a", {}, 5);
  EXPECT_EQ(Drain(*other), "PUT a=3@5");
}

// A start below the compacted revision is refused with it; the compacted revision itself is not,
// and its events are all there, deletions too, purged or not.
TEST(Watch, CompactedStart) {
  for (const bool purge : {false, true}) {
    Kv kv;
    kv.Put("a", "1");
    kv.Put("b", "1");
    kv.Delete("a");
    kv.Put("a", "2");
    kv.Compact(4);
    if (purge) kv.PurgeAll(1);
    auto late = kv.Watch("a", {}, 3);
    EXPECT_TRUE(late->pending());
    EXPECT_EQ(Drain(*late), "COT-4001:4");
    EXPECT_EQ(Drain(*late), "COT-4001:4");
    EXPECT_EQ(Drain(*kv.Watch("a", {}, 4)), "DEL a@4 PUT a=2@5");
  }
}

// A start in the future delivers nothing before, and reports no progress.
TEST(Watch, FutureStart) {
  Kv kv;
  kv.Put("a", "1");
  auto watcher = kv.Watch("a", {}, 5);
  EXPECT_FALSE(watcher->pending());
  EXPECT_EQ(watcher->synced_to(), 0);
  kv.Put("a", "2");
  EXPECT_EQ(Drain(*watcher), "");
  EXPECT_EQ(watcher->synced_to(), 0);
  kv.Put("a", "3");
  EXPECT_EQ(Drain(*watcher), "");
  EXPECT_EQ(watcher->synced_to(), 4);
  kv.Put("a", "4");
  EXPECT_EQ(Drain(*watcher), "PUT a=4@5");
}

// Far behind, with keys that rarely change: one Poll looks at a bounded part of the log and says
// that there may be more; in the end every event is there, each once.
TEST(Watch, LongStretchesWithoutEventsAreTakenInParts) {
  Kv kv({.watch_ring_bytes_max = 0});
  kv.Put("rare", "first");
  for (int i = 0; i < 20000; ++i) kv.Put("often", "v");
  kv.Put("rare", "last");
  const auto watcher = kv.Watch("rare", {}, 1);
  std::string events;
  int polls = 0;
  while (watcher->pending() && polls < 100) {
    ++polls;
    const auto before = kv.engine.steps;
    const auto polled = watcher->Poll(1 << 20);
    ASSERT_TRUE(polled.has_value());
    EXPECT_LT(kv.engine.steps - before, 6000U);
    for (const auto& event : polled->events) events += Text(event) + " ";
    if (watcher->pending()) EXPECT_LT(watcher->synced_to(), kv.store.revision());
  }
  EXPECT_GE(polls, 3);
  EXPECT_EQ(events, "PUT rare=first@2 PUT rare=last@20003 ");
  EXPECT_EQ(watcher->synced_to(), kv.store.revision());
}

// A revision is never split, however small the limit; a Poll with events before it returns at the
// limit.
TEST(Watch, RevisionsStayWhole) {
  for (const std::size_t ring : {std::size_t{0}, std::size_t{1} << 20}) {
    Kv kv({.watch_ring_bytes_max = ring});
    auto watcher = kv.Watch(kAll, kAll);
    TxnRequest txn;
    for (int i = 0; i < 5; ++i) AddPut(txn.mutable_success(), "k" + std::to_string(i), "v");
    kv.Txn(txn);
    kv.Txn(txn);
    EXPECT_EQ(watcher->Poll(1)->events.size(), 5u);
    EXPECT_EQ(watcher->synced_to(), 2);
    EXPECT_EQ(watcher->Poll(1)->events.size(), 5u);
    EXPECT_EQ(watcher->Poll(1)->events.size(), 0u);
    EXPECT_EQ(watcher->synced_to(), 3);
  }
}

// Filters leave out puts or deletions.
TEST(Watch, Filters) {
  Kv kv;
  WatchSpec deletes{.key = "a", .range_end = {}, .start = 0, .no_put = true};
  WatchSpec puts{.key = "a", .range_end = {}, .start = 0, .no_delete = true};
  auto only_deletes = kv.store.Watch(deletes, kv.wake);
  auto only_puts = kv.store.Watch(puts, kv.wake);
  kv.Put("a", "1");
  EXPECT_FALSE(only_deletes->pending());
  kv.Delete("a");
  EXPECT_EQ(Drain(*only_deletes), "DEL a@3");
  EXPECT_EQ(Drain(*only_puts), "PUT a=1@2");
}

// A put makes only those pending who watch its key; the others advance by themselves.
TEST(Watch, OnlyMatchingWatchersWake) {
  Kv kv;
  auto exact = kv.Watch("a");
  auto prefix = kv.Watch("a", "b");
  auto other = kv.Watch("b");
  auto from = kv.Watch("aa", kAll);
  kv.Put("a", "1");
  EXPECT_TRUE(exact->pending());
  EXPECT_TRUE(prefix->pending());
  EXPECT_FALSE(other->pending());
  EXPECT_FALSE(from->pending());
  EXPECT_EQ(other->synced_to(), 2);
  EXPECT_EQ(exact->synced_to(), 1);
}

// Watchers outlive the state they watch: those behind read on in the new one, those whose events
// are compacted away there are finished.
TEST(Watch, SurvivesLoadOfAnotherState) {
  Kv behind, ahead;
  behind.Put("a", "1");
  auto watcher = behind.Watch("a");
  auto idle = behind.Watch("z");
  for (int i = 1; i <= 4; ++i) ahead.Put("a", std::to_string(i));
  ASSERT_TRUE(behind.store.Load(ahead.engine));
  EXPECT_EQ(Drain(*watcher), "PUT a=2@3 PUT a=3@4 PUT a=4@5");
  EXPECT_EQ(Drain(*idle), "");
  for (int i = 5; i <= 9; ++i) ahead.Put("a", std::to_string(i));
  ahead.Compact(8);
  ASSERT_TRUE(behind.store.Load(ahead.engine));
  EXPECT_EQ(Drain(*watcher), "COT-4001:8");
  ASSERT_TRUE(behind.store.Load(behind.engine));
}

// ---- leases

// Unknown lease on put, duplicate grant, too large a TTL, unknown revoke.
TEST(Leases, Refusals) {
  Kv kv;
  etcdserverpb::PutRequest put;
  put.set_key("a");
  put.set_lease(404);
  put.set_ignore_value(true);
  EXPECT_EQ(kv.Put(put).error().code, ErrorCode::kLeaseNotFound);
  ASSERT_TRUE(kv.Grant(7, 9'000'000'000));
  EXPECT_EQ(kv.Grant(7, 10).error().code, ErrorCode::kLeaseExists);
  EXPECT_EQ(kv.Grant(8, 9'000'000'001).error().code, ErrorCode::kLeaseTtlTooLarge);
  EXPECT_EQ(kv.Revoke(9).error().code, ErrorCode::kLeaseNotFound);
  EXPECT_EQ(kv.store.LeaseIds(), std::vector<std::int64_t>{7});
}

// Keys move with overwrites and go with deletions; revoking deletes those still attached.
TEST(Leases, AttachAndDetach) {
  Kv kv;
  for (const std::int64_t id : {7, 8}) kv.Grant(id, 10);
  for (const auto* key : {"a", "b", "c", "d"}) kv.Put(key, "v", 7);
  kv.Put("a", "v");
  kv.Put("b", "v", 8);
  kv.Delete("c");
  EXPECT_EQ(kv.store.FindLease(7, true)->keys, std::vector<std::string>{"d"});
  EXPECT_EQ(kv.store.FindLease(8, true)->keys, std::vector<std::string>{"b"});
  EXPECT_EQ(kv.store.FindLease(8, false)->keys.size(), 0u);
  EXPECT_EQ(kv.store.FindLease(9, true), std::nullopt);
  kv.Reload();
  EXPECT_EQ(kv.store.FindLease(7, true)->granted_ttl_seconds, 10);
  ASSERT_TRUE(kv.Revoke(7));
  EXPECT_EQ(Keys(*kv.Range(kAll, kAll)), "a b ");
  EXPECT_EQ(kv.store.LeaseIds(), std::vector<std::int64_t>{8});
}

// Ids are any 64 bits: the greatest and the least have their keys apart.
TEST(Leases, ExtremeIds) {
  Kv kv;
  const std::vector<std::int64_t> ids = {std::numeric_limits<std::int64_t>::min(), -1, 1,
                                         std::numeric_limits<std::int64_t>::max()};
  for (const auto id : ids) {
    kv.Grant(id, 10);
    kv.Put("k" + std::to_string(id), "v", id);
  }
  kv.Reload();
  for (const auto id : ids) {
    EXPECT_EQ(kv.store.FindLease(id, true)->keys,
              std::vector<std::string>{"k" + std::to_string(id)});
    ASSERT_TRUE(kv.Revoke(id));
  }
  EXPECT_EQ(kv.Range(kAll, kAll)->count(), 0);
}

// ---- maintenance

// Compacting: once at 0 on a fresh store (as etcd), never back, never ahead, and the newest version
// at or before the compacted revision stays readable.
TEST(Compaction, Rules) {
  Kv kv;
  EXPECT_TRUE(kv.Compact(0));
  EXPECT_EQ(kv.Compact(0).error().code, ErrorCode::kCompacted);
  EXPECT_TRUE(kv.Compact(1));
  EXPECT_EQ(kv.Compact(2).error().code, ErrorCode::kFutureRevision);
  kv.Put("a", "1");
  kv.Put("b", "1");
  kv.Delete("b");
  kv.Put("c", "1");
  EXPECT_TRUE(kv.Compact(5));
  EXPECT_EQ(kv.Compact(5).error().code, ErrorCode::kCompacted);
  kv.PurgeAll(1);
  EXPECT_EQ(kv.Get("a", 5).value(), "1");
  EXPECT_EQ(Keys(*kv.Range(kAll, kAll, 5)), "a c ");
}

// Purging leaves one record per live key, the events of the compacted revision, and two records of
// state.
TEST(Compaction, PurgeLeavesNoGarbage) {
  Kv kv;
  for (int i = 0; i < 20; ++i) kv.Put("a", "v");
  kv.Put("b", "v");
  kv.Delete("b");
  kv.Put("c", "v");
  kv.Compact(kv.store.revision());
  kv.PurgeAll(3);
  EXPECT_EQ(kv.engine.content().size(), 2u + 1u + 2u);
  const auto steps = kv.engine.steps;
  EXPECT_EQ(kv.store.PurgeSome(100), false);
  EXPECT_EQ(kv.engine.steps, steps);
}

// The hash of a revision does not depend on purging, and does on the content.
TEST(Hash, IndependentOfPurging) {
  Kv kv;
  for (int i = 0; i < 10; ++i) kv.Put("k" + std::to_string(i % 3), std::to_string(i));
  kv.Delete("k1");
  kv.Compact(8);
  const auto at_now = kv.store.HashKv(0);
  const auto at_nine = kv.store.HashKv(9);
  EXPECT_EQ(at_now->hash_revision, kv.store.revision());
  EXPECT_EQ(at_now->compact_revision, 8);
  EXPECT_NE(at_now->hash, at_nine->hash);
  for (bool more = true; more;) {
    more = *kv.store.PurgeSome(1);
    EXPECT_EQ(kv.store.HashKv(0)->hash, at_now->hash);
    EXPECT_EQ(kv.store.HashKv(9)->hash, at_nine->hash);
  }
  EXPECT_EQ(kv.store.HashKv(7).error().code, ErrorCode::kCompacted);
  EXPECT_EQ(kv.store.HashKv(99).error().code, ErrorCode::kFutureRevision);
  kv.Put("k0", "other");
  EXPECT_EQ(kv.store.HashKv(9)->hash, at_nine->hash);
  EXPECT_NE(kv.store.HashKv(0)->hash, at_now->hash);
}

// In steps, with writes, purges and a compaction between them, the hash is that of its revision and
// of the compaction it names.
TEST(Hash, InStepsIsTheSame) {
  Kv kv;
  for (int i = 0; i < 40; ++i) kv.Put("k" + std::to_string(i % 7), std::to_string(i));
  kv.Delete("k3");
  const Revision revision = kv.store.revision();
  for (const bool compact : {false, true}) {
    auto expected = kv.store.HashKv(revision);
    ASSERT_TRUE(expected.has_value());
    Store::HashProgress progress;
    progress.revision = revision;
    std::optional<Store::HashAt> hash;
    for (int step = 0; !hash && step < 1000; ++step) {
      const auto stepped = kv.store.HashKv(progress, 3);
      ASSERT_TRUE(stepped.has_value());
      hash = *stepped;
      kv.Put("k" + std::to_string(step % 7), "later");
      if (compact && step == 4) {
        kv.Compact(20);
        kv.PurgeAll(1);
        expected = kv.store.HashKv(revision);
      }
    }
    ASSERT_TRUE(hash.has_value());
    EXPECT_EQ(hash->hash, expected->hash);
    EXPECT_EQ(hash->compact_revision, expected->compact_revision);
  }
}

}  // namespace
}  // namespace coterie::kv

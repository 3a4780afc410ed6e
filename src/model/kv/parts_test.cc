// The store's parts by themselves: records, cache, range index, command codec, lease keeper; and
// how much work requests are.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/coding.h"
#include "model/kv/key_cache.h"
#include "model/kv/layout.h"
#include "model/kv/range_index.h"
#include "model/kv/test_support.h"

namespace coterie::kv {
namespace {

using testing::Drain;
using testing::kAll;
using testing::Kv;

std::string RandomKey(Random& random) {
  std::string key;
  for (auto n = random.Below(5) + 1; n > 0; --n) {
    static constexpr char kBytes[] = {'\x00', '\x01', '\x02', 'a', '\xfe', '\xff'};
    key.push_back(kBytes[random.Below(sizeof(kBytes))]);
  }
  return key;
}

// Records sort by key as unsigned bytes, then newest first, for arbitrary keys; and read back.
TEST(Layout, KeyRecordsSortAndParse) {
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    const std::string a = RandomKey(random), b = RandomKey(random);
    const auto ra = static_cast<Revision>(random.Below(300)),
               rb = static_cast<Revision>(random.Below(300));
    const std::string record_a = layout::KeyRecord(a, ra), record_b = layout::KeyRecord(b, rb);
    ASSERT_EQ(record_a < record_b, a < b || (a == b && ra > rb));
    if (a < b) ASSERT_LT(layout::AfterVersions(layout::KeyPrefix(a)), layout::KeyPrefix(b));
    if (a <= b) ASSERT_LE(layout::KeyPrefix(a), record_b);
    const auto parsed = layout::ParseKeyRecord(record_a);
    ASSERT_TRUE(parsed);
    ASSERT_EQ(parsed->revision, ra);
    std::string scratch;
    ASSERT_EQ(layout::UserKey(parsed->prefix, scratch), std::string_view(a));
  }
}

// The worked example of README.md.
TEST(Layout, WorkedExample) {
  Kv kv;
  kv.Grant(5, 60);
  kv.Put("a", "x");
  kv.Put("a", "y", 5);
  kv.Delete("a");
  std::string dump;
  for (const auto& [key, value] : kv.engine.content()) dump += Hex(key) + " " + Hex(value) + "\n";
  EXPECT_EQ(dump,
            "65000000000000000200000000 010061\n"
            "65000000000000000300000000 010161\n"
            "65000000000000000400000000 000161\n"
            "6b610001fffffffffffffffb 00\n"
            "6b610001fffffffffffffffc 0101020579\n"
            "6b610001fffffffffffffffd 0100010078\n"
            "6c0000000000000005 3c01\n"
            "6d7374617465 0104010400\n");
}

// Damaged records are refused, whatever they are cut down to.
TEST(Layout, DamageIsFound) {
  const std::string version =
      layout::EncodeVersion({.mod = 900, .create = 300, .version = 300}, "v");
  for (std::size_t n = 0; n < 5; ++n) EXPECT_FALSE(layout::ParseVersion(900, version.substr(0, n)));
  EXPECT_TRUE(layout::ParseVersion(900, version));
  EXPECT_FALSE(layout::ParseVersion(500, version));  // created before revision 1
  EXPECT_FALSE(layout::ParseVersion(900, "\x02"));
  EXPECT_FALSE(layout::ParseEvent(3, ""));
  EXPECT_FALSE(layout::ParseEvent(3, "\x07"));
  EXPECT_EQ(layout::ParseMeta("\x63").error().code, ErrorCode::kNewerData);
  EXPECT_EQ(layout::ParseMeta("").error().code, ErrorCode::kCorruptState);
  Kv kv;
  kv.Put("a", "1");
  kv.engine.mutable_content()[layout::KeyRecord("a", 2)] = "\x09";
  kv.Reload();
  EXPECT_EQ(kv.Range("a").error().code, ErrorCode::kCorruptState);
  EXPECT_EQ(kv.Range(kAll, kAll).error().code, ErrorCode::kCorruptState);
  EXPECT_EQ(kv.store.HashKv(0).error().code, ErrorCode::kCorruptState);
}

// The cache forgets the least recently used first, and only in Trim.
TEST(KeyCache, LeastRecentlyUsedGoesFirst) {
  KeyCache probe(1 << 20);
  probe.Set("a", {}, {});
  const std::size_t one = probe.bytes();
  KeyCache cache(2 * one);
  for (const auto* key : {"a", "b", "c"}) cache.Set(key, {.mod = key[0]}, {});
  ASSERT_NE(cache.Find("a"), nullptr);
  cache.Trim();
  EXPECT_EQ(cache.Find("a")->head.mod, 'a');
  EXPECT_EQ(cache.Find("b"), nullptr);
  EXPECT_EQ(cache.Find("c")->head.mod, 'c');
  cache.Set("a", {.mod = 9}, {});
  EXPECT_EQ(cache.Find("a")->head.mod, 9);
  EXPECT_EQ(cache.bytes(), 2 * one);
  cache.Clear();
  EXPECT_EQ(cache.Find("a"), nullptr);
  cache.Set("d", {}, {});
  cache.Trim();
  EXPECT_NE(cache.Find("d"), nullptr);
}

// The range index finds what looking at every range finds.
TEST(RangeIndex, EqualsLookingAtAll) {
  Random random(3);
  RangeIndex index;
  struct Range {
    std::string begin, end;
    std::uint64_t id;
  };
  std::vector<Range> ranges;
  const auto watcher_of = [](std::uint64_t id) { return reinterpret_cast<WatchCursor*>(id * 16); };
  for (std::uint64_t id = 1; id < 3000; ++id) {
    if (ranges.size() > 100 || (!ranges.empty() && random.Chance(0.4))) {
      const auto at = ranges.begin() + static_cast<std::ptrdiff_t>(random.Below(ranges.size()));
      index.Remove(at->begin, at->id);
      ranges.erase(at);
    } else {
      ranges.push_back({RandomKey(random), random.Chance(0.1) ? kAll : RandomKey(random), id});
      index.Insert(ranges.back().begin, ranges.back().end, id, watcher_of(id));
    }
    const std::string key = RandomKey(random);
    std::set<WatchCursor*> expected, found;
    for (const auto& range : ranges) {
      if (range.begin <= key && (range.end == kAll || key < range.end))
        expected.insert(watcher_of(range.id));
    }
    index.Stab(key, [&](WatchCursor* watcher) { ASSERT_TRUE(found.insert(watcher).second); });
    ASSERT_EQ(found, expected);
  }
}

// Embedding a request's bytes gives what serialising the Command gives, and the quick reader of
// puts reads what the general one does, or nothing.
TEST(CommandCodec, EqualsProtobuf) {
  Random random(4);
  for (int i = 0; i < 500; ++i) {
    Command command;
    auto* put = command.mutable_put();
    put->set_key(RandomKey(random));
    put->set_value(std::string(random.Below(300), 'v'));
    put->set_lease(random.Chance(0.5) ? 0 : static_cast<std::int64_t>(random.Next()));
    put->set_prev_kv(random.Chance(0.5));
    put->set_ignore_value(random.Chance(0.5));
    put->set_ignore_lease(random.Chance(0.5));
    const std::string bytes = command.SerializeAsString();
    ASSERT_EQ(EncodePut(put->SerializeAsString()), bytes);
    const auto view = DecodePut(bytes);
    ASSERT_TRUE(view);
    ASSERT_EQ(view->key, put->key());
    ASSERT_EQ(view->value, put->value());
    ASSERT_EQ(view->lease, put->lease());
    ASSERT_EQ(view->prev_kv, put->prev_kv());
    ASSERT_EQ(view->ignore_value, put->ignore_value());
    ASSERT_EQ(view->ignore_lease, put->ignore_lease());
    std::string damaged = bytes;
    damaged.resize(random.Below(bytes.size()));
    Command parsed;
    if (DecodePut(damaged)) ASSERT_TRUE(parsed.ParseFromString(damaged));
  }
  Command command;
  command.mutable_lease_grant()->set_id(-3);
  command.mutable_lease_grant()->set_ttl(60);
  EXPECT_EQ(EncodeLeaseGrant(-3, 60), command.SerializeAsString());
  command.mutable_lease_revoke()->set_id(-3);
  EXPECT_EQ(EncodeLeaseRevoke(-3), command.SerializeAsString());
  EXPECT_FALSE(DecodePut(command.SerializeAsString()));
}

// Bytes that are no command are refused and change nothing; a command of a newer version stops the
// replica.
TEST(Commands, MalformedAndUnknown) {
  Kv kv;
  for (const std::string& payload :
       {std::string("\x0a\x05zz", 4), std::string(), std::string("\xff\xff")}) {
    EXPECT_EQ(kv.Apply(payload).error().code, ErrorCode::kMalformed);
  }
  EXPECT_EQ(kv.store.revision(), 1);
  EXPECT_EQ(kv.store.applied(), LogIndex(3));
  const std::string newer("\xf2\x03\x00", 3);  // field 62
  const model::StateMachine::Command command{LogIndex(4), Term(1), newer, true};
  EXPECT_EQ(kv.store.Apply(std::span(&command, 1), LogIndex(4), Term(1)).error().code,
            ErrorCode::kNewerData);
}

// Overwriting a key that the cache knows reads nothing from the engine, and writes two records and
// the state record in one batch; without the cache it costs one seek.
TEST(Work, OverwriteReadsNothing) {
  Kv kv;
  kv.Put("k", "v");
  const auto steps = kv.engine.steps, gets = kv.engine.gets, records = kv.engine.content().size();
  kv.Put("k", "w");
  EXPECT_EQ(kv.engine.steps, steps);
  EXPECT_EQ(kv.engine.gets, gets);
  EXPECT_EQ(kv.engine.content().size(), records + 2);
  kv.Reload();
  const auto before = kv.engine.steps;
  kv.Put("k", "x");
  EXPECT_EQ(kv.engine.steps, before + 1);
}

// A range read is one scan, and a key with many versions costs it a constant number of steps.
TEST(Work, OldVersionsAreSkipped) {
  Kv kv;
  kv.Put("a", "v");
  for (int i = 0; i < 500; ++i) kv.Put("b", "v");
  kv.Put("c", "v");
  for (const Revision at : {Revision{0}, Revision{100}}) {
    const auto before = kv.engine.steps;
    ASSERT_TRUE(kv.Range("a", "z", at));
    EXPECT_LT(kv.engine.steps - before, 25u);
  }
}

// Reading page by page costs the first page a scan, which counts, and every other one its own
// length.
TEST(Work, PagesCostTheirLength) {
  Kv kv;
  for (int i = 0; i < 1000; ++i) kv.Put("k" + std::to_string(1000 + i), "v");
  const auto first = kv.Range("k", "l", 0, 10);
  std::string last = first->kvs(9).key();
  for (int page = 1; page < 20; ++page) {
    const auto before = kv.engine.steps;
    const auto response = kv.Range(last + '\0', "l", first->header().revision(), 10);
    EXPECT_EQ(response->count(), 1000 - 10 * page);
    EXPECT_LT(kv.engine.steps - before, 15u);
    kv.Delete(last);
    last = response->kvs(9).key();
  }
}

// Purging is work in proportion to garbage: live keys are not looked at.
TEST(Work, PurgeIsProportionalToGarbage) {
  Kv kv;
  for (int i = 0; i < 500; ++i) kv.Put("live" + std::to_string(i), "v");
  kv.Compact(kv.store.revision());
  kv.PurgeAll();
  for (int i = 0; i < 10; ++i) kv.Put("live7", "v");
  kv.Compact(kv.store.revision());
  const auto before = kv.engine.steps;
  kv.PurgeAll();
  EXPECT_LT(kv.engine.steps - before, 30u);
}

// Ten thousand watchers of other keys: a put makes none of them pending, and none has lost
// anything.
TEST(Work, ManyWatchers) {
  Kv kv;
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < 10000; ++i) {
    const std::string key = "k" + std::to_string(i);
    watchers.push_back(i % 2 == 0 ? kv.Watch(key) : kv.Watch(key, key + '\0'));
  }
  for (int i = 0; i < 200; ++i) kv.Put("k4", std::to_string(i));
  kv.Put("k7", "v");
  EXPECT_EQ(std::count_if(watchers.begin(), watchers.end(), [](auto& w) { return w->pending(); }),
            2);
  EXPECT_EQ(Drain(*watchers[7]), "PUT k7=v@202");
  EXPECT_EQ(watchers[8]->synced_to(), 202);
}

// ---- the lease keeper

Instant At(std::int64_t seconds) { return Instant(seconds * 1s); }

// A lease ends when its TTL has passed since the grant or the last renewal, and not before.
TEST(LeaseKeeper, ExpiresAndRenews) {
  Kv kv;
  LeaseKeeper keeper(kv.store);
  keeper.OnLeadership(true, At(100));
  kv.Grant(7, 10);
  kv.Grant(8, 20);
  EXPECT_EQ(keeper.NextDeadline(), Instant::max());
  keeper.Refresh(At(100));
  EXPECT_EQ(keeper.NextDeadline(), At(110));
  EXPECT_EQ(keeper.RemainingSeconds(7, At(103)), 6);
  EXPECT_EQ(keeper.RemainingSeconds(9, At(103)), std::nullopt);
  EXPECT_EQ(keeper.Renew(7, At(105)), 10);
  EXPECT_EQ(keeper.Renew(9, At(105)), std::nullopt);
  EXPECT_TRUE(keeper.TakeExpired(At(114), 10, 3s).empty());
  EXPECT_EQ(keeper.TakeExpired(At(115), 10, 3s), std::vector<std::int64_t>{7});
}

// What was handed out cannot be renewed, is handed out again only after the retry, and is gone once
// the revocation has been applied. Oldest deadlines come first, at most `max`.
TEST(LeaseKeeper, HandsOutOnce) {
  Kv kv;
  LeaseKeeper keeper(kv.store);
  for (const std::int64_t id : {1, 2, 3}) kv.Grant(id, 10 + 3 - id);
  keeper.OnLeadership(true, At(0));
  EXPECT_EQ(keeper.TakeExpired(At(20), 2, 5s), (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(keeper.Renew(3, At(20)), std::nullopt);
  EXPECT_EQ(keeper.Renew(1, At(20)), std::nullopt);  // over, though not handed out yet
  EXPECT_EQ(keeper.RemainingSeconds(3, At(20)), 0);
  EXPECT_EQ(keeper.TakeExpired(At(20), 9, 5s), std::vector<std::int64_t>{1});
  EXPECT_TRUE(keeper.TakeExpired(At(24), 9, 5s).empty());
  kv.Revoke(3);
  keeper.Refresh(At(24));
  EXPECT_EQ(keeper.TakeExpired(At(25), 9, 5s), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(keeper.RemainingSeconds(3, At(25)), std::nullopt);
}

// A new leader gives every lease its full TTL, but only once between two renewals; one that does
// not lead counts, and expires nothing.
TEST(LeaseKeeper, LeadershipProlongsOnce) {
  Kv kv;
  kv.Grant(7, 10);
  LeaseKeeper keeper(kv.store);
  keeper.Refresh(At(0));
  EXPECT_TRUE(keeper.TakeExpired(At(1000), 9, 1s).empty());
  keeper.OnLeadership(true, At(1000));
  EXPECT_EQ(keeper.RemainingSeconds(7, At(1000)), 9);
  keeper.OnLeadership(false, At(1005));
  EXPECT_EQ(keeper.RemainingSeconds(7, At(1005)), 4);
  EXPECT_EQ(keeper.NextDeadline(), Instant::max());
  keeper.OnLeadership(true, At(1006));
  EXPECT_EQ(keeper.RemainingSeconds(7, At(1006)), 3);
  kv.Renew(7);
  keeper.Refresh(At(1007));
  keeper.OnLeadership(false, At(1008));
  EXPECT_TRUE(keeper.TakeExpired(At(2000), 9, 1s).empty());
  keeper.OnLeadership(true, At(1009));
  EXPECT_EQ(keeper.TakeExpired(At(1019), 9, 1s).size(), 1u);
}

// What was handed out by a leader that lost its place is handed out again when it leads again.
TEST(LeaseKeeper, HandedOutAnewAfterALostLeadership) {
  Kv kv;
  kv.Grant(7, 10);
  LeaseKeeper keeper(kv.store);
  keeper.OnLeadership(true, At(0));
  EXPECT_EQ(keeper.TakeExpired(At(10), 9, 100s).size(), 1u);
  keeper.OnLeadership(false, At(11));
  keeper.OnLeadership(true, At(12));
  EXPECT_EQ(keeper.TakeExpired(At(12), 9, 100s).size(), 1u);
}

// A replica that follows takes over its leader's counts, except for what it heard of after it
// asked.
TEST(LeaseKeeper, AdoptsTheLeadersCounts) {
  Kv kv;
  for (const std::int64_t id : {1, 2, 3}) kv.Grant(id, 100);
  LeaseKeeper leader(kv.store);
  leader.OnLeadership(true, At(0));
  LeaseKeeper follower(kv.store);
  follower.Refresh(At(50));
  const auto counts = leader.Counts(1, 10, At(60));
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts[0].id, 2);
  EXPECT_EQ(counts[0].left, 40s);
  EXPECT_TRUE(counts[0].prolonged);
  kv.Renew(3);
  follower.Refresh(At(61));
  for (const auto& count : counts) follower.Adopt(count, At(60), At(62));
  EXPECT_EQ(follower.RemainingSeconds(1, At(62)), 87);
  EXPECT_EQ(follower.RemainingSeconds(2, At(62)), 39);
  EXPECT_EQ(follower.RemainingSeconds(3, At(62)), 98);
  follower.OnLeadership(true, At(62));
  EXPECT_EQ(follower.RemainingSeconds(2, At(62)), 39);  // prolonged before
  EXPECT_EQ(follower.RemainingSeconds(3, At(62)), 99);
}

// A lease revoked and granted anew between two looks is a new lease: full TTL, also when so many
// leases changed that only a full comparison finds it. After a load all are counted anew.
TEST(LeaseKeeper, RegrantIsANewLease) {
  for (const int others : {0, 5000}) {
    Kv kv;
    LeaseKeeper keeper(kv.store);
    keeper.OnLeadership(true, At(0));
    kv.Grant(7, 10);
    kv.Grant(8, 10);
    keeper.Refresh(At(0));
    kv.Revoke(7);
    kv.Grant(7, 10);
    for (int i = 0; i < others; ++i) kv.Grant(100 + i, 1000);
    keeper.Refresh(At(8));
    EXPECT_EQ(keeper.RemainingSeconds(7, At(8)), 9);
    EXPECT_EQ(keeper.RemainingSeconds(8, At(8)), 1);
    kv.Reload();  // renewals may lie in what was loaded
    keeper.Refresh(At(9));
    EXPECT_EQ(keeper.RemainingSeconds(7, At(9)), 9);
    EXPECT_EQ(keeper.RemainingSeconds(8, At(9)), 9);
  }
}

// The longest TTL does not overflow the time line.
TEST(LeaseKeeper, LongestTtl) {
  Kv kv;
  kv.Grant(7, 9'000'000'000);
  LeaseKeeper keeper(kv.store);
  keeper.OnLeadership(true, At(9'000'000'000));
  EXPECT_TRUE(keeper.TakeExpired(At(9'100'000'000), 9, 1s).empty());
  EXPECT_EQ(keeper.Renew(7, At(9'100'000'000)), 9'000'000'000);
}

}  // namespace
}  // namespace coterie::kv

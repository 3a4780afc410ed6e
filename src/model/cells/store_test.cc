#include "model/cells/store.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "base/coding.h"
#include "model/cells/layout.h"
#include "model/cells/testing/replica.h"

namespace coterie::cells::testing {
namespace {

using Policy = keyspace::Conflict;

std::vector<std::string> Members(Store& store, const std::string& key,
                                 std::string_view after = "") {
  std::vector<std::string> members;
  store.VisitSet(kShard, key, after, [&](std::string_view member) {
    members.emplace_back(member);
    return true;
  });
  return members;
}

// The engine's bytes are of format 1: a string, a hash field, a sorted-set member with its index
// and a deadline with its index.
TEST(Layout, GoldenRecords) {
  Replica replica(NodeId(1), Policy::kCrdt, {});
  replica.Do(Ms(1), [](Edit& edit) { edit.SetString("s", "v"); });
  replica.Do(Ms(2), [](Edit& edit) { edit.HashSet(std::string("h\0", 2), "f", "w"); });
  replica.Do(Ms(3), [](Edit& edit) {
    edit.SortedSetAdd("z", "m", 1.5);
    edit.SetExpiry("z", 77);
  });
  replica.WriteBack();
  std::string text;
  for (const auto& [key, value] : replica.engine.content()) {
    text += key.substr(0, 1) + " " + Hex(key.substr(1)) + ": " + Hex(value) + "\n";
  }
  const std::string shard = "0000000000000100";
  // Cells: format, context {n1.0: counter}, one entry (place, behind, kind, time, value), no
  // floors.
  const std::string expected =
      // h\0: counts only: one field, one byte of names, one cell, a sum of operations of 0
      "c " + shard + "6800ff000100: 01 10 0001000000000101 0000000000000000\n" +
      // its field f
      "c " + shard + "6800ff00012066: 01 0180800402 01 00 00 01 0000020000000000 0177 00\n" +
      // s: a string
      "c " + shard + "73000100: 01 01 15 01 0180800401 01 00 00 01 0000010000000000 0176 00\n" +
      // z: a deadline, and counts
      "c " + shard + "7a000100: 01 14 1c 01 0180800403 01 00 00 01 0000030000000000" +
      " 08000000000000004d 00 0000000100000101 0000000000000000\n" +
      // its member m
      "c " + shard + "7a0001226d: 01 0180800403 01 00 00 01 0000030000000000" +
      " 083ff8000000000000 00\n" + "j : 0000000000000003\n" + "s " + shard + ": 01 03\n" + "v " +
      shard + ": 01 808004 03\n" + "x " + shard + "000000000000004d 7a: \n" + "z " + shard +
      "7a0001 bff8000000000000 6d: \n";
  const auto packed = [](std::string lines) {
    std::erase(lines, ' ');
    return lines;
  };
  EXPECT_EQ(packed(text), packed(expected));
}

// Cell keys come apart as they were put together, and sort as the users' keys do.
TEST(Layout, CellKeys) {
  const std::vector<std::string> keys = {"",
                                         std::string("\0", 1),
                                         std::string("\0\1", 2),
                                         std::string("\0\xff", 2),
                                         "\x01",
                                         "a",
                                         std::string("a\0", 2),
                                         std::string("a\0b", 3),
                                         "ab",
                                         "\xff",
                                         "\xff\xff"};
  std::string before;
  for (const auto& key : keys) {
    std::string bytes;
    PutCellKey(bytes, key, Kind::kField, "f");
    EXPECT_LT(before, bytes);
    before = bytes;
    const auto [first, second] = Store::CellsOf(key);
    EXPECT_LE(first, bytes);
    EXPECT_LT(bytes, second);
    std::string scratch;
    const auto name = ParseCellKey(bytes, scratch);
    ASSERT_TRUE(name.has_value());
    EXPECT_EQ(name->key, key);
    EXPECT_EQ(name->element, "f");
  }
}

// Doubles sort as their bytes; both zeros are one.
TEST(Layout, OrderedDoubles) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::string before;
  for (const double value : {-kInfinity, -1e300, -2.0, -1e-300, 0.0, 1e-300, 1.0, 1.5, kInfinity}) {
    std::string bytes;
    PutOrderedDouble(bytes, value);
    EXPECT_LT(before, bytes);
    before = bytes;
    std::string_view in = bytes;
    EXPECT_EQ(GetOrderedDouble(in), value);
  }
  std::string zero;
  std::string minus_zero;
  PutOrderedDouble(zero, 0.0);
  PutOrderedDouble(minus_zero, -0.0);
  EXPECT_EQ(zero, minus_zero);
}

// Of two values written at once the later stays, and each replica reports the other one, once.
TEST(Conflicts, LosersAreReportedOnceOnEachReplica) {
  Pair pair;
  pair.a.Do(Ms(10), [](Edit& edit) {
    edit.SetString("k", "mine");
    edit.HashSet("h", "f", "field of a");
    edit.SortedSetAdd("z", "m", 2.5);
  });
  const std::string long_value(1000, 'x');
  pair.b.Do(Ms(20), [&](Edit& edit) {
    edit.SetString("k", "yours");
    edit.HashSet("h", "f", "field of b");
    edit.SortedSetAdd("z", "m", 7);
  });
  pair.Exchange();
  pair.Exchange();
  for (Replica* each : {&pair.a, &pair.b}) {
    EXPECT_EQ(each->store->GetString(kShard, "k"), "yours");
    EXPECT_EQ(each->store->Score(kShard, "z", "m"), 7);
    ASSERT_EQ(each->conflicts.size(), 3u);
    EXPECT_EQ(each->conflicts[0].key, "k");
    EXPECT_EQ(each->conflicts[0].value, "mine");
    EXPECT_EQ(each->conflicts[0].dot.actor, pair.a.actor);
    EXPECT_EQ(each->conflicts[0].winner.actor, pair.b.actor);
    EXPECT_EQ(each->conflicts[0].time, Ms(10));
    EXPECT_EQ(each->conflicts[1].element, "f");
    EXPECT_EQ(each->conflicts[2].value, "2.5");
  }
  // What was seen is not lost: no report.
  pair.a.Do(Ms(30), [&](Edit& edit) { edit.SetString("k", long_value); });
  pair.Exchange();
  EXPECT_EQ(pair.b.conflicts.size(), 3u);
  // At most 128 bytes of a value are kept.
  pair.b.Do(Ms(41), [&](Edit& edit) { edit.SetString("k", "b"); });
  pair.a.Do(Ms(40), [&](Edit& edit) { edit.SetString("k", long_value); });
  pair.Exchange();
  EXPECT_EQ(pair.b.conflicts.back().value, long_value.substr(0, 128));
}

// lww: a deletion is a write of nothing. It wins over an earlier write that it had not seen, which
// is reported; under crdt that write survives.
TEST(Conflicts, DeletionsUnderLww) {
  for (const Policy policy : {Policy::kLww, Policy::kCrdt}) {
    Pair pair(policy);
    pair.a.Do(Ms(1), [](Edit& edit) {
      edit.SetString("k", "0");
      edit.HashSet("h", "f", "0");
    });
    pair.Exchange();
    pair.a.Do(Ms(10), [](Edit& edit) {
      edit.SetString("k", "1");
      edit.HashSet("h", "f", "1");
    });
    pair.b.Do(Ms(20), [](Edit& edit) {
      EXPECT_TRUE(edit.RemoveKey("k"));
      EXPECT_TRUE(edit.HashRemove("h", "f"));
    });
    pair.Exchange();
    for (Replica* each : {&pair.a, &pair.b}) {
      const bool lww = policy == Policy::kLww;
      EXPECT_EQ(each->store->GetString(kShard, "k").has_value(), !lww);
      EXPECT_EQ(each->store->HashGet(kShard, "h", "f").has_value(), !lww);
      EXPECT_EQ(each->store->KeyCount(kShard), lww ? 0u : 2u);
      EXPECT_EQ(each->conflicts.size(), lww ? 2u : 0u);
    }
    EXPECT_EQ(pair.a.store->Digest(kShard).value(), pair.b.store->Digest(kShard).value());
    pair.PurgeBoth();
    EXPECT_EQ(pair.a.store->tombstones(kShard), 0u);
    EXPECT_EQ(pair.a.store->Digest(kShard).value(), pair.b.store->Digest(kShard).value());
  }
}

// Clients that had not read each other's values leave siblings even on one node; one that has read
// them replaces them; at 100 a write is refused and nothing changes.
TEST(Siblings, StayUntilTheyAreRead) {
  Pair pair(Policy::kSiblings);
  const auto over = [&](Replica& replica, std::uint64_t ms, const VersionVector& context,
                        std::string value) {
    Status status;
    replica.Do(Ms(ms), [&](Edit& edit) { status = edit.SetStringOver("k", context, value); });
    return status;
  };
  ASSERT_TRUE(over(pair.a, 1, {}, "one"));
  const VersionVector read_one = pair.a.store->GetSiblings(kShard, "k").context;
  ASSERT_TRUE(over(pair.a, 2, {}, "two"));
  ASSERT_TRUE(over(pair.b, 3, {}, "three"));
  pair.Exchange();
  using Values = std::vector<std::string>;
  EXPECT_EQ(pair.b.store->GetSiblings(kShard, "k").values, (Values{"three", "two", "one"}));
  EXPECT_EQ(pair.b.store->GetString(kShard, "k"), "three");
  ASSERT_TRUE(over(pair.b, 4, read_one, "over one"));
  pair.Exchange();
  EXPECT_EQ(pair.a.store->GetSiblings(kShard, "k").values, (Values{"over one", "three", "two"}));
  ASSERT_TRUE(over(pair.a, 5, pair.a.store->GetSiblings(kShard, "k").context, "all"));
  pair.Exchange();
  EXPECT_EQ(pair.b.store->GetSiblings(kShard, "k").values, Values{"all"});

  for (int i = 1; i < 100; ++i) ASSERT_TRUE(over(pair.a, 5 + i, {}, std::to_string(i)));
  const auto refused = over(pair.a, 1000, {}, "too many");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooManySiblings);
  EXPECT_EQ(pair.a.store->GetSiblings(kShard, "k").values.size(), 100u);
  pair.a.Do(Ms(1001), [](Edit& edit) { edit.SetString("k", "plain"); });
  EXPECT_EQ(pair.a.store->GetSiblings(kShard, "k").values, Values{"plain"});
}

// Increments made at once add up; one that was made at two nodes under one id counts once, and so
// does a retry after it; an integer that was assigned is the base; text is refused.
TEST(Counters, AddUpExactly) {
  Pair pair;
  pair.a.Do(Ms(1), [](Edit& edit) { edit.SetString("n", "40"); });
  pair.Exchange();
  pair.a.Do(Ms(2), [](Edit& edit) { EXPECT_EQ(edit.Increment("n", 2).value(), 42); });
  pair.b.Do(Ms(2), [](Edit& edit) { EXPECT_EQ(edit.Increment("n", 5).value(), 45); });
  pair.a.Do(Ms(3), [](Edit& edit) { EXPECT_EQ(edit.Increment("n", 100, "id").value(), 142); });
  pair.b.Do(Ms(4), [](Edit& edit) { EXPECT_EQ(edit.Increment("n", 100, "id").value(), 145); });
  pair.Exchange();
  for (Replica* each : {&pair.a, &pair.b}) {
    EXPECT_EQ(each->store->GetString(kShard, "n"), "147");
    EXPECT_EQ(each->Do(Ms(5), [](Edit& e) { EXPECT_EQ(e.Increment("n", 100, "id").value(), 147); }),
              "");
  }
  // A concurrent assignment replaces what it had seen, and the rest comes on top.
  pair.a.Do(Ms(6), [](Edit& edit) { edit.SetString("n", "0"); });
  pair.b.Do(Ms(7), [](Edit& edit) { EXPECT_EQ(edit.Increment("n", 3).value(), 150); });
  pair.Exchange();
  EXPECT_EQ(pair.a.store->GetString(kShard, "n"), "3");
  EXPECT_EQ(pair.b.store->GetString(kShard, "n"), "3");

  pair.a.Do(Ms(8), [](Edit& edit) {
    edit.SetString("text", "007");
    EXPECT_EQ(edit.Increment("text", 1).error().code, ErrorCode::kNotAnInteger);
    edit.SetString("max", std::to_string(INT64_MAX));
    EXPECT_EQ(edit.Increment("max", 1).error().code, ErrorCode::kOverflow);
    EXPECT_EQ(edit.Increment("max", -1).value(), INT64_MAX - 1);
    edit.HashSet("h", "f", "x");
    EXPECT_EQ(edit.HashIncrement("h", "f", 1).error().code, ErrorCode::kNotAnInteger);
  });
}

// Under lww a deadline is of the string that it was set with or for: one that was meant for an
// earlier string, and comes later, does not end its successor.
TEST(Expiry, IsOfItsStringUnderLww) {
  Pair pair(keyspace::Conflict::kLww);
  pair.a.Do(Ms(10), [](Edit& edit) {
    edit.SetString("k", "old");
    edit.SetExpiry("k", 50);
  });
  pair.b.Do(Ms(20), [](Edit& edit) { edit.SetString("k", "new"); });
  pair.Exchange();
  for (Replica* each : {&pair.a, &pair.b}) {
    Store& store = *each->store;
    store.SetWallMs(100);
    EXPECT_EQ(store.GetString(kShard, "k"), "new");
    EXPECT_EQ(store.ExpiresAt(kShard, "k"), std::nullopt);
    EXPECT_TRUE(store.Expired(kShard, 10).empty());
  }
  pair.a.Do(Ms(110), [](Edit& edit) { edit.SetExpiry("k", 500); });
  pair.a.Do(Ms(120), [](Edit& edit) { edit.SetString("k", "newer", true); });
  EXPECT_EQ(pair.a.store->ExpiresAt(kShard, "k"), 500u);
  // What has expired is removed at the time of what is removed: a string from elsewhere stays.
  pair.Exchange();
  pair.a.store->SetWallMs(600);
  EXPECT_EQ(pair.a.store->AssignedAt(kShard, "k"), Ms(120));
  pair.b.Do(Ms(550), [](Edit& edit) { edit.SetString("k", "newest"); });
  pair.a.Do(Ms(120), [](Edit& edit) { edit.RemoveExpired("k"); });
  pair.Exchange();
  EXPECT_EQ(pair.a.store->GetString(kShard, "k"), "newest");
  EXPECT_EQ(pair.b.store->GetString(kShard, "k"), "newest");
}

// The later of two deadlines set at once stands, PERSIST is the latest; who has seen one may
// shorten it. What has expired cannot be seen, is listed oldest first, and ends with a write.
TEST(Expiry, GreatestWinsAndTimeHides) {
  Pair pair;
  pair.a.Do(Ms(1), [](Edit& edit) {
    for (const char* key : {"k", "l", "m"}) edit.SetString(key, "v");
  });
  pair.Exchange();
  pair.a.Do(Ms(2), [](Edit& edit) {
    edit.SetExpiry("k", 100);
    edit.SetExpiry("l", 70);
    edit.SetExpiry("m", 50);
  });
  pair.b.Do(Ms(3), [](Edit& edit) {
    edit.SetExpiry("k", 60);
    edit.SetExpiry("l", std::nullopt);
  });
  pair.Exchange();
  for (Replica* each : {&pair.a, &pair.b}) {
    Store& store = *each->store;
    EXPECT_EQ(store.ExpiresAt(kShard, "k"), 100u);
    EXPECT_EQ(store.ExpiresAt(kShard, "l"), std::nullopt);
    store.SetWallMs(49);
    EXPECT_TRUE(store.Expired(kShard, 10).empty());
    store.SetWallMs(50);
    EXPECT_EQ(store.TypeOf(kShard, "m"), ObjectType::kNone);
    EXPECT_EQ(store.Expired(kShard, 10), std::vector<std::string>{"m"});
    store.SetWallMs(200);
    EXPECT_EQ(store.Expired(kShard, 10), (std::vector<std::string>{"m", "k"}));
    EXPECT_EQ(store.Expired(kShard, 1), std::vector<std::string>{"m"});
    EXPECT_EQ(store.Keys(kShard, "", 10), std::vector<std::string>{"l"});
    EXPECT_EQ(store.KeyCount(kShard), 3u);
  }
  pair.a.Do(Ms(201), [](Edit& edit) {
    EXPECT_FALSE(edit.RemoveKey("k"));
    EXPECT_EQ(edit.Increment("m", 1).value(), 1);
  });
  EXPECT_TRUE(pair.a.store->Expired(kShard, 10).empty());
  EXPECT_EQ(pair.a.store->GetString(kShard, "m"), "1");
  EXPECT_EQ(pair.a.store->ExpiresAt(kShard, "m"), std::nullopt);
  pair.a.Do(Ms(202), [](Edit& edit) { edit.SetExpiry("m", 500); });
  pair.a.Do(Ms(203), [](Edit& edit) { edit.SetExpiry("m", 300); });
  EXPECT_EQ(pair.a.store->ExpiresAt(kShard, "m"), 300u);
}

// Entries of one edit follow each other; their ids are those of its dot and time, and no other's.
TEST(Streams, Ids) {
  Replica replica(NodeId(3), Policy::kCrdt, {});
  const HybridTime time = clock::MakeHybridTime(77, 5);
  StreamId first;
  StreamId second;
  replica.Do(time, [&](Edit& edit) {
    first = edit.StreamAdd("s", {{"a", "1"}, {"b", "2"}});
    second = edit.StreamAdd("s", {{"c", "3"}});
  });
  EXPECT_EQ(first, StreamIdOf({.actor = replica.actor, .counter = 1}, time));
  EXPECT_EQ(first.ms, 77u);
  EXPECT_EQ(second.sequence, first.sequence + 1);
  EXPECT_NE(StreamIdOf({.actor = clock::MakeActor(NodeId(4), 0), .counter = 1}, time), first);
  std::vector<StreamId> ids;
  replica.store->VisitStream(kShard, "s", first, second, true, [&](const StreamEntry& entry) {
    ids.push_back(entry.id);
    return true;
  });
  EXPECT_EQ(ids, (std::vector<StreamId>{second, first}));
  ids.clear();
  replica.store->VisitStream(kShard, "s", second, second, false, [&](const StreamEntry& entry) {
    ids.push_back(entry.id);
    EXPECT_EQ(entry.fields.front().second, "3");
    return true;
  });
  EXPECT_EQ(ids, std::vector<StreamId>{second});
}

/// `count` members in a set and in a sorted set (scores descending), and as many fields.
void FillLarge(Replica& replica, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string name = std::to_string(100'000 + i);
    replica.Do(Ms(1 + static_cast<std::uint64_t>(i)), [&](Edit& edit) {
      edit.SetAdd("set", name);
      edit.SortedSetAdd("zset", name, -i);
    });
  }
}

// A collection too large to load is read in order through the engine, from anywhere, both ways;
// looking up or adding one element loads one.
TEST(Large, ReadThroughTheEngine) {
  Replica replica(NodeId(1), Policy::kCrdt, {});
  constexpr int kCount = 3000;
  FillLarge(replica, kCount);
  replica.WriteBack();
  replica.engine.FlushNow();
  Random random(1);
  replica.Crash(random);
  Store& store = *replica.store;
  EXPECT_EQ(store.Size(kShard, "set", ObjectType::kSet), static_cast<std::uint64_t>(kCount));

  replica.engine.gets = replica.engine.iterations = 0;
  EXPECT_TRUE(store.SetContains(kShard, "set", "100007"));
  EXPECT_FALSE(store.SetContains(kShard, "set", "nobody"));
  EXPECT_EQ(replica.engine.gets, 2);
  replica.Do(Ms(9000), [](Edit& edit) {
    EXPECT_FALSE(edit.SetAdd("set", "100007"));
    EXPECT_TRUE(edit.SetAdd("set", "100007a"));
    EXPECT_TRUE(edit.SetRemove("set", "100008"));
    edit.SortedSetIncrement("zset", "100009", 10'000);
  });
  EXPECT_EQ(replica.engine.iterations, 0);

  const auto members = Members(store, "set", "100006");
  ASSERT_EQ(members.size(), static_cast<std::size_t>(kCount) - 7);
  EXPECT_EQ(members[0], "100007");
  EXPECT_EQ(members[1], "100007a");
  EXPECT_EQ(members[2], "100009");
  std::vector<ScoredMember> scored;
  const auto first_two = [&](std::string_view member, double score) {
    scored.push_back({std::string(member), score});
    return scored.size() < 2;
  };
  store.VisitSortedSet(kShard, "zset", 1e9, true, first_two);
  EXPECT_EQ(scored[0].member, "100009");
  EXPECT_EQ(scored[0].score, 9991);
  EXPECT_EQ(scored[1].member, "100000");
  scored.clear();
  store.VisitSortedSet(kShard, "zset", -10.5, false, first_two);
  EXPECT_EQ(scored[0].member, "100010");
  EXPECT_EQ(scored[1].member, "100008");
}

// What one edit has changed it sees itself, also when it reads a large collection in between.
TEST(Large, AnEditSeesItsOwnChanges) {
  Replica replica(NodeId(1), Policy::kCrdt, {.whole_cells_max = 10});
  FillLarge(replica, 100);
  replica.WriteBack();
  Random random(1);
  replica.engine.FlushNow();
  replica.Crash(random);
  replica.Do(Ms(9000), [&](Edit& edit) {
    EXPECT_TRUE(edit.SetRemove("set", "100000"));
    EXPECT_EQ(Members(*replica.store, "set").front(), "100001");
    // Changing what is being read does no harm.
    replica.store->VisitSortedSet(kShard, "zset", -1e9, false, [&](std::string_view m, double) {
      EXPECT_TRUE(edit.SortedSetRemove("zset", std::string(m)));
      return true;
    });
    EXPECT_EQ(replica.store->Size(kShard, "zset", ObjectType::kSortedSet), 0u);
  });
  EXPECT_EQ(Members(*replica.store, "set").size(), 99u);
}

// A hot key costs no engine access: not to read it, not to write it.
TEST(Cache, HotKeysTouchNoEngine) {
  Replica replica(NodeId(1), Policy::kCrdt, {});
  replica.Do(Ms(1), [](Edit& edit) { edit.SetString("k", "v"); });
  replica.engine.gets = replica.engine.writes = 0;
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(replica.store->GetString(kShard, "k").has_value());
    replica.Do(Ms(2), [](Edit& edit) { edit.SetString("k", "w"); });
    EXPECT_EQ(replica.store->GetString(kShard, "absent"), std::nullopt);
  }
  EXPECT_EQ(replica.engine.gets, 1);  // that "absent" is
  EXPECT_EQ(replica.engine.writes, 0);
}

// Changed cells ask to be written back at their bound; afterwards they do not.
TEST(Cache, WantsWriteBackAtItsBound) {
  Replica replica(NodeId(1), Policy::kCrdt, {.dirty_bytes_max = 10'000});
  int writes = 0;
  while (!replica.store->WantsWriteBack() && writes < 1000) {
    ++writes;
    replica.Do(Ms(1), [&](Edit& edit) {
      edit.SetString("key" + std::to_string(writes), std::string(100, 'v'));
    });
  }
  EXPECT_LT(writes, 101);
  EXPECT_GT(writes, 20);
  replica.WriteBack();
  EXPECT_FALSE(replica.store->WantsWriteBack());
  EXPECT_EQ(replica.store->journal_position(), LogIndex(replica.journal.size()));
}

// Removing an object of very many elements at once is refused before it is begun.
TEST(Edits, RemovalIsBounded) {
  Replica replica(NodeId(1), Policy::kCrdt, {});
  replica.Do(Ms(1), [](Edit& edit) {
    const std::string big(1 << 20, 'x');
    for (int i = 0; i < 17; ++i) edit.SetAdd("set", big + std::to_string(i));
    EXPECT_EQ(edit.CheckRemoval("set").error().code, ErrorCode::kTooLarge);
    edit.SetRemove("set", big + "0");
    edit.SetRemove("set", big + "1");
    EXPECT_TRUE(edit.CheckRemoval("set").has_value());
    EXPECT_TRUE(edit.CheckRemoval("absent").has_value());
  });
}

// Records that are not records are damage, and say so.
TEST(Load, RefusesDamage) {
  for (const std::string& key : {std::string("j"), SpaceKey('s', kShard), SpaceKey('v', kShard),
                                 SpaceKey('c', kShard) + std::string("k\0\1\0", 4),
                                 SpaceKey('c', kShard) + std::string("k\0\1\x20", 4) + "f"}) {
    Replica replica(NodeId(1), Policy::kCrdt, {});
    replica.Do(Ms(1), [](Edit& edit) { edit.HashSet("k", "f", "v"); });
    replica.WriteBack();
    ASSERT_TRUE(replica.engine.content().contains(key)) << Hex(key);
    storage::Batch batch;
    batch.Put(key, "?");
    ASSERT_TRUE(replica.engine.Write(std::move(batch)));
    Store store({});
    const auto loaded = store.Load(replica.engine);
    ASSERT_FALSE(loaded) << Hex(key);
    EXPECT_EQ(loaded.error().code, ErrorCode::kCorruptState);
  }
}

}  // namespace
}  // namespace coterie::cells::testing

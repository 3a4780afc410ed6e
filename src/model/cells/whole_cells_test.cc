#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "model/cells/layout.h"
#include "model/cells/testing/replica.h"

// Cells as other nodes and the engine see them: repair, moves, purging, whole shards.
namespace coterie::cells::testing {
namespace {

using Policy = keyspace::Conflict;

std::vector<std::pair<std::string, std::string>> Cells(Store& store, std::string from,
                                                       std::string to) {
  std::vector<std::pair<std::string, std::string>> cells;
  EXPECT_TRUE(store.VisitCells(kShard, std::move(from), std::move(to),
                               [&](std::string_view key, std::string_view cell) {
                                 cells.emplace_back(key, cell);
                                 return true;
                               }));
  return cells;
}

// The cells of a shard, taken in ranges cut anywhere, are the shard; joined elsewhere they make an
// equal one, and half of them joined twice changes nothing.
TEST(WholeCells, MakeAnEqualReplica) {
  Pair pair;
  pair.a.Do(Ms(1), [](Edit& edit) {
    for (const auto& key : {std::string(), std::string("a\0", 2), std::string("b")}) {
      edit.SetString(key, "v");
      edit.SetAdd(key, "m");
      edit.HashSet(key, "f", "v");
      edit.SortedSetAdd(key, "m", 3);
      edit.SetExpiry(key, 1000);
      (void)edit.Increment(key + "n", 7, "id");
      edit.HllRaise(key, 300, 4);
      edit.StreamAdd(key, {{"f", "v"}});
    }
    edit.SetAdd("gone", "m");
  });
  pair.a.Do(Ms(2), [](Edit& edit) { edit.RemoveKey("gone"); });
  Store& store = *pair.a.store;
  const auto all = Cells(store, "", "");
  EXPECT_EQ(all.size(), 3u * 8 + 1);
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    std::string cut = all[random.Below(all.size())].first;
    if (random.Chance(0.5)) cut.resize(random.Below(cut.size() + 1));
    if (random.Chance(0.3)) cut.push_back(static_cast<char>(random.Below(256)));
    auto parts = cut.empty() ? decltype(all)() : Cells(store, "", cut);
    const auto rest = Cells(store, cut, "");
    parts.insert(parts.end(), rest.begin(), rest.end());
    EXPECT_EQ(parts, all);
  }
  const auto [first, second] = Store::CellsOf(std::string("a\0", 2));
  EXPECT_EQ(Cells(store, first, second).size(), 7u);

  for (int round = 0; round < 2; ++round) {
    for (const auto& [key, cell] : all) ASSERT_TRUE(pair.b.store->JoinCell(kShard, key, cell));
  }
  pair.b.store->RaiseApplied(kShard, pair.a.applied());
  EXPECT_EQ(pair.b.store->Digest(kShard).value(), store.Digest(kShard).value());
  EXPECT_EQ(Cells(*pair.b.store, "", ""), all);
  EXPECT_EQ(pair.b.store->KeyCount(kShard), store.KeyCount(kShard));
  EXPECT_EQ(pair.b.store->tombstones(kShard), 1u);
  EXPECT_FALSE(pair.b.store->JoinCell(kShard, "no cell key", all[0].second));
  EXPECT_FALSE(pair.b.store->JoinCell(kShard, all[0].first, "no cell"));
}

// A cell that was read elsewhere before a removal, and arrives after its tombstone was purged,
// brings nothing back.
TEST(WholeCells, OldCellsReviveNothing) {
  Pair pair;
  pair.a.Do(Ms(1), [](Edit& edit) {
    edit.SetString("s", "v");
    edit.SetAdd("set", "m");
    (void)edit.Increment("n", 5);
  });
  pair.Exchange();
  const auto old = Cells(*pair.b.store, "", "");
  pair.a.Do(Ms(2), [](Edit& edit) {
    for (const char* key : {"s", "set", "n"}) EXPECT_TRUE(edit.RemoveKey(key));
  });
  pair.Exchange();
  pair.PurgeBoth();
  EXPECT_TRUE(Cells(*pair.a.store, "", "").empty());
  for (const auto& [key, cell] : old) ASSERT_TRUE(pair.a.store->JoinCell(kShard, key, cell));
  for (const char* key : {"s", "set", "n"}) {
    EXPECT_EQ(pair.a.store->TypeOf(kShard, key), ObjectType::kNone) << key;
  }
  EXPECT_EQ(pair.a.store->Digest(kShard).value(), pair.b.store->Digest(kShard).value());
}

// Purging waits until the engine's vector covers what it forgets, and asks for that.
TEST(Purge, WaitsForTheVectorInTheEngine) {
  Replica replica(NodeId(1), Policy::kCrdt, {});
  replica.Do(Ms(1), [](Edit& edit) { edit.SetString("k", "v"); });
  replica.Do(Ms(2), [](Edit& edit) { edit.RemoveKey("k"); });
  EXPECT_FALSE(replica.store->Purge(kShard, replica.applied(), 10).value());
  EXPECT_EQ(replica.store->tombstones(kShard), 1u);
  EXPECT_TRUE(replica.store->WantsWriteBack());
  replica.WriteBack();
  EXPECT_FALSE(replica.store->WantsWriteBack());
  EXPECT_FALSE(replica.store->Purge(kShard, {}, 10).value());  // nothing is stable
  EXPECT_EQ(replica.store->tombstones(kShard), 1u);
  EXPECT_FALSE(replica.store->Purge(kShard, replica.applied(), 10).value());
  EXPECT_EQ(replica.store->tombstones(kShard), 0u);
  replica.WriteBack();
  EXPECT_TRUE(Cells(*replica.store, "", "").empty());
  // Only the position, the vector and the shard are left.
  EXPECT_EQ(replica.engine.content().size(), 3u);
}

// A pass goes through all tombstones in steps of the size asked for, and ends.
TEST(Purge, GoesOnWhereItStopped) {
  Replica replica(NodeId(1), Policy::kCrdt, {});
  for (int i = 0; i < 25; ++i) {
    const std::string member = std::to_string(i);
    replica.Do(Ms(1), [&](Edit& edit) { edit.SetAdd("set", member); });
    replica.Do(Ms(2), [&](Edit& edit) { edit.SetRemove("set", member); });
  }
  replica.WriteBack();
  int calls = 1;
  while (replica.store->Purge(kShard, replica.applied(), 10).value()) ++calls;
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(replica.store->tombstones(kShard), 0u);
}

// A dropped shard leaves nothing, neither in memory nor in the engine, and the others alone.
TEST(Shards, DropLeavesNothing) {
  Replica replica(NodeId(1), Policy::kCrdt, {});
  const ShardId other(0x1ff);
  replica.store->OpenShard(other, Policy::kLww);
  replica.Do(Ms(1), [](Edit& edit) {
    edit.SetString("k", "v");
    edit.SortedSetAdd("z", "m", 1);
    edit.SetExpiry("z", 9);
  });
  {
    Edit edit(*replica.store, other, {.actor = replica.actor, .counter = 1}, Ms(2));
    edit.SetString("k", "other");
    (void)edit.Take();
  }
  replica.WriteBack();
  ASSERT_TRUE(replica.store->DropShard(kShard));
  EXPECT_FALSE(replica.store->HasShard(kShard));
  EXPECT_TRUE(replica.store->HasShard(other));
  EXPECT_EQ(replica.store->GetString(other, "k"), "other");
  EXPECT_EQ(replica.store->GetString(kShard, "k"), std::nullopt);
  const auto view = leaderless::DecodeMutation(replica.made[0]);
  EXPECT_EQ(replica.store->Apply(*view).error().code, ErrorCode::kNotReplica);
  for (const auto& [key, value] : replica.engine.content()) {
    EXPECT_TRUE(key == "j" || key.ends_with(SpaceKey('c', other).substr(1)) ||
                key.starts_with(SpaceKey('c', other)))
        << Hex(key);
  }
  replica.store->OpenShard(kShard, Policy::kCrdt);
  EXPECT_TRUE(replica.applied().empty());
  EXPECT_EQ(replica.store->KeyCount(kShard), 0u);
}

}  // namespace
}  // namespace coterie::cells::testing

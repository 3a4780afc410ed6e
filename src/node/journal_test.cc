#include "node/journal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "storage/testing/test_world.h"

namespace coterie::node {
namespace {

using runtime::Scope;
using runtime::Task;
using storage::Wal;
using storage::WalShard;
using storage::testing::DiskImage;
using storage::testing::Loss;
using storage::testing::TestWorld;

constexpr char kDir[] = "d/wal";

/// A journal on its WAL, and what was found in it.
struct Opened {
  explicit Opened(TestWorld& w, LogIndex after = {}) : world(w) {
    auto opened = world.Run(Wal::Open(world, kDir, {.segment_bytes = 16384}));
    EXPECT_TRUE(opened.has_value());
    wal = std::move(*opened);
    auto shards = wal->TakeRecovered();
    journal =
        std::make_unique<Journal>(world, *wal, Journal::kPaxos, std::move(shards[Journal::kPaxos]));
    found_last = journal->last();
    const Status replayed = journal->Replay(after, [this](std::string_view record) {
      found.emplace_back(record);
      return Ok();
    });
    EXPECT_TRUE(replayed.has_value());
  }
  TestWorld& world;
  std::unique_ptr<Wal> wal;
  std::unique_ptr<Journal> journal;
  LogIndex found_last;
  std::vector<std::string> found;
};

Task<void> Note(Journal* journal, LogIndex position, TestWorld* world, std::vector<Instant>* at) {
  co_await journal->Durable(position);
  EXPECT_GE(journal->durable(), position);
  at->push_back(world->Now());
}

// Claim: the records of one turn are one entry, and come back in order after a restart, those at or
// below the asked position left out.
TEST(Journal, MakesATurnOneEntry) {
  TestWorld world;
  {
    Opened opened(world);
    EXPECT_EQ(opened.journal->Append("a"), LogIndex(1));
    EXPECT_EQ(opened.journal->Append("b"), LogIndex(1));
    EXPECT_EQ(opened.journal->durable(), LogIndex(0));
    world.executor().RunUntilIdle();
    EXPECT_EQ(opened.journal->durable(), LogIndex(1));
    EXPECT_EQ(opened.journal->Append(""), LogIndex(2));
    EXPECT_EQ(opened.journal->Append("c", true), LogIndex(2));
    EXPECT_EQ(opened.journal->last(), LogIndex(2));
    world.executor().RunUntilIdle();
    EXPECT_EQ(opened.wal->stats().appends, 2u);
  }
  EXPECT_EQ(Opened(world).found, (std::vector<std::string>{"a", "b", "", "c"}));
  Opened again(world, LogIndex(1));
  EXPECT_EQ(again.found, (std::vector<std::string>{"", "c"}));
  EXPECT_EQ(again.journal->last(), LogIndex(2));
  EXPECT_EQ(again.journal->durable(), LogIndex(2));
}

// Claim: where the log lost its end, but not the engine, positions that the engine has are not
// given out once more: what is appended then is found again.
TEST(Journal, GoesOnAboveWhatTheEngineHas) {
  TestWorld world;
  {
    Opened opened(world);
    opened.journal->Append("kept");
    world.executor().RunUntilIdle();
  }
  {
    Opened opened(world, LogIndex(7));
    EXPECT_TRUE(opened.found.empty());
    EXPECT_EQ(opened.journal->Append("new"), LogIndex(8));
    world.executor().RunUntilIdle();
    EXPECT_EQ(opened.journal->durable(), LogIndex(8));
  }
  EXPECT_EQ(Opened(world, LogIndex(7)).found, (std::vector<std::string>{"new"}));
}

// Claim: a journal knows how much of everybody's log its oldest entry holds, also after a restart,
// and holds nothing once that is trimmed.
TEST(Journal, KnowsWhatItHoldsOfTheLog) {
  TestWorld world;
  std::uint64_t index = 0;
  for (int start = 0; start < 2; ++start) {
    Opened opened(world);
    if (start == 0) {
      EXPECT_EQ(opened.journal->log_bytes_held(), 0u);
      opened.journal->Append("quiet");
    }
    world.executor().RunUntilIdle();
    const std::uint64_t before = opened.journal->log_bytes_held();
    for (int i = 0; i < 10; ++i) {
      storage::WalBatch batch;
      batch.PutEntry(ShardId(9), LogIndex(++index), Term(1), 0, std::string(4000, 'b'));
      EXPECT_TRUE(world.Run(opened.wal->Append(std::move(batch))).has_value());
    }
    EXPECT_GE(opened.journal->log_bytes_held(), before + 40'000);
    if (start == 0) continue;
    opened.journal->Trim(opened.journal->durable());
    EXPECT_EQ(opened.journal->log_bytes_held(), 0u);
  }
}

// Claim: a lazy record waits for its second unless one that is not lazy, or Flush, comes; Durable
// answers only when it is on disk.
TEST(Journal, LazyRecordsWaitForCompany) {
  TestWorld world;
  Opened opened(world);
  Journal& journal = *opened.journal;
  std::vector<Instant> durable;
  Scope scope;
  const Instant start = world.Now();
  scope.Spawn(Note(&journal, journal.Append("alone", true), &world, &durable));
  world.executor().RunUntilIdle();
  ASSERT_EQ(durable.size(), 1u);
  EXPECT_GE(durable[0], start + 1s);
  EXPECT_EQ(journal.waiting(), 0u);

  const Instant second = world.Now();
  scope.Spawn(Note(&journal, journal.Append("lazy", true), &world, &durable));
  scope.Spawn([](Journal* j, TestWorld* w) -> Task<void> {
    co_await runtime::Sleep(w->executor(), 10ms);
    j->Append("eager");
  }(&journal, &world));
  world.executor().RunUntilIdle();
  ASSERT_EQ(durable.size(), 2u);
  EXPECT_LT(durable[1], second + 500ms);

  const Instant third = world.Now();
  scope.Spawn(Note(&journal, journal.Append("flushed", true), &world, &durable));
  EXPECT_GT(journal.waiting(), 0u);
  scope.Spawn(journal.Flush());
  world.executor().RunUntilIdle();
  ASSERT_EQ(durable.size(), 3u);
  EXPECT_LT(durable[2], third + 500ms);
}

// Claim: the listener hears of every move of durable(), once for entries that share a write.
TEST(Journal, TellsWhenDurableMoved) {
  TestWorld world;
  Opened opened(world);
  std::vector<LogIndex> heard;
  opened.journal->OnDurable([&] { heard.push_back(opened.journal->durable()); });
  for (int i = 0; i < 3; ++i) {
    opened.journal->Append(std::string(5u << 20, 'x'));  // each closes the entry before it
  }
  opened.journal->Append("d");
  world.executor().RunUntilIdle();
  ASSERT_FALSE(heard.empty());
  EXPECT_EQ(heard.back(), LogIndex(4));
  EXPECT_TRUE(std::ranges::is_sorted(heard));
  EXPECT_EQ(std::ranges::adjacent_find(heard), heard.end());
}

// Claim: what is trimmed is not replayed, its space is given back, and positions go on.
TEST(Journal, ForgetsWhatIsTrimmed) {
  TestWorld world;
  std::uint64_t segments_max = 0;
  {
    Opened opened(world);
    for (int i = 0; i < 200; ++i) {
      opened.journal->Append(std::string(1000, 'x'));
      world.executor().RunUntilIdle();
      if (i >= 10) opened.journal->Trim(opened.journal->last() - 10);
      segments_max = std::max(segments_max, opened.wal->stats().segments);
    }
    EXPECT_LT(opened.journal->bytes(), 200'000u);
    world.executor().RunUntilIdle();
  }
  EXPECT_LE(segments_max, 3u);
  Opened again(world);
  EXPECT_EQ(again.found.size(), 10u);
  EXPECT_EQ(again.journal->Append("next"), LogIndex(201));
  world.executor().RunUntilIdle();
  again.journal->Trim(LogIndex(201));
  world.executor().RunUntilIdle();
  EXPECT_LT(again.journal->bytes(), 20'000u);
  Opened empty(world);
  EXPECT_TRUE(empty.found.empty());
  EXPECT_EQ(empty.journal->last(), LogIndex(201));
}

// Claim: wherever a crash falls, a restart finds whole entries: a prefix of what was appended that
// contains everything that was announced as durable.
TEST(Journal, ACrashLeavesAPrefixWithAllThatWasDurable) {
  Random random(11);
  TestWorld world;
  std::vector<std::pair<std::size_t, LogIndex>> durable_at;  // disk operations, position
  std::vector<std::size_t> records_to{0};                    // [i]: records up to entry i
  {
    Opened opened(world);
    opened.journal->OnDurable(
        [&] { durable_at.emplace_back(world.disk().ops().size(), opened.journal->durable()); });
    std::size_t records = 0;
    for (int turn = 0; turn < 60; ++turn) {
      for (std::uint64_t n = 1 + random.Below(3); n > 0; --n)
        opened.journal->Append(std::to_string(records++), random.Chance(0.5));
      records_to.push_back(records);
      if (random.Chance(0.2)) opened.journal->Trim({});
      world.executor().RunUntilIdle();
    }
  }
  const auto& ops = world.disk().ops();
  for (std::size_t at = 0; at <= ops.size(); ++at) {
    const auto loss = static_cast<Loss>(random.Below(4));
    TestWorld after(Materialise(world.disk().start(), ops, at, loss, random));
    Opened opened(after);
    LogIndex promised;
    for (const auto& [when, position] : durable_at) {
      if (when <= at) promised = position;
    }
    EXPECT_GE(opened.found_last, promised) << at;
    ASSERT_LT(opened.found_last.value, records_to.size());
    ASSERT_EQ(opened.found.size(), records_to[opened.found_last.value]);
    for (std::size_t i = 0; i < opened.found.size(); ++i)
      ASSERT_EQ(opened.found[i], std::to_string(i));
  }
}

// Claim: an entry that is not records is refused, not read past.
TEST(Journal, RefusesAnEntryThatIsNotRecords) {
  TestWorld world;
  Opened opened(world);
  WalShard shard;
  shard.entries.push_back({LogIndex(1), Term(1), 1, std::string("\x09short", 6)});
  Journal journal(world, *opened.wal, Journal::kLeaderless, std::move(shard));
  const Status replayed = journal.Replay({}, [](std::string_view) { return Ok(); });
  ASSERT_FALSE(replayed.has_value());
  EXPECT_EQ(replayed.error().code, ErrorCode::kCorruptLog);
}

}  // namespace
}  // namespace coterie::node

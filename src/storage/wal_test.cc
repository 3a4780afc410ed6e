#include "storage/wal.h"

#include <gtest/gtest.h>

#include "base/coding.h"
#include "storage/testing/wal_trace.h"
#include "storage/wal_format.h"
#include "storage/wal_segments.h"

namespace coterie::storage {
namespace {

using runtime::Scope;
using runtime::Task;
using testing::DiskImage;
using testing::DiskOp;
using testing::kWalDir;
using testing::TestWorld;
using testing::WalModel;

constexpr WalOptions kSmall{.segment_bytes = 4096, .batch_bytes_max = 64u << 10};
const std::string kFirst = std::string(kWalDir) + "/wal-0000000000000001.log";

std::unique_ptr<Wal> OpenWal(TestWorld& world, WalOptions options = kSmall) {
  auto opened = world.Run(Wal::Open(world, kWalDir, options));
  EXPECT_TRUE(opened.has_value()) << Describe(opened.error());
  return opened ? std::move(*opened) : nullptr;
}

Error OpenError(TestWorld& world) {
  auto opened = world.Run(Wal::Open(world, kWalDir, kSmall));
  EXPECT_FALSE(opened.has_value());
  return opened ? Error{ErrorCode::kUnimplemented} : opened.error();
}

WalBatch Entry(std::uint64_t shard, std::uint64_t index, std::string payload) {
  WalBatch batch;
  batch.PutEntry(ShardId(shard), LogIndex(index), Term(1), 0, payload);
  return batch;
}

bool AppendNow(TestWorld& world, Wal& wal, WalBatch batch) {
  return world.Run(wal.Append(std::move(batch))).has_value();
}

Task<void> AppendAndNote(Wal* wal, WalBatch batch, int id, std::vector<int>* answered) {
  const Status durable = co_await wal->Append(std::move(batch));
  if (durable) answered->push_back(id);
}

// Claim: the bytes on the disk are those that README.md shows, so a change of format is never an
// accident.
TEST(WalFormat, IsAsDocumented) {
  std::string frame(wal::kHeaderBytes, '\0');
  wal::PutEntry(frame, ShardId(3), LogIndex(300), Term(2), 1, "set x");
  wal::PutHardState(frame, ShardId(3), "t2");
  wal::PutCompaction(frame, ShardId(3), LogIndex(299), Term(1));
  const std::size_t bytes = frame.size();
  wal::SealFrame(frame, {.log_id = 0x1122334455667788, .segment = 7, .offset = 512}, 42,
                 wal::kAlignment);
  EXPECT_EQ(frame.size(), wal::kAlignment);
  EXPECT_EQ(Hex(std::string_view(frame).substr(0, bytes)),
            "4357414c010000008877665544332211070000000000000000020000000000002a00000000000000"
            "1600000017f03880"
            "0203ac02020105736574207803030274320403ab0201");
  EXPECT_EQ(frame.find_first_not_of('\0', bytes), std::string::npos);
}

// Claim: a frame of a disk with larger sectors says so, and is of a version that older programs
// refuse instead of looking for the next frame at the wrong place.
TEST(WalFormat, AFrameOfLargerSectorsSaysSo) {
  std::string frame(wal::kHeaderBytes, '\0');
  wal::PutHardState(frame, ShardId(3), "t2");
  wal::SealFrame(frame, {.log_id = 1, .segment = 7, .offset = 4096}, 42, 4096);
  EXPECT_EQ(frame.size(), 4096u);
  EXPECT_EQ(Hex(std::string_view(frame).substr(0, 8)), "4357414c02000800");
  const auto header = wal::ParseHeader(frame);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->unit, 4096u);
  EXPECT_EQ(header->version, 2u);
}

// Claim: frames start at multiples of what the disk may destroy, and a log goes on where it was
// when it moves to a disk with another unit, either way.
TEST(Wal, FramesHaveUnitsOfTheirOwn) {
  DiskImage image;
  std::uint64_t index = 0;
  for (const std::uint32_t unit : {512u, 4096u, 512u, 65536u}) {
    image.write_unit = unit;
    TestWorld world(image);
    auto wal = OpenWal(world);
    const auto shards = wal->TakeRecovered();
    EXPECT_EQ(index == 0 ? 0 : shards.at(ShardId(1)).entries.size(), index);
    const std::uint64_t before = wal->stats().bytes;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(AppendNow(world, *wal, Entry(1, ++index, "p")));
    EXPECT_EQ(wal->stats().bytes, before + 5 * unit);
    image = world.disk().Seen();
  }
}

// Claim: every record comes back as it was put, and no cut of its bytes reads past the end.
TEST(WalFormat, RecordsRoundTripAndCutsAreNoticed) {
  std::string bytes;
  wal::PutEntry(bytes, ShardId(900), LogIndex(UINT64_MAX), Term(5), 200, std::string(300, 'x'));
  std::string_view in = bytes;
  const auto record = wal::GetRecord(in);
  ASSERT_TRUE(record.has_value());
  EXPECT_TRUE(in.empty());
  EXPECT_EQ(record->shard, ShardId(900));
  EXPECT_EQ(record->index, LogIndex(UINT64_MAX));
  EXPECT_EQ(record->kind, 200);
  EXPECT_EQ(record->bytes, std::string(300, 'x'));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    std::string_view cut = std::string_view(bytes).substr(0, size);
    EXPECT_EQ(wal::GetRecord(cut).error().code, ErrorCode::kCorruptLog) << size;
  }
  std::string_view unknown = "\x63\x01";
  EXPECT_EQ(wal::GetRecord(unknown).error().code, ErrorCode::kNewerData);
}

// Claim: batches given while a write is under way share the next one, and are answered in call
// order.
TEST(Wal, GroupsBatchesAndAnswersInOrder) {
  TestWorld world;
  auto wal = OpenWal(world);
  const std::uint64_t before = wal->stats().batches;
  std::vector<int> answered;
  Scope scope;
  for (int i = 0; i < 10; ++i) {
    scope.Spawn(
        AppendAndNote(wal.get(), Entry(1, static_cast<std::uint64_t>(i) + 1, "p"), i, &answered));
  }
  world.executor().RunUntilIdle();
  EXPECT_EQ(answered, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(wal->stats().appends, 10u);
  EXPECT_EQ(wal->stats().batches, before + 1);
}

// Claim: nothing is answered before the sync that makes it durable.
TEST(Wal, AnswersOnlyAfterTheSync) {
  TestWorld world;
  auto wal = OpenWal(world);
  for (std::uint64_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(AppendNow(world, *wal, Entry(1, i, "p")));
    std::size_t written = 0;
    std::size_t synced = 0;
    const auto& ops = world.disk().ops();
    for (std::size_t at = 0; at < ops.size(); ++at) {
      if (ops[at].kind == DiskOp::Kind::kWrite) written = at;
      if (ops[at].kind == DiskOp::Kind::kSync) synced = at;
    }
    EXPECT_GT(synced, written);
  }
}

Task<void> Note(Task<void> durable, TestWorld* world, std::vector<Instant>* at) {
  co_await std::move(durable);
  at->push_back(world->Now());
}

// Claim: what may wait makes no write of its own before its interval is over.
TEST(Wal, WritesLaterWhatMayWait) {
  TestWorld world;
  auto wal = OpenWal(world);
  const std::uint64_t before = wal->stats().batches;
  const Instant start = world.Now();
  std::vector<Instant> settled;
  Scope scope;
  for (std::uint64_t i = 1; i <= 100; ++i) wal->AppendLater(Entry(1, i, "p"));
  EXPECT_GT(wal->stats().later_bytes, 0u);
  scope.Spawn(Note(wal->Settled(), &world, &settled));
  world.executor().RunUntilIdle();
  EXPECT_EQ(wal->stats().batches, before + 1);
  EXPECT_EQ(wal->stats().appends, 100u);
  EXPECT_EQ(wal->stats().later_bytes, 0u);
  ASSERT_EQ(settled.size(), 1u);
  EXPECT_GE(settled.front(), start + 1s);
  wal.reset();
  EXPECT_EQ(OpenWal(world)->TakeRecovered().at(ShardId(1)).entries.size(), 100u);
}

// Claim: an append that somebody waits for, and Flush, take along what may wait, in call order and
// in the same write.
TEST(Wal, TakesAlongWhatMayWait) {
  TestWorld world;
  auto wal = OpenWal(world);
  const std::uint64_t before = wal->stats().batches;
  const Instant start = world.Now();
  wal->AppendLater(Entry(1, 1, "a"));
  wal->AppendLater(Entry(2, 1, "b"));
  std::vector<int> answered;
  Scope scope;
  scope.Spawn(AppendAndNote(wal.get(), Entry(1, 2, "c"), 1, &answered));
  wal->AppendLater(Entry(1, 3, "d"));
  world.executor().RunUntilIdle();
  EXPECT_EQ(wal->stats().batches, before + 1);
  EXPECT_EQ(answered.size(), 1u);
  wal->AppendLater(Entry(1, 4, "e"));
  std::vector<Instant> flushed;
  scope.Spawn(Note(wal->Flush(), &world, &flushed));
  scope.Spawn(Note(wal->Flush(), &world, &flushed));
  world.executor().RunUntilIdle();
  ASSERT_EQ(flushed.size(), 2u);
  EXPECT_LT(flushed.back(), start + 1s);
  EXPECT_EQ(wal->stats().batches, before + 2);
  wal.reset();
  auto shards = OpenWal(world)->TakeRecovered();
  std::string payloads;
  for (const WalEntry& entry : shards.at(ShardId(1)).entries) payloads += entry.payload;
  EXPECT_EQ(payloads, "acde");
  EXPECT_EQ(shards.at(ShardId(2)).entries.size(), 1u);
}

// Claim: over its bound of bytes what may wait is written without waiting.
TEST(Wal, DoesNotGatherWithoutBound) {
  TestWorld world;
  auto wal = OpenWal(world, {.segment_bytes = 4096, .later_bytes_max = 2000});
  const Instant start = world.Now();
  std::vector<Instant> settled;
  Scope scope;
  for (std::uint64_t i = 1; i <= 3; ++i) wal->AppendLater(Entry(1, i, std::string(900, 'p')));
  scope.Spawn(Note(wal->Settled(), &world, &settled));
  world.executor().RunUntilIdle();
  ASSERT_EQ(settled.size(), 1u);
  EXPECT_LT(settled.front(), start + 1s);
}

// Claim: a log that was reset begins at 1 again and keeps its hard state, also when every segment
// from before the reset is gone; its old entries hold no segment any more.
TEST(Wal, BeginsAnewAfterAReset) {
  TestWorld world;
  auto wal = OpenWal(world, {.segment_bytes = 4096});
  Scope scope;
  std::vector<int> answered;
  const auto append = [&](WalBatch batch) {
    scope.Spawn(AppendAndNote(wal.get(), std::move(batch), 1, &answered));
    world.executor().RunUntilIdle();
  };
  for (std::uint64_t i = 1; i <= 20; ++i) append(Entry(1, i, std::string(900, 'o')));
  WalBatch old;
  old.PutCompaction(ShardId(1), LogIndex(3), Term(1));
  append(std::move(old));
  WalBatch reset;
  reset.PutReset(ShardId(1));
  reset.PutHardState(ShardId(1), "voted");
  append(std::move(reset));
  append(Entry(1, 1, "new"));
  const std::uint64_t held = wal->stats().segments;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    append(Entry(2, i, std::string(900, 'p')));
    WalBatch cut;
    cut.PutCompaction(ShardId(2), LogIndex(i), Term(1));
    append(std::move(cut));
  }
  EXPECT_GT(held, 1u);
  wal.reset();
  const auto shards = OpenWal(world, {.segment_bytes = 4096})->TakeRecovered();
  const WalShard& again = shards.at(ShardId(1));
  EXPECT_EQ(again.hard_state, "voted");
  EXPECT_EQ(again.compacted, LogIndex(0));
  ASSERT_EQ(again.entries.size(), 1u);
  EXPECT_EQ(again.entries[0].payload, "new");
}

// Claim: a batch whose caller has gone is withdrawn, and its neighbours are not harmed.
TEST(Wal, WithdrawsABatchWhoseCallerHasGone) {
  TestWorld world;
  auto wal = OpenWal(world);
  std::vector<int> answered;
  Scope scope;
  {
    Scope gone;
    scope.Spawn(AppendAndNote(wal.get(), Entry(1, 1, "kept"), 1, &answered));
    gone.Spawn(AppendAndNote(wal.get(), Entry(2, 1, "gone"), 2, &answered));
    scope.Spawn(AppendAndNote(wal.get(), Entry(3, 1, "kept"), 3, &answered));
  }
  world.executor().RunUntilIdle();
  EXPECT_EQ(answered, (std::vector<int>{1, 3}));
  wal.reset();
  const auto shards = OpenWal(world)->TakeRecovered();
  EXPECT_TRUE(shards.contains(ShardId(1)));
  EXPECT_FALSE(shards.contains(ShardId(2)));
}

// Claim: destroying the log at any moment of a write leaves nothing behind that is resumed later.
TEST(Wal, MayBeDestroyedDuringAWrite) {
  for (int turns = 0; turns < 40; ++turns) {
    TestWorld world;
    auto wal = OpenWal(world);
    std::vector<int> answered;
    Scope scope;
    for (int i = 0; i < 30; ++i) {
      scope.Spawn(AppendAndNote(wal.get(),
                                Entry(1, static_cast<std::uint64_t>(i) + 1, std::string(600, 'p')),
                                i, &answered));
    }
    Scope killer;
    killer.Spawn([](TestWorld* w, std::unique_ptr<Wal>* victim, int n) -> Task<void> {
      co_await runtime::Sleep(w->executor(), 50us * n);
      victim->reset();
    }(&world, &wal, turns));
    world.executor().RunUntilIdle();
    scope.Cancel();
    EXPECT_TRUE(std::is_sorted(answered.begin(), answered.end()));
  }
}

// Claim: over its bound a batch is refused, with nothing written; at most at its bound it is taken.
TEST(Wal, RefusesABatchOverItsBound) {
  TestWorld world;
  auto wal = OpenWal(world);
  const std::size_t ops = world.disk().ops().size();
  const Status refused = world.Run(wal->Append(Entry(1, 1, std::string(64u << 10, 'x'))));
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(refused.error().outcome, Outcome::kNotApplied);
  EXPECT_EQ(world.disk().ops().size(), ops);
  // Larger than a segment, but within the bound.
  ASSERT_TRUE(AppendNow(world, *wal, Entry(1, 1, std::string(60u << 10, 'y'))));
  ASSERT_TRUE(AppendNow(world, *wal, Entry(1, 2, "z")));
  wal.reset();
  const auto shards = OpenWal(world)->TakeRecovered();
  EXPECT_EQ(shards.at(ShardId(1)).entries.size(), 2u);
}

// Claim: what is compacted frees its segments, whichever shards share them; a few files are kept
// for reuse and the disk's use stays bounded.
TEST(Wal, ReusesSegmentsOnceNobodyNeedsThem) {
  TestWorld world;
  auto wal = OpenWal(world);
  WalBatch hard;
  hard.PutHardState(ShardId(9), "rarely written");
  ASSERT_TRUE(AppendNow(world, *wal, std::move(hard)));
  std::size_t files_max = 0;
  for (std::uint64_t i = 1; i <= 300; ++i) {
    WalBatch batch = Entry(1, i, std::string(400, 'p'));
    if (i > 5) batch.PutCompaction(ShardId(1), LogIndex(i - 5), Term(1));
    ASSERT_TRUE(AppendNow(world, *wal, std::move(batch)));
    files_max = std::max(files_max, world.Run(world.disk().List(kWalDir)).value().size());
  }
  EXPECT_LE(files_max, 3 + wal::Segments::kRecycledMax);
  std::size_t created = 0;
  for (const DiskOp& op : world.disk().ops()) created += op.kind == DiskOp::Kind::kCreate ? 1 : 0;
  EXPECT_LE(created, 8u);  // of some forty segments
  wal.reset();
  const auto shards = OpenWal(world)->TakeRecovered();
  EXPECT_EQ(shards.at(ShardId(9)).hard_state, "rarely written");
  EXPECT_EQ(shards.at(ShardId(1)).compacted, LogIndex(295));
  EXPECT_EQ(shards.at(ShardId(1)).entries.size(), 5u);
}

// Claim: a segment with one live entry is kept, however long the log grows.
TEST(Wal, KeepsASegmentThatOneEntryNeeds) {
  TestWorld world;
  auto wal = OpenWal(world);
  ASSERT_TRUE(AppendNow(world, *wal, Entry(2, 1, "needed")));
  for (std::uint64_t i = 1; i <= 60; ++i) {
    WalBatch batch = Entry(1, i, std::string(400, 'p'));
    batch.PutCompaction(ShardId(1), LogIndex(i), Term(1));
    ASSERT_TRUE(AppendNow(world, *wal, std::move(batch)));
  }
  EXPECT_GT(wal->stats().segments, 5u);
  wal.reset();
  EXPECT_EQ(OpenWal(world)->TakeRecovered().at(ShardId(2)).entries.at(0).payload, "needed");
}

// Claim: without space for the next segment the log goes on in what space there is; when even that
// ends, the node stops with a message that says so, and what was answered is there.
TEST(Wal, StopsWithNothingLostWhenTheDiskIsFull) {
  TestWorld world;
  auto wal = OpenWal(world);
  world.disk().no_space_to_allocate = true;
  world.disk().write_bytes_left = 20'000;
  std::vector<int> answered;
  Scope scope;
  for (int i = 0; i < 100 && !world.crashed(); ++i) {
    scope.Spawn(AppendAndNote(wal.get(),
                              Entry(1, static_cast<std::uint64_t>(i) + 1, std::string(300, 'p')), i,
                              &answered));
    world.executor().RunUntilIdle();
  }
  ASSERT_TRUE(world.crashed());
  EXPECT_NE(world.crashed()->find("COT-2002"), std::string::npos) << *world.crashed();
  EXPECT_GT(answered.size(), 20u);
  scope.Cancel();
  wal.reset();
  TestWorld after(world.disk().Seen());
  EXPECT_GE(OpenWal(after)->TakeRecovered().at(ShardId(1)).entries.size(), answered.size());
}

/// A log of three frames after the segment's first, in one segment.
DiskImage ThreeFrames() {
  TestWorld world;
  auto wal = OpenWal(world);
  for (std::uint64_t i = 1; i <= 3; ++i)
    EXPECT_TRUE(AppendNow(world, *wal, Entry(1, i, "payload")));
  wal.reset();
  return world.disk().Seen();
}

// Claim: damage before the end is refused with the file and offset, and the files are left as they
// are.
TEST(WalRecovery, RefusesDamageBeforeTheEnd) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{512}, std::size_t{1024}}) {
    DiskImage image = ThreeFrames();
    image.files[kFirst][at + wal::kHeaderBytes] ^= 1;
    TestWorld world(image);
    const Error error = OpenError(world);
    EXPECT_EQ(error.code, ErrorCode::kCorruptLog);
    EXPECT_NE(error.message.find("wal-0000000000000001.log at offset " + std::to_string(at)),
              std::string::npos)
        << error.message;
    EXPECT_EQ(world.disk().Seen().files, image.files);
  }
}

// Claim: a damaged last frame is a torn tail: it is cut, for good, even if its bytes become whole
// again.
TEST(WalRecovery, CutsATornTailForGood) {
  DiskImage image = ThreeFrames();
  image.files[kFirst][1536 + wal::kHeaderBytes + 3] ^= 1;
  TestWorld world(image);
  auto wal = OpenWal(world);
  EXPECT_EQ(wal->TakeRecovered().at(ShardId(1)).entries.size(), 2u);
  ASSERT_TRUE(AppendNow(world, *wal, Entry(1, 3, "other")));
  wal.reset();
  DiskImage later = world.disk().Seen();
  later.files[kFirst][1536 + wal::kHeaderBytes + 3] ^= 1;
  TestWorld again(later);
  const auto shards = OpenWal(again)->TakeRecovered();
  EXPECT_EQ(shards.at(ShardId(1)).entries.at(2).payload, "other");
}

/// A log over several segments, all needed.
DiskImage ManySegments() {
  TestWorld world;
  auto wal = OpenWal(world);
  for (std::uint64_t i = 1; i <= 30; ++i)
    EXPECT_TRUE(AppendNow(world, *wal, Entry(1, i, std::string(400, 'p'))));
  EXPECT_GE(wal->stats().segments, 4u);
  wal.reset();
  return world.disk().Seen();
}

// Claim: a segment missing anywhere but after the end is refused.
TEST(WalRecovery, RefusesAMissingSegment) {
  const DiskImage whole = ManySegments();
  std::vector<std::string> segments;
  for (const auto& [path, bytes] : whole.files) {
    if (path.find("/wal-") != std::string::npos) segments.push_back(path);
  }
  segments.pop_back();  // made ready, and not begun
  for (const std::string& path : segments) {
    DiskImage image = whole;
    image.files.erase(path);
    TestWorld world(image);
    const Error error = OpenError(world);
    EXPECT_EQ(error.code, ErrorCode::kCorruptLog) << path;
  }
}

// Claim: a segment of another log, or one moved to another's name, is not taken for this log's.
TEST(WalRecovery, RefusesForeignAndMisplacedSegments) {
  const DiskImage whole = ManySegments();
  TestWorld other_world({}, /*seed=*/99);
  auto other = OpenWal(other_world);
  for (std::uint64_t i = 1; i <= 30; ++i) {
    ASSERT_TRUE(AppendNow(other_world, *other, Entry(1, i, std::string(400, 'q'))));
  }
  const std::string second = std::string(kWalDir) + "/" + wal::SegmentName(2);
  const std::string third = std::string(kWalDir) + "/" + wal::SegmentName(3);
  DiskImage foreign = whole;
  foreign.files[second] = other_world.disk().Seen().files[second];
  TestWorld first(foreign);
  EXPECT_EQ(OpenError(first).code, ErrorCode::kCorruptLog);
  DiskImage misplaced = whole;
  misplaced.files[second] = whole.files.at(third);
  TestWorld moved(misplaced);
  EXPECT_EQ(OpenError(moved).code, ErrorCode::kCorruptLog);
}

// Claim: a log of a later version is refused as such, not as damage.
TEST(WalRecovery, RefusesALaterVersion) {
  DiskImage image = ThreeFrames();
  std::string& file = image.files[kFirst];
  StoreFixed32(file.data() + 4, wal::kVersion + 1);
  const std::uint32_t body = LoadFixed32(file.data() + 40);
  const std::string_view bytes = file;
  StoreFixed32(file.data() + 44,
               Crc32c(bytes.substr(wal::kHeaderBytes, body), Crc32c(bytes.substr(0, 44))));
  TestWorld world(image);
  EXPECT_EQ(OpenError(world).code, ErrorCode::kNewerData);
}

// Claim: over many runs of the log with random crashes between them it always equals the naive
// model at a state that is no older than the last answer.
TEST(WalRecovery, FollowsTheModelThroughManyLives) {
  Random random(77);
  DiskImage image;
  std::uint64_t batches = 0;
  for (int life = 0; life < 60; ++life) {
    const auto trace =
        testing::RecordWalTrace(image, {.seed = 1000 + static_cast<std::uint64_t>(life),
                                        .batches = static_cast<int>(random.Below(40))});
    const std::size_t at = random.Below(trace.ops.size() + 1);
    image = Materialise(trace.start, trace.ops, at, static_cast<testing::Loss>(random.Below(4)),
                        random);
    const auto broken = CheckRecovery(trace, at, image);
    ASSERT_FALSE(broken) << "life " << life << ": " << *broken;
    batches += trace.given_at.size();
  }
  EXPECT_GT(batches, 500u);
}

}  // namespace
}  // namespace coterie::storage

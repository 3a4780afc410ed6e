#include <gtest/gtest.h>

#include "storage/testing/wal_trace.h"
#include "storage/wal_format.h"
#include "storage/wal_mutant.h"
#include "storage/wal_segments.h"

// Built once per mutant (see wal_mutant.h), together with the log's sources. Claim: the checks that
// pass on the log fail on each of its classic mistakes, so they look where they should.

namespace coterie::storage::testing {
namespace {

std::uint64_t ViolationsOfCrashes() {
  const WalTrace trace =
      RecordWalTrace({.files = {}, .dirs = {}, .write_unit = 4096}, {.seed = 1, .batches = 120});
  return EnumerateCrashes(trace, 4, 42).violations;
}

std::uint64_t ViolationsOfFailedSyncs() {
  std::uint64_t violations = 0;
  for (int fails_in = 4; fails_in < 40; ++fails_in) {
    const WalTrace trace =
        RecordWalTrace({}, {.seed = 3, .batches = 40, .sync_fails_in = fails_in});
    if (trace.states.empty()) continue;
    Random random(1);
    const std::size_t end = trace.ops.size();
    if (CheckRecovery(trace, end, Materialise(trace.start, trace.ops, end, Loss::kDropAll, random)))
      ++violations;
  }
  return violations;
}

/// Where the image's frames are: (path, offset), by frame number.
std::map<std::uint64_t, std::pair<std::string, std::size_t>> FramesOf(const DiskImage& image) {
  std::map<std::uint64_t, std::pair<std::string, std::size_t>> frames;
  for (const auto& [path, bytes] : image.files) {
    for (std::size_t at = 0; at < bytes.size(); at += wal::kAlignment) {
      const auto header = wal::ParseHeader(std::string_view(bytes).substr(at));
      if (!header || header->place.offset != at) continue;
      if (path.ends_with(wal::SegmentName(header->place.segment)))
        frames[header->number] = {path, at};
    }
  }
  return frames;
}

/// Damages each frame but the newest, one at a time: that must be noticed, or not matter. (The
/// newest is a torn tail to anyone who looks.)
std::uint64_t ViolationsOfDamage(int batches) {
  const WalTrace trace = RecordWalTrace({}, {.seed = 5, .batches = batches});
  Random random(1);
  const std::size_t end = trace.ops.size();
  const DiskImage whole = Materialise(trace.start, trace.ops, end, Loss::kKeepAll, random);
  auto frames = FramesOf(whole);
  frames.erase(std::prev(frames.end()));
  std::uint64_t violations = 0;
  for (const auto& [number, place] : frames) {
    DiskImage damaged = whole;
    damaged.files[place.first][place.second + wal::kHeaderBytes] ^= 1;
    TestWorld world(std::move(damaged));
    const auto opened = world.Run(Wal::Open(world, kWalDir, {.segment_bytes = 4096}));
    if (opened && WalModel::Print((*opened)->TakeRecovered()) != trace.states.back()) ++violations;
  }
  return violations;
}

TEST(WalMutant, IsCaught) {
  std::uint64_t violations = ViolationsOfCrashes() + ViolationsOfFailedSyncs();
  for (int batches = 20; batches < 60; ++batches) violations += ViolationsOfDamage(batches);
  if (COTERIE_MUTANT == 0) {
    EXPECT_EQ(violations, 0u);
  } else {
    EXPECT_GT(violations, 0u);
  }
}

}  // namespace
}  // namespace coterie::storage::testing

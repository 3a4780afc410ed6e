#include <gtest/gtest.h>

#include "storage/testing/wal_trace.h"

namespace coterie::storage::testing {
namespace {

// Claim: wherever a crash falls in a run with group commits, rollovers, recycling, truncations,
// compactions and installed snapshots, and whatever it does to what was not synced (dropped, kept,
// torn by sector, reordered, names lost), the log opens and holds a prefix of the batches given
// that contains all answered.
TEST(WalCrash, EveryCrashPointOfATraceRecovers) {
  const WalTrace trace = RecordWalTrace(
      {.files = {}, .dirs = {}, .write_unit = 2048},
      {.seed = 1, .batches = 200, .options = {.segment_bytes = 4096, .batch_bytes_max = 1u << 20}});
  ASSERT_FALSE(trace.crashed);
  EXPECT_GT(trace.segments_started, 10u);
  const CrashReport report = EnumerateCrashes(trace, 40, 42);
  EXPECT_GE(report.states, 20'000u);
  EXPECT_EQ(report.violations, 0u) << report.first_violation;
}

// Claim: the same holds for a run that starts from what another crash left, and for crashes during
// that recovery.
TEST(WalCrash, CrashesDuringAndAfterRecoveryRecover) {
  Random random(7);
  std::uint64_t states = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    DiskImage image;
    for (int round = 0; round < 4; ++round) {
      const WalTrace trace = RecordWalTrace(image, {.seed = seed * 100 + round, .batches = 15});
      const CrashReport report = EnumerateCrashes(trace, 2, random.Next());
      ASSERT_EQ(report.violations, 0u)
          << "seed " << seed << " round " << round << " " << report.first_violation;
      states += report.states;
      const auto loss = static_cast<Loss>(random.Below(4));
      const std::size_t ops = random.Below(trace.ops.size() + 1);
      image = Materialise(trace.start, trace.ops, ops, loss, random);
    }
  }
  EXPECT_GT(states, 5'000u);
}

// Claim: when a sync fails, at any point, the log stops, answers nobody else, and what it answered
// before is there after the crash, even though the disk drops the pages and calls them clean.
TEST(WalCrash, AFailedSyncStopsTheLog) {
  std::uint64_t stopped = 0;
  for (int fails_in = 0; fails_in < 60; ++fails_in) {
    const WalTrace trace =
        RecordWalTrace({}, {.seed = 3, .batches = 40, .sync_fails_in = fails_in});
    if (trace.states.empty()) continue;  // Open itself answered the error
    stopped += trace.crashed ? 1 : 0;
    Random random(static_cast<std::uint64_t>(fails_in));
    for (const Loss loss : {Loss::kDropAll, Loss::kKeepAll, Loss::kTear}) {
      const auto broken =
          CheckRecovery(trace, trace.ops.size(),
                        Materialise(trace.start, trace.ops, trace.ops.size(), loss, random));
      EXPECT_FALSE(broken) << *broken;
    }
  }
  EXPECT_GT(stopped, 10u);
}

}  // namespace
}  // namespace coterie::storage::testing

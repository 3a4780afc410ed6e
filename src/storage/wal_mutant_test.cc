#include <gtest/gtest.h>

#include "storage/testing/wal_trace.h"
#include "storage/wal_format.h"
#include "storage/wal_mutant.h"
#include "storage/wal_segments.h"

// Built once per mutant (see wal_mutant.h), together with the log's sources. Claim: the checks that pass on
// the log fail on each of its classic mistakes, so they look where they should.

namespace coterie::storage::testing {
namespace {

std::uint64_t ViolationsOfCrashes() {
  const WalTrace trace = RecordWalTrace({}, {.seed = 1, .batches = 120});
  return EnumerateCrashes(trace, 4, 42).violations;
}

std::uint64_t ViolationsOfFailedSyncs() {
  std::uint64_t violations = 0;
  for (int fails_in = 4; fails_in < 40; ++fails_in) {
    const WalTrace trace = RecordWalTrace({}, {.seed = 3, .batches = 40, .sync_fails_in = fails_in});
    if (trace.states.empty()) continue;
    Random random(1);
    const std::size_t end = trace.ops.size();
    if (CheckRecovery(trace, end, Materialise(trace.start, trace.ops, end, Loss::kDropAll, random))) ++violations;
  }
  return violations;
}

/// Damages one acknowledged frame in the middle of each segment in turn.
std::uint64_t ViolationsOfDamage() {
  const WalTrace trace = RecordWalTrace({}, {.seed = 5, .batches = 60});
  Random random(1);
  const std::size_t end = trace.ops.size();
  const DiskImage whole = Materialise(trace.start, trace.ops, end, Loss::kKeepAll, random);
  std::uint64_t violations = 0;
  for (const auto& [path, bytes] : whole.files) {
    if (!wal::ParseSegmentName(path.substr(sizeof(kWalDir)))) continue;
    DiskImage damaged = whole;
    damaged.files[path][wal::kAlignment + wal::kHeaderBytes + 1] ^= 1;
    TestWorld world(std::move(damaged));
    const auto opened = world.Run(Wal::Open(world, kWalDir, {.segment_bytes = 4096}));
    if (!opened) continue;  // noticed
    const std::string found = WalModel::Print((*opened)->TakeRecovered());
    if (found != trace.states.back()) ++violations;
  }
  return violations;
}

TEST(WalMutant, IsCaught) {
  const std::uint64_t violations = ViolationsOfCrashes() + ViolationsOfFailedSyncs() + ViolationsOfDamage();
  if (COTERIE_MUTANT == 0) {
    EXPECT_EQ(violations, 0u);
  } else {
    EXPECT_GT(violations, 0u);
  }
}

}  // namespace
}  // namespace coterie::storage::testing

#include <gtest/gtest.h>

#include <set>

#include "runtime/sim/simulation.h"

namespace coterie::runtime {
namespace {

/// Keeps what `setup` opened until the node dies.
using Files = std::vector<std::unique_ptr<File>>;

Task<void> Hold(World* world, Files*) {
  for (;;) co_await Sleep(world->executor(), 3600s);
}

/// A machine whose disk is under test; tests run as its tasks.
class Machine {
 public:
  explicit Machine(std::uint64_t seed)
      : sim_(WithSeed(seed)), node_(sim_.AddNode("node", "10.0.0.1")) {
    Boot();
  }
  void Boot() {
    sim_.Start(node_, [](World& world) { return Hold(&world, nullptr); });
  }
  void Die(Death death) {
    sim_.Kill(node_, death);
    Boot();
  }
  Disk& disk() { return sim_.world(node_).disk(); }
  DiskImage& image() { return sim_.disk(node_); }
  Simulation& sim() { return sim_; }
  NodeHandle node() const { return node_; }

  std::unique_ptr<File> Open(const std::string& path) {
    auto file = sim_.BlockOn(disk().Open(path, Disk::Mode::kOpenOrCreate));
    COT_ASSERT(file.has_value());
    return std::move(*file);
  }
  /// A file with durable content and a durable name.
  void Plant(const std::string& path, std::string content) {
    const Status planted = sim_.BlockOn(ReplaceFile(disk(), path, std::move(content)));
    COT_ASSERT(planted.has_value());
  }
  std::optional<std::string> Content(const std::string& path) {
    auto content = sim_.BlockOn(ReadFile(disk(), path, 64 << 20));
    if (!content) return std::nullopt;
    return std::move(*content);
  }

 private:
  static SimOptions WithSeed(std::uint64_t seed) {
    SimOptions options;
    options.seed = seed;
    return options;
  }
  Simulation sim_;
  NodeHandle node_;
};

// Synced bytes under a synced name survive any death, whatever happened around them.
TEST(DiskFaults, WhatWasSyncedSurvives) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Machine machine(seed);
    machine.Plant("file", std::string(10'000, 'a'));
    {
      const auto file = machine.Open("file");
      (void)machine.sim().BlockOn(file->Write(20'000, std::string(5'000, 'b')));
    }
    machine.Die(seed % 2 == 0 ? Death::kMachine : Death::kPowerOff);
    const auto content = machine.Content("file");
    ASSERT_TRUE(content.has_value());
    EXPECT_EQ(content->substr(0, 10'000), std::string(10'000, 'a'));
  }
}

// Each unsynced unit has its own fate: over seeds one sees it kept, dropped, torn (new bytes
// followed by old ones) and destroyed.
TEST(DiskFaults, UnsyncedUnitsAreKeptDroppedTornOrDestroyed) {
  constexpr std::size_t kUnit = 4096;
  int kept = 0;
  int dropped = 0;
  int torn = 0;
  int destroyed = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Machine machine(seed);
    machine.Plant("file", std::string(8 * kUnit, 'o'));
    {
      const auto file = machine.Open("file");
      (void)machine.sim().BlockOn(file->Write(0, std::string(8 * kUnit, 'n')));
    }
    machine.Die(Death::kMachine);
    const auto content = machine.Content("file");
    ASSERT_TRUE(content.has_value());
    ASSERT_EQ(content->size(), 8 * kUnit);
    for (std::size_t u = 0; u < 8; ++u) {
      const std::string unit = content->substr(u * kUnit, kUnit);
      const std::size_t fresh = std::min(unit.find('o'), kUnit);
      if (unit != std::string(fresh, 'n') + std::string(kUnit - fresh, 'o')) {
        ++destroyed;
        continue;
      }
      kept += fresh == kUnit;
      dropped += fresh == 0;
      torn += fresh > 0 && fresh < kUnit;
    }
  }
  EXPECT_GT(kept, 50);
  EXPECT_GT(dropped, 50);
  EXPECT_GT(torn, 20);
  EXPECT_GT(destroyed, 20);
}

// The death of the process alone loses nothing: the page cache is the machine's.
TEST(DiskFaults, ProcessDeathKeepsThePageCache) {
  Machine machine(1);
  (void)machine.sim().BlockOn(machine.Open("file")->Write(0, "unsynced"));
  machine.Die(Death::kProcess);
  EXPECT_EQ(machine.Content("file"), "unsynced");
}

// A name is durable only after SyncDir: without it one sees both fates, with it only one.
TEST(DiskFaults, NamesNeedSyncDir) {
  int survived = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Machine machine(seed);
    (void)machine.sim().BlockOn(machine.Open("unsynced")->WriteAndSync(0, "x"));
    machine.Die(Death::kMachine);
    survived += machine.Content("unsynced").has_value();
    (void)machine.sim().BlockOn(machine.Open("synced")->WriteAndSync(0, "x"));
    (void)machine.sim().BlockOn(machine.disk().SyncDir("."));
    machine.Die(Death::kMachine);
    EXPECT_EQ(machine.Content("synced"), "x");
  }
  EXPECT_GT(survived, 5);
  EXPECT_LT(survived, 35);
}

// ReplaceFile, cut short at any moment by the machine's death, leaves the old content or the new
// one.
TEST(DiskFaults, ReplaceFileIsAtomic) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Machine machine(seed);
    machine.Plant("file", std::string(3'000, 'o'));
    Scope scope;
    const auto replace = [](Disk* disk) -> Task<void> {
      (void)co_await ReplaceFile(*disk, "file", std::string(3'000, 'n'));
    };
    scope.Spawn(replace(&machine.disk()));
    machine.sim().RunFor(Duration(machine.sim().random().Below(2'500'000)));
    scope.Cancel();
    machine.Die(Death::kMachine);
    const auto content = machine.Content("file");
    ASSERT_TRUE(content.has_value()) << "seed " << seed;
    seen.insert(*content);
  }
  EXPECT_EQ(seen, (std::set<std::string>{std::string(3'000, 'o'), std::string(3'000, 'n')}));
}

// fsyncgate: after a failed sync the next one succeeds, reads still show the bytes, and only the
// machine's death reveals that they never reached the disk.
TEST(DiskFaults, AFailedSyncLosesWhatALaterOneClaims) {
  Machine machine(7);
  machine.Plant("file", std::string(512, 'o'));
  {
    const auto file = machine.Open("file");
    (void)machine.sim().BlockOn(file->Write(0, std::string(512, 'n')));
    machine.image().FailNextSync();
    const Status failed = machine.sim().BlockOn(file->Sync());
    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().code, ErrorCode::kSyncFailed);
    EXPECT_EQ(failed.error().outcome, coterie::Outcome::kUnknown);
    EXPECT_TRUE(machine.sim().BlockOn(file->Sync()).has_value());
  }
  EXPECT_EQ(machine.Content("file"), std::string(512, 'n'));
  machine.Die(Death::kProcess);
  EXPECT_EQ(machine.Content("file"), std::string(512, 'n'));
  machine.Die(Death::kMachine);
  EXPECT_EQ(machine.Content("file"), std::string(512, 'o'));
}

// What is written again after a failed sync, and synced, is durable.
TEST(DiskFaults, WritingAgainAfterAFailedSyncIsDurable) {
  Machine machine(7);
  machine.Plant("file", std::string(1024, 'o'));
  {
    const auto file = machine.Open("file");
    machine.image().FailNextSync();
    ASSERT_FALSE(machine.sim().BlockOn(file->WriteAndSync(0, std::string(1024, 'n'))).has_value());
    ASSERT_TRUE(machine.sim().BlockOn(file->WriteAndSync(0, std::string(512, 'm'))).has_value());
  }
  machine.Die(Death::kMachine);
  EXPECT_EQ(machine.Content("file"), std::string(512, 'm') + std::string(512, 'o'));
}

// A misdirected write reports success, leaves its place as it was and damages another.
TEST(DiskFaults, MisdirectedWritesLandElsewhere) {
  int elsewhere = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Machine machine(seed);
    machine.Plant("file", std::string(64 * 512, 'o'));
    DiskKnobs knobs;
    knobs.misdirected_write = 1;
    machine.sim().SetDisk(machine.node(), knobs);
    ASSERT_TRUE(machine.sim()
                    .BlockOn(machine.Open("file")->WriteAndSync(512, std::string(512, 'n')))
                    .has_value());
    const auto content = machine.Content("file");
    const std::size_t at = content->find('n');
    ASSERT_NE(at, std::string::npos);
    elsewhere += at != 512;
  }
  EXPECT_GE(elsewhere, 8);
}

// Bit rot changes one bit, and the next read finds the same.
TEST(DiskFaults, BitRotFlipsOneBitForGood) {
  Machine machine(3);
  const std::string before(5'000, 'o');
  machine.Plant("file", before);
  DiskKnobs knobs;
  knobs.bit_rot = 1;
  machine.sim().SetDisk(machine.node(), knobs);
  const auto first = machine.Content("file");
  machine.sim().SetDisk(machine.node(), DiskKnobs());
  const auto second = machine.Content("file");
  EXPECT_EQ(first, second);
  int bits = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    bits += __builtin_popcount(static_cast<unsigned char>((*first)[i] ^ before[i]));
  }
  EXPECT_EQ(bits, 1);
}

// A full disk refuses to grow files, and still takes writes in place.
TEST(DiskFaults, AFullDiskSaysSo) {
  Machine machine(3);
  machine.Plant("file", std::string(8'192, 'o'));
  DiskKnobs knobs;
  knobs.capacity_bytes = 12'000;
  machine.sim().SetDisk(machine.node(), knobs);
  const auto file = machine.Open("file");
  const Status grown = machine.sim().BlockOn(file->Write(8'192, std::string(8'192, 'n')));
  ASSERT_FALSE(grown.has_value());
  EXPECT_EQ(grown.error().code, ErrorCode::kDiskFull);
  EXPECT_TRUE(machine.sim().BlockOn(file->Write(0, "in place")).has_value());
}

// A replaced disk is empty.
TEST(DiskFaults, AWipedDiskIsEmpty) {
  Machine machine(3);
  machine.Plant("file", "content");
  machine.sim().Kill(machine.node());
  machine.image().Wipe();
  machine.Boot();
  EXPECT_EQ(machine.Content("file"), std::nullopt);
}

// A death may destroy what was durable around an unsynced write: as far as the disk's unit goes,
// and no further.
TEST(DiskFaults, AnUnsyncedWriteEndangersItsUnit) {
  Random random(5);
  for (const std::size_t unit : {512u, 1024u, 4096u}) {
    bool harmed = false;
    for (int round = 0; round < 200; ++round) {
      SimInode inode;
      inode.Write(0, std::string(8192, 'd'));
      inode.Sync();
      inode.Write(4096, std::string(512, 'u'));
      inode.Crash(random, unit);
      const std::string left = inode.Read(0, 8192);
      ASSERT_EQ(left.substr(0, 4096), std::string(4096, 'd'));
      ASSERT_EQ(left.substr(4096 + unit), std::string(4096 - unit, 'd'));
      harmed |= left.substr(4608) != std::string(3584, 'd');
    }
    EXPECT_EQ(harmed, unit > 512);
  }
}

// Against a naive model: a file of random writes, truncations and syncs reads back like a string.
TEST(DiskFaults, AFileReadsLikeAString) {
  Random random(11);
  for (int round = 0; round < 20; ++round) {
    SimInode inode;
    std::string model;
    for (int step = 0; step < 300; ++step) {
      const std::uint64_t at = random.Below(20'000);
      const std::uint64_t size = random.Below(9'000);
      const std::uint64_t action = random.Below(10);
      if (action < 6) {
        const std::string data(size, static_cast<char>('a' + random.Below(26)));
        inode.Write(at, data);
        if (size > 0 && model.size() < at + size) model.resize(at + size, '\0');
        model.replace(at > model.size() ? model.size() : at, size, data);
      } else if (action < 8) {
        inode.Truncate(at);
        model.resize(at, '\0');
      } else if (action == 8) {
        inode.Sync();
      } else {
        inode.Sync();
        inode.Crash(random, 4096);
      }
      ASSERT_EQ(inode.size(), model.size());
    }
    EXPECT_EQ(inode.Read(0, 1 << 20), model);
  }
}

}  // namespace
}  // namespace coterie::runtime

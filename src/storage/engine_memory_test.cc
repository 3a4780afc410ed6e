#include <gtest/gtest.h>

#include "storage/engine_home.h"
#include "storage/testing/test_world.h"
#include "storage/version_map.h"

namespace coterie::storage {
namespace {

using testing::DiskImage;
using testing::Loss;
using testing::TestWorld;

Batch PutOne(std::string key, std::string value) {
  Batch batch;
  batch.Put(std::move(key), std::move(value));
  return batch;
}

// Claim: versions are kept while a pin sees them, and no longer: memory follows the live state.
TEST(VersionMap, CollectsWhatNobodySees) {
  VersionMap map;
  Random random(1);
  std::multiset<VersionMap::Sequence> pins;
  for (int i = 0; i < 20'000; ++i) {
    Batch batch;
    const std::string key = "k" + std::to_string(random.Below(50));
    if (random.Chance(0.4)) {
      batch.Delete(key);
    } else {
      batch.Put(key, "v");
    }
    map.Apply(std::move(batch));
    if (random.Chance(0.2)) pins.insert(map.Pin());
    if (pins.size() > 5) {
      auto pin = pins.begin();
      std::advance(pin, random.Below(pins.size()));
      map.Unpin(*pin);
      pins.erase(pin);
    }
    // A key holds its newest version and at most one more for each pin.
    ASSERT_LE(map.versions(), 50 * (pins.size() + 1));
  }
  for (const auto pin : pins) map.Unpin(pin);
  EXPECT_EQ(map.versions(), map.map().size());
  Batch all;
  all.DeleteRange("", "z");
  map.Apply(std::move(all));
  EXPECT_EQ(map.versions(), 0u);
  EXPECT_EQ(map.bytes(), 0u);
}

// Claim: any single damaged byte of the file is noticed on opening.
TEST(MemoryEngine, NoticesDamage) {
  TestWorld world;
  auto engine = world.Run(MemoryEngineFactory()(world, "d/e")).value();
  ASSERT_TRUE(engine->Write(PutOne("key", "value")).has_value());
  ASSERT_TRUE(world.Run(engine->Flush()).has_value());
  engine.reset();
  std::string& file = world.disk().Content("d/e/state");
  const std::string good = file;
  for (std::size_t i = 0; i < good.size(); ++i) {
    file = good;
    file[i] ^= 0x10;
    const auto opened = world.Run(MemoryEngineFactory()(world, "d/e"));
    ASSERT_FALSE(opened.has_value()) << "byte " << i;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorruptState);
  }
  file = good.substr(0, good.size() / 2);
  EXPECT_EQ(world.Run(MemoryEngineFactory()(world, "d/e")).error().code, ErrorCode::kCorruptState);
}

std::string Value(Engine& engine, const char* key) {
  return engine.Get(key).value().value_or("none");
}

// Claim: at every crash point of creating a home, flushing, and switching to a new generation,
// opening shows the old state whole or the new one whole, and the new one once Commit has answered.
TEST(EngineHome, SwitchesInOneDurableStep) {
  TestWorld world;
  EngineHome home(world, MemoryEngineFactory(), "d/home");
  auto old = world.Run(home.OpenCurrent()).value();
  ASSERT_TRUE(old->Write(PutOne("who", "old")).has_value());
  ASSERT_TRUE(world.Run(old->Flush()).has_value());
  const std::size_t flushed = world.disk().ops().size();
  auto fresh = world.Run(home.BeginNew()).value();
  EXPECT_EQ(Value(*fresh, "who"), "none");
  ASSERT_TRUE(fresh->Write(PutOne("who", "new")).has_value());
  EXPECT_EQ(Value(*old, "who"), "old");
  ASSERT_TRUE(world.Run(home.Commit(fresh.get())).has_value());
  const std::size_t committed = world.disk().ops().size();
  old.reset();
  ASSERT_TRUE(world.Run(home.RemoveOthers()).has_value());
  fresh.reset();

  Random random(1);
  const auto& ops = world.disk().ops();
  for (std::size_t at = 0; at <= ops.size(); ++at) {
    for (const Loss loss : {Loss::kDropAll, Loss::kKeepAll, Loss::kTear, Loss::kReorder}) {
      for (int draw = 0; draw < 20; ++draw) {
        TestWorld after(Materialise(world.disk().start(), ops, at, loss, random));
        EngineHome again(after, MemoryEngineFactory(), "d/home");
        auto opened = after.Run(again.OpenCurrent());
        ASSERT_TRUE(opened.has_value()) << Describe(opened.error());
        const std::string value = Value(**opened, "who");
        if (at < flushed) EXPECT_TRUE(value == "none" || value == "old") << value;
        if (at >= flushed && at < committed) EXPECT_TRUE(value == "old" || value == "new") << value;
        if (at >= committed) EXPECT_EQ(value, "new");
        const auto names = after.Run(after.disk().List("d/home")).value();
        EXPECT_LE(names.size(), 3u);  // one generation, CURRENT, perhaps its temporary file
      }
    }
  }
}

// Claim: a damaged CURRENT, or one that names nothing, is an error and never an empty Engine.
TEST(EngineHome, NoticesADamagedCurrent) {
  TestWorld world;
  EngineHome home(world, MemoryEngineFactory(), "d/home");
  ASSERT_TRUE(world.Run(home.OpenCurrent()).has_value());
  const std::string good = world.disk().Content("d/home/CURRENT");
  for (std::size_t i = 0; i < good.size(); ++i) {
    world.disk().Content("d/home/CURRENT") = good;
    world.disk().Content("d/home/CURRENT")[i] ^= 1;
    EngineHome again(world, MemoryEngineFactory(), "d/home");
    EXPECT_EQ(world.Run(again.OpenCurrent()).error().code, ErrorCode::kCorruptState)
        << "byte " << i;
  }
}

}  // namespace
}  // namespace coterie::storage

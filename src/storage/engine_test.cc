#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "storage/engine.h"
#include "storage/snapshot_stream.h"
#include "storage/testing/test_world.h"

// One suite for every Engine: what engine.h promises, against std::map.

namespace coterie::storage {
namespace {

using Model = std::map<std::string, std::string>;
using testing::TestWorld;

void ApplyTo(Model& model, const Batch& batch) {
  for (const Batch::Change& c : batch.changes()) {
    switch (c.kind) {
      case Batch::Kind::kPut:
        model[c.key] = c.value;
        break;
      case Batch::Kind::kDelete:
        model.erase(c.key);
        break;
      case Batch::Kind::kDeleteRange:
        std::erase_if(model,
                      [&](const auto& kv) { return kv.first >= c.key && kv.first < c.value; });
        break;
    }
  }
}

/// Keys from a small space, so that they collide; some with bytes 0x00 and 0xff, some prefixes of
/// others.
std::string DrawKey(Random& random) {
  static const std::string kParts[] = {"a", "b", std::string(1, '\0'), "\xff", "k1", "k2"};
  std::string key = "k";
  for (std::uint64_t n = random.Below(4); n > 0; --n) key += kParts[random.Below(6)];
  return key;
}

Batch DrawBatch(Random& random) {
  Batch batch;
  for (std::uint64_t n = random.Below(6); n > 0; --n) {
    const std::uint64_t choice = random.Below(10);
    if (choice < 6) {
      batch.Put(DrawKey(random),
                std::string(random.Below(40), static_cast<char>('a' + random.Below(26))));
    } else if (choice < 9) {
      batch.Delete(DrawKey(random));
    } else {
      batch.DeleteRange(DrawKey(random), DrawKey(random));  // sometimes empty
    }
  }
  return batch;
}

struct EngineCase {
  std::string name;
  std::function<EngineFactory()> factory;
};
void PrintTo(const EngineCase& c, std::ostream* out) { *out << c.name; }

class EngineConformance : public ::testing::TestWithParam<EngineCase> {
 protected:
  EngineConformance() {
    std::string pattern = ::testing::TempDir() + "/coterie-engine-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    Reopen();
  }
  ~EngineConformance() override {
    engine_.reset();
    std::filesystem::remove_all(dir_);
  }
  /// As after a crash: nothing is flushed on the way.
  void Reopen() {
    engine_.reset();
    auto opened = world_.Run(GetParam().factory()(world_, dir_ + "/e"));
    ASSERT_TRUE(opened.has_value()) << Describe(opened.error());
    engine_ = std::move(*opened);
  }
  void Write(Batch batch) { ASSERT_TRUE(engine_->Write(std::move(batch)).has_value()); }
  void Flush() { ASSERT_TRUE(world_.Run(engine_->Flush()).has_value()); }
  Model Contents(const ReadView* view = nullptr) {
    Model model;
    auto it = engine_->Iterate("", "", view);
    for (it->SeekToFirst(); it->Valid(); it->Next()) model.emplace(it->key(), it->value());
    EXPECT_TRUE(it->status().has_value());
    return model;
  }

  TestWorld world_;
  std::string dir_;
  std::unique_ptr<Engine> engine_;
};

// Claim: a batch's changes take effect in their order, and a range deletion takes [begin, end).
TEST_P(EngineConformance, AppliesABatchInOrder) {
  Batch batch;
  batch.Put("b", "1");
  batch.Put("b", "2");
  batch.Put("c", "3");
  batch.Put("d", "4");
  batch.DeleteRange("c", "d");
  batch.Delete("x");
  batch.Put("a", "");
  Write(std::move(batch));
  EXPECT_EQ(Contents(), (Model{{"a", ""}, {"b", "2"}, {"d", "4"}}));
  EXPECT_EQ(engine_->Get("b").value(), std::optional<std::string>("2"));
  EXPECT_EQ(engine_->Get("a").value(), std::optional<std::string>(""));
  EXPECT_EQ(engine_->Get("c").value(), std::nullopt);
}

// Claim: FirstVersion finds the least of a prefix's versions, in memory and in tables, and nothing
// where there are none, whatever else begins alike.
TEST_P(EngineConformance, FindsTheFirstVersion) {
  const auto version = [](std::string prefix, char last) {
    return prefix + std::string(7, '\0') + last;
  };
  for (const bool flushed : {false, true}) {
    Batch batch;
    for (const char last : {'5', '2', '9'}) batch.Put(version("ka!", last), std::string(1, last));
    batch.Put(version("kc!", '7'), "seven");
    batch.Put("z", "too short for a version");
    Write(std::move(batch));
    if (flushed) Flush();
    const auto a = engine_->FirstVersion("ka!");
    ASSERT_TRUE(a.has_value() && a->has_value());
    EXPECT_EQ((*a)->key, version("ka!", '2'));
    EXPECT_EQ((*a)->value, "2");
    EXPECT_EQ(engine_->FirstVersion("kc!").value()->value, "seven");
    EXPECT_FALSE(engine_->FirstVersion("kb!").value().has_value());
    EXPECT_FALSE(engine_->FirstVersion("kd!").value().has_value());
    EXPECT_FALSE(engine_->FirstVersion("a").value().has_value());
  }
  Batch gone;
  gone.Delete(version("kc!", '7'));
  Write(std::move(gone));
  EXPECT_FALSE(engine_->FirstVersion("kc!").value().has_value());
}

// Claim: Get and every iterator movement, in bounds and at their edges, agree with std::map.
TEST_P(EngineConformance, IteratesAsAMapDoes) {
  Random random(11);
  Model model;
  for (int i = 0; i < 60; ++i) {
    Batch batch = DrawBatch(random);
    ApplyTo(model, batch);
    Write(std::move(batch));
    if (i % 20 == 7) Flush();
  }
  for (int i = 0; i < 400; ++i) {
    const std::string lower = random.Chance(0.3) ? "" : DrawKey(random);
    const std::string upper = random.Chance(0.3) ? "" : DrawKey(random);
    Model inside = model;
    std::erase_if(inside, [&](const auto& kv) {
      return kv.first < lower || (!upper.empty() && kv.first >= upper);
    });
    auto it = engine_->Iterate(lower, upper);
    EXPECT_FALSE(it->Valid());
    const std::string target = DrawKey(random);
    Model::const_iterator at = inside.end();
    switch (random.Below(4)) {
      case 0:
        it->SeekToFirst();
        at = inside.begin();
        break;
      case 1:
        it->Seek(target);
        at = inside.lower_bound(target);
        break;
      case 2:
        it->SeekToLast();
        at = inside.empty() ? inside.end() : std::prev(inside.end());
        break;
      case 3: {
        it->SeekForPrev(target);
        const auto after = inside.upper_bound(target);
        at = after == inside.begin() ? inside.end() : std::prev(after);
        break;
      }
    }
    for (int step = 0; step < 8; ++step) {
      ASSERT_EQ(it->Valid(), at != inside.end()) << "round " << i << " step " << step;
      if (at == inside.end()) break;
      ASSERT_EQ(it->key(), at->first);
      ASSERT_EQ(it->value(), at->second);
      if (random.Chance(0.5)) {
        it->Next();
        ++at;
      } else {
        it->Prev();
        at = at == inside.begin() ? inside.end() : std::prev(at);
      }
    }
    ASSERT_TRUE(it->status().has_value());
    ASSERT_EQ(engine_->Get(target).value().has_value(), model.contains(target));
  }
}

// Claim: a view, and an iterator without one, show the state they were made at while writes,
// flushes and other views come and go; the latest state is unharmed by them.
TEST_P(EngineConformance, ViewsStayAsTheyWere) {
  struct Held {
    std::unique_ptr<ReadView> view;
    Model model;
  };
  Random random(5);
  Model model;
  std::vector<Held> held;
  for (int i = 0; i < 300; ++i) {
    Batch batch = DrawBatch(random);
    const Model before = model;
    auto it = engine_->Iterate("", "");
    it->SeekToFirst();
    ApplyTo(model, batch);
    Write(std::move(batch));
    Model seen;
    for (; it->Valid(); it->Next()) seen.emplace(it->key(), it->value());
    ASSERT_EQ(seen, before);
    if (random.Chance(0.3)) held.push_back({engine_->View(), model});
    if (random.Chance(0.02)) Flush();
    if (!held.empty() && random.Chance(0.3))
      held.erase(held.begin() + static_cast<long>(random.Below(held.size())));
    for (const Held& h : held) {
      ASSERT_EQ(Contents(h.view.get()), h.model) << "round " << i;
      const std::string key = DrawKey(random);
      const auto found = h.model.find(key);
      const auto got = engine_->Get(key, h.view.get()).value();
      ASSERT_EQ(got, found == h.model.end() ? std::nullopt : std::optional(found->second));
    }
    ASSERT_EQ(Contents(), model);
  }
}

// Claim: after a crash the Engine holds a prefix of the batches, with all up to the last Flush.
TEST_P(EngineConformance, ACrashLeavesAPrefixWithAllThatWasFlushed) {
  Random random(3);
  std::vector<Model> states(1);
  for (int round = 0; round < 12; ++round) {
    const std::size_t start = states.size() - 1;
    std::size_t flushed = start;
    for (int i = 0; i < 30; ++i) {
      Batch batch = DrawBatch(random);
      batch.Put("serial", std::to_string(states.size()));  // every state is told from every other
      states.push_back(states.back());
      ApplyTo(states.back(), batch);
      Write(std::move(batch));
      if (random.Chance(0.05)) {
        Flush();
        flushed = states.size() - 1;
      }
    }
    Reopen();
    const Model found = Contents();
    std::size_t at = states.size();
    while (at > flushed && states[at - 1] != found) --at;
    ASSERT_GT(at, flushed) << "no state since the last flush is what was found";
    states.resize(at);
  }
}

// Claim: chunks of a snapshot rebuild the state of when the reader was made, from any cursor, while
// writes go on; a damaged, repeated or skipped chunk is refused and changes nothing.
TEST_P(EngineConformance, SnapshotChunksRebuildTheState) {
  Random random(9);
  Model model;
  for (int i = 0; i < 200; ++i) {
    Batch batch = DrawBatch(random);
    ApplyTo(model, batch);
    Write(std::move(batch));
  }
  SnapshotReader reader(*engine_, "", "", 40);
  Batch later;
  later.DeleteRange("", "\xff\xff");
  Write(std::move(later));
  TestWorld world;
  auto copy = world.Run(MemoryEngineFactory()(world, "d/copy")).value();
  std::optional<SnapshotWriter> writer(std::in_place, *copy);
  int chunks = 0;
  while (!writer->complete()) {
    const SnapshotChunk chunk = reader.NextChunk().value();
    ++chunks;
    std::string damaged = chunk.bytes;
    damaged[random.Below(damaged.size())] ^= 1;
    EXPECT_EQ(writer->Apply(damaged).error().code, ErrorCode::kMalformed);
    EXPECT_EQ(
        writer->Apply(std::string_view(chunk.bytes).substr(0, random.Below(chunk.bytes.size())))
            .error()
            .code,
        ErrorCode::kMalformed);
    ASSERT_TRUE(writer->Apply(chunk.bytes).has_value());
    EXPECT_EQ(writer->cursor(), chunk.cursor);
    EXPECT_EQ(writer->Apply(chunk.bytes).error().code, ErrorCode::kMalformed);
    if (writer->complete() || random.Chance(0.5)) continue;
    ASSERT_TRUE(reader.NextChunk().has_value());  // lost on the way: go on from what arrived
    reader.Seek(writer->cursor());
    writer.emplace(*copy, writer->cursor());
  }
  EXPECT_GT(chunks, 5);
  Model found;
  auto it = copy->Iterate("", "");
  for (it->SeekToFirst(); it->Valid(); it->Next()) found.emplace(it->key(), it->value());
  EXPECT_EQ(found, model);
}

INSTANTIATE_TEST_SUITE_P(
    Engines, EngineConformance,
    ::testing::Values(EngineCase{"memory", [] { return MemoryEngineFactory(); }},
                      EngineCase{"rocksdb",
                                 [] {
                                   return RocksEngineFactory(
                                       {.block_cache_bytes = 1u << 20, .memtable_bytes = 1u << 20});
                                 }}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace coterie::storage

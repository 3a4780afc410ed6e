// What the cells cost besides the engine, with 100,000 keys in the cache: SET of 256 bytes to a key
// that exists with everything up to the encoded mutation, applying such a mutation of another node,
// GET, INCR, and elements of collections, small and large.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/cells/store.h"
#include "model/cells/testing/map_engine.h"

namespace coterie::cells {
namespace {

constexpr ShardId kShard{0x100};
constexpr std::uint64_t kKeys = 100'000;

struct Bed {
  Bed() {
    (void)store.Load(engine);
    store.OpenShard(kShard, keyspace::Conflict::kCrdt);
    for (std::uint64_t i = 0; i < kKeys; ++i)
      keys.push_back("key:" + std::to_string(1'000'000 + i));
  }
  template <class Make>
  std::string Do(Make make) {
    Edit edit(store, kShard, {.actor = actor, .counter = ++counter}, ++time);
    make(edit);
    std::string bytes;
    leaderless::Encode(edit.Take(), bytes);
    // The driver writes back beside; here it is left out, as the engine is.
    return bytes;
  }
  void Fill() {
    for (const auto& key : keys) {
      Do([&](Edit& edit) { edit.SetString(key, value); });
    }
    (void)store.WriteBack(LogIndex(1));
  }
  const std::string& AnyKey() { return keys[random.Below(kKeys)]; }

  testing::MapEngine engine;
  Store store{StoreOptions{.cache_bytes_max = std::size_t{4} << 30}};
  clock::Actor actor = clock::MakeActor(NodeId(1), 1);
  std::uint64_t counter = 0;
  HybridTime time = clock::MakeHybridTime(1'700'000'000'000, 0);
  std::string value = std::string(256, 'v');
  std::vector<std::string> keys;
  Random random{1};
};

void Set(benchmark::State& state) {
  Bed bed;
  bed.Fill();
  for (auto _ : state) {
    const auto bytes = bed.Do([&](Edit& edit) { edit.SetString(bed.AnyKey(), bed.value); });
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(Set);

void ApplySet(benchmark::State& state) {
  Bed here;
  here.Fill();
  Bed there;
  there.actor = clock::MakeActor(NodeId(2), 1);
  there.Fill();
  std::vector<std::string> mutations;
  for (int i = 0; i < 400'000; ++i) {
    mutations.push_back(there.Do([&](Edit& edit) { edit.SetString(there.AnyKey(), there.value); }));
  }
  std::size_t next = 0;
  for (auto _ : state) {
    if (next == mutations.size()) {
      state.SkipWithError("too few mutations");
      break;
    }
    const auto view = leaderless::DecodeMutation(mutations[next++]);
    benchmark::DoNotOptimize(here.store.Apply(*view));
  }
}
BENCHMARK(ApplySet)->Iterations(400'000);

void Get(benchmark::State& state) {
  Bed bed;
  bed.Fill();
  std::string out;
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(bed.store.AppendString(kShard, bed.AnyKey(), out));
  }
}
BENCHMARK(Get);

void GetHot(benchmark::State& state) {
  Bed bed;
  bed.Fill();
  std::string out;
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(
        bed.store.AppendString(kShard, bed.keys[bed.random.Below(100) * 997], out));
  }
}
BENCHMARK(GetHot);

void SetHot(benchmark::State& state) {
  Bed bed;
  bed.Fill();
  for (auto _ : state) {
    const std::string& key = bed.keys[bed.random.Below(100) * 997];
    const auto bytes = bed.Do([&](Edit& edit) { edit.SetString(key, bed.value); });
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(SetHot);

void Incr(benchmark::State& state) {
  Bed bed;
  for (const auto& key : bed.keys) {
    bed.Do([&](Edit& edit) { (void)edit.Increment(key, 1); });
  }
  for (auto _ : state) {
    const auto bytes = bed.Do([&](Edit& edit) { (void)edit.Increment(bed.AnyKey(), 1); });
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(Incr);

void AddToSet(benchmark::State& state) {
  Bed bed;
  const auto members = static_cast<std::uint64_t>(state.range(0));
  for (std::uint64_t i = 0; i < members; ++i) {
    bed.Do([&](Edit& edit) { edit.SetAdd("set", std::to_string(i)); });
  }
  for (auto _ : state) {
    const auto bytes =
        bed.Do([&](Edit& edit) { edit.SetAdd("set", std::to_string(bed.random.Below(members))); });
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(AddToSet)->Arg(100)->Arg(10'000)->Arg(1'000'000);

void AllOfHash(benchmark::State& state) {
  Bed bed;
  for (int i = 0; i < state.range(0); ++i) {
    bed.Do([&](Edit& edit) { edit.HashSet("hash", "field" + std::to_string(i), "value"); });
  }
  for (auto _ : state) {
    std::size_t bytes = 0;
    bed.store.VisitHash(kShard, "hash", "", [&](std::string_view field, std::string_view value) {
      bytes += field.size() + value.size();
      return true;
    });
    benchmark::DoNotOptimize(bytes);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(AllOfHash)->Arg(10)->Arg(1000);

}  // namespace
}  // namespace coterie::cells

BENCHMARK_MAIN();

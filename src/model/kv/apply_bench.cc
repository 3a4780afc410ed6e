// What applying a command costs besides the engine: puts of 256-byte values to keys that the cache
// knows, 64 to an Apply call, as a leader (answers wanted) and as a follower, and with watchers.
#include <benchmark/benchmark.h>

#include "model/kv/command_codec.h"
#include "model/kv/test_support.h"

namespace coterie::kv {
namespace {

/// Takes batches and forgets them.
class NullEngine final : public storage::Engine {
 public:
  Status Write(storage::Batch batch) override {
    benchmark::DoNotOptimize(batch);
    return Ok();
  }
  Result<std::optional<std::string>> Get(std::string_view,
                                         const storage::ReadView*) const override {
    return std::optional<std::string>();
  }
  std::unique_ptr<storage::ReadView> View() const override { return nullptr; }
  std::unique_ptr<storage::Iterator> Iterate(std::string lower, std::string upper,
                                             const storage::ReadView*) const override {
    return empty_.Iterate(std::move(lower), std::move(upper), nullptr);
  }
  runtime::Task<Status> Flush() override { co_return Ok(); }
  std::uint64_t ApproximateBytes() const override { return 0; }

 private:
  testing::MapEngine empty_;
};

void Puts(benchmark::State& state, bool answers, int watchers) {
  constexpr int kBatch = 64;
  constexpr int kKeys = 10'000;
  NullEngine engine;
  testing::IdleExecutor executor;
  runtime::Notification wake(executor);
  Store store(executor, {});
  (void)store.Load(engine);
  std::vector<std::string> payloads;
  for (int i = 0; i < kKeys; ++i) {
    etcdserverpb::PutRequest put;
    put.set_key("/registry/pods/default/key-" + std::to_string(100'000 + i));
    put.set_value(std::string(256, 'v'));
    payloads.push_back(EncodePut(put.SerializeAsString()));
  }
  std::vector<std::unique_ptr<Watcher>> watching;
  for (int i = 0; i < watchers; ++i) {
    watching.push_back(store.Watch({.key = "/other/" + std::to_string(i), .range_end = {}}, wake));
  }
  std::vector<model::StateMachine::Command> commands(kBatch);
  int next = 0;
  LogIndex index;
  for (auto _ : state) {
    for (auto& command : commands) {
      command = {++index, Term(1), payloads[static_cast<std::size_t>(next++ % kKeys)], answers};
    }
    auto applied = store.Apply(commands, index, Term(1));
    benchmark::DoNotOptimize(applied);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}

BENCHMARK_CAPTURE(Puts, follower, false, 0);
BENCHMARK_CAPTURE(Puts, leader, true, 0);
BENCHMARK_CAPTURE(Puts, leader_10000_other_watchers, true, 10'000);

}  // namespace
}  // namespace coterie::kv

BENCHMARK_MAIN();

#include <gtest/gtest.h>

#include "runtime/sim/simulation.h"
#include "storage/engine.h"
#include "storage/engine_home.h"

namespace coterie::storage {
namespace {

using runtime::Task;
using runtime::World;

struct Seen {
  bool flushed = false;  // the last boot has made what it found durable
  std::string value;
};

/// Boots, notes what is there, makes that durable, and then begins to replace it.
Task<void> Boot(World* world, std::string next, bool switch_engines, Seen* seen) {
  EngineHome home(*world, MemoryEngineFactory(), "/state");
  auto engine = co_await home.OpenCurrent();
  COT_ASSERT(engine.has_value());
  auto found = (*engine)->Get("key");
  COT_ASSERT(found.has_value());
  seen->value = found->value_or("");
  const Status durable = co_await (*engine)->Flush();
  COT_ASSERT(durable.has_value());
  seen->flushed = true;
  if (next.empty()) co_return;
  std::unique_ptr<Engine> other;
  if (switch_engines) {
    auto begun = co_await home.BeginNew();
    COT_ASSERT(begun.has_value());
    other = std::move(*begun);
  }
  Engine& target = other ? *other : **engine;
  Batch batch;
  batch.Put("key", next);
  const Status written = target.Write(std::move(batch));
  COT_ASSERT(written.has_value());
  const Status flushed = co_await target.Flush();
  COT_ASSERT(flushed.has_value());
  if (other) {
    const Status switched = co_await home.Commit(other.get());
    COT_ASSERT(switched.has_value());
  }
}

void KillAtEveryMoment(bool switch_engines) {
  bool seen_old = false;
  bool seen_new = false;
  for (int at = 0; at < 1000; ++at) {
    runtime::Simulation simulation(runtime::SimOptions{.seed = 7});
    const auto node = simulation.AddNode("n1", "10.0.0.1");
    Seen first, second, third;
    simulation.Start(node, [&](World& w) { return Boot(&w, "old", false, &first); });
    simulation.RunFor(100ms);
    simulation.Kill(node, runtime::Death::kProcess);
    simulation.Start(node, [&](World& w) { return Boot(&w, "new", switch_engines, &first); });
    simulation.RunFor(at * 10us);
    simulation.Kill(node, runtime::Death::kProcess);
    simulation.Start(node, [&](World& w) { return Boot(&w, "", false, &second); });
    simulation.RunFor(100ms);
    ASSERT_TRUE(second.flushed);
    simulation.Kill(node, runtime::Death::kMachine);
    simulation.Start(node, [&](World& w) { return Boot(&w, "", false, &third); });
    simulation.RunFor(100ms);
    ASSERT_EQ(third.value, second.value) << "killed after " << at * 10 << " us";
    seen_old = seen_old || second.value == "old";
    seen_new = seen_new || second.value == "new";
  }
  EXPECT_TRUE(seen_old && seen_new);
}

// A process may die between a rename and the sync that makes it durable. What the next one finds
// there, and says is durable, must survive the machine's death: the log forgets what it covers.
TEST(EngineRestart, AFlushedStateThatWasFoundSurvives) { KillAtEveryMoment(false); }
TEST(EngineRestart, AnEngineThatWasFoundCurrentSurvives) { KillAtEveryMoment(true); }

}  // namespace
}  // namespace coterie::storage

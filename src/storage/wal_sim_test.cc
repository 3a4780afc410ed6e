#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/sim/simulation.h"
#include "storage/engine.h"
#include "storage/testing/wal_trace.h"

// The log in the simulator's World: the disk there fails syncs, tears sectors and loses names on
// its own.

namespace coterie::storage {
namespace {

using runtime::Death;
using runtime::NodeHandle;
using runtime::Scope;
using runtime::Simulation;
using runtime::Task;
using runtime::World;
using testing::WalModel;

struct Lives {
  explicit Lives(std::uint64_t seed) : random(seed), states{WalModel().Print()} {}
  Random random;
  std::vector<std::string> states;  // [0]: as last observed; [i]: after i more batches
  std::size_t answered = 0;
  std::uint64_t opened = 0;
  std::uint64_t batches = 0;
  std::uint64_t crashes = 0;
  std::vector<std::string> violations;
};

Task<void> Append(Wal* wal, WalBatch batch, std::size_t state, Lives* lives) {
  const Status durable = co_await wal->Append(std::move(batch));
  if (!durable) lives->violations.push_back(Describe(durable.error()));
  lives->answered = std::max(lives->answered, state);
}

Task<void> Live(World* world, Lives* lives) {
  auto opened = co_await Wal::Open(*world, "data/wal", {.segment_bytes = 8192});
  if (!opened) {
    if (opened.error().code != ErrorCode::kSyncFailed)
      lives->violations.push_back(Describe(opened.error()));
    world->Crash("the log does not open");
    co_return;
  }
  const std::unique_ptr<Wal> wal = std::move(*opened);
  if (!wal->cut().empty()) lives->violations.push_back("a crash is taken for a cut: " + wal->cut());
  const auto shards = wal->TakeRecovered();
  const std::string found = WalModel::Print(shards);
  const auto from = lives->states.begin() + static_cast<long>(lives->answered);
  if (std::find(from, lives->states.end(), found) == lives->states.end()) {
    lives->violations.push_back("lost or invented: " + found);
  }
  ++lives->opened;
  // What was found is now relied on: it must not be lost either.
  lives->states = {found};
  lives->answered = 0;
  WalModel model(shards);
  Scope scope;
  for (;;) {
    for (std::uint64_t n = lives->random.Below(4); n > 0; --n) {
      WalBatch batch = model.Draw(lives->random);
      lives->states.push_back(model.Print());
      ++lives->batches;
      if (lives->random.Chance(0.3)) {
        wal->AppendLater(std::move(batch));
        continue;
      }
      scope.Spawn(Append(wal.get(), std::move(batch), lives->states.size() - 1, lives));
    }
    co_await runtime::Sleep(world->executor(), Duration(lives->random.Below(2'000'000)));
  }
}

std::uint64_t RunLives(std::uint64_t seed, Lives* lives) {
  const Death on_crash = seed % 2 == 0 ? Death::kProcess : Death::kMachine;
  Simulation sim({.seed = seed, .chaos = seed % 3 == 0, .crash_death = on_crash});
  const NodeHandle node = sim.AddNode("n1", "127.0.0.1");
  sim.SetDisk(node, {.slow = 0.01, .slow_max = 20ms, .sync_failure = seed % 4 == 0 ? 0.0 : 0.01});
  sim.OnCrash([&sim, lives](NodeHandle crashed, const std::string&) {
    ++lives->crashes;
    sim.Restart(crashed);
  });
  sim.Start(node, [lives](World& world) { return Live(&world, lives); });
  for (int kill = 0; kill < 40; ++kill) {
    sim.RunFor(Duration(sim.random().Below(40'000'000)));
    sim.Kill(node, sim.random().Chance(0.5) ? Death::kProcess : Death::kMachine);
    if (!sim.running(node)) sim.Restart(node);
  }
  return sim.trace_hash();
}

// Claim: through process deaths, machine deaths and syncs that fail and lie, everything answered
// and everything once read back stays, in order, and nothing appears that was not given.
TEST(WalSim, KeepsItsPromisesThroughManyDeaths) {
  std::uint64_t batches = 0;
  std::uint64_t crashes = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Lives lives(seed);
    RunLives(seed, &lives);
    ASSERT_TRUE(lives.violations.empty()) << "seed " << seed << ": " << lives.violations.front();
    batches += lives.batches;
    crashes += lives.crashes;
  }
  EXPECT_GT(batches, 10'000u);
  EXPECT_GT(crashes, 50u);
}

// Claim: the log draws on nothing but its World: the same seed gives the same run.
TEST(WalSim, IsDeterministic) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Lives first(seed);
    Lives second(seed);
    EXPECT_EQ(RunLives(seed, &first), RunLives(seed, &second));
    EXPECT_EQ(first.states, second.states);
  }
}

}  // namespace
}  // namespace coterie::storage

#include <gtest/gtest.h>
#include <sys/random.h>

#include <chrono>
#include <ctime>
#include <random>
#include <thread>

#include "runtime/sim/simulation.h"

namespace coterie::runtime {
namespace {

Task<void> Call(void (*function)()) {
  function();
  co_return;
}

Task<void> CallLater(World* world, void (*function)()) {
  co_await Sleep(world->executor(), 1ms);
  function();
}

void RunInSimulation(void (*function)()) {
  Simulation sim(SimOptions{});
  const NodeHandle node = sim.AddNode("node", "10.0.0.1");
  sim.Start(node, [function](World& world) { return CallLater(&world, function); });
  sim.RunFor(1s);
}

void SystemClock() { (void)std::chrono::system_clock::now(); }
void SteadyClock() { (void)std::chrono::steady_clock::now(); }
void Time() { (void)::time(nullptr); }
void GetRandom() {
  char byte;
  (void)!::getrandom(&byte, 1, 0);
}
void Entropy() {
  char byte;
  (void)!::getentropy(&byte, 1);
}
void SleepForReal() { std::this_thread::sleep_for(std::chrono::microseconds(1)); }
void StartThread() {
  std::thread([] {}).join();
}

// Inside a simulation every way around the World aborts, by name; calls from libstdc++ count.
TEST(TrapsDeathTest, AbortInsideASimulation) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(RunInSimulation(SystemClock), "TRAP: clock_gettime");
  EXPECT_DEATH(RunInSimulation(SteadyClock), "TRAP: clock_gettime");
  EXPECT_DEATH(RunInSimulation(Time), "TRAP: time");
  EXPECT_DEATH(RunInSimulation(GetRandom), "TRAP: getrandom");
  EXPECT_DEATH(RunInSimulation(Entropy), "TRAP: getentropy");
  EXPECT_DEATH(RunInSimulation(SleepForReal), "TRAP: (clock_)?nanosleep");
  EXPECT_DEATH(RunInSimulation(StartThread), "TRAP: pthread_create");
}

// A node's first steps, taken inside Start, are trapped too.
TEST(TrapsDeathTest, AbortInsideStart) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Simulation sim(SimOptions{});
        sim.Start(sim.AddNode("node", "10.0.0.1"), [](World&) { return Call(SystemClock); });
      },
      "TRAP: clock_gettime");
}

// Outside of a simulation, before it and after it, everything works.
TEST(Traps, PassThroughOtherwise) {
  RunInSimulation([] {});
  SystemClock();
  Time();
  GetRandom();
  Entropy();
  SleepForReal();
  StartThread();
  EXPECT_GT(::time(nullptr), 1'500'000'000);
}

}  // namespace
}  // namespace coterie::runtime

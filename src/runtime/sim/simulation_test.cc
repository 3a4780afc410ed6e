#include "runtime/sim/simulation.h"

#include <gtest/gtest.h>

#include "runtime/sync.h"

namespace coterie::runtime {
namespace {

constexpr std::uint16_t kPort = 7071;

Task<void> EchoConnection(std::unique_ptr<Stream> stream) {
  char buffer[4096];
  for (;;) {
    const auto got = co_await stream->Read(buffer);
    if (!got || *got == 0) co_return;
    const Status written = co_await stream->Write(std::string(buffer, *got));
    if (!written) co_return;
  }
}

Task<void> EchoServer(World* world) {
  auto listening = world->network().Listen({"0.0.0.0", kPort});
  COT_ASSERT(listening.has_value());
  const std::unique_ptr<Listener> listener = std::move(*listening);
  Scope connections;
  for (;;) {
    auto accepted = co_await listener->Accept();
    COT_ASSERT(accepted.has_value());
    connections.Spawn(EchoConnection(std::move(*accepted)));
  }
}

struct Tally {
  int rounds = 0;
  int failures = 0;
};

/// Asks `rounds` times over one connection at a time; connects again when it fails.
Task<void> EchoClient(World* world, std::string host, int rounds, Tally* tally) {
  std::unique_ptr<Stream> stream;
  while (tally->rounds < rounds) {
    if (stream == nullptr) {
      auto connected = co_await world->network().Connect({host, kPort}, 2s);
      if (!connected) {
        ++tally->failures;
        co_await Sleep(world->executor(), 10ms);
        continue;
      }
      stream = std::move(*connected);
    }
    const std::string text = "message " + std::to_string(world->random().Below(1'000'000));
    const Status written = co_await stream->Write(text);
    std::string answer;
    bool alive = written.has_value();
    while (alive && answer.size() < text.size()) {
      char buffer[64];
      const auto got = co_await stream->Read(buffer);
      alive = got.has_value() && *got > 0;
      if (alive) answer.append(buffer, *got);
    }
    if (alive) {
      EXPECT_EQ(answer, text);
      ++tally->rounds;
    } else {
      ++tally->failures;
      stream.reset();
    }
  }
}

struct Outcome {
  std::uint64_t hash = 0;
  Tally tally;
};

/// One server, one client, a kill and a partition; everything by `seed`.
Outcome RunEcho(std::uint64_t seed, bool chaos) {
  SimOptions options;
  options.seed = seed;
  options.chaos = chaos;
  options.streams.split = 0.3;
  options.links.loss = 0.01;
  Simulation sim(options);
  const NodeHandle server = sim.AddNode("server", "10.0.0.1");
  const NodeHandle client = sim.AddNode("client", "10.0.0.2");
  Outcome outcome;
  sim.Start(server, [](World& world) { return EchoServer(&world); });
  sim.Start(client, [&outcome](World& world) {
    return EchoClient(&world, "10.0.0.1", 200, &outcome.tally);
  });
  sim.RunFor(20ms);
  sim.Kill(server);
  sim.RunFor(5ms);
  sim.Restart(server);
  sim.RunFor(50ms);
  sim.CutBoth(server, client);
  sim.RunFor(300ms);
  sim.HealAll();
  EXPECT_TRUE(sim.RunUntil([&] { return outcome.tally.rounds == 200; }, 600s));
  outcome.hash = sim.trace_hash();
  return outcome;
}

// A seed is a whole history: the same one twice, and another one for another seed.
TEST(Simulation, TheSameSeedGivesTheSameTrace) {
  for (const bool chaos : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const Outcome first = RunEcho(seed, chaos);
      const Outcome second = RunEcho(seed, chaos);
      EXPECT_EQ(first.hash, second.hash) << "seed " << seed;
      EXPECT_NE(first.hash, RunEcho(seed + 1000, chaos).hash) << "seed " << seed;
      EXPECT_GT(first.tally.failures, 0) << "the kill went unnoticed, seed " << seed;
    }
  }
}

}  // namespace
}  // namespace coterie::runtime

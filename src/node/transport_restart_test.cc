// A process that died asked; its successor must not hear the answer.

#include "node/transport.h"

#include <gtest/gtest.h>

#include "runtime/sim/simulation.h"

namespace coterie::node {
namespace {

using runtime::Task;
using runtime::World;

std::vector<MemberConfig> Members() {
  std::vector<MemberConfig> members;
  for (std::uint64_t i = 1; i <= 2; ++i) {
    const std::string host = "10.0.0." + std::to_string(i);
    members.push_back({NodeId(i), "n" + std::to_string(i), {host, 7071}, {host, 2379}});
  }
  return members;
}

Task<Result<std::string>> EchoSlowly(World* world, std::string body) {
  co_await runtime::Sleep(world->executor(), 300ms);
  co_return body;
}

Task<void> Answerer(World* world) {
  Transport transport(*world, NodeId(2), 1, Members(), {});
  transport.OnCall(Method::kReadIndex, [world](NodeId, std::string body, Instant) {
    return EchoSlowly(world, std::move(body));
  });
  auto listener = world->network().Listen(Members()[1].peer);
  COT_ASSERT(listener.has_value());
  transport.Start(std::move(*listener));
  co_await runtime::Sleep(world->executor(), std::chrono::hours(1));
}

Task<void> Asker(World* world, std::string question, std::vector<std::string>* answers) {
  Transport transport(*world, NodeId(1), 1, Members(), {});
  auto listener = world->network().Listen(Members()[0].peer);
  COT_ASSERT(listener.has_value());
  transport.Start(std::move(*listener));
  co_await runtime::Sleep(world->executor(), 100ms);
  const Instant deadline = world->Now() + 2s;
  auto answer = co_await transport.Call(NodeId(2), Method::kReadIndex, question, deadline);
  if (answer) answers->push_back(*answer);
  co_await runtime::Sleep(world->executor(), std::chrono::hours(1));
}

// The answer to a call of a process that died must not answer one of the process that came after
// it, though both have made as many calls.
TEST(TransportRestart, AnswersDoNotOutliveTheProcessThatAsked) {
  runtime::Simulation simulation(runtime::SimOptions{});
  const auto asker = simulation.AddNode("n1", "10.0.0.1");
  const auto answerer = simulation.AddNode("n2", "10.0.0.2");
  std::vector<std::string> answers;
  simulation.Start(answerer, [](World& world) { return Answerer(&world); });
  simulation.Start(asker, [&](World& world) { return Asker(&world, "before", &answers); });
  simulation.RunFor(150ms);
  simulation.Kill(asker, runtime::Death::kProcess);
  simulation.Start(asker, [&](World& world) { return Asker(&world, "after", &answers); });
  simulation.RunFor(3s);
  EXPECT_EQ(answers, std::vector<std::string>{"after"});
}

}  // namespace
}  // namespace coterie::node

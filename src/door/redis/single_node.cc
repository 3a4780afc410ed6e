// For this room's tests and measurements: the door over real sockets, on one node that keeps
// everything in memory. `door_redis_single_node 127.0.0.1:0` prints where it listens. Databases: 0
// crdt, 1 lww, 2 siblings, 3 raft.
#include <fmt/format.h>

#include <cstdio>

#include "door/etcd/fake_node.h"
#include "door/redis/ordered_commands.h"
#include "door/redis/redis_door.h"
#include "door/redis/stand_in.h"
#include "runtime/real/real_world.h"
#include "runtime/scope.h"

namespace {

using namespace coterie;
using namespace coterie::door;

runtime::Task<void> Ticking(runtime::World* world, redis::StandInLeaderless* leaderless) {
  for (;;) {
    co_await runtime::Sleep(world->executor(), 1ms);
    leaderless->Tick();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: {} ADDRESS:PORT\n", argv[0]);
    return 1;
  }
  auto address = runtime::ParseAddress(argv[1]);
  auto world = runtime::RealWorld::Create();
  if (!address || !world) return 1;
  auto listener = (*world)->network().Listen(*address);
  if (!listener) {
    fmt::print(stderr, "{}\n", Describe(listener.error()));
    return 1;
  }
  const std::string at = runtime::ToText((*listener)->local());
  redis::StandInControl control(**world);
  using enum keyspace::Conflict;
  control.Add(redis::LeaderlessPromise("crdt", kCrdt, 0), {NodeId(1)});
  control.Add(redis::LeaderlessPromise("lww", kLww, 1), {NodeId(1)});
  control.Add(redis::LeaderlessPromise("siblings", kSiblings, 2), {NodeId(1)});
  control.Add({.name = "raft", .replicas = 1, .redis_database = 3}, {NodeId(1)}, 1);
  redis::StandInLeaderless leaderless(**world, control, NodeId(1));
  etcd::FakeNode node(**world);
  redis::OrderedCommands ordered(
      **world, {.raft = [&](std::string_view) -> node::KvKeyspace* { return &node; },
                .paxos = [](std::string_view) -> node::Registers* { return nullptr; },
                .pass_on = {}});
  redis::RedisDoor door(
      **world,
      {.self = NodeId(1), .control = &control, .leaderless = &leaderless, .ordered = &ordered});
  runtime::Scope scope;
  scope.Spawn(Ticking(world->get(), &leaderless));
  door.Serve(std::move(*listener));
  fmt::print("{}\n", at);
  std::fflush(stdout);
  (*world)->Run();
  return 0;
}

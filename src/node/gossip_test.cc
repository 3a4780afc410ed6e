// Gossip over transports in the simulated world, and what this node's own requests say.

#include "node/gossip.h"

#include <gtest/gtest.h>

#include "runtime/sim/simulation.h"

namespace coterie::node {
namespace {

using runtime::Task;
using runtime::World;

class GossipTest : public ::testing::Test {
 protected:
  struct Machine {
    runtime::NodeHandle handle;
    Transport* transport = nullptr;
    Gossip* gossip = nullptr;
  };

  explicit GossipTest(std::uint64_t size = 5) {
    for (std::uint64_t id = 1; id <= size; ++id) {
      const std::string host = "10.0.0." + std::to_string(id);
      members_.push_back({NodeId(id), "n" + std::to_string(id), {host, 7071}, {}});
      machines_[id].handle = sim_.AddNode(members_.back().name, host);
    }
    for (auto& [id, machine] : machines_) StartNode(id);
    sim_.RunFor(3s);
    for (const auto& [id, machine] : machines_) EXPECT_TRUE(AllSee(id, Health::kAlive));
  }

  void StartNode(std::uint64_t id) {
    Machine* machine = &machines_[id];
    sim_.Start(machine->handle,
               [this, machine, id](World& world) { return Main(this, machine, id, &world); });
  }
  static Task<void> Main(GossipTest* test, Machine* machine, std::uint64_t id, World* world) {
    auto listener = world->network().Listen(test->members_[id - 1].peer);
    COT_ASSERT(listener.has_value());
    Transport transport(*world, NodeId(id), 4711, test->members_, {});
    Gossip gossip(*world, transport, NodeId(id));
    struct Listed {
      Machine& machine;
      ~Listed() {
        machine.transport->Stop();
        machine = {.handle = machine.handle};
      }
    } listed{*machine};
    machine->transport = &transport;
    machine->gossip = &gossip;
    std::vector<NodeId> ids;
    for (const MemberConfig& member : test->members_) ids.push_back(member.id);
    gossip.SetMembers(ids);
    gossip.OnChange([test, id](const NodeHealth& health) { test->OnChange(id, health); });
    transport.Start(std::move(*listener));
    gossip.Start();
    runtime::Notification never(world->executor());
    co_await never.Wait();
  }
  void OnChange(std::uint64_t observer, const NodeHealth& health) {
    changes_[{observer, health.node.value}].push_back(health);
  }

  NodeHealth HealthOf(std::uint64_t node, std::uint64_t observer) {
    for (const NodeHealth& health : machines_[observer].gossip->view()) {
      if (health.node == NodeId(node)) return health;
    }
    ADD_FAILURE() << "n" << observer << " does not know n" << node;
    return {};
  }
  /// What every other running node believes of `node`.
  bool AllSee(std::uint64_t node, Health health) {
    for (const auto& [id, machine] : machines_) {
      if (id == node || machine.gossip == nullptr) continue;
      if (HealthOf(node, id).health != health) return false;
    }
    return true;
  }
  void CutTransports(std::uint64_t node) {
    for (auto& [id, machine] : machines_) {
      if (id == node) continue;
      machine.transport->SetFault(NodeId(node), {.cut = true});
      machines_[node].transport->SetFault(NodeId(id), {.cut = true});
    }
  }
  std::vector<runtime::NodeHandle> Others(std::uint64_t node) {
    std::vector<runtime::NodeHandle> others;
    for (const auto& [id, machine] : machines_) {
      if (id != node) others.push_back(machine.handle);
    }
    return others;
  }

  std::vector<MemberConfig> members_;
  std::map<std::uint64_t, Machine> machines_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<NodeHealth>> changes_;
  runtime::Simulation sim_{{.seed = 11}};
};

// A node behind cut links is suspected by all others, then taken for dead; it thinks the same of
// them; healed, all are alive to all. Nobody of the majority takes another of it for dead.
TEST_F(GossipTest, ACutNodeIsSuspectedAndComesBack) {
  sim_.Partition({{machines_[5].handle}, Others(5)});
  ASSERT_TRUE(sim_.RunUntil([&] { return AllSee(5, Health::kSuspected); }, 4s));
  for (std::uint64_t id = 1; id <= 4; ++id) {
    EXPECT_NE(HealthOf(5, id).suspected_by, NodeId());
    EXPECT_GT(machines_[id].gossip->Cost(NodeId(5)),
              machines_[id].gossip->Cost(NodeId(1 + id % 4)));
  }
  ASSERT_TRUE(sim_.RunUntil([&] { return AllSee(5, Health::kDead); }, 6s));
  for (std::uint64_t id = 1; id <= 4; ++id) EXPECT_NE(HealthOf(id, 5).health, Health::kAlive);
  sim_.HealAll();
  const auto all_alive = [&] {
    for (const auto& [id, machine] : machines_) {
      if (!AllSee(id, Health::kAlive)) return false;
    }
    return true;
  };
  EXPECT_TRUE(sim_.RunUntil(all_alive, 20s));
  for (std::uint64_t a = 1; a <= 4; ++a) {
    for (std::uint64_t b = 1; b <= 4; ++b) {
      for (const NodeHealth& health : changes_[{a, b}]) {
        EXPECT_NE(health.health, Health::kDead) << a << " of " << b;
      }
    }
  }
}

// The demo's injected faults act on gossip as on everything else.
TEST_F(GossipTest, InjectedFaultsActOnGossip) {
  CutTransports(2);
  EXPECT_TRUE(sim_.RunUntil([&] { return AllSee(2, Health::kDead); }, 6s));
  for (auto& [id, machine] : machines_) machine.transport->Heal();
  EXPECT_TRUE(sim_.RunUntil([&] { return AllSee(2, Health::kAlive); }, 5s));
}

// A process that stands still is suspected, refutes when it goes on, and accuses nobody itself.
TEST_F(GossipTest, ASlowNodeIsSuspectedAndRefutes) {
  sim_.Pause(machines_[3].handle);
  EXPECT_TRUE(sim_.RunUntil([&] { return AllSee(3, Health::kSuspected); }, 3s));
  sim_.Resume(machines_[3].handle);
  EXPECT_TRUE(sim_.RunUntil([&] { return AllSee(3, Health::kAlive); }, 2s));
  sim_.RunFor(5s);
  EXPECT_GT(machines_[3].gossip->swim().incarnation(), 0U);
  for (const auto& [pair, changes] : changes_) {
    EXPECT_EQ(pair.second, 3U);
    for (const NodeHealth& health : changes) EXPECT_NE(health.health, Health::kDead);
  }
}

// A killed process is dead to all, and alive again after its restart though it has forgotten its
// incarnation.
TEST_F(GossipTest, ARestartedNodeIsAliveAgain) {
  sim_.Kill(machines_[1].handle, runtime::Death::kPowerOff);
  EXPECT_TRUE(sim_.RunUntil([&] { return AllSee(1, Health::kDead); }, 6s));
  StartNode(1);
  EXPECT_TRUE(sim_.RunUntil([&] { return AllSee(1, Health::kAlive); }, 10s));
}

// The nearest is asked first, this node before all, strangers last; late requests put a node behind
// the others within a second, answers bring it back.
TEST_F(GossipTest, CostFollowsOwnRequests) {
  Gossip& gossip = *machines_[1].gossip;
  gossip.OnAnswer(NodeId(2), 300us);
  gossip.OnAnswer(NodeId(3), 9ms);
  EXPECT_EQ(gossip.Cost(NodeId(1)), 0U);
  EXPECT_LT(gossip.Cost(NodeId(2)), gossip.Cost(NodeId(4)));
  EXPECT_LT(gossip.Cost(NodeId(4)), gossip.Cost(NodeId(3)));
  EXPECT_GT(gossip.Cost(NodeId(99)), gossip.Cost(NodeId(3)));
  gossip.OnLate(NodeId(99));
  for (int i = 0; i < 8; ++i) {
    gossip.OnLate(NodeId(2));
    sim_.RunFor(50ms);
  }
  EXPECT_GT(gossip.Cost(NodeId(2)), gossip.Cost(NodeId(3)));
  EXPECT_TRUE(HealthOf(2, 1).route_around);
  EXPECT_EQ(HealthOf(2, 1).health, Health::kAlive);
  for (int i = 0; i < 8; ++i) gossip.OnAnswer(NodeId(2), 300us);
  EXPECT_FALSE(HealthOf(2, 1).route_around);
  EXPECT_LT(gossip.Cost(NodeId(2)), gossip.Cost(NodeId(3)));
}

Instant At(int ms) { return Instant{std::chrono::milliseconds(ms)}; }

// One late request: after 800 ms. Many: after 200 ms, and not sooner, however many at once.
TEST(RouteSuspicionTest, AccruesWithNumberAndTime) {
  RouteSuspicion one;
  one.OnLate(At(1000));
  EXPECT_FALSE(one.RouteAround(At(1799)));
  EXPECT_TRUE(one.RouteAround(At(1800)));
  RouteSuspicion many;
  for (int i = 0; i < 500; ++i) many.OnLate(At(1000));
  EXPECT_FALSE(many.RouteAround(At(1199)));
  EXPECT_TRUE(many.RouteAround(At(1200)));
}

// A hiccup that is over before its time leads to nothing; one late request among many answered ones
// neither.
TEST(RouteSuspicionTest, AHiccupIsForgiven) {
  RouteSuspicion route;
  for (int i = 0; i < 100; ++i) route.OnLate(At(1000));
  for (int i = 0; i < 8; ++i) route.OnAnswer(1ms, At(1100));
  EXPECT_FALSE(route.RouteAround(At(5000)));
  for (int ms = 2000; ms < 9000; ms += 10) {
    if (ms % 100 == 0) route.OnLate(At(ms));
    route.OnAnswer(1ms, At(ms + 5));
    EXPECT_FALSE(route.RouteAround(At(ms + 5)));
  }
}

// Who answers less than half of the time is routed around; once it is, single answers are not
// enough.
TEST(RouteSuspicionTest, MostlyLateIsRoutedAround) {
  RouteSuspicion route;
  for (int ms = 1000; ms < 3000; ms += 10) {
    ms % 30 == 0 ? route.OnAnswer(1ms, At(ms)) : route.OnLate(At(ms));
  }
  EXPECT_TRUE(route.RouteAround(At(3000)));
  route.OnAnswer(1ms, At(3001));
  route.OnAnswer(1ms, At(3002));
  EXPECT_TRUE(route.RouteAround(At(3003)));
  for (int i = 0; i < 8; ++i) route.OnAnswer(1ms, At(3004));
  EXPECT_FALSE(route.RouteAround(At(3005)));
}

// Whoever is asked last may never be asked: five seconds after the last late request it is tried
// again.
TEST(RouteSuspicionTest, IsTriedAgain) {
  RouteSuspicion route;
  for (int i = 0; i < 10; ++i) route.OnLate(At(1000 + i * 50));
  EXPECT_TRUE(route.RouteAround(At(6400)));
  EXPECT_FALSE(route.RouteAround(At(6450)));
  route.OnLate(At(7000));
  EXPECT_FALSE(route.RouteAround(At(7000)));
  EXPECT_TRUE(route.RouteAround(At(7800)));
}

// The round trip follows slowly.
TEST(RouteSuspicionTest, RoundTripIsSmoothed) {
  RouteSuspicion route;
  EXPECT_EQ(route.round_trip(), Duration::zero());
  route.OnAnswer(8ms, At(1));
  EXPECT_EQ(route.round_trip(), 8ms);
  route.OnAnswer(16ms, At(2));
  EXPECT_EQ(route.round_trip(), 9ms);
}

}  // namespace
}  // namespace coterie::node

#include "node/gossip.h"

#include <algorithm>

namespace coterie::node {
namespace {

// A peer that nothing is known about is tried before one that is known to be slow, and after one
// that is known to be near.
constexpr std::uint64_t kUnknownUs = 1000;
// Each step is more than any round trip in microseconds.
constexpr std::uint64_t kAround = 1'000'000'000'000;
constexpr std::uint64_t kSuspected = 2 * kAround;
constexpr std::uint64_t kUnconnected = 4 * kAround;
constexpr std::uint64_t kDead = 8 * kAround;
constexpr std::uint64_t kStranger = 32 * kAround;

Health HealthFrom(membership::State state) {
  switch (state) {
    case membership::State::kAlive:
      return Health::kAlive;
    case membership::State::kSuspect:
      return Health::kSuspected;
    case membership::State::kDead:
      return Health::kDead;
  }
  return Health::kAlive;
}

membership::Config ConfigOf(membership::Config config, NodeId self) {
  config.self = self;
  return config;
}

}  // namespace

Gossip::Gossip(runtime::World& world, Transport& transport, NodeId self, membership::Config config)
    : world_(world),
      transport_(transport),
      self_(self),
      swim_(ConfigOf(config, self), world.random(), world.Now()),
      sooner_(world.executor()) {
  transport_.OnMessage(FrameType::kGossip,
                       [this](NodeId from, std::string_view body) { OnMessage(from, body); });
}

Gossip::~Gossip() = default;

void Gossip::SetMembers(std::vector<NodeId> members) {
  std::erase_if(routes_, [&](const auto& entry) {
    return std::find(members.begin(), members.end(), entry.first) == members.end();
  });
  swim_.SetMembers(std::move(members), world_.Now());
  Flush();
}

void Gossip::Start() { scope_.Spawn(Run()); }

runtime::Task<void> Gossip::Run() {
  for (;;) {
    if (swim_.NextDeadline() <= world_.Now()) swim_.Tick(world_.Now());
    waits_until_ = Instant::max();  // Flush need not wake this task
    Flush();
    waits_until_ = swim_.NextDeadline();
    if (waits_until_ == Instant::max()) {
      co_await sooner_.Wait();
    } else {
      (void)co_await sooner_.WaitUntil(waits_until_);
    }
  }
}

void Gossip::OnMessage(NodeId from, std::string_view body) {
  const auto message = membership::Decode(body);
  if (!message) {
    world_.log().Warn("gossip", "n{} sent what is no message", from.value);
    return;
  }
  swim_.Step(from, *message, world_.Now());
  Flush();
}

void Gossip::Flush() {
  membership::Output output = swim_.TakeOutput();
  for (const membership::Envelope& envelope : output.messages) {
    transport_.Send(envelope.to, FrameType::kGossip, membership::Encode(envelope.message));
  }
  for (const membership::Member& change : output.changes) {
    world_.log().Info("gossip", "n{} is {}, by the word of n{}", change.node.value,
                      ToText(change.state),
                      change.by == NodeId() ? change.node.value : change.by.value);
    if (on_change_) on_change_(HealthOf(change));
  }
  if (swim_.NextDeadline() < waits_until_) sooner_.NotifyAll();
}

NodeHealth Gossip::HealthOf(const membership::Member& member) const {
  NodeHealth health;
  health.node = member.node;
  health.health = HealthFrom(member.state);
  health.suspected_by = member.by;
  health.since = member.since;
  const auto route = routes_.find(member.node);
  if (route != routes_.end()) {
    health.round_trip = route->second.round_trip();
    health.route_around = route->second.RouteAround(world_.Now());
  }
  return health;
}

std::vector<NodeHealth> Gossip::view() const {
  std::vector<NodeHealth> view;
  for (const membership::Member& member : swim_.members()) view.push_back(HealthOf(member));
  return view;
}

std::uint64_t Gossip::Cost(NodeId node) const {
  if (node == self_) return 0;
  const auto member = swim_.Find(node);
  if (!member) return kStranger;
  const NodeHealth health = HealthOf(*member);
  std::uint64_t cost = kUnknownUs;
  if (health.round_trip > Duration::zero()) {
    cost =
        1 + static_cast<std::uint64_t>(std::min<Duration>(health.round_trip, 1000s).count() / 1000);
  }
  if (health.route_around) cost += kAround;
  if (health.health == Health::kSuspected) cost += kSuspected;
  if (health.health == Health::kDead) cost += kDead;
  if (!transport_.connected(node)) cost += kUnconnected;
  return cost;
}

void Gossip::OnAnswer(NodeId node, Duration round_trip) {
  if (node == self_ || !swim_.Find(node)) return;
  routes_[node].OnAnswer(round_trip, world_.Now());
}

void Gossip::OnLate(NodeId node) {
  if (node == self_ || !swim_.Find(node)) return;
  routes_[node].OnLate(world_.Now());
}

}  // namespace coterie::node

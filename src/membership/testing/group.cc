#include "membership/testing/group.h"

#include <fmt/format.h>

#include <utility>

#include "base/assert.h"

namespace coterie::membership::testing {

Group::Group(std::uint64_t seed, std::uint64_t size, Config config)
    : config_(config), random_(seed) {
  for (std::uint64_t id = 1; id <= size; ++id) ids_.emplace_back(id);
  for (const NodeId id : ids_) Create(id);
}

void Group::Create(NodeId node) {
  config_.self = node;
  randoms_[node] = std::make_unique<Random>(random_.Next());
  nodes_[node] = std::make_unique<Swim>(config_, *randoms_[node], now_);
  nodes_[node]->SetMembers(ids_, now_);
}

void Group::RunFor(Duration span) {
  const Instant end = now_ + span;
  for (;;) {
    Instant next = flying_.empty() ? end : std::min(end, flying_.begin()->first);
    for (const auto& [id, node] : nodes_) {
      if (!paused_.contains(id.value) && !dead_.contains(id.value)) {
        next = std::min(next, std::max(now_, node->NextDeadline()));
      }
    }
    now_ = next;
    if (now_ >= end) return;
    while (!flying_.empty() && flying_.begin()->first <= now_) {
      const Flight flight = std::move(flying_.begin()->second);
      flying_.erase(flying_.begin());
      Deliver(flight);
    }
    for (const auto& [id, node] : nodes_) {
      if (paused_.contains(id.value) || dead_.contains(id.value)) continue;
      if (node->NextDeadline() <= now_) node->Tick(now_);
      Drain(id);
    }
  }
}

void Group::Deliver(const Flight& flight) {
  if (dead_.contains(flight.to.value)) return;
  if (paused_.contains(flight.to.value)) {
    waiting_[flight.to.value].push_back(flight);
    return;
  }
  const auto message = Decode(flight.bytes);
  COT_ASSERT(message.has_value());
  nodes_.at(flight.to)->Step(flight.from, *message, now_);
  Drain(flight.to);
}

void Group::Drain(NodeId node) {
  Output output = nodes_.at(node)->TakeOutput();
  for (const Member& change : output.changes) events_.push_back({now_, node, change});
  for (Envelope& envelope : output.messages) {
    ++messages_;
    if (cut_.contains({node.value, envelope.to.value})) continue;
    if (random_.Chance(network.loss)) continue;
    const Duration delay(random_.Between(network.delay_min.count(), network.delay_max.count()));
    flying_.emplace(now_ + delay, Flight{node, envelope.to, Encode(envelope.message)});
  }
}

void Group::Isolate(std::uint64_t node) {
  for (const NodeId other : ids_) {
    Cut(node, other.value);
    Cut(other.value, node);
  }
}

void Group::Resume(std::uint64_t node) {
  paused_.erase(node);
  for (const Flight& flight : std::exchange(waiting_[node], {})) Deliver(flight);
}

void Group::Kill(std::uint64_t node) { dead_.insert(node); }

void Group::Restart(std::uint64_t node) {
  dead_.erase(node);
  Create(NodeId(node));
}

bool Group::AllBelieve(std::uint64_t node, State state) {
  for (const NodeId at : ids_) {
    if (at.value == node || dead_.contains(at.value)) continue;
    if (StateOf(node, at.value) != state) return false;
  }
  return true;
}

std::string Group::EventsText() const {
  std::string text;
  for (const Event& event : events_) {
    text +=
        fmt::format("{}ms n{}: n{} {}", event.at.time_since_epoch() / std::chrono::milliseconds(1),
                    event.observer.value, event.member.node.value, ToText(event.member.state));
    if (event.member.by != NodeId()) text += fmt::format(" by n{}", event.member.by.value);
    text += '\n';
  }
  return text;
}

}  // namespace coterie::membership::testing

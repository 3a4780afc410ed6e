#include "membership/swim.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"

namespace coterie::membership {

Swim::Swim(Config config, Random& random, Instant now)
    : config_(config), random_(random), next_probe_(now) {
  COT_ASSERT(config_.attempts > 0 && config_.probes_max > 0);
  COT_ASSERT(config_.suspicion_min <= config_.suspicion_max);
}

void Swim::SetMembers(std::vector<NodeId> members, Instant now) {
  std::erase(members, config_.self);
  std::sort(members.begin(), members.end());
  members.erase(std::unique(members.begin(), members.end()), members.end());
  const auto gone = [&](NodeId node) {
    return !std::binary_search(members.begin(), members.end(), node);
  };
  std::erase_if(members_, [&](const auto& entry) { return gone(entry.first); });
  std::erase_if(suspicions_, [&](const auto& entry) { return gone(entry.first); });
  std::erase_if(probes_, [&](const auto& entry) { return gone(entry.second.target); });
  std::erase_if(relays_, [&](const auto& entry) {
    return gone(entry.second.target) || gone(entry.second.asker);
  });
  std::erase_if(order_, gone);
  for (const NodeId node : members) {
    if (!members_.try_emplace(node, Member{.node = node, .since = now}).second) continue;
    const auto at = static_cast<std::ptrdiff_t>(random_.Below(order_.size() + 1));
    order_.insert(order_.begin() + at, node);
  }
  members.push_back(config_.self);
  news_.Retain(members);
  next_probe_ = std::max(next_probe_, now);
}

void Swim::Step(NodeId from, const Message& message, Instant now) {
  if (!members_.contains(from)) return;
  for (const Update& update : message.updates) Hear(update, now);
  switch (message.kind) {
    case Message::Kind::kPing:
      Send(from, Message::Kind::kAck, message.sequence);
      break;
    case Message::Kind::kPingReq:
      OnPingReq(from, message, now);
      break;
    case Message::Kind::kAck:
    case Message::Kind::kNack:
      OnAnswer(from, message);
      break;
  }
}

void Swim::Tick(Instant now) {
  AfterStall(now);
  TickSuspicions(now);
  TickProbes(now);
  TickRelays(now);
  while (!order_.empty() && now >= next_probe_) StartProbe(now);
}

Instant Swim::NextDeadline() const {
  Instant next = order_.empty() ? Instant::max() : next_probe_;
  for (const auto& [sequence, probe] : probes_) next = std::min(next, probe.next);
  for (const auto& [sequence, relay] : relays_) next = std::min(next, relay.nack_at);
  for (const auto& [node, suspicion] : suspicions_) {
    next = std::min(next, suspicion.since + SuspicionTimeout(suspicion));
    next = std::min(next, suspicion.ping_at);
  }
  return next;
}

/// Whoever stood still has not listened: what was to end meanwhile gets its time again.
void Swim::AfterStall(Instant now) {
  const Instant due = NextDeadline();
  if (now < due || now - due <= config_.stall) return;
  const Duration late = now - due;
  for (auto& [sequence, probe] : probes_) probe.next += late;
  for (auto& [sequence, relay] : relays_) relay.nack_at += late;
  for (auto& [node, suspicion] : suspicions_) {
    suspicion.since += late;
    suspicion.ping_at += late;
  }
  next_probe_ += late;
  SetHealth(health_ + 1);
}

Output Swim::TakeOutput() { return std::exchange(output_, {}); }

std::vector<Member> Swim::members() const {
  std::vector<Member> members;
  for (const auto& [node, member] : members_) members.push_back(member);
  return members;
}

std::optional<Member> Swim::Find(NodeId node) const {
  const auto at = members_.find(node);
  if (at == members_.end()) return std::nullopt;
  return at->second;
}

void Swim::SetHealth(int health) { health_ = std::clamp(health, 0, config_.health_max); }

void Swim::Send(NodeId to, Message::Kind kind, std::uint64_t sequence, NodeId target) {
  output_.messages.push_back({to, {kind, sequence, target, UpdatesFor(to)}});
}

/// News first. Then what concerns the receiver: it can refute only what it hears of
/// [Lifeguard §IV-C]. Then one member in turn, which repairs what all other messages lost.
std::vector<Update> Swim::UpdatesFor(NodeId to) {
  const int doublings = std::bit_width(members_.size() + 1);
  std::vector<Update> updates =
      news_.Take(config_.updates_max, config_.retransmit_factor * doublings);
  const auto add = [&](const Member& member) {
    const bool there = std::any_of(updates.begin(), updates.end(),
                                   [&](const Update& u) { return u.node == member.node; });
    if (!there) updates.push_back({member.node, member.state, member.incarnation, member.by});
  };
  const auto receiver = members_.find(to);
  if (receiver != members_.end() && receiver->second.state != State::kAlive) add(receiver->second);
  auto turn = members_.upper_bound(told_in_turn_);
  if (turn == members_.end()) {
    told_in_turn_ = {};
    add({.node = config_.self, .incarnation = incarnation_});
  } else {
    told_in_turn_ = turn->first;
    add(turn->second);
  }
  return updates;
}

}  // namespace coterie::membership

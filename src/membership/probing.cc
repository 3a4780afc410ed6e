#include <algorithm>

#include "base/assert.h"
#include "membership/swim.h"

namespace coterie::membership {

Duration Swim::ProbeInterval() const {
  const auto at_once = std::clamp<std::size_t>(order_.size(), 1, config_.probes_max);
  return Widened(config_.probe_period) / static_cast<std::int64_t>(at_once);
}

/// The next member of the round. The order stays, so that nobody waits longer than a round
/// [SWIM §4.3 draws a new order each round, and waits up to two].
void Swim::StartProbe(Instant now) {
  next_in_order_ = next_in_order_ < order_.size() ? next_in_order_ : 0;
  const NodeId target = order_[next_in_order_++];
  next_probe_ = std::max(next_probe_ + ProbeInterval(), now);
  const bool under_way = std::any_of(probes_.begin(), probes_.end(), [&](const auto& entry) {
    return entry.second.target == target;
  });
  if (under_way) return;
  const std::uint64_t sequence = next_sequence_++;
  Attempt(sequence, probes_.emplace(sequence, Probe{.target = target}).first->second, now);
}

void Swim::Attempt(std::uint64_t sequence, Probe& probe, Instant now) {
  Send(probe.target, Message::Kind::kPing, sequence);
  const bool dead = members_.at(probe.target).state == State::kDead;
  if (probe.attempts > 0 && !dead) AskHelpers(sequence, probe);
  ++probe.attempts;
  probe.next = now + Widened(config_.probe_timeout);
}

void Swim::AskHelpers(std::uint64_t sequence, Probe& probe) {
  std::vector<NodeId> able;
  for (const auto& [node, member] : members_) {
    if (node != probe.target && member.state == State::kAlive) able.push_back(node);
  }
  for (std::size_t asked = 0; asked < config_.helpers && !able.empty(); ++asked) {
    const std::size_t choice = random_.Below(able.size());
    Send(able[choice], Message::Kind::kPingReq, sequence, probe.target);
    probe.helped = true;
    able.erase(able.begin() + static_cast<std::ptrdiff_t>(choice));
  }
}

void Swim::TickProbes(Instant now) {
  for (auto at = probes_.begin(); at != probes_.end();) {
    Probe& probe = at->second;
    if (now < probe.next) {
      ++at;
    } else if (probe.attempts < config_.attempts) {
      Attempt(at->first, probe, now);
      ++at;
    } else {
      const Probe ended = probe;
      at = probes_.erase(at);
      EndProbe(ended, now);
    }
  }
}

/// Nobody could reach it in time.
void Swim::EndProbe(const Probe& probe, Instant now) {
  // Helpers answer even when the target does not. If they are silent as well, the trouble may be
  // on this side [Lifeguard §IV-A].
  if (probe.helped && !probe.heard) SetHealth(health_ + 1);
  const Member& member = members_.at(probe.target);
  if (member.state == State::kDead) return;
  Hear({member.node, State::kSuspect, member.incarnation, config_.self}, now);
}

void Swim::OnPingReq(NodeId from, const Message& message, Instant now) {
  if (message.target == config_.self) {
    Send(from, Message::Kind::kAck, message.sequence);
    return;
  }
  if (!members_.contains(message.target) || relays_.size() >= config_.relays_max) return;
  const std::uint64_t sequence = next_sequence_++;
  relays_.emplace(sequence, Relay{from, message.sequence, message.target,
                                  now + Widened(config_.probe_timeout) * 4 / 5});
  Send(message.target, Message::Kind::kPing, sequence);
}

void Swim::OnAnswer(NodeId from, const Message& message) {
  if (const auto probe = probes_.find(message.sequence); probe != probes_.end()) {
    if (message.kind == Message::Kind::kNack) {
      probe->second.heard = true;
      return;
    }
    probes_.erase(probe);
    SetHealth(health_ - 1);
    return;
  }
  const auto relay = relays_.find(message.sequence);
  if (relay == relays_.end() || message.kind != Message::Kind::kAck ||
      from != relay->second.target) {
    return;
  }
  Send(relay->second.asker, Message::Kind::kAck, relay->second.sequence);
  relays_.erase(relay);
}

/// Says that the target is silent in good time, and forgets the request a while later: a late
/// answer is still passed on.
void Swim::TickRelays(Instant now) {
  for (auto at = relays_.begin(); at != relays_.end();) {
    Relay& relay = at->second;
    if (now < relay.nack_at) {
      ++at;
    } else if (!relay.nacked) {
      Send(relay.asker, Message::Kind::kNack, relay.sequence);
      relay.nacked = true;
      relay.nack_at = now + Widened(config_.probe_timeout);
      ++at;
    } else {
      at = relays_.erase(at);
    }
  }
}

}  // namespace coterie::membership

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "membership/swim.h"

namespace coterie::membership {
namespace {

/// Greater incarnations override; of one incarnation dead over suspect over alive [SWIM §4.2]. Also
/// over the dead: whoever refutes comes back.
bool Overrides(const Update& update, const Member& member) {
  return update.incarnation > member.incarnation ||
         (update.incarnation == member.incarnation && update.state > member.state);
}

/// How much of the difference between the longest and the shortest wait so many of `needed`
/// confirmations take away, in thousandths: log(c + 1) / log(needed + 1) [Lifeguard §IV-B].
std::int64_t Taken(std::size_t confirmations, std::size_t needed) {
  constexpr std::array<std::int64_t, 9> kLog2 = {0, 1000, 1585, 2000, 2322, 2585, 2807, 3000, 3170};
  needed = std::min(needed, kLog2.size() - 1);
  confirmations = std::min(confirmations, needed);
  return needed == 0 ? 1000 : kLog2[confirmations] * 1000 / kLog2[needed];
}

}  // namespace

void Swim::Hear(const Update& update, Instant now) {
  if (update.node == config_.self) return HearOfSelf(update);
  const auto at = members_.find(update.node);
  if (at == members_.end()) return;
  Member& member = at->second;
  if (Overrides(update, member)) {
    Believe(member, update, now);
  } else if (update.state == State::kSuspect && member.state == State::kSuspect &&
             update.incarnation == member.incarnation) {
    Confirm(member, update.by);
  }
}

/// Refutes: only this node may say so, and everybody is told at once [SWIM §4.2].
void Swim::HearOfSelf(const Update& update) {
  if (update.state == State::kAlive) {
    // A former start of this node had refuted more often.
    incarnation_ = std::max(incarnation_, update.incarnation);
    return;
  }
  if (update.incarnation < incarnation_ || update.incarnation == UINT32_MAX) {
    news_.Add({.node = config_.self, .incarnation = incarnation_});
    return;
  }
  incarnation_ = update.incarnation + 1;
  SetHealth(health_ + 1);
  news_.Add({.node = config_.self, .incarnation = incarnation_});
  std::size_t told = 0;
  for (const auto& [node, member] : members_) {
    if (told++ == 2 * config_.probes_max) break;
    Send(node, Message::Kind::kAck, 0);  // no answer is needed
  }
}

void Swim::Believe(Member& member, const Update& update, Instant now) {
  const bool changed = member.state != update.state;
  member.state = update.state;
  member.incarnation = update.incarnation;
  // Whoever declares it dead was told by whoever suspected it first.
  if (update.state == State::kAlive) {
    member.by = {};
  } else if (member.by == NodeId() || update.state == State::kSuspect) {
    member.by = update.by;
  }
  if (changed) member.since = now;
  suspicions_.erase(member.node);
  if (member.state == State::kSuspect) {
    suspicions_.emplace(member.node, Suspicion{now, now, {update.by}});
  }
  news_.Add({member.node, member.state, member.incarnation, update.by});
  if (changed) output_.changes.push_back(member);
}

/// One more suspects it by its own probes: less time to refute, and others are told so.
void Swim::Confirm(const Member& member, NodeId by) {
  const auto at = suspicions_.find(member.node);
  COT_ASSERT(at != suspicions_.end());
  if (at->second.by.size() > config_.confirmations || !at->second.by.insert(by).second) return;
  news_.Add({member.node, member.state, member.incarnation, by});
}

Duration Swim::SuspicionTimeout(const Suspicion& suspicion) const {
  // Of the members neither the suspect nor the first to suspect it can confirm.
  const std::size_t needed =
      std::min(config_.confirmations, members_.size() - std::min<std::size_t>(members_.size(), 1));
  const Duration range = config_.suspicion_max - config_.suspicion_min;
  return config_.suspicion_max - range * Taken(suspicion.by.size() - 1, needed) / 1000;
}

void Swim::TickSuspicions(Instant now) {
  std::vector<NodeId> over;
  for (auto& [node, suspicion] : suspicions_) {
    if (now >= suspicion.since + SuspicionTimeout(suspicion)) {
      over.push_back(node);
    } else if (now >= suspicion.ping_at) {
      suspicion.ping_at = now + config_.suspect_ping_interval;
      Send(node, Message::Kind::kPing, next_sequence_++);
    }
  }
  for (const NodeId node : over) {
    const Member& member = members_.at(node);
    Hear({node, State::kDead, member.incarnation, config_.self}, now);
  }
}

}  // namespace coterie::membership

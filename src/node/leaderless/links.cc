#include <algorithm>

#include "node/leaderless/state.h"

// What goes out to one node: batches of our own mutations, and answers to its batches.
namespace coterie::node {

namespace {
constexpr std::size_t kBatchBytesMax = 1u << 20;
constexpr Duration kHoldNotReplica = 200ms;
constexpr Duration kHoldTooFarAhead = 1s;
constexpr int kBackoffMax = 3;  // doublings of the time after which a batch is sent again
}  // namespace

Link& LeaderlessReplicas::State::LinkTo(NodeId node) {
  const auto found = links.find(node);
  if (found != links.end()) return found->second;
  Link& link = links[node];
  link.node = node;
  link.up = host.transport.connected(node);
  return link;
}

bool LeaderlessReplicas::State::MaySend(const Slot& slot, const Remote& remote,
                                        const Link& link) const {
  return link.up && link.in_flight_bytes + link.batch.size() < options.in_flight_bytes_max &&
         slot.placed && remote.hold_epoch <= slot.epoch && remote.hold_until <= world.Now();
}

/// The newest mutation goes at once to who has been sent all before it; others get it later, from
/// the history.
void LeaderlessReplicas::State::Offer(Slot& slot, Remote& remote, std::uint64_t counter,
                                      std::string_view mutation) {
  Link& link = LinkTo(remote.node);
  if (remote.sent + 1 != counter || !MaySend(slot, remote, link)) {
    link.behind = true;
    return;
  }
  remote.sent = counter;
  AddToBatch(link, slot, counter, mutation);
}

void LeaderlessReplicas::State::AddToBatch(Link& link, const Slot& slot, std::uint64_t counter,
                                           std::string_view mutation) {
  if (!link.batch.empty() && link.batch_from != slot.actor) Flush(link);
  if (link.batch.empty()) {
    link.batch_from = slot.actor;
    leaderless::BeginBatch(slot.actor, link.number, link.batch);
  }
  leaderless::AddToBatch(slot.epoch, mutation, link.batch);
  const auto last =
      std::ranges::find(link.batch_last, slot.id, &std::pair<ShardId, std::uint64_t>::first);
  if (last != link.batch_last.end()) {
    last->second = counter;
  } else {
    link.batch_last.emplace_back(slot.id, counter);
  }
  if (link.batch.size() >= kBatchBytesMax) Flush(link);
}

void LeaderlessReplicas::State::EndTurnSoon() {
  if (!turn_end.linked()) world.executor().Post(turn_end);
}

void LeaderlessReplicas::State::EndTurn() {
  for (auto& [node, link] : links) Flush(link);
}

void LeaderlessReplicas::State::Flush(Link& link) {
  if (!link.batch.empty()) {
    host.transport.Send(link.node, FrameType::kMutations, link.batch);
    link.in_flight_bytes += link.batch.size();
    link.in_flight.push_back(
        {link.number, world.Now(), link.batch.size(), std::move(link.batch_last)});
    ++link.number;
    link.batch.clear();
    link.batch_last.clear();
  }
  if (!link.answer.batches.empty() || !link.answer.refused.empty()) {
    host.transport.Send(link.node, FrameType::kMutationAcks, leaderless::Encode(link.answer));
    link.answer.batches.clear();
    link.answer.refused.clear();
  }
}

/// Sends what is behind, as far as there is room.
void LeaderlessReplicas::State::Pump(Link& link) {
  link.behind = false;
  for (auto& [id, slot] : slots) {
    Remote* remote = slot->Find(link.node);
    if (remote != nullptr && !PumpSlot(link, *slot, *remote)) link.behind = true;
  }
  Flush(link);
}

/// False: something is left.
bool LeaderlessReplicas::State::PumpSlot(Link& link, Slot& slot, Remote& remote) {
  if (remote.sent >= slot.last) return true;
  if (!MaySend(slot, remote, link)) return false;
  // What the history no longer has, the other asks for by itself: its account shows the lack.
  if (!history.Holds(slot.id, slot.actor, remote.sent)) return false;
  history.Visit(slot.id, slot.actor, remote.sent,
                [&](std::uint64_t counter, std::string_view mutation) {
                  remote.sent = counter;
                  AddToBatch(link, slot, counter, mutation);
                  return MaySend(slot, remote, link);
                });
  return remote.sent == slot.last;
}

/// Nothing is known of what was sent and not answered: it is sent again. What comes twice is
/// recognised by its dot.
void LeaderlessReplicas::State::Rewind(Link& link) {
  link.batch.clear();
  link.batch_last.clear();
  link.in_flight.clear();
  link.in_flight_bytes = 0;
  for (auto& [id, slot] : slots) {
    Remote* remote = slot->Find(link.node);
    if (remote == nullptr) continue;
    remote->sent = slot->acks.Of(link.node);
    remote->hold_until = {};
  }
  link.behind = true;
}

void LeaderlessReplicas::State::WatchLinks() {
  for (auto& [id, slot] : slots) {
    for (const Remote& remote : slot->others) LinkTo(remote.node);
  }
  for (auto& [node, link] : links) {
    const bool up = host.transport.connected(node);
    if (up != link.up) {
      link.up = up;
      link.timeouts = 0;
      Rewind(link);
      if (up) SendAccount(link);
    } else if (!link.in_flight.empty()) {
      const Duration patience = options.resend_after * (1 << std::min(link.timeouts, kBackoffMax));
      if (world.Now() - link.in_flight.front().sent > patience) {
        ++stats.resent;
        ++link.timeouts;
        host.detector.OnLate(node);
        Rewind(link);
      }
    }
    if (link.up && link.behind) Pump(link);
  }
}

void LeaderlessReplicas::State::OnAcks(NodeId from, const leaderless::Acks& acks) {
  // Batches are numbered through for all actors of this process.
  if (!actors.contains(acks.to)) return;
  Link& link = LinkTo(from);
  const auto refuses = [&](ShardId shard, std::uint64_t batch) {
    return std::ranges::any_of(acks.refused, [&](const leaderless::Refused& refused) {
      return refused.shard == shard && refused.batch == batch;
    });
  };
  for (const std::uint64_t number : acks.batches) {
    const auto batch =
        std::ranges::lower_bound(link.in_flight, number, {}, &Link::InFlight::number);
    if (batch == link.in_flight.end() || batch->number != number) continue;
    host.detector.OnAnswer(from, world.Now() - batch->sent);
    link.timeouts = 0;
    for (const auto& [id, counter] : batch->last) {
      Slot* slot = Find(id);
      if (slot == nullptr || refuses(id, number)) continue;
      if (slot->acks.UpTo(from, counter)) Wake(*slot);
    }
    link.in_flight_bytes -= batch->bytes;
    link.in_flight.erase(batch);
  }
  for (const leaderless::Refused& refused : acks.refused) {
    Slot* slot = Find(refused.shard);
    Remote* remote = slot == nullptr ? nullptr : slot->Find(from);
    if (remote != nullptr) OnRefused(from, *slot, *remote, refused);
  }
  if (link.behind) Pump(link);
}

void LeaderlessReplicas::State::OnRefused(NodeId from, Slot& slot, Remote& remote,
                                          const leaderless::Refused& refused) {
  Link& link = LinkTo(from);
  // Batches that were under way when it was first heard of tell of the same gap; those from before
  // the shard was here tell of another actor's.
  if (refused.batch < remote.rewound_batch) return;
  if (slot.acks.UpTo(from, std::min(refused.applied, slot.last))) Wake(slot);
  remote.rewound_batch = link.number + (link.batch.empty() ? 0 : 1);
  remote.sent = std::min(refused.applied, slot.last);
  link.behind = true;
  switch (refused.why) {
    case leaderless::Refusal::kGap:
      return;
    case leaderless::Refusal::kStaleEpoch:
      remote.hold_epoch = std::max(remote.hold_epoch, refused.epoch);
      return;
    case leaderless::Refusal::kNotReplica:
      remote.hold_until = world.Now() + kHoldNotReplica;
      return;
    case leaderless::Refusal::kTooFarAhead:
      remote.hold_until = world.Now() + kHoldTooFarAhead;
      return;
  }
}

}  // namespace coterie::node

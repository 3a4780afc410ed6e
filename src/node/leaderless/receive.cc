#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"
#include "crdt/cell.h"
#include "node/leaderless/mutants.h"
#include "node/leaderless/state.h"

// What comes from other nodes: batches of mutations, pulled ones, joined cells.
namespace coterie::node {

void LeaderlessReplicas::State::OnMutations(NodeId from, std::string_view body) {
  auto batch = leaderless::ReadBatch(body);
  if (!batch || clock::NodeOf(batch->from) != from) {
    world.log().Warn("leaderless", "node {}: a batch that is none", from.value);
    return;
  }
  leaderless::Acks acks;
  acks.to = batch->from;
  acks.batches.push_back(batch->number);
  bool synced = false;
  const auto refuse = [&](leaderless::Refusal why, ShardId shard, Epoch epoch,
                          std::uint64_t applied) {
    const auto said = std::ranges::find(acks.refused, shard, &leaderless::Refused::shard);
    if (said == acks.refused.end()) {
      acks.refused.push_back({why, shard, epoch, batch->number, applied});
    } else {
      said->applied = applied;
    }
  };
  while (const auto next = batch->Next()) {
    const auto view = leaderless::DecodeMutation(next->second);
    if (!view) break;
    Slot* slot = Find(view->shard);
    if (slot == nullptr || !slot->placed) {
      refuse(leaderless::Refusal::kNotReplica, view->shard, {}, 0);
      continue;
    }
    const auto applied = [&] { return slot->tracker.applied().Get(batch->from); };
    if (next->first < slot->epoch) {
      refuse(leaderless::Refusal::kStaleEpoch, slot->id, slot->epoch, applied());
      continue;
    }
    const Taken taken = Take(*slot, *view, next->second);
    if (taken == Taken::kMalformed) return;
    synced |= slot->synced();
    if (taken == Taken::kGap) refuse(leaderless::Refusal::kGap, slot->id, slot->epoch, applied());
    if (taken == Taken::kTooFarAhead)
      refuse(leaderless::Refusal::kTooFarAhead, slot->id, slot->epoch, applied());
  }
  if (!batch->rest.empty()) {  // without an answer it comes again, later and later
    world.log().Error("leaderless", "node {}: a mutation that is none", from.value);
    return;
  }
  Link& link = LinkTo(from);
  const bool wait = synced && host.journal.durable() < host.journal.last() &&
                    !COT_LEADERLESS_MUTANT(kAckBeforeJournal);
  if (wait) {
    // Also what came again and was journaled earlier: the answer vouches for it once more.
    link.deferred.emplace_back(host.journal.last(), std::move(acks));
    return;
  }
  link.answer.to = acks.to;
  std::ranges::copy(acks.batches, std::back_inserter(link.answer.batches));
  std::ranges::copy(acks.refused, std::back_inserter(link.answer.refused));
  EndTurnSoon();
}

LeaderlessReplicas::State::Taken LeaderlessReplicas::State::Take(
    Slot& slot, const leaderless::MutationView& view, std::string_view bytes) {
  switch (slot.tracker.Judge(view.dot)) {
    case Tracker::Verdict::kKnown:
      ++stats.duplicates;
      return Taken::kKnown;
    case Tracker::Verdict::kEarly:
      if (COT_LEADERLESS_MUTANT(kSkipGap)) {
        VersionVector skipped;
        skipped.Include({view.dot.actor, view.dot.counter - 1});
        slot.tracker.RaiseTo(skipped);
        store.RaiseApplied(slot.id, skipped);
        break;
      }
      (void)slot.tracker.Keep(view.dot, bytes);
      return Taken::kGap;
    case Tracker::Verdict::kNext:
      break;
  }
  const Status seen = clock.Observe(view.time, Turn());
  if (!seen) {
    ++stats.clock_refused;
    if (!std::exchange(slot.clock_warned, true)) {
      world.log().Warn("leaderless", "node {}: {}", clock::NodeOf(view.dot.actor).value,
                       Describe(seen.error()));
    }
    return Taken::kTooFarAhead;
  }
  slot.clock_warned = false;
  if (!Apply(slot, view, bytes)) return Taken::kMalformed;
  TakeReady(slot);
  return Taken::kApplied;
}

/// The next mutation of its actor: into the store, the journal and the history.
bool LeaderlessReplicas::State::Apply(Slot& slot, const leaderless::MutationView& view,
                                      std::string_view bytes) {
  const Status applied = store.Apply(view);
  if (!applied) {
    if (applied.error().code != ErrorCode::kMalformed) Fail("applying", applied.error());
    world.log().Error("leaderless", "{}: {}", clock::ToText(view.dot), Describe(applied.error()));
    return false;
  }
  record.assign(1, static_cast<char>(RecordKind::kMutation));
  record.append(bytes);
  host.journal.Append(record, !slot.synced());
  slot.tracker.Include(view.dot);
  history.Add(slot.id, view.dot, bytes);
  if (view.dot.actor == slot.actor) slot.last = std::max(slot.last, view.dot.counter);
  ++stats.applied;
  return true;
}

void LeaderlessReplicas::State::TakeReady(Slot& slot) {
  while (const auto ready = slot.tracker.TakeReady()) {
    const auto view = leaderless::DecodeMutation(*ready);
    COT_ASSERT(view.has_value());
    // Its clock was not looked at when it was kept; if it is refused, its sender has it.
    if (!clock.Observe(view->time, Turn()) || !Apply(slot, *view, *ready)) return;
  }
}

LeaderlessReplicas::State::Taken LeaderlessReplicas::State::TakePulled(Slot& slot,
                                                                       std::string_view bytes) {
  const auto view = leaderless::DecodeMutation(bytes);
  if (!view || view->shard != slot.id) return Taken::kMalformed;
  const Taken taken = Take(slot, *view, bytes);
  stats.pulled += taken == Taken::kApplied ? 1 : 0;
  return taken;
}

/// A cell is joined: the store may have more than the applied vector says.
Status LeaderlessReplicas::State::NoteJoined(Slot& slot, std::string_view cell) {
  const auto decoded = crdt::Decode(cell);
  if (!decoded) return coterie::Fail(ErrorCode::kMalformed, "a cell");
  if (slot.tracker.applied().Covers(slot.joined)) slot.joined = {};
  slot.joined.Join(decoded->context);
  return Ok();
}

bool LeaderlessReplicas::State::JoinCell(Slot& slot, const leaderless::KeyCell& cell) {
  Status joined = NoteJoined(slot, cell.cell);
  if (joined) joined = store.JoinCell(slot.id, cell.key, cell.cell);
  if (!joined) {
    if (joined.error().code != ErrorCode::kMalformed) Fail("joining a cell", joined.error());
    world.log().Error("leaderless", "shard {}: {}", slot.id.value, Describe(joined.error()));
    return false;
  }
  record.assign(1, static_cast<char>(RecordKind::kCell));
  PutVarint(record, slot.id.value);
  PutLengthPrefixed(record, cell.key);
  PutLengthPrefixed(record, cell.cell);
  host.journal.Append(record, !slot.synced());
  ++stats.reconciled;
  return true;
}

void LeaderlessReplicas::State::Raise(Slot& slot, const VersionVector& to) {
  record.assign(1, static_cast<char>(RecordKind::kRaise));
  PutVarint(record, slot.id.value);
  clock::Put(record, to);
  host.journal.Append(record, !slot.synced());
  store.RaiseApplied(slot.id, to);
  slot.tracker.RaiseTo(to);
  slot.last = std::max(slot.last, to.Get(slot.actor));
  TakeReady(slot);
  Settle(slot);
}

void LeaderlessReplicas::State::OnAnswer(NodeId from, std::string_view body) {
  const auto answer = leaderless::DecodeAnswer(body);
  if (!answer) {
    world.log().Warn("leaderless", "node {}: an answer that is none", from.value);
    return;
  }
  if (const auto* acks = std::get_if<leaderless::Acks>(&*answer)) {
    OnAcks(from, *acks);
  } else if (clock::NodeOf(std::get<leaderless::Account>(*answer).from) == from) {
    OnAccount(from, std::get<leaderless::Account>(*answer));
  }
}

}  // namespace coterie::node

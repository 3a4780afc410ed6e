#include <fmt/format.h>

#include "base/coding.h"
#include "node/leaderless/mutants.h"
#include "node/leaderless/state.h"

// Opening: load, replay, serve; and the end.
namespace coterie::node {

namespace {
constexpr std::size_t kConflictsKept = 1000;
}  // namespace

LeaderlessReplicas::State::State(Host h, LeaderlessOptions o)
    : host(std::move(h)),
      options(o),
      world(host.world),
      home(host.world, host.engines, host.dir),
      store(o.store),
      clock(o.drift_max),
      history(o.history_bytes_max),
      turn_end(*this),
      flushed(host.world.executor()) {
  actors.insert(host.actor);
}

LeaderlessReplicas::State::~State() {
  host.journal.OnDurable({});
  scope.Cancel();
}

Task<Status> LeaderlessReplicas::State::Open() {
  COT_CO_ASSIGN(engine, co_await home.OpenCurrent());
  COT_CO_TRY(store.Load(*engine));
  COT_CO_TRY(Recall());
  for (auto& [id, slot] : slots) {
    slot->tracker.RaiseTo(store.Applied(id));
    slot->began_empty = store.Applied(id).empty();
  }
  COT_CO_TRY(host.journal.Replay(store.journal_position(),
                                 [this](std::string_view bytes) { return Replay(bytes); }));
  for (auto& [id, slot] : slots) {
    slot->last = slot->tracker.applied().Get(slot->actor);
    slot->durable = slot->tracker.applied();
  }
  store.OnConflict([this](cells::Conflict conflict) {
    const Slot* slot = Find(conflict.shard);
    if (slot == nullptr) return;
    KeyspaceConflicts& of = conflicts[slot->keyspace];
    ++of.count;
    of.newest.push_back(std::move(conflict));
    if (of.newest.size() > kConflictsKept) of.newest.pop_front();
  });
  co_return Ok();
}

Status LeaderlessReplicas::State::Replay(std::string_view bytes) {
  const auto malformed = [] {
    return coterie::Fail(ErrorCode::kCorruptLog, "a record of the leaderless journal");
  };
  if (bytes.empty()) return malformed();
  const auto kind = static_cast<RecordKind>(bytes.front());
  bytes.remove_prefix(1);
  if (kind == RecordKind::kMutation) return ReplayMutation(bytes);
  const auto shard = GetVarint(bytes);
  if (!shard) return malformed();
  Slot* slot = Find(ShardId(*shard));
  // A shard that has been dropped since.
  if (slot == nullptr) return Ok();
  switch (kind) {
    case RecordKind::kCell: {
      const auto key = GetLengthPrefixed(bytes);
      const auto cell = key ? GetLengthPrefixed(bytes) : std::nullopt;
      if (!cell) return malformed();
      COT_TRY(NoteJoined(*slot, *cell));
      return store.JoinCell(slot->id, *key, *cell);
    }
    case RecordKind::kRaise: {
      VersionVector to;
      if (!clock::Get(bytes, to)) return malformed();
      store.RaiseApplied(slot->id, to);
      slot->tracker.RaiseTo(to);
      return Ok();
    }
    case RecordKind::kDrop:
      // What follows was written to a shard that began empty.
      return Reopen(*slot);
    case RecordKind::kMutation:
      break;
  }
  return coterie::Fail(ErrorCode::kNewerData, "a record of the leaderless journal");
}

Status LeaderlessReplicas::State::ReplayMutation(std::string_view bytes) {
  const auto view = leaderless::DecodeMutation(bytes);
  if (!view) return coterie::Fail(ErrorCode::kCorruptLog, "a mutation in the leaderless journal");
  Slot* slot = Find(view->shard);
  if (slot == nullptr) return Ok();
  // It was taken once: a clock that was set back since is no reason to lose it.
  const Status seen = clock.Observe(view->time, Turn());
  if (!seen) world.log().Warn("leaderless", "replay: {}", Describe(seen.error()));
  const auto verdict = slot->tracker.Judge(view->dot);
  // A crash may leave the engine with a shard begun anew and the journal with what was before.
  if (verdict == Tracker::Verdict::kEarly && slot->began_empty) return Ok();
  if (verdict == Tracker::Verdict::kEarly && !COT_LEADERLESS_MUTANT(kSkipGap)) {
    return coterie::Fail(
        ErrorCode::kCorruptLog,
        fmt::format("the leaderless journal lacks what is before {}", clock::ToText(view->dot)));
  }
  if (verdict == Tracker::Verdict::kNext) {
    COT_TRY(store.Apply(*view));
    slot->tracker.Include(view->dot);
  }
  history.Add(slot->id, view->dot, bytes);
  return Ok();
}

void LeaderlessReplicas::State::Serve() {
  host.journal.OnDurable([this] { OnDurable(); });
  host.transport.OnMessage(FrameType::kMutations,
                           [this](NodeId from, std::string_view body) { OnMutations(from, body); });
  host.transport.OnMessage(FrameType::kMutationAcks,
                           [this](NodeId from, std::string_view body) { OnAnswer(from, body); });
  host.transport.OnCall(Method::kCells, [this](NodeId from, std::string body, Instant deadline) {
    return OnCells(from, std::move(body), deadline);
  });
  scope.Spawn(FollowMap());
  scope.Spawn(Tick());
  scope.Spawn(AccountLoop());
  scope.Spawn(ExpiryLoop());
  scope.Spawn(WriteBackLoop());
  scope.Spawn(ScrubLoop());
}

Task<void> LeaderlessReplicas::State::PrepareToStop(Instant deadline) {
  stopping = true;
  for (auto& [node, link] : links) {
    if (link.up) Pump(link);
  }
  auto flushed_journal = co_await runtime::WithDeadline(world.executor(), FlushAll(), deadline);
  if (!flushed_journal) {
    world.log().Info("leaderless", "stopped before all was written back: the journal has it");
  }
}

Task<bool> LeaderlessReplicas::State::FlushAll() {
  co_await host.journal.Flush();
  if (!WriteBack()) co_return false;
  const LogIndex position = store.journal_position();
  const Status done = co_await FlushEngine();
  if (!done) {
    Fail("flushing", done.error());
    co_return false;
  }
  host.journal.Trim(position);
  co_await host.journal.Flush();
  co_return true;
}

}  // namespace coterie::node

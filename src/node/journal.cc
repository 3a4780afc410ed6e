#include "node/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::node {

using runtime::Task;

namespace {
// One node writes this log: the positions are a history of one term.
constexpr Term kTerm{1};
constexpr std::uint8_t kRecords = 1;  // the entry's kind: length-prefixed records
constexpr std::size_t kEntryBytesMax = 4u << 20;
// Sizes are remembered for groups of entries, so that many small ones cost no memory each.
constexpr std::uint64_t kGroupBytes = 64u << 10;
}  // namespace

struct Journal::State {
  State(runtime::World& w, storage::Wal& l, ShardId p, storage::WalShard r)
      : world(w),
        wal(l),
        place(p),
        recovered(std::move(r)),
        moved(w.executor()),
        turn_end(*this),
        announce(*this) {
    closed = recovered.entries.empty() ? recovered.compacted : recovered.entries.back().index;
    durable = closed;
    for (const storage::WalEntry& entry : recovered.entries)
      Keep(entry.index, entry.payload.size());
  }

  struct TurnEnd final : runtime::Runnable {
    explicit TurnEnd(State& s) : state(s) {}
    void Run() override { state.Close(); }
    State& state;
  };
  struct Announce final : runtime::Runnable {
    explicit Announce(State& s) : state(s) {}
    void Run() override {
      state.moved.NotifyAll();
      if (state.listener) state.listener();
    }
    State& state;
  };
  struct Sized {
    LogIndex last;
    std::uint64_t bytes;
    std::uint64_t log_bytes = 0;  // the log's, when the first was added
  };

  LogIndex last() const { return turn.empty() ? closed : closed + 1; }
  void Keep(LogIndex position, std::uint64_t bytes);
  void Close();
  Task<void> Write(storage::WalBatch batch, LogIndex position);
  Task<void> Settle();
  void Advance(LogIndex position);

  runtime::World& world;
  storage::Wal& wal;
  const ShardId place;
  storage::WalShard recovered;
  LogIndex closed;  // entries up to it were given to the WAL
  LogIndex durable;
  LogIndex trimmed;
  std::string turn;  // the records of the entry at closed + 1
  bool eager = false;
  bool settling = false;
  std::deque<Sized> kept;
  std::uint64_t kept_bytes = 0;
  std::deque<Sized> in_flight;
  std::uint64_t in_flight_bytes = 0;
  std::function<void()> listener;
  runtime::Notification moved;
  TurnEnd turn_end;
  Announce announce;
  runtime::Scope scope;  // last: its tasks use all of the above
};

void Journal::State::Keep(LogIndex position, std::uint64_t bytes) {
  kept_bytes += bytes;
  if (kept.empty() || kept.back().bytes >= kGroupBytes)
    kept.push_back({position, 0, wal.stats().bytes});
  kept.back().last = position;
  kept.back().bytes += bytes;
}

void Journal::State::Close() {
  turn_end.Unlink();
  if (turn.empty()) return;
  const LogIndex position = ++closed;
  storage::WalBatch batch;
  batch.PutEntry(place, position, kTerm, kRecords, turn);
  Keep(position, turn.size());
  in_flight.push_back({position, turn.size(), 0});
  in_flight_bytes += turn.size();
  turn.clear();
  if (std::exchange(eager, false)) {
    scope.Spawn(Write(std::move(batch), position));
    return;
  }
  wal.AppendLater(std::move(batch));
  if (!settling) scope.Spawn(Settle());
}

Task<void> Journal::State::Write(storage::WalBatch batch, LogIndex position) {
  const Status written = co_await wal.Append(std::move(batch));
  COT_ASSERT(written.has_value());  // within the WAL's bound by kEntryBytesMax + kRecordBytesMax
  Advance(position);
}

Task<void> Journal::State::Settle() {
  settling = true;
  while (durable < closed) {
    const LogIndex position = closed;
    co_await wal.Settled();
    Advance(position);
  }
  settling = false;
}

void Journal::State::Advance(LogIndex position) {
  if (position <= durable) return;
  durable = position;
  while (!in_flight.empty() && in_flight.front().last <= durable) {
    in_flight_bytes -= in_flight.front().bytes;
    in_flight.pop_front();
  }
  // Entries that share a write are answered one by one in this turn, and announced once.
  if (!announce.linked()) world.executor().Post(announce);
}

Journal::Journal(runtime::World& world, storage::Wal& wal, ShardId place,
                 storage::WalShard recovered)
    : state_(std::make_unique<State>(world, wal, place, std::move(recovered))) {}
Journal::~Journal() = default;

Status Journal::Replay(LogIndex after,
                       const std::function<Status(std::string_view record)>& replay) {
  const storage::WalShard recovered = std::exchange(state_->recovered, {});
  if (after > state_->closed) {
    // The log has lost its end, which the engine knows: positions that it has must not be given out
    // again, or what comes there now would not be replayed.
    state_->closed = state_->durable = after;
    storage::WalBatch batch;
    batch.PutCompaction(state_->place, after, kTerm);
    state_->wal.AppendLater(std::move(batch));
  }
  for (const storage::WalEntry& entry : recovered.entries) {
    if (entry.index <= after) continue;
    std::string_view in = entry.payload;
    bool whole = entry.kind == kRecords;
    while (whole && !in.empty()) {
      const auto record = GetLengthPrefixed(in);
      whole = record.has_value();
      if (whole) COT_TRY(replay(*record));
    }
    if (!whole) {
      return Fail(ErrorCode::kCorruptLog, fmt::format("journal {}: entry {} is not records",
                                                      state_->place.value, entry.index.value));
    }
  }
  return Ok();
}

LogIndex Journal::Append(std::string_view record, bool lazy) {
  COT_ASSERT(record.size() <= kRecordBytesMax);
  State& state = *state_;
  if (state.turn.size() >= kEntryBytesMax) state.Close();
  if (state.turn.empty()) state.world.executor().Post(state.turn_end);
  PutLengthPrefixed(state.turn, record);
  state.eager |= !lazy;
  return state.last();
}

LogIndex Journal::last() const { return state_->last(); }
LogIndex Journal::durable() const { return state_->durable; }

Task<void> Journal::Durable(LogIndex position) {
  while (state_->durable < position) co_await state_->moved.Wait();
}

void Journal::OnDurable(std::function<void()> listener) { state_->listener = std::move(listener); }

void Journal::Trim(LogIndex position) {
  State& state = *state_;
  if (position > state.closed) state.Close();
  position = std::min(position, state.closed);
  if (position <= state.trimmed || position == LogIndex(0)) return;
  state.trimmed = position;
  storage::WalBatch batch;
  batch.PutCompaction(state.place, position, kTerm);
  state.wal.AppendLater(std::move(batch));
  while (!state.kept.empty() && state.kept.front().last <= position) {
    state.kept_bytes -= state.kept.front().bytes;
    state.kept.pop_front();
  }
  // Of the group that is left, the old ones may be gone: its age is counted anew.
  if (!state.kept.empty()) state.kept.front().log_bytes = state.wal.stats().bytes;
}

Task<void> Journal::Flush() {
  state_->Close();
  const LogIndex position = state_->closed;
  co_await state_->wal.Flush();
  state_->Advance(position);
}

std::uint64_t Journal::bytes() const { return state_->kept_bytes + state_->turn.size(); }
std::uint64_t Journal::log_bytes_held() const {
  const State& state = *state_;
  return state.kept.empty() ? 0 : state.wal.stats().bytes - state.kept.front().log_bytes;
}
std::uint64_t Journal::waiting() const { return state_->in_flight_bytes + state_->turn.size(); }

}  // namespace coterie::node

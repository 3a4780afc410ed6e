#include "node/paxos/conditional_writes.h"

#include <algorithm>
#include <utility>

#include "base/coding.h"
#include "clock/wall_interval.h"
#include "crdt/cell.h"
#include "node/paxos/mutants.h"
#include "node/paxos/paxos_keyspaces.h"

namespace coterie::node {

using registers::Bytes;
using runtime::Task;

namespace {
constexpr std::size_t kLineMax = 1024;
constexpr int kTriesMax = 50;
constexpr std::size_t kReplacedBytesMax = 4u << 20;  // of a hash, as a removal names its fields
constexpr std::size_t kCellsMax = 8;                 // a string's are few, and come first
constexpr char kHolds = 1;
constexpr char kApplied = 2;
}  // namespace

/// Changes of one key on this node, one at a time: ballots are for those elsewhere.
struct ConditionalWrites::Line {
  explicit Line(runtime::Executor& executor) : next(executor) {}
  std::size_t waiting = 0;
  bool busy = false;
  runtime::Notification next;
};

ConditionalWrites::ConditionalWrites(runtime::World& world, Control& control,
                                     Leaderless& leaderless, PaxosKeyspaces& paxos,
                                     std::string keyspace, Duration drift_max)
    : world_(world),
      control_(control),
      leaderless_(leaderless),
      rounds_(paxos.rounds()),
      keyspace_(std::move(keyspace)),
      clock_(drift_max) {}
ConditionalWrites::~ConditionalWrites() = default;

// time, node, flags, [expiry, bytes].
std::string ConditionalWrites::Encode(const Decided& decided) {
  std::string out;
  PutFixed64(out, decided.time.value);
  PutVarint(out, decided.by.value);
  out.push_back(static_cast<char>((decided.value ? kHolds : 0) | (decided.applied ? kApplied : 0)));
  if (!decided.value) return out;
  PutVarint(out, decided.value->expires_at_ms);
  out += decided.value->bytes;
  return out;
}

std::optional<ConditionalWrites::Decided> ConditionalWrites::Decode(const Bytes& bytes) {
  if (!bytes) return std::nullopt;
  std::string_view in = *bytes;
  Decided decided;
  const auto time = GetFixed64(in);
  const auto by = time ? GetVarint(in) : std::nullopt;
  if (!by || in.empty()) return std::nullopt;
  decided.time = clock::HybridTime(*time);
  decided.by = NodeId(*by);
  const char flags = in.front();
  in.remove_prefix(1);
  decided.applied = (flags & kApplied) != 0;
  if ((flags & kHolds) == 0) return decided;
  Value& value = decided.value.emplace(Value{});
  value.expires_at_ms = GetVarint(in).value_or(0);
  value.bytes = in;
  return decided;
}

Result<ConditionalWrites::Place> ConditionalWrites::PlaceOf(std::string_view key) const {
  const placement::ClusterMapPtr map = control_.map();
  const placement::Keyspace* keyspace = map->Find(keyspace_);
  const bool fits =
      keyspace != nullptr && keyspace->promise.replication == keyspace::Replication::kLeaderless;
  if (!fits) return Fail(ErrorCode::kNoKeyspace, keyspace_);
  Place place{.keyspace = *keyspace, .shard = keyspace->ShardOf(key)};
  if (!leaderless_.Serves(place.shard)) return Fail(ErrorCode::kNotReplica);
  const auto active = std::ranges::count(place.shard.replicas, placement::Phase::kActive,
                                         &placement::ShardReplica::phase);
  place.majority = static_cast<std::uint32_t>(active / 2 + 1);
  std::uint32_t& write = place.keyspace.promise.write;
  write = std::max(write, place.majority);
  return place;
}

bool ConditionalWrites::IsPast(const Value& value) const {
  if (value.expires_at_ms == 0) return false;
  return clock::MiddleMs(world_.WallNow()) >= value.expires_at_ms;
}

bool ConditionalWrites::IsLarge(ShardId shard, std::string_view key) {
  std::size_t left = kReplacedBytesMax;
  leaderless_.store().VisitHash(shard, key, "", [&](std::string_view field, std::string_view) {
    left -= std::min(left, key.size() + field.size() + 64);
    return left > 0;
  });
  return left == 0;
}

ConditionalWrites::Decided ConditionalWrites::Local(ShardId shard, const std::string& key) {
  Decided local;
  cells::Store& store = leaderless_.store();
  if (std::optional<std::string> text = store.GetString(shard, key)) {
    local.value = Value{std::move(*text), store.ExpiresAt(shard, key).value_or(0)};
  } else if (store.TypeOf(shard, key) != cells::ObjectType::kNone) {
    local.value = Value{"", store.ExpiresAt(shard, key).value_or(0), true};
  }
  auto [first, last] = cells::Store::CellsOf(key);
  std::size_t seen = 0;
  const Status visited = store.VisitCells(
      shard, std::move(first), std::move(last), [&](std::string_view, std::string_view bytes) {
        const std::optional<crdt::Cell> cell = crdt::Decode(bytes);
        if (!cell) return true;
        for (const crdt::Entry& entry : cell->entries)
          local.time = std::max(local.time, entry.time);
        return ++seen < kCellsMax;
      });
  if (!visited) world_.Crash(Describe(visited.error()));
  return local;
}

Task<Result<std::optional<Registers::Value>>> ConditionalWrites::Read(std::string key,
                                                                      Instant deadline) {
  Decide keep = [](const std::optional<Value>&) { return Change{}; };
  auto read = co_await Update(std::move(key), std::move(keep), deadline);
  if (read || read.error().outcome == Outcome::kNotApplied) co_return read;
  co_return Fail(read.error().code, read.error().message);
}

Task<Result<std::optional<Registers::Value>>> ConditionalWrites::Update(std::string key,
                                                                        Decide decide,
                                                                        Instant deadline) {
  std::shared_ptr<Line>& known = lines_[key];
  if (known == nullptr) known = std::make_shared<Line>(world_.executor());
  const std::shared_ptr<Line> line = known;
  if (line->waiting >= kLineMax) co_return Fail(ErrorCode::kOverloaded, "changes of one key");
  struct Presence {  // also when this frame is destroyed
    ConditionalWrites& owner;
    const std::string key;
    Line& line;
    bool first = false;
    ~Presence() {
      --line.waiting;
      if (first) line.busy = false;
      line.next.NotifyAll();
      if (line.waiting == 0) owner.lines_.erase(key);
    }
  } presence{*this, key, *line};
  ++line->waiting;
  while (line->busy) {
    const bool notified = co_await line->next.WaitUntil(deadline);
    if (!notified) co_return Fail(ErrorCode::kTimedOut, "others of this key were first");
  }
  line->busy = presence.first = true;
  auto answer = co_await InTurn(std::move(key), std::move(decide), deadline);
  co_return answer;
}

Task<Result<std::optional<Registers::Value>>> ConditionalWrites::InTurn(std::string key,
                                                                        Decide decide,
                                                                        Instant deadline) {
  Duration pause = 1ms;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    if (world_.Now() >= deadline) co_return Fail(ErrorCode::kTimedOut);
    auto answer = co_await TryOnce(key, decide, deadline);
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    if (*answer) co_return std::move(**answer);
    const std::int64_t most = pause.count();
    co_await runtime::Sleep(world_.executor(), Duration(world_.random().Between(0, most)));
    pause = std::min<Duration>(2 * pause, 100ms);
  }
  co_return Fail(ErrorCode::kContended, "other writers of the key were faster");
}

// The register is read before the replicas are asked: what it says is applied, they have. If it
// still says the same when the round folds the change, what they answered is what it rests on.
Task<Result<std::optional<std::optional<Registers::Value>>>> ConditionalWrites::TryOnce(
    std::string key, Decide decide, Instant deadline) {
  COT_CO_ASSIGN(const Place place, PlaceOf(key));
  const ShardId shard = place.shard.id;
  Try current;
  COT_CO_ASSIGN(current.expected, co_await rounds_.Read(shard, key, deadline));
  COT_CO_TRY(
      co_await leaderless_.Refresh(place.keyspace, place.shard, key, place.majority, deadline));
  const auto state = std::make_shared<Try>(std::move(current));
  registers::Fold fold = [this, state, shard, key, decide](const Bytes& bytes, std::uint64_t call) {
    state->calls.push_back({.number = call});
    return Fold(*state, shard, key, decide, bytes);
  };
  auto changed = co_await rounds_.Change(shard, key, std::move(fold), deadline);
  if (!changed) co_return std::unexpected(std::move(changed.error()));
  Call& counted = *std::ranges::find(state->calls, changed->call, &Call::number);
  if (counted.late) co_return std::nullopt;
  if (counted.refused) co_return std::unexpected(std::move(*counted.refused));
  const bool is_last = &counted == &state->calls.back();
  if (!is_last && !COT_REGISTERS_MUTANT(kLastCallCounts)) (void)decide(counted.given);
  const bool ours = counted.wrote;
  std::optional<Decided> decided = Decode(changed->bytes);
  std::optional<Value> answer = ours ? decided->value : counted.given;
  if (decided && !decided->applied) {
    const Status applied = co_await Apply(place, key, std::move(*decided), deadline);
    if (!applied && ours) co_return FailUnknown(applied.error().code, applied.error().message);
    if (!applied) co_return Fail(applied.error().code, applied.error().message);
  }
  co_return std::optional(std::move(answer));
}

paxos::Decision ConditionalWrites::Fold(Try& current, ShardId shard, const std::string& key,
                                        const Decide& decide, const Bytes& bytes) {
  const paxos::Decision keep;
  Call& call = current.calls.back();
  call.late = bytes != current.expected && !COT_REGISTERS_MUTANT(kStaleReplicas);
  if (call.late) return keep;
  std::optional<Decided> decided = Decode(bytes);
  Decided newest = Local(shard, key);
  // Decided, and perhaps nowhere else yet: whoever comes next carries it on.
  const bool pending = decided && !decided->applied && decided->time >= newest.time;
  if (pending && !COT_REGISTERS_MUTANT(kForgetPending)) newest.value = decided->value;
  if (newest.value && IsPast(*newest.value)) newest.value.reset();
  const WallInterval wall = world_.WallNow();
  Status known = clock_.Observe(newest.time, wall);
  if (known && decided) known = clock_.Observe(decided->time, wall);
  if (!known) {
    call.refused = known.error();
    return keep;
  }
  Change change = decide(newest.value);
  call.given = newest.value;
  if (!change.write) return keep;
  if (change.value && change.value->bytes.size() > registers::kValueBytesMax) {
    call.refused = Error{ErrorCode::kTooLarge, Outcome::kNotApplied, "a value of at most 8 MiB"};
    return keep;
  }
  if (newest.value && newest.value->other_type && IsLarge(shard, key)) {
    call.refused = Error{ErrorCode::kTooLarge, Outcome::kNotApplied,
                         "what the key holds is too large to be replaced: remove it first"};
    return keep;
  }
  const Decided next{.value = std::move(change.value),
                     .time = clock_.Next(wall),
                     .by = rounds_.self(),
                     .applied = false};
  call.wrote = true;
  return {.write = true, .bytes = Encode(next)};
}

// What removes a string leaves its time behind, whether this replica has the string or not: the one
// who decided what is removed here may write it later than this.
void ConditionalWrites::Make(cells::Edit& edit, std::string_view key, const Decided& decided) {
  const bool removes = !decided.value.has_value();
  if (!removes || !COT_REGISTERS_MUTANT(kRemovesWhatIsHere)) {
    edit.SetString(key, removes ? std::string_view() : decided.value->bytes);
  }
  if (removes) {
    edit.RemoveKey(key);
  } else if (decided.value->expires_at_ms != 0) {
    edit.SetExpiry(key, decided.value->expires_at_ms);
  }
}

Task<Status> ConditionalWrites::Apply(Place place, std::string key, Decided decided,
                                      Instant deadline) {
  const ShardId shard = place.shard.id;
  if (Local(shard, key).time < decided.time) {
    COT_CO_ASSIGN(
        const WriteTicket ticket,
        leaderless_.WriteAt(place.keyspace, place.shard, decided.time,
                            [&key, &decided](cells::Edit& edit) { Make(edit, key, decided); }));
    COT_CO_TRY(co_await leaderless_.Acknowledged(ticket, deadline));
  }
  // The one who wrote it first may not have come this far.
  COT_CO_TRY(co_await leaderless_.Refresh(place.keyspace, place.shard, key,
                                          place.keyspace.promise.write, deadline));
  decided.applied = true;
  registers::Fold note = [decided](const Bytes& bytes, std::uint64_t) {
    const std::optional<Decided> now = Decode(bytes);
    const bool same = now && now->time == decided.time && now->by == decided.by;
    if (!same || now->applied) return paxos::Decision{};
    return paxos::Decision{.write = true, .bytes = Encode(decided)};
  };
  auto noted = co_await rounds_.Change(shard, std::move(key), std::move(note), deadline);
  if (!noted) co_return std::unexpected(std::move(noted.error()));
  co_return Ok();
}

Task<Result<std::vector<std::string>>> ConditionalWrites::Keys(std::string after, std::size_t max,
                                                               Instant) {
  const placement::ClusterMapPtr map = control_.map();
  const placement::Keyspace* keyspace = map->Find(keyspace_);
  if (keyspace == nullptr) co_return Fail(ErrorCode::kNoKeyspace, keyspace_);
  std::vector<std::string> keys;
  for (const placement::Shard& shard : keyspace->shards) {
    if (!leaderless_.Serves(shard)) co_return Fail(ErrorCode::kNotReplica);
    std::ranges::move(leaderless_.store().Keys(shard.id, after, max), std::back_inserter(keys));
  }
  std::ranges::sort(keys);
  if (keys.size() > max) keys.resize(max);
  co_return keys;
}

}  // namespace coterie::node

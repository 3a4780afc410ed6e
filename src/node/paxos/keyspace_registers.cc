#include "node/paxos/keyspace_registers.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "base/coding.h"
#include "clock/wall_interval.h"
#include "node/paxos/mutants.h"

namespace coterie::node::registers {

using runtime::Task;

namespace {

constexpr std::size_t kListedMin = 16;  // keys of a shard that are asked for at once
constexpr std::size_t kListedMax = 1000;

std::string Encode(const Registers::Value& value) {
  std::string bytes;
  PutVarint(bytes, value.expires_at_ms);
  bytes += value.bytes;
  return bytes;
}

std::optional<Registers::Value> Decode(const Bytes& bytes) {
  if (!bytes) return std::nullopt;
  std::string_view in = *bytes;
  Registers::Value value;
  value.expires_at_ms = GetVarint(in).value_or(0);
  value.bytes = in;
  return value;
}

}  // namespace

Result<ShardId> KeyspaceRegisters::ShardOf(std::string_view key) const {
  const placement::ClusterMapPtr map = control_.map();
  const placement::Keyspace* keyspace = map->Find(keyspace_);
  const bool paxos =
      keyspace != nullptr && keyspace->promise.replication == keyspace::Replication::kPaxos;
  if (!paxos) return Fail(ErrorCode::kNoKeyspace, keyspace_);
  return keyspace->ShardOf(key).id;
}

bool KeyspaceRegisters::IsPast(const Value& value) const {
  if (value.expires_at_ms == 0) return false;
  return clock::MiddleMs(world_.WallNow()) >= value.expires_at_ms;
}

Task<Result<std::optional<Registers::Value>>> KeyspaceRegisters::Read(std::string key,
                                                                      Instant deadline) {
  COT_CO_ASSIGN(const ShardId shard, ShardOf(key));
  auto bytes = co_await rounds_.Read(shard, key, deadline);
  if (!bytes) co_return std::unexpected(std::move(bytes.error()));
  std::optional<Value> value = Decode(*bytes);
  if (!value || !IsPast(*value)) co_return value;
  if (COT_REGISTERS_MUTANT(kExpiredIsNothing)) co_return std::nullopt;
  // Another node's clock may not be there yet: it is nothing for everybody only once it is deleted.
  Decide keep = [](const std::optional<Value>&) { return Registers::Change{}; };
  auto after = co_await Update(std::move(key), std::move(keep), deadline);
  if (after || after.error().outcome == Outcome::kNotApplied) co_return after;
  co_return Fail(after.error().code, after.error().message);
}

Task<Result<std::optional<Registers::Value>>> KeyspaceRegisters::Update(std::string key,
                                                                        Decide decide,
                                                                        Instant deadline) {
  COT_CO_ASSIGN(const ShardId shard, ShardOf(key));
  // What the calls were given: `decide` is to be called last for the one that counts.
  struct Calls {
    std::map<std::uint64_t, std::optional<Value>> given;
    bool too_large = false;
  };
  const auto calls = std::make_shared<Calls>();
  Fold fold = [this, decide, calls](const Bytes& bytes, std::uint64_t call) {
    std::optional<Value> current = Decode(bytes);
    const bool past = current && IsPast(*current);
    if (past) current.reset();
    Registers::Change change = decide(current);
    calls->given[call] = std::move(current);
    calls->too_large = change.write && change.value && change.value->bytes.size() > kValueBytesMax;
    if (calls->too_large) change = {};
    if (!change.write) return paxos::Decision{.write = past, .bytes = std::nullopt};
    if (!change.value) return paxos::Decision{.write = true, .bytes = std::nullopt};
    return paxos::Decision{.write = true, .bytes = Encode(*change.value)};
  };
  auto changed = co_await rounds_.Change(shard, std::move(key), std::move(fold), deadline);
  if (!changed) co_return std::unexpected(std::move(changed.error()));
  if (changed->call != calls->given.rbegin()->first && !COT_REGISTERS_MUTANT(kLastCallCounts)) {
    const Change counted = decide(calls->given.at(changed->call));
    calls->too_large =
        counted.write && counted.value && counted.value->bytes.size() > kValueBytesMax;
  }
  if (calls->too_large) co_return Fail(ErrorCode::kTooLarge, "a value of at most 8 MiB");
  co_return Decode(changed->bytes);
}

/// How far one shard has been listed.
struct KeyspaceRegisters::Cursor {
  ShardId shard;
  std::string after;
  bool from_start = true;
  bool more = true;
  std::set<std::string> found;  ///< listed, hold something, and are not taken yet
};

/// What those share that list shards, or read listed keys, at the same time.
struct KeyspaceRegisters::Together {
  explicit Together(runtime::Executor& executor) : wake(executor) {}
  void Done() {
    if (--left == 0) wake.NotifyAll();
  }
  std::optional<Error> error;
  std::size_t left = 0;
  runtime::Notification wake;
};

Task<void> KeyspaceRegisters::ReadListed(Together* together, Cursor* cursor, std::string key,
                                         Instant deadline) {
  auto value = co_await Read(key, deadline);
  if (!value) together->error = std::move(value.error());
  if (value && value->has_value()) cursor->found.insert(std::move(key));
  together->Done();
}

/// Lists on until something is found. What the replicas do not agree on is read, all at once.
Task<void> KeyspaceRegisters::ListShard(Together* together, Cursor* cursor, std::size_t max,
                                        Instant deadline) {
  while (cursor->more && cursor->found.empty() && !together->error) {
    auto listing =
        co_await rounds_.List(cursor->shard, cursor->after, cursor->from_start, max, deadline);
    if (!listing) {
      together->error = std::move(listing.error());
      break;
    }
    Together reads(world_.executor());
    runtime::Scope reading;  // goes first: its tasks use the above
    for (Rounds::Listed& listed : listing->keys) {
      cursor->after = listed.key;
      cursor->from_start = false;
      if (!listed.agreed) {
        ++reads.left;
        reading.Spawn(ReadListed(&reads, cursor, std::move(listed.key), deadline));
      } else if (listed.holds && !IsPast(Value{"", listed.expires_at_ms})) {
        cursor->found.insert(std::move(listed.key));
      }
    }
    while (reads.left > 0) co_await reads.wake.Wait();
    if (reads.error) together->error = std::move(reads.error);
    cursor->more = listing->more;
  }
  together->Done();
}

// The least keys of all shards: each is listed as far as it has to be.
Task<Result<std::vector<std::string>>> KeyspaceRegisters::Keys(std::string after, std::size_t max,
                                                               Instant deadline) {
  const placement::ClusterMapPtr map = control_.map();
  const placement::Keyspace* keyspace = map->Find(keyspace_);
  if (keyspace == nullptr) co_return Fail(ErrorCode::kNoKeyspace, keyspace_);
  std::vector<Cursor> cursors(keyspace->shards.size());
  for (std::size_t i = 0; i < cursors.size(); ++i) {
    cursors[i].shard = keyspace->shards[i].id;
    cursors[i].after = after;
    cursors[i].from_start = after.empty();
  }
  // A part of what is asked for, and half as much again: most shards are listed once.
  const std::size_t ask =
      std::min<std::size_t>(max * 3 / (2 * cursors.size()) + kListedMin, kListedMax);
  std::vector<std::string> keys;
  while (keys.size() < max) {
    Together together(world_.executor());
    runtime::Scope listing;  // goes first: its tasks use the above
    for (Cursor& cursor : cursors) {
      if (!cursor.more || !cursor.found.empty()) continue;
      ++together.left;
      listing.Spawn(ListShard(&together, &cursor, ask, deadline));
    }
    while (together.left > 0) co_await together.wake.Wait();
    if (together.error) co_return std::unexpected(std::move(*together.error));
    Cursor* least = nullptr;
    for (Cursor& cursor : cursors) {
      if (cursor.found.empty()) continue;
      if (least == nullptr || *cursor.found.begin() < *least->found.begin()) least = &cursor;
    }
    if (least == nullptr) break;
    keys.push_back(std::move(least->found.extract(least->found.begin()).value()));
  }
  co_return keys;
}

}  // namespace coterie::node::registers

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

/// Keys found so far, of all shards.
struct KeyspaceRegisters::Page {
  explicit Page(runtime::Executor& executor) : wake(executor) {}
  std::set<std::string> keys;
  std::optional<Error> error;
  std::size_t left = 0;
  runtime::Notification wake;
};

Task<void> KeyspaceRegisters::ListShard(std::shared_ptr<Page> page, ShardId shard,
                                        std::string after, std::size_t max, Instant deadline) {
  bool more = true;
  std::size_t found = 0;
  bool from_start = after.empty();
  while (more && found < max && !page->error) {
    const std::size_t ask = std::min<std::size_t>(max - found + 1, 1000);
    auto listing = co_await rounds_.List(shard, after, from_start, ask, deadline);
    if (!listing) {
      page->error = std::move(listing.error());
      break;
    }
    for (Rounds::Listed& listed : listing->keys) {
      after = listed.key;
      from_start = false;
      bool holds = listed.holds;
      if (!listed.agreed) {
        auto value = co_await Read(listed.key, deadline);
        if (!value) {
          page->error = std::move(value.error());
          break;
        }
        holds = value->has_value();
      }
      if (!holds) continue;
      page->keys.insert(std::move(listed.key));
      if (++found >= max) break;
    }
    more = listing->more;
  }
  --page->left;
  page->wake.NotifyAll();
}

Task<Result<std::vector<std::string>>> KeyspaceRegisters::Keys(std::string after, std::size_t max,
                                                               Instant deadline) {
  const placement::ClusterMapPtr map = control_.map();
  const placement::Keyspace* keyspace = map->Find(keyspace_);
  if (keyspace == nullptr) co_return Fail(ErrorCode::kNoKeyspace, keyspace_);
  const auto page = std::make_shared<Page>(world_.executor());
  page->left = keyspace->shards.size();
  runtime::Scope listing;  // goes first: its tasks fill the page
  for (const placement::Shard& shard : keyspace->shards) {
    listing.Spawn(ListShard(page, shard.id, after, max, deadline));
  }
  while (page->left > 0) co_await page->wake.Wait();
  if (page->error) co_return std::unexpected(std::move(*page->error));
  std::vector<std::string> keys;
  for (const std::string& key : page->keys) {
    if (keys.size() >= max) break;
    keys.push_back(key);
  }
  co_return keys;
}

}  // namespace coterie::node::registers

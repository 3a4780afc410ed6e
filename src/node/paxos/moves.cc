#include "node/paxos/moves.h"

#include <algorithm>
#include <utility>

#include "node/paxos/mutants.h"

namespace coterie::node::registers {

using runtime::Task;

namespace {
constexpr std::size_t kPageKeys = 256;
constexpr Duration kPatience = 5s;
constexpr Duration kPause = 100ms;
}  // namespace

/// Keys of one page under way.
struct Moves::Sweep {
  explicit Sweep(runtime::Executor& executor) : wake(executor) {}
  std::size_t under_way = 0;
  bool failed = false;
  runtime::Notification wake;
};

void Moves::FollowMap() {
  const placement::ClusterMapPtr map = control_.map();
  std::erase_if(moves_, [&](const auto& entry) {
    const placement::Shard* shard = map->FindShard(entry.first);
    return shard == nullptr || shard->epoch != entry.second->epoch;
  });
  for (const auto& [name, keyspace] : map->keyspaces) {
    if (keyspace.promise.replication == keyspace::Replication::kRaft) continue;
    for (const placement::Shard& shard : keyspace.shards) {
      const auto replica = std::ranges::find(shard.replicas, self_, &placement::ShardReplica::node);
      if (replica == shard.replicas.end() || moves_.contains(shard.id)) continue;
      if (replica->phase == placement::Phase::kActive) continue;
      auto& move = moves_[shard.id];
      move = std::make_unique<Move>();
      move->epoch = shard.epoch;
      move->phase = replica->phase;
      move->report = keyspace.promise.replication == keyspace::Replication::kPaxos;
      move->scope.Spawn(Run(shard.id, move.get()));
    }
  }
}

bool Moves::HasFollowed(const placement::Shard& shard) const {
  const auto replica = std::ranges::find(shard.replicas, self_, &placement::ShardReplica::node);
  if (replica == shard.replicas.end()) return false;
  if (replica->phase == placement::Phase::kActive) return true;
  const auto move = moves_.find(shard.id);
  return move != moves_.end() && move->second->epoch == shard.epoch && move->second->done;
}

Task<void> Moves::Run(ShardId shard, Move* move) {
  // Reports come from a turn of its own: the map's listeners have all heard of it by then.
  co_await runtime::Yield(world_.executor());
  for (;;) {
    bool all = COT_REGISTERS_MUTANT(kNoSweep);
    if (!all) all = co_await CarryAll(shard, move);
    if (all) break;
    co_await runtime::Sleep(world_.executor(), kPause);
  }
  move->done = true;
  world_.log().Info("node", "shard {}: registers followed in epoch {}", shard.value,
                    move->epoch.value);
  while (move->report) {
    const Instant deadline = world_.Now() + kPatience;
    const Status told = co_await control_.ReportReplica(shard, move->epoch, self_, deadline);
    if (told) co_return;
    co_await runtime::Sleep(world_.executor(), kPause);
  }
}

Task<bool> Moves::NextKeys(ShardId shard, const Move* move, std::string after, bool from_start,
                           std::vector<std::string>* keys, bool* more, std::string* last) {
  if (move->phase == placement::Phase::kLeaving) {
    const Status visited =
        store_.VisitAll(shard, after, from_start,
                        [keys, more, last](std::string_view key, const paxos::Register& state) {
                          *more = keys->size() >= kPageKeys;
                          if (*more) return false;
                          *last = key;
                          if (state.accepted != paxos::Ballot{}) keys->emplace_back(key);
                          return true;
                        });
    if (!visited) world_.Crash(Describe(visited.error()));
    co_return visited.has_value();
  }
  const Instant deadline = world_.Now() + kPatience;
  auto listing = co_await rounds_.List(shard, std::move(after), from_start, kPageKeys, deadline);
  if (!listing || listing->epoch != move->epoch) co_return false;
  for (Rounds::Listed& listed : listing->keys) {
    *last = listed.key;
    // Decided in this epoch already: nothing older can come back.
    if (listed.agreed && listed.accepted.epoch == move->epoch) continue;
    keys->push_back(std::move(listed.key));
  }
  *more = listing->more;
  co_return true;
}

Task<bool> Moves::CarryAll(ShardId shard, const Move* move) {
  // Nothing of an earlier epoch is accepted here after this.
  const LogIndex fenced = store_.Fence(shard, move->epoch);
  co_await store_.journal().Durable(fenced);
  std::string after;
  bool from_start = true;
  bool more = true;
  while (more) {
    std::vector<std::string> keys;
    more = false;
    const bool found = co_await NextKeys(shard, move, after, from_start, &keys, &more, &after);
    if (!found) co_return false;
    from_start = false;
    const auto sweep = std::make_shared<Sweep>(world_.executor());
    runtime::Scope carrying;  // goes first
    for (std::string& key : keys) {
      while (sweep->under_way >= carries_at_once_) co_await sweep->wake.Wait();
      if (sweep->failed) co_return false;
      ++sweep->under_way;
      carrying.Spawn(CarryOne(sweep, shard, std::move(key)));
    }
    while (sweep->under_way > 0) co_await sweep->wake.Wait();
    if (sweep->failed) co_return false;
  }
  co_return true;
}

Task<void> Moves::CarryOne(std::shared_ptr<Sweep> sweep, ShardId shard, std::string key) {
  const Instant deadline = world_.Now() + kPatience;
  auto carried = co_await rounds_.Carry(shard, std::move(key), deadline);
  if (carried) ++carried_;
  sweep->failed = sweep->failed || !carried;
  --sweep->under_way;
  sweep->wake.NotifyAll();
}

}  // namespace coterie::node::registers

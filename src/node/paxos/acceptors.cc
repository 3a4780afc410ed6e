#include "node/paxos/acceptors.h"

#include <algorithm>
#include <utility>

#include "node/paxos/mutants.h"

namespace coterie::node::registers {
namespace {

constexpr std::size_t kWaitingMax = 4096;
constexpr Duration kMapPatience = 300ms;
constexpr std::uint32_t kKeysMax = 4096;
constexpr std::size_t kKeysBytesMax = 1u << 20;  // of a report

const placement::ShardReplica* ReplicaOn(NodeId node, const placement::Shard& shard) {
  const auto found = std::ranges::find(shard.replicas, node, &placement::ShardReplica::node);
  return found == shard.replicas.end() ? nullptr : &*found;
}

Epoch EpochIn(const paxos::Request& request) {
  if (const auto* prepare = std::get_if<paxos::Prepare>(&request)) return prepare->ballot.epoch;
  if (const auto* accept = std::get_if<paxos::Accept>(&request)) return accept->ballot.epoch;
  return std::get<paxos::Query>(request).epoch;
}

}  // namespace

paxos::Replicas ReplicasOf(const placement::Shard& shard) {
  paxos::Replicas replicas{.epoch = shard.epoch, .voters = {}, .learners = {}};
  for (const placement::ShardReplica& replica : shard.replicas) {
    const bool joins = replica.phase == placement::Phase::kJoining;
    (joins ? replicas.learners : replicas.voters).push_back(replica.node);
  }
  return replicas;
}

Result<Epoch> Acceptors::EpochOf(ShardId shard) const {
  const placement::ClusterMapPtr map = control_.map();
  const placement::Shard* found = map->FindShard(shard);
  if (found == nullptr || ReplicaOn(self_, *found) == nullptr) return Fail(ErrorCode::kNotReplica);
  // After a restart the map may lag behind what was promised before.
  if (found->epoch < store_.fence(shard)) return Fail(ErrorCode::kNotReplica, "map is behind");
  return found->epoch;
}

runtime::Task<Result<Epoch>> Acceptors::AwaitEpoch(ShardId shard, Epoch asked) {
  Result<Epoch> epoch = EpochOf(shard);
  if (epoch && *epoch >= asked) co_return epoch;
  if (waiting_ >= kWaitingMax) co_return Fail(ErrorCode::kOverloaded, "requests of later epochs");
  struct Waiting {
    std::size_t& count;
    ~Waiting() { --count; }
  } waiting{++waiting_};
  const Instant until = world_.Now() + kMapPatience;
  while (!epoch || *epoch < asked) {
    const bool changed = co_await control_.changed().WaitUntil(until);
    epoch = EpochOf(shard);
    if (!changed) break;
  }
  co_return epoch;
}

template <class T>
Result<T> Acceptors::Crash(const Error& error) {
  world_.Crash(Describe(error));
  return Fail(ErrorCode::kStopped);
}

runtime::Task<Result<paxos::Reply>> Acceptors::Answer(ShardId shard, std::string key,
                                                      paxos::Request request) {
  const Result<Epoch> epoch = co_await AwaitEpoch(shard, EpochIn(request));
  if (!epoch) co_return std::unexpected(epoch.error());
  if (store_.overloaded() && !std::holds_alternative<paxos::Query>(request)) {
    co_return Fail(ErrorCode::kOverloaded, "registers that are not written back");
  }
  const LogIndex fenced = store_.Fence(shard, *epoch);
  const Result<paxos::Register*> state = store_.Find(shard, key);
  if (!state) co_return Crash<paxos::Reply>(state.error());
  paxos::Acceptor::Answer answer = paxos::Acceptor(*epoch).Step(**state, request);
  if (answer.changed) store_.Save();
  const LogIndex position = std::max(store_.position(), fenced);
  if (store_.journal().durable() < position && !COT_REGISTERS_MUTANT(kReplyBeforeDurable)) {
    co_await store_.journal().Durable(position);
  }
  co_return std::move(answer.reply);
}

runtime::Task<Result<KeysReport>> Acceptors::Keys(KeysAsked asked) {
  const Result<Epoch> epoch = co_await AwaitEpoch(asked.shard, asked.epoch);
  if (!epoch) co_return std::unexpected(epoch.error());
  if (*epoch != asked.epoch) co_return Fail(ErrorCode::kStaleEpoch);
  LogIndex position = store_.Fence(asked.shard, *epoch);
  KeysReport report;
  std::size_t bytes = 0;
  const std::uint32_t most = std::clamp(asked.max, 1u, kKeysMax);
  const Status visited =
      store_.VisitAll(asked.shard, asked.after, asked.from_start,
                      [&report, &bytes, most](std::string_view key, const paxos::Register& state) {
                        if (state.accepted == paxos::Ballot{}) return true;  // promised only
                        report.more = report.keys.size() >= most || bytes >= kKeysBytesMax;
                        if (report.more) return false;
                        bytes += key.size();
                        KeyReport& said = report.keys.emplace_back();
                        said.key = key;
                        said.accepted = state.accepted;
                        said.holds = state.value.bytes.has_value();
                        if (said.holds) said.expires_at_ms = ExpiryOf(*state.value.bytes);
                        return true;
                      });
  if (!visited) co_return Crash<KeysReport>(visited.error());
  position = std::max(position, store_.journal().last());
  co_await store_.journal().Durable(position);
  co_return report;
}

void Acceptors::FollowMap() {
  const placement::ClusterMapPtr map = control_.map();
  const placement::ClusterMapPtr before = std::exchange(followed_, map);
  for (const auto& [name, keyspace] : map->keyspaces) {
    if (keyspace.promise.replication == keyspace::Replication::kRaft) continue;
    for (const placement::Shard& shard : keyspace.shards) {
      if (ReplicaOn(self_, shard) != nullptr) {
        if (shard.epoch > store_.fence(shard.id)) store_.Fence(shard.id, shard.epoch);
      } else if (const Epoch fence = store_.fence(shard.id);
                 fence != Epoch(0) && fence < shard.epoch) {
        store_.Drop(shard.id, shard.epoch);
      }
    }
  }
  if (before == nullptr) return;
  // Keyspaces that were dropped.
  for (const auto& [name, keyspace] : before->keyspaces) {
    for (const placement::Shard& shard : keyspace.shards) {
      if (map->FindShard(shard.id) != nullptr || store_.fence(shard.id) == Epoch(0)) continue;
      store_.Drop(shard.id, shard.epoch + 1);
    }
  }
}

}  // namespace coterie::node::registers

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"
#include "node/leaderless/mutants.h"
#include "node/leaderless/state.h"

// Following the cluster map: shards come, change and go.
namespace coterie::node {

using placement::Phase;

namespace {
// Beside the store's own records in its engine: the map that was last adopted, and its shards.
constexpr char kPlacementKey[] = "\xffplacement";
constexpr char kPlacementFormat = 1;
constexpr Duration kReportPatience = 5s;
constexpr std::size_t kSlotsEverMax = 1u << 20;  // what a ticket can name
}  // namespace

Slot* LeaderlessReplicas::State::Find(ShardId shard) {
  const auto found = slots.find(shard);
  return found == slots.end() ? nullptr : found->second.get();
}
const Slot* LeaderlessReplicas::State::Find(ShardId shard) const {
  const auto found = slots.find(shard);
  return found == slots.end() ? nullptr : found->second.get();
}

Slot& LeaderlessReplicas::State::MakeSlot(ShardId shard, clock::Actor actor) {
  COT_ASSERT(by_number.size() < kSlotsEverMax);
  auto slot = std::make_unique<Slot>();
  slot->id = shard;
  slot->actor = actor;
  slot->number = static_cast<std::uint32_t>(by_number.size());
  by_number.push_back(slot.get());
  return *(slots[shard] = std::move(slot));
}

Status LeaderlessReplicas::State::Remember(std::uint64_t version) {
  std::string value(1, kPlacementFormat);
  PutVarint(value, version);
  for (const auto& [id, slot] : slots) {
    PutVarint(value, id.value);
    PutVarint(value, static_cast<std::uint64_t>(slot->conflict));
  }
  storage::Batch batch;
  batch.Put(kPlacementKey, std::move(value));
  return engine->Write(std::move(batch));
}

/// The shards that were here before, so that the journal can be replayed before the map is known.
Status LeaderlessReplicas::State::Recall() {
  COT_ASSIGN(const auto value, engine->Get(kPlacementKey));
  if (!value) return Ok();
  const auto corrupt = [] {
    return coterie::Fail(ErrorCode::kCorruptState, "which shards are in the cells");
  };
  std::string_view in = *value;
  if (in.empty() || in.front() != kPlacementFormat) return corrupt();
  in.remove_prefix(1);
  const auto version = GetVarint(in);
  if (!version) return corrupt();
  map_version = *version;
  while (!in.empty()) {
    const auto shard = GetVarint(in);
    const auto conflict = shard ? GetVarint(in) : std::nullopt;
    if (!conflict) return corrupt();
    Slot& slot = MakeSlot(ShardId(*shard), host.actor);
    slot.conflict = static_cast<keyspace::Conflict>(*conflict);
    slot.unsure = true;
    store.OpenShard(slot.id, slot.conflict);
  }
  return Ok();
}

Task<void> LeaderlessReplicas::State::FollowMap() {
  std::uint64_t seen = 0;
  for (;;) {
    const placement::ClusterMapPtr map = host.control.map();
    // After a start the control keyspace may know an older map than the one adopted before.
    if (map->version > seen && map->version >= map_version) {
      const Status adopted = co_await Adopt(map);
      if (!adopted) {
        Fail("following the cluster map", adopted.error());
        co_return;
      }
      seen = map->version;
      continue;
    }
    co_await host.control.changed().Wait();
  }
}

Task<Status> LeaderlessReplicas::State::Adopt(placement::ClusterMapPtr map) {
  struct Wanted {
    const placement::Keyspace* keyspace;
    const placement::Shard* shard;
    Phase phase;
  };
  std::map<ShardId, Wanted> wanted;
  for (const auto& [name, keyspace] : map->keyspaces) {
    if (keyspace.promise.replication != keyspace::Replication::kLeaderless) continue;
    for (const placement::Shard& shard : keyspace.shards) {
      for (const placement::ShardReplica& replica : shard.replicas) {
        if (replica.node == host.self)
          wanted.emplace(shard.id, Wanted{&keyspace, &shard, replica.phase});
      }
    }
  }
  std::vector<ShardId> gone;
  std::vector<ShardId> anew;
  for (const auto& [id, slot] : slots) {
    const auto want = wanted.find(id);
    if (want == wanted.end()) {
      gone.push_back(id);
      continue;
    }
    if (want->second.phase != Phase::kJoining) continue;
    // What is here may be of an earlier stay, from which the others no longer keep what was removed
    // meanwhile; and the maps in between may have been missed.
    const bool unseen =
        slot->phase != Phase::kJoining || want->second.shard->epoch > slot->epoch + 1;
    if (slot->placed && !unseen) continue;
    (slot->placed ? gone : anew).push_back(id);
    NoteDrop(id);
  }
  for (const ShardId id : gone) Forget(id);
  bool changed = !gone.empty() || !anew.empty();
  // The journal has it before the engine can: a replay ends with an empty shard, too.
  if (changed) co_await host.journal.Flush();
  for (const ShardId id : anew) COT_CO_TRY(Reopen(*Find(id)));
  clock::Actor of_returned = host.actor;
  const bool returns = std::ranges::any_of(
      wanted, [&](const auto& each) { return left.contains(each.first) && !Find(each.first); });
  if (returns) {
    COT_CO_ASSIGN(of_returned, co_await ActorOfReturned());
  }
  for (const auto& [id, want] : wanted) {
    if (Find(id) != nullptr) continue;
    changed = true;
    Slot& slot = MakeSlot(id, left.contains(id) ? of_returned : host.actor);
    slot.conflict = want.keyspace->promise.conflict;
    COT_CO_TRY(store.DropShard(id));  // left behind by a crash in the middle of this
    store.OpenShard(id, slot.conflict);
  }
  if (changed || map->version != map_version) COT_CO_TRY(Remember(map->version));
  for (const ShardId id : gone) {
    if (!wanted.contains(id)) COT_CO_TRY(store.DropShard(id));
  }
  if (changed) {
    // A journal with mutations of shards that the engine does not know would be replayed in vain.
    if (!WriteBack()) co_return Ok();
    COT_CO_TRY(co_await FlushEngine());
  }
  map_version = map->version;
  for (const auto& [id, want] : wanted) Place(*map, *want.keyspace, *want.shard);
  for (auto& [node, link] : links) link.behind = true;
  WatchLinks();
  SendAccounts();
  co_return Ok();
}

void LeaderlessReplicas::State::NoteDrop(ShardId shard) {
  std::string drop(1, static_cast<char>(RecordKind::kDrop));
  PutVarint(drop, shard.value);
  host.journal.Append(drop);
}

/// A shard that comes back would learn its last counter from those who are up, and a dead one may
/// know of more: it is written to under a name that nobody has heard of.
Task<Result<clock::Actor>> LeaderlessReplicas::State::ActorOfReturned() {
  if (COT_LEADERLESS_MUTANT(kReuseDots)) co_return host.actor;
  COT_CO_ASSIGN(const clock::Actor actor, co_await host.next_actor());
  actors.insert(actor);
  co_return actor;
}

/// Begins the shard anew, without what is here.
Status LeaderlessReplicas::State::Reopen(Slot& slot) {
  COT_TRY(store.DropShard(slot.id));
  store.OpenShard(slot.id, slot.conflict);
  history.Drop(slot.id);
  slot.tracker = Tracker();
  slot.durable = {};
  slot.becoming_durable.reset();
  slot.stable = {};
  slot.joined = {};
  return Ok();
}

void LeaderlessReplicas::State::Forget(ShardId shard) {
  Slot* slot = Find(shard);
  for (auto& [w, waiters] : slot->waiters) WakeUpTo(waiters, UINT64_MAX, false);
  world.log().Info("leaderless", "shard {} has left this node", shard.value);
  if (slot->last > 0 || slot->actor != host.actor) left.insert(shard);
  // Answers that are under way are about the slot that goes.
  for (auto& [node, link] : links) {
    Flush(link);
    for (Link::InFlight& batch : link.in_flight)
      std::erase_if(batch.last, [&](const auto& each) { return each.first == shard; });
  }
  by_number[slot->number] = nullptr;
  slots.erase(shard);
  history.Drop(shard);
}

void LeaderlessReplicas::State::Place(const placement::ClusterMap& map,
                                      const placement::Keyspace& keyspace,
                                      const placement::Shard& shard) {
  Slot* slot = Find(shard.id);
  COT_ASSERT(slot != nullptr);
  if (slot->placed && slot->epoch == shard.epoch) return;
  const bool was_active = slot->placed && slot->phase == Phase::kActive && !slot->settling;
  slot->placed = true;
  slot->keyspace = keyspace.promise.name;
  slot->durability = keyspace.promise.durability;
  slot->epoch = shard.epoch;
  std::vector<Remote> others;
  std::vector<NodeId> nodes;
  std::vector<leaderless::Acknowledgements::Replica> counted;
  // W = 1 promises nothing that a read must meet, unless R is all.
  const keyspace::Promise& promise = keyspace.promise;
  const bool meets = promise.write > 1 || promise.read + promise.write > promise.replicas;
  bool one_leaves = false;
  for (const placement::ShardReplica& replica : shard.replicas) {
    const auto node = map.nodes.find(replica.node);
    std::string domain = node == map.nodes.end() ? "" : node->second.failure_domain;
    if (COT_LEADERLESS_MUTANT(kCountFailureDomains)) domain.clear();
    const bool leaves = replica.phase == Phase::kLeaving && node != map.nodes.end();
    one_leaves |= leaves;
    counted.push_back({.node = replica.node,
                       .failure_domain = std::move(domain),
                       .counts = replica.phase == Phase::kActive,
                       .leaves = leaves && meets});
    if (replica.node == host.self) {
      if (replica.phase == Phase::kLeaving && slot->phase != Phase::kLeaving)
        slot->leaving_with = slot->tracker.applied();
      slot->phase = replica.phase;
      continue;
    }
    Remote* before = slot->Find(replica.node);
    Remote remote;
    if (before != nullptr) {
      remote = std::move(*before);
    } else {
      const Link& link = LinkTo(replica.node);
      remote.rewound_batch = link.number + (link.batch.empty() ? 0 : 1);
    }
    remote.node = replica.node;
    remote.phase = replica.phase;
    remote.target.reset();
    remote.reached = false;
    nodes.push_back(replica.node);
    others.push_back(std::move(remote));
  }
  slot->others = std::move(others);
  // After a restart it is not known whether it had settled.
  slot->settling = slot->phase == Phase::kActive && one_leaves && !was_active;
  slot->knowledge.SetOthers(nodes);
  slot->acks.SetReplicas(host.self, std::move(counted),
                         slot->durability == keyspace::Durability::kOneFsync);
  // A shard that came with a history: its own mutations of this incarnation are here.
  if (!slot->own_synced()) slot->acks.OwnUpTo(slot->last);
  Wake(*slot);
  Settle(*slot);
}

bool LeaderlessReplicas::State::IsDead(NodeId node) const {
  // A removed machine may keep its place in a shard for a while.
  if (!host.control.map()->nodes.contains(node)) return true;
  for (const NodeHealth& health : host.detector.view()) {
    if (health.node == node) return health.health == Health::kDead;
  }
  return false;
}

/// A joining replica may be counted when it has what every active one had after it learned of the
/// join: what came later was sent here, too. One that is dead cannot say; what it alone has comes
/// with it.
bool LeaderlessReplicas::State::HasEverything(const Slot& slot) const {
  bool from_one = false;
  for (const Remote& remote : slot.others) {
    if (remote.phase != Phase::kActive) continue;
    if (!remote.reached && !IsDead(remote.node)) return false;
    from_one |= remote.reached;
  }
  return from_one;
}

/// What was acknowledged before this replica was counted is with W of those who were counted then,
/// and nothing is taken under the older epoch by who has spoken of this one.
bool LeaderlessReplicas::State::HasSettled(const Slot& slot) const {
  return std::ranges::all_of(slot.others, [&](const Remote& remote) {
    return remote.phase == Phase::kJoining || remote.reached || IsDead(remote.node);
  });
}

/// A leaving replica may go when what it had when it stopped coordinating is elsewhere for good.
bool LeaderlessReplicas::State::HasHandedOver(const Slot& slot) const {
  bool to_one = false;
  for (const Remote& remote : slot.others) {
    if (remote.phase != Phase::kActive) continue;
    const auto* account = slot.knowledge.Of(remote.node);
    const bool has = account != nullptr && account->durable.Covers(slot.leaving_with);
    if (!has && !IsDead(remote.node)) return false;
    to_one |= has;
  }
  return to_one;
}

/// Conditional writes are decided in registers beside the cells, which move by themselves; the map
/// waits for one report of both.
bool LeaderlessReplicas::State::OthersFollowed(const Slot& slot) const {
  if (slot.conflict != keyspace::Conflict::kLww || !host.has_followed) return true;
  const placement::ClusterMapPtr map = host.control.map();
  const placement::Shard* const shard = map->FindShard(slot.id);
  return shard != nullptr && shard->epoch == slot.epoch && host.has_followed(*shard);
}

void LeaderlessReplicas::State::ConsiderReports() {
  for (auto& [id, slot] : slots) {
    if (slot->settling && HasSettled(*slot)) slot->settling = false;  // those left out are dead
    if (!slot->placed || slot->reporting) continue;
    const bool ready = (slot->phase == Phase::kJoining && HasEverything(*slot)) ||
                       (slot->phase == Phase::kLeaving && HasHandedOver(*slot));
    if (ready && OthersFollowed(*slot)) scope.Spawn(Report(id, slot->epoch));
  }
}

Task<void> LeaderlessReplicas::State::Report(ShardId shard, Epoch epoch) {
  SlotFlag reporting(*this, *Find(shard), &Slot::reporting);
  co_await host.journal.Flush();
  const Instant deadline = world.Now() + kReportPatience;
  const Status reported = co_await host.control.ReportReplica(shard, epoch, host.self, deadline);
  if (!reported) {
    world.log().Warn("leaderless", "shard {}: reporting: {}", shard.value,
                     Describe(reported.error()));
  }
  // The next map follows, or the report is made again.
  co_await runtime::Sleep(world.executor(), options.account_interval);
}

}  // namespace coterie::node

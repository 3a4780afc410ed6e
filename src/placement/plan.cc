#include "placement/plan.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "placement/occupancy.h"

namespace coterie::placement {
namespace {

std::size_t CountOf(const Shard& shard, Phase phase) {
  return static_cast<std::size_t>(std::ranges::count(shard.replicas, phase, &ShardReplica::phase));
}

ShardReplica* Find(Shard& shard, NodeId node) {
  const auto found = std::ranges::find(shard.replicas, node, &ShardReplica::node);
  return found == shard.replicas.end() ? nullptr : &*found;
}

void SetPhase(ShardReplica& replica, Phase phase) {
  replica = {.node = replica.node, .phase = phase};
}

std::vector<NodeId> NodesOf(const Shard& shard) {
  std::vector<NodeId> nodes;
  for (const ShardReplica& replica : shard.replicas) nodes.push_back(replica.node);
  return nodes;
}

std::vector<NodeId> Without(std::vector<NodeId> nodes, NodeId node) {
  std::erase(nodes, node);
  return nodes;
}

/// Works on a copy of the shards, first carrying on what is under way, then starting what is most
/// urgent: lost replicas, then machines that drain, then shared failure domains, then balance.
class Planner {
 public:
  explicit Planner(const ClusterMap& map) : map_(map), occupancy_(map) {}

  std::vector<ShardChange> Plan() {
    std::vector<std::vector<Shard>> planned;
    for (const auto& [name, keyspace] : map_.keyspaces) {
      planned.push_back(keyspace.shards);
      for (Shard& shard : planned.back()) CarryOn(shard, keyspace.promise);
    }
    // What a shard gave up or took is counted anew, so that the moves below see it.
    CountAnew(planned);
    std::size_t position = 0;
    for (const auto& [name, keyspace] : map_.keyspaces) {
      StartMoves(planned[position++], keyspace.promise.replicas);
    }
    std::vector<ShardChange> changes;
    position = 0;
    for (const auto& [name, keyspace] : map_.keyspaces) {
      Compare(keyspace.shards, planned[position++], changes);
    }
    std::ranges::sort(changes, {}, &ShardChange::shard);
    return changes;
  }

 private:
  // -- what is under way -------------------------------------------------------------------------

  bool IsGone(NodeId node) const { return !map_.nodes.contains(node); }

  std::size_t Live(const Shard& shard, Phase phase) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(shard.replicas, [&](const ShardReplica& replica) {
          return replica.phase == phase && !IsGone(replica.node);
        }));
  }

  bool HasGone(const Shard& shard) const {
    return std::ranges::any_of(shard.replicas, [&](const auto& r) { return IsGone(r.node); });
  }

  /// Whether nothing of the shard is under way.
  bool AtRest(const Shard& shard) const {
    return Live(shard, Phase::kActive) == shard.replicas.size();
  }

  /// Active or leaving, on machines that are not gone.
  std::size_t LiveVoters(const Shard& shard) const {
    return Live(shard, Phase::kActive) + Live(shard, Phase::kLeaving);
  }

  void CarryOn(Shard& shard, const keyspace::Promise& promise) {
    std::erase_if(shard.replicas, [&](const ShardReplica& replica) {
      return replica.phase == Phase::kJoining && !occupancy_.IsOpen(replica.node);
    });
    const std::uint32_t wanted = promise.replicas;
    if (LiveVoters(shard) == 0) {
      // Nobody is left to copy from: what joining ones have is all there is.
      if (CountOf(shard, Phase::kJoining) == 0) return;
      std::erase_if(shard.replicas, [&](const auto& replica) { return IsGone(replica.node); });
      return Activate(shard, wanted, Phase::kJoining);
    }
    const bool changed = EraseGone(shard, promise.replication) || Promote(shard, wanted);
    // One that leaves still takes every write: it is the fastest way back to the promise.
    Activate(shard, wanted, Phase::kLeaving);
    while (Live(shard, Phase::kActive) > wanted) SetPhase(*Superfluous(shard), Phase::kLeaving);
    DropNeedless(shard, wanted);
    if (changed || EraseLeft(shard)) {
      // What was reported was so among the voters before.
      for (ShardReplica& replica : shard.replicas) replica.ready = false;
    }
  }

  /// Takes one removed machine out of the voters. Registers that ballots decide must be decided
  /// among the present voters before [consensus/paxos, "Epochs"]: a joining replica has seen to it
  /// when it reports. Without a majority there is nothing to wait for.
  bool EraseGone(Shard& shard, keyspace::Replication replication) const {
    const auto gone =
        std::ranges::find_if(shard.replicas, [&](const auto& r) { return IsGone(r.node); });
    if (gone == shard.replicas.end()) return false;
    const std::size_t voters = shard.replicas.size() - CountOf(shard, Phase::kJoining);
    const bool swept = std::ranges::any_of(shard.replicas, [](const ShardReplica& replica) {
      return replica.phase == Phase::kJoining && replica.ready;
    });
    // A Raft group changes its members by its own log.
    const bool by_ballots = replication != keyspace::Replication::kRaft;
    if (by_ballots && !swept && LiveVoters(shard) > voters / 2) return false;
    shard.replicas.erase(gone);
    return true;
  }

  /// A joining replica that is ready becomes active, and the one that it replaces leaves.
  bool Promote(Shard& shard, std::uint32_t wanted) const {
    const auto joined = std::ranges::find_if(shard.replicas, [](const ShardReplica& replica) {
      return replica.phase == Phase::kJoining && replica.ready;
    });
    if (joined == shard.replicas.end()) return false;
    ShardReplica* replaced = Find(shard, joined->replaces);
    SetPhase(*joined, Phase::kActive);
    if (replaced != nullptr && replaced->phase == Phase::kActive &&
        Live(shard, Phase::kActive) > wanted) {
      SetPhase(*replaced, Phase::kLeaving);
    }
    return true;
  }

  /// Makes replicas of `phase` active until there are enough, those on open machines first.
  void Activate(Shard& shard, std::uint32_t wanted, Phase phase) const {
    for (const bool open : {true, false}) {
      for (ShardReplica& replica : shard.replicas) {
        if (Live(shard, Phase::kActive) >= wanted) return;
        if (replica.phase == phase && !IsGone(replica.node) &&
            occupancy_.IsOpen(replica.node) == open) {
          SetPhase(replica, Phase::kActive);
        }
      }
    }
  }

  /// The active replica to part with: of a draining machine, else of the most crowded failure
  /// domain, else of the fullest machine. Requires: there is one.
  ShardReplica* Superfluous(Shard& shard) const {
    const std::vector<NodeId> nodes = NodesOf(shard);
    const auto rank = [&](const ShardReplica& replica) {
      const bool live = replica.phase == Phase::kActive && !IsGone(replica.node);
      return std::tuple(live, !occupancy_.IsOpen(replica.node),
                        live ? occupancy_.Neighbours(nodes, replica.node) : 0,
                        occupancy_.TotalOf(replica.node), replica.node);
    };
    return &*std::ranges::max_element(shard.replicas, {}, rank);
  }

  /// Joining replicas that replace nobody any more go, unless one is missing, or a removed machine
  /// waits for what they report.
  void DropNeedless(Shard& shard, std::uint32_t wanted) const {
    const std::size_t active = Live(shard, Phase::kActive);
    std::size_t missing = wanted > active ? wanted - active : 0;
    if (HasGone(shard)) missing = std::max<std::size_t>(missing, 1);
    std::vector<ShardReplica> kept;
    for (const ShardReplica& replica : shard.replicas) {
      const ShardReplica* replaced = Find(shard, replica.replaces);
      const bool replaces =
          replaced != nullptr && replaced->phase == Phase::kActive && !IsGone(replaced->node);
      if (replica.phase == Phase::kJoining && !replaces) {
        if (missing == 0) continue;
        --missing;
      }
      kept.push_back(replica);
    }
    shard.replicas = std::move(kept);
  }

  /// Takes one leaving replica that has reported out of the voters.
  static bool EraseLeft(Shard& shard) {
    const auto left = std::ranges::find_if(shard.replicas, [](const ShardReplica& replica) {
      return replica.phase == Phase::kLeaving && replica.ready;
    });
    if (left == shard.replicas.end()) return false;
    shard.replicas.erase(left);
    return true;
  }

  // -- new moves ---------------------------------------------------------------------------------

  void CountAnew(const std::vector<std::vector<Shard>>& planned) {
    ClusterMap map{.nodes = map_.nodes};
    std::size_t position = 0;
    for (const auto& [name, keyspace] : map_.keyspaces) {
      map.keyspaces[name].shards = planned[position++];
    }
    occupancy_ = Occupancy(map);
    position = 0;
    for (const auto& [name, keyspace] : map_.keyspaces) {
      const std::vector<Shard>& shards = planned[position++];
      for (std::size_t i = 0; i < shards.size(); ++i) {
        // A hand is free only when the change that frees it has been made.
        std::set<NodeId> busy = BusyWith(keyspace.shards[i]);
        busy.merge(BusyWith(shards[i]));
        for (const NodeId node : busy) ++moves_[node];
      }
    }
  }

  /// The machines that receive or hand over a replica.
  static std::set<NodeId> BusyWith(const Shard& shard) {
    std::set<NodeId> busy;
    for (const ShardReplica& replica : shard.replicas) {
      if (replica.phase == Phase::kActive) continue;
      busy.insert(replica.node);
      if (replica.replaces != NodeId()) busy.insert(replica.replaces);
    }
    return busy;
  }

  bool MayMove(NodeId node) const {
    const auto found = moves_.find(node);
    return found == moves_.end() || found->second < kMovesPerNodeMax;
  }

  /// A replica joins on `to` in the place of `from`, or of a lost one if that is 0. False: either
  /// has its hands full.
  bool Start(Shard& shard, NodeId from, NodeId to) {
    if (!MayMove(to) || (from != NodeId() && !MayMove(from))) return false;
    shard.replicas.push_back({.node = to, .phase = Phase::kJoining, .replaces = from});
    ++moves_[to];
    occupancy_.Add(to);
    if (from != NodeId()) {
      ++moves_[from];
      occupancy_.Remove(from);
    }
    return true;
  }

  void StartMoves(std::vector<Shard>& shards, std::uint32_t wanted) {
    occupancy_.Enter(shards, /*counted=*/true);
    for (Shard& shard : shards) Refill(shard, wanted);
    for (Shard& shard : shards) Evacuate(shard);
    for (Shard& shard : shards) SpreadOut(shard);
    const std::size_t enough = std::min<std::size_t>(wanted, occupancy_.open_nodes().size());
    const bool settled = std::ranges::all_of(shards, [&](const Shard& shard) {
      const std::vector<NodeId> targets = TargetsOf(shard);
      return targets.size() >= enough &&
             std::ranges::all_of(targets, [&](NodeId n) { return occupancy_.IsOpen(n); });
    });
    // What still has to find a new place may fill the emptier machines by itself.
    while (settled && BalanceOnce(shards)) {
    }
  }

  void Refill(Shard& shard, std::uint32_t wanted) {
    if (LiveVoters(shard) == 0 && CountOf(shard, Phase::kJoining) == 0) {
      return BeginAgain(shard, wanted);
    }
    const auto lacks = [&] {
      const std::size_t joining = CountOf(shard, Phase::kJoining);
      return Live(shard, Phase::kActive) + joining < wanted || (HasGone(shard) && joining == 0);
    };
    while (lacks()) {
      const auto to = occupancy_.Best(LiveOf(TargetsOf(shard)), NodesOf(shard));
      if (!to || !Start(shard, NodeId(), *to)) return;
    }
  }

  /// Nothing is left of the shard: it begins again, empty.
  void BeginAgain(Shard& shard, std::uint32_t wanted) {
    if (occupancy_.open_nodes().empty()) return;
    shard.replicas.clear();
    for (std::size_t i = 0; i < wanted; ++i) AppendAfresh(shard);
  }

  std::vector<NodeId> LiveOf(std::vector<NodeId> nodes) const {
    std::erase_if(nodes, [&](NodeId node) { return IsGone(node); });
    return nodes;
  }

  void AppendAfresh(Shard& shard) {
    const auto to = occupancy_.Best(NodesOf(shard), NodesOf(shard));
    if (!to) return;
    shard.replicas.push_back({.node = *to});
    occupancy_.Add(*to);
  }

  void Evacuate(Shard& shard) {
    if (!AtRest(shard)) return;
    for (const NodeId from : NodesOf(shard)) {
      if (occupancy_.IsOpen(from)) continue;
      const auto to = occupancy_.Best(Without(NodesOf(shard), from), NodesOf(shard));
      if (to && Start(shard, from, *to)) return;
    }
  }

  /// Moves a replica out of a failure domain that another one's failure is shared with, if there is
  /// a better one.
  void SpreadOut(Shard& shard) {
    if (!AtRest(shard)) return;
    std::vector<NodeId> nodes = NodesOf(shard);
    std::ranges::sort(nodes, std::ranges::greater(), [&](NodeId node) {
      return std::tuple(occupancy_.Of(node), occupancy_.TotalOf(node), node);
    });
    for (const NodeId from : nodes) {
      const std::vector<NodeId> others = Without(nodes, from);
      const auto to = occupancy_.Best(others, nodes);
      if (!to || occupancy_.Neighbours(others, *to) >= occupancy_.Neighbours(others, from)) {
        continue;
      }
      if (Start(shard, from, *to)) return;
    }
  }

  /// Starts the move between the two machines furthest apart that any shard can make. False: no
  /// two differ by more than one, or what is under way must end first.
  bool BalanceOnce(std::vector<Shard>& shards) {
    std::vector<NodeId> full = occupancy_.open_nodes();
    const auto load = [&](NodeId node) {
      return std::tuple(occupancy_.Of(node), occupancy_.TotalOf(node), node);
    };
    std::ranges::sort(full, std::ranges::greater(), load);
    std::vector<NodeId> empty = occupancy_.open_nodes();
    std::ranges::sort(empty, std::ranges::less(), load);
    for (const NodeId from : full) {
      for (const NodeId to : empty) {
        if (occupancy_.Of(from) < occupancy_.Of(to) + 2) break;
        bool possible = false;
        for (Shard& shard : shards) {
          if (!CanMove(shard, from, to)) continue;
          possible = true;
          if (AtRest(shard)) return Start(shard, from, to);
        }
        if (possible) return false;
      }
    }
    return false;
  }

  /// Whether a replica of the shard may go from one machine to the other without a failure domain
  /// becoming more crowded.
  bool CanMove(const Shard& shard, NodeId from, NodeId to) const {
    const std::vector<NodeId> targets = TargetsOf(shard);
    if (std::ranges::find(targets, from) == targets.end()) return false;
    const std::vector<NodeId> nodes = NodesOf(shard);
    if (std::ranges::find(nodes, to) != nodes.end()) return false;
    const std::vector<NodeId> others = Without(targets, from);
    return occupancy_.Neighbours(others, to) <= occupancy_.Neighbours(others, from);
  }

  static void Compare(const std::vector<Shard>& before, const std::vector<Shard>& after,
                      std::vector<ShardChange>& changes) {
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i].replicas == after[i].replicas) continue;
      changes.push_back({before[i].id, before[i].epoch, after[i].replicas});
    }
  }

  const ClusterMap& map_;
  Occupancy occupancy_;
  std::map<NodeId, std::uint32_t> moves_;
};

Shard* FindMutable(ClusterMap& map, ShardId id) {
  for (auto& [name, keyspace] : map.keyspaces) {
    const auto found = std::ranges::find(keyspace.shards, id, &Shard::id);
    if (found != keyspace.shards.end()) return &*found;
  }
  return nullptr;
}

}  // namespace

std::vector<ShardChange> NextSteps(const ClusterMap& map) { return Planner(map).Plan(); }

bool ApplyChange(ClusterMap& map, const ShardChange& change) {
  Shard* shard = FindMutable(map, change.shard);
  if (shard == nullptr || shard->epoch != change.from) return false;
  shard->replicas = change.replicas;
  ++shard->epoch;
  return true;
}

bool ApplyReport(ClusterMap& map, ShardId shard_id, Epoch epoch, NodeId node) {
  Shard* shard = FindMutable(map, shard_id);
  if (shard == nullptr || shard->epoch != epoch) return false;
  ShardReplica* replica = Find(*shard, node);
  if (replica == nullptr || replica->phase == Phase::kActive || replica->ready) return false;
  replica->ready = true;
  return true;
}

}  // namespace coterie::placement

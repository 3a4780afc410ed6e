#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "node/control.h"
#include "node/paxos/register_store.h"
#include "node/paxos/rounds.h"
#include "runtime/scope.h"
#include "runtime/world.h"

namespace coterie::node::registers {

/// Replicas of this node that join or leave: carries the registers over (consensus/paxos/README.md,
/// "Epochs"), then reports to the control keyspace.
class Moves {
 public:
  Moves(runtime::World& world, NodeId self, Control& control, RegisterStore& store, Rounds& rounds,
        std::size_t carries_at_once)
      : world_(world),
        self_(self),
        control_(control),
        store_(store),
        rounds_(rounds),
        carries_at_once_(carries_at_once) {}

  /// Starts what the newest map asks for, and ends what it no longer does.
  void FollowMap();
  bool HasFollowed(const placement::Shard& shard) const;
  std::uint64_t carried() const { return carried_; }

 private:
  struct Move {
    Epoch epoch;
    placement::Phase phase;
    bool report = false;  ///< of a paxos keyspace; a leaderless one has another driver that does
    bool done = false;
    runtime::Scope scope;
  };
  struct Sweep;
  runtime::Task<void> Run(ShardId shard, Move* move);
  runtime::Task<bool> CarryAll(ShardId shard, const Move* move);
  runtime::Task<void> CarryOne(std::shared_ptr<Sweep> sweep, ShardId shard, std::string key);
  /// The next keys to carry after `after`; false: they could not be had.
  runtime::Task<bool> NextKeys(ShardId shard, const Move* move, std::string after, bool from_start,
                               std::vector<std::string>* keys, bool* more, std::string* last);

  runtime::World& world_;
  const NodeId self_;
  Control& control_;
  RegisterStore& store_;
  Rounds& rounds_;
  const std::size_t carries_at_once_;
  std::uint64_t carried_ = 0;
  std::map<ShardId, std::unique_ptr<Move>> moves_;
};

}  // namespace coterie::node::registers

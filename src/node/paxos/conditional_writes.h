#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "clock/hybrid.h"
#include "node/control.h"
#include "node/leaderless/leaderless.h"
#include "node/paxos/rounds.h"
#include "node/registers.h"
#include "runtime/sync.h"
#include "runtime/world.h"

namespace coterie::node {

class PaxosKeyspaces;

/// The order that conditional writers of a leaderless keyspace agree on, for the strings in it:
/// each is decided by a round of ballots over what a majority of replicas holds, then written there
/// as an ordinary edit. Plain writes go their own way, on the same clock: against each other
/// conditional writes are linearizable; a plain write that was acknowledged by a majority before
/// one began is seen by it; one that comes at the same time wins or loses by its time. For nodes
/// with an active replica of the key's shard.
class ConditionalWrites final : public Registers {
 public:
  /// All of it outlives this. `drift_max`: as the leaderless replicas have it.
  ConditionalWrites(runtime::World& world, Control& control, Leaderless& leaderless,
                    PaxosKeyspaces& paxos, std::string keyspace,
                    Duration drift_max = std::chrono::seconds(10));
  ~ConditionalWrites() override;

  // Registers; also kNotReplica, kClockTooFarAhead, kNoKeyspace, kTooLarge (not applied).

  runtime::Task<Result<std::optional<Value>>> Read(std::string key, Instant deadline) override;
  runtime::Task<Result<std::optional<Value>>> Update(std::string key, Decide decide,
                                                     Instant deadline) override;
  /// Of shards with an active replica here, from that replica.
  runtime::Task<Result<std::vector<std::string>>> Keys(std::string after, std::size_t max,
                                                       Instant deadline) override;

 private:
  struct Line;
  /// What the register of a key says: the last conditionally decided state of the string.
  struct Decided {
    std::optional<Value> value;
    clock::HybridTime time;
    NodeId by;
    bool applied = false;  ///< a majority of the leaderless replicas has it
  };
  struct Place {
    placement::Keyspace keyspace;  ///< W is a majority at least
    placement::Shard shard;
    std::uint32_t majority = 0;
  };
  /// One call of the change within a round.
  struct Call {
    std::uint64_t number = 0;
    bool late = false;  ///< the register is not what it was when the replicas were asked
    bool wrote = false;
    std::optional<Value> given;  ///< what the change was decided on
    std::optional<Error> refused;
  };
  /// One question to the replicas and the round on what they said.
  struct Try {
    registers::Bytes expected;  ///< what the register held when the replicas were asked
    std::vector<Call> calls;
  };

  static std::string Encode(const Decided& decided);
  static std::optional<Decided> Decode(const registers::Bytes& bytes);
  Result<Place> PlaceOf(std::string_view key) const;
  /// The string as this node's replica has it, and its time.
  Decided Local(ShardId shard, const std::string& key);
  bool IsPast(const Value& value) const;
  /// Whether the hash at `key` is too large to be removed by the write of a string.
  bool IsLarge(ShardId shard, std::string_view key);
  paxos::Decision Fold(Try& current, ShardId shard, const std::string& key, const Decide& decide,
                       const registers::Bytes& bytes);
  runtime::Task<Result<std::optional<Value>>> InTurn(std::string key, Decide decide,
                                                     Instant deadline);
  /// nullopt: another writer was faster; ask again.
  runtime::Task<Result<std::optional<std::optional<Value>>>> TryOnce(std::string key, Decide decide,
                                                                     Instant deadline);
  static void Make(cells::Edit& edit, std::string_view key, const Decided& decided);
  /// Writes what was decided to the leaderless keyspace, and notes in the register that it is
  /// there.
  runtime::Task<Status> Apply(Place place, std::string key, Decided decided, Instant deadline);

  runtime::World& world_;
  Control& control_;
  Leaderless& leaderless_;
  registers::Rounds& rounds_;
  const std::string keyspace_;
  clock::HybridClock clock_;
  std::map<std::string, std::shared_ptr<Line>> lines_;  ///< of keys that are being changed here
};

}  // namespace coterie::node

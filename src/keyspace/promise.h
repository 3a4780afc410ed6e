#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"

namespace coterie::keyspace {

inline constexpr std::size_t kNameBytesMax = 64;
inline constexpr std::uint32_t kReplicasMax = 15;
inline constexpr std::uint32_t kShardsMax = 1024;
inline constexpr std::uint32_t kRedisDatabaseMax = 1023;

/// Who orders the events of a keyspace, and when (design: one table of promises).
enum class Replication : std::uint8_t { kRaft = 1, kPaxos = 2, kLeaderless = 3 };
/// What becomes of concurrent writes in a leaderless keyspace.
enum class Conflict : std::uint8_t { kNone = 0, kLww = 1, kSiblings = 2, kCrdt = 3 };
/// When an acknowledged write is on disk, and on how many.
enum class Durability : std::uint8_t {
  kQuorumFsync = 0,  ///< on every replica that the acknowledgement counts
  kOneFsync = 1,     ///< on the one that coordinated
  kInterval = 2,     ///< on each within a second
  kMemory = 3,       ///< whenever it is convenient
};

/// A keyspace as its owner declares it.
struct Promise {
  std::string name;
  Replication replication = Replication::kRaft;
  std::uint32_t replicas = 3;
  std::uint32_t read = 0;   ///< leaderless: replicas a read waits for
  std::uint32_t write = 0;  ///< leaderless: replicas a write waits for
  Conflict conflict = Conflict::kNone;
  Durability durability = Durability::kQuorumFsync;
  std::uint32_t shards = 0;  ///< a power of two; 0: the kind's default (raft 1, others 16)
  std::uint32_t redis_database = 0;
  friend bool operator==(const Promise&, const Promise&) = default;
};

std::string_view ToText(Replication replication);
std::string_view ToText(Conflict conflict);
std::string_view ToText(Durability durability);
/// Errors of the three: kInvalidArgument, naming the words there are.
Result<Replication> ParseReplication(std::string_view text);
Result<Conflict> ParseConflict(std::string_view text);
Result<Durability> ParseDurability(std::string_view text);

/// Fills in what was left to defaults (a leaderless keyspace: R and W a majority, conflict crdt)
/// and refuses contradictions. Errors, all kPromiseContradiction (not applied), naming both sides.
Result<Promise> Complete(Promise promise);

}  // namespace coterie::keyspace

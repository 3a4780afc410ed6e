#pragma once

#include <cstdint>

namespace coterie::node {

/// Frame types between nodes. Numbers never change.
enum class FrameType : std::uint16_t {
  kHello = 1,
  kRaft = 2,
  kCall = 3,
  kReply = 4,
  kPing = 5,
  kPong = 6,
  kGossip = 7,     ///< membership: SWIM messages
  kMutations = 8,  ///< leaderless: a batch of mutations
  kMutationAcks = 9,
  kPublish = 10,  ///< PUBLISH to subscribers on other nodes
  kRefusal = 11,  ///< why a connection is not taken, and its end
};

/// What one node may ask another. Numbers never change.
enum class Method : std::uint32_t {
  kForwardProposal = 1,
  kReadIndex = 2,
  kLeaseRenew = 3,
  kLeaseRemaining = 4,
  kSnapshotChunk = 5,
  kControl = 6,       ///< a change of the control keyspace, by one that has no replica: to join
  kPaxos = 7,         ///< prepare and accept
  kCells = 8,         ///< leaderless: whole cells, dot ranges, digests
  kRedisCommand = 9,  ///< a command passed to a node that can run it
  kPaxosKeys = 10,
  kLeaseCounts = 16,  ///< how long the leader lets leases live
  kSubscribers = 20,  ///< PUBLISH and PUBSUB: how many there are on the other node
  kFounding = 24,     ///< a machine with a new data directory asks whether it may begin
};

/// Asked of one shard's replica: the call names the shard.
constexpr bool IsShardMethod(Method method) {
  return (method >= Method::kForwardProposal && method <= Method::kSnapshotChunk) ||
         method == Method::kLeaseCounts;
}

}  // namespace coterie::node

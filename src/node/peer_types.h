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
  kPong = 6
};

/// What one node may ask another. Numbers never change.
enum class Method : std::uint32_t {
  kForwardProposal = 1,
  kReadIndex = 2,
  kLeaseRenew = 3,
  kLeaseRemaining = 4,
  kSnapshotChunk = 5,
};

}  // namespace coterie::node

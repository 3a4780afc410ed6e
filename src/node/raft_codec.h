#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "consensus/raft/messages.h"
#include "consensus/raft/output.h"

namespace coterie::node {

/// A Raft message as the body of a kRaft frame (proto/coterie/peer.proto). InstallSnapshot does not
/// travel this way: it ends a snapshot transfer, see snapshot_transfer.h.
std::string EncodeRaft(ShardId shard, const raft::Message& message);

struct DecodedRaft {
  ShardId shard;
  raft::Message message;
};
/// nullopt if `body` is not one (a newer version's, or damage past the checksum).
std::optional<DecodedRaft> DecodeRaft(std::string_view body);

/// What the WAL keeps as a shard's hard state: Raft's own, and the configuration in force where the
/// log was compacted.
struct StoredHardState {
  raft::HardState raft;
  raft::Configuration compacted_configuration;
};
std::string EncodeHardState(const StoredHardState& state);
std::optional<StoredHardState> DecodeHardState(std::string_view bytes);

}  // namespace coterie::node

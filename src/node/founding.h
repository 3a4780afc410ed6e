#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "coterie/peer.pb.h"
#include "node/config.h"
#include "runtime/network.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::node {

/// The members' ids, ascending.
std::vector<NodeId> FoundersOf(const NodeConfig& config);
/// Whether who asks names the same founders. Error kOtherFounders.
Status SameFounders(const std::vector<NodeId>& founders, const peer::Founding& asked);

/// Whether a founder whose data directory is new may begin: it asks every other founder, for as
/// long as it takes, and answers them in turn on `listener`. Each of them must have answered once
/// that it never heard of an earlier directory of this node: one that cannot be reached may be the
/// only one that has, so a cluster begins when all its founders are up, and a machine whose
/// directory was lost does not come back under its id. Answers the cluster's id: that of those who
/// have begun, or the number that the founder with the lowest id has drawn; `drawn` is this node's.
/// Errors: kForgottenNode, kRemovedNode, kOtherFounders, kWrongCluster.
runtime::Task<Result<std::uint64_t>> FoundCluster(runtime::World* world, const NodeConfig* config,
                                                  std::shared_ptr<runtime::Listener> listener,
                                                  std::uint64_t drawn);

}  // namespace coterie::node

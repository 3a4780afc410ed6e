#pragma once

#include <memory>

#include "runtime/network.h"
#include "sim/cluster.h"

namespace coterie::sim {

/// A KvClient that speaks etcd v3 gRPC to one endpoint. Connects when first used, and again after a
/// connection was lost.
std::unique_ptr<KvClient> NewEtcdClient(runtime::World& world, runtime::Address endpoint);

}  // namespace coterie::sim

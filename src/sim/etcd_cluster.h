#pragma once

#include "sim/cluster.h"

namespace coterie::sim {

/// Whole Coterie processes as the system under test, asked over their etcd doors.
ClusterFactory EtcdClusterFactory();

}  // namespace coterie::sim

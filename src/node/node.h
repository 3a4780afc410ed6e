#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "model/kv/store.h"
#include "node/replica.h"
#include "runtime/network.h"
#include "runtime/world.h"

namespace coterie::node {

/// One machine of the cluster, as every node knows it.
struct Member {
  NodeId id;
  std::string name;
  std::string peer_url;      ///< "http://127.0.0.1:7071"
  std::string client_url;    ///< "http://127.0.0.1:2379"
  bool learner = false;
};

/// What the etcd door needs of the node it stands in. Implemented by Node; a test may stand in for it.
class KvKeyspace {
 public:
  virtual ~KvKeyspace() = default;
  virtual runtime::World& world() = 0;
  virtual Replica& replica() = 0;
  virtual kv::Store& store() = 0;
  virtual std::uint64_t cluster_id() const = 0;  ///< never 0
  virtual std::vector<Member> members() const = 0;
  /// Renews at whichever node leads: the TTL, 0 if there is no such lease. Errors: kNoLeader, kTimedOut.
  virtual runtime::Task<Result<std::int64_t>> LeaseRenew(std::int64_t id, Instant deadline) = 0;
  /// Seconds left by the leader's count, -1 if there is no such lease.
  virtual runtime::Task<Result<std::int64_t>> LeaseRemaining(std::int64_t id, Instant deadline) = 0;
};

}  // namespace coterie::node

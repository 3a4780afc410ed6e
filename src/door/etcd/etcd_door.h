#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/time.h"
#include "net/grpc.h"
#include "net/http.h"

namespace coterie::node {
class KvKeyspace;
}

namespace coterie::door::etcd {

/// Bounds and times of the door; the defaults are etcd's.
struct EtcdDoorOptions {
  std::string version = "3.6.0";  ///< what Status and /version say; clients switch features by it
  Duration request_timeout = 7s;  ///< of a request without a shorter deadline of its own
  Duration election_timeout = 1000ms;
  std::size_t request_bytes_max = 1536u << 10;
  std::size_t txn_operations_max = 128;
  std::int64_t lease_ttl_min_seconds = 2;  ///< shorter leases are raised to it
  std::size_t long_ranges_max = 16;  ///< ranges of more than one turn at once; over it refused
  Duration read_patience = 60s;      ///< a client that takes nothing of a long answer for so long
  std::size_t watchers_max = 65536;  ///< per stream; one more is refused
  std::size_t watch_answers_max =
      1024;  ///< unsent created/canceled answers before receiving pauses
  std::size_t watch_batch_bytes = 256u << 10;  ///< polled from one watcher in its turn
  std::size_t watch_fragment_bytes =
      1536u << 10;  ///< of one message to a watcher that asked for fragments
  Duration watch_progress_interval = std::chrono::minutes(10);  ///< plus up to a tenth, at random
};

/// Serves the etcd v3 API for one keyspace: KV, Watch, Lease, Cluster and Maintenance over gRPC,
/// and the health pages over HTTP. README.md lists every method and limit.
///
/// Handlers run on the keyspace's reactor and refer to the door: it must outlive the server that
/// calls them, and the keyspace must outlive the door.
class EtcdDoor {
 public:
  EtcdDoor(node::KvKeyspace& keyspace, EtcdDoorOptions options);
  ~EtcdDoor();
  EtcdDoor(const EtcdDoor&) = delete;
  EtcdDoor& operator=(const EtcdDoor&) = delete;

  /// Adds the door's methods. Before serving starts.
  void Register(net::GrpcMethods& methods);
  /// Answers GET /version, /health, /livez[/check] and /readyz[/check]; 404 for the rest.
  net::HttpHandler Http();

 private:
  struct Services;
  std::unique_ptr<Services> services_;
};

}  // namespace coterie::door::etcd

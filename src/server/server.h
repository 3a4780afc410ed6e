#pragma once

#include <memory>

#include "net/http.h"
#include "node/config.h"
#include "node/node.h"
#include "runtime/world.h"
#include "storage/engine.h"

namespace coterie::node {
class LeaderlessReplicas;
}

namespace coterie::server {

inline constexpr std::string_view kVersion = "0.1.0";

/// One whole process of a cluster: a node and the doors that open on it. What `coterie start` runs
/// in the real world is what the simulator runs in its own.
class Server {
 public:
  /// Opens the ports first, so that a port in use is found before anything is touched; then
  /// recovers and serves. Errors: as node::Node::Open.
  static runtime::Task<Result<std::unique_ptr<Server>>> Start(runtime::World& world,
                                                              node::NodeConfig config,
                                                              storage::EngineFactory engines);
  ~Server();

  /// Stops taking requests, hands leadership over, lets open calls end until `deadline`.
  runtime::Task<void> Stop(Instant deadline);

  node::Node& node();
  node::LeaderlessReplicas& leaderless();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace coterie::server

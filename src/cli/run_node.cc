#include "cli/run_node.h"

#include <fmt/format.h>

#include <csignal>

#include "cli/exit_code.h"
#include "cli/version.h"
#include "runtime/real/real_world.h"
#include "server/server.h"

namespace coterie::cli {

namespace {

constexpr Duration kStopPatience = 3s;

runtime::Task<int> Serve(runtime::RealWorld* world, node::NodeConfig config) {
  storage::RocksOptions rocks;
  rocks.block_cache_bytes = config.engine_cache_bytes;
  rocks.memtable_bytes = config.engine_memtable_bytes;
  const std::string who =
      fmt::format("node {} of cluster {}; etcd {}, redis {}, admin {}, peers {}", config.name,
                  config.cluster, ToText(config.etcd_listen),
                  config.redis_listen.port == 0 ? "none" : ToText(config.redis_listen),
                  ToText(config.admin_listen), ToText(config.peer_listen));
  world->log().Info("node", "coterie {} starts {}", kVersion, who);
  auto started =
      co_await server::Server::Start(*world, std::move(config), storage::RocksEngineFactory(rocks));
  if (!started) co_return Complain(started.error());
  const std::unique_ptr<server::Server> server = std::move(*started);
  world->log().Info("node", "serving");
  const int signal = co_await world->WaitSignal();
  world->log().Info("node", "stopping on signal {}", signal);
  const Instant deadline = world->Now() + kStopPatience;
  co_await server->Stop(deadline);
  co_return kExitOk;
}

}  // namespace

int RunNode(node::NodeConfig config) {
  // A terminal that is closed must not end a node.
  std::signal(SIGHUP, SIG_IGN);
  auto world =
      runtime::RealWorld::Create({.log_minimum = config.log_level, .handle_signals = true});
  if (!world) return Complain(world.error());
  runtime::RealWorld* const real = world->get();
  return runtime::BlockOn(*real, Serve(real, std::move(config)));
}

}  // namespace coterie::cli

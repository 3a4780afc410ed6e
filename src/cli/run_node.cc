#include "cli/run_node.h"

#include <fmt/format.h>

#include <csignal>
#include <memory>
#include <optional>
#include <utility>

#include "cli/exit_code.h"
#include "cli/version.h"
#include "runtime/real/real_world.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "server/server.h"

namespace coterie::cli {

namespace {

constexpr Duration kStopPatience = 3s;

/// One process's life: whatever happens first decides, from its first moment on.
struct Life {
  explicit Life(runtime::RealWorld& w) : world(w), changed(w.executor()) {}
  runtime::RealWorld& world;
  runtime::Notification changed;
  std::optional<int> signal;
  std::optional<Result<std::unique_ptr<server::Server>>> started;
};

runtime::Task<void> AwaitSignal(Life* life) {
  const int signal = co_await life->world.WaitSignal();
  life->signal = signal;
  life->changed.NotifyAll();
}

runtime::Task<void> StartServer(Life* life, node::NodeConfig config) {
  storage::RocksOptions rocks;
  rocks.block_cache_bytes = config.engine_cache_bytes;
  rocks.memtable_bytes = config.engine_memtable_bytes;
  auto started = co_await server::Server::Start(life->world, std::move(config),
                                                storage::RocksEngineFactory(rocks));
  life->started.emplace(std::move(started));
  life->changed.NotifyAll();
}

runtime::Task<void> AwaitEnd(Life* life, node::Node* node) {
  while (!node->end()) co_await node->ended().Wait();
  life->changed.NotifyAll();
}

runtime::Task<int> Serve(runtime::RealWorld* world, node::NodeConfig config) {
  const std::string who =
      fmt::format("node {} of cluster {}; etcd {}, redis {}, admin {}, peers {}", config.name,
                  config.cluster, ToText(config.etcd_listen),
                  config.redis_listen.port == 0 ? "none" : ToText(config.redis_listen),
                  ToText(config.admin_listen), ToText(config.peer_listen));
  world->log().Info("node", "coterie {} starts {}", kVersion, who);
  Life life(*world);
  runtime::Scope signals;
  signals.Spawn(AwaitSignal(&life));
  {
    runtime::Scope start;  // a start may last for long: a joining node waits for its seeds
    start.Spawn(StartServer(&life, std::move(config)));
    while (!life.signal && !life.started) co_await life.changed.Wait();
    if (!life.started) {
      world->log().Info("node", "stopping on signal {} before it served", *life.signal);
      co_return kExitOk;
    }
  }
  if (!*life.started) co_return Complain(life.started->error());
  std::unique_ptr<server::Server> server = std::move(**life.started);
  world->log().Info("node", "serving");
  {
    runtime::Scope end;
    end.Spawn(AwaitEnd(&life, &server->node()));
    while (!life.signal && !server->node().end()) co_await life.changed.Wait();
  }
  if (server->node().end()) {  // what it holds counts nowhere: no answer more
    const Error why = *server->node().end();
    server.reset();
    co_return Complain(why);
  }
  world->log().Info("node", "stopping on signal {}", *life.signal);
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

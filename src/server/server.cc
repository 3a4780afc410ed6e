#include "server/server.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "door/admin/admin_door.h"
#include "door/etcd/etcd_door.h"
#include "door/redis/ordered_commands.h"
#include "door/redis/redis_door.h"
#include "node/gossip.h"
#include "node/journal.h"
#include "node/leaderless/replicas.h"
#include "node/paxos/conditional_writes.h"
#include "node/paxos/paxos_keyspaces.h"
#include "node/transport.h"
#include "runtime/scope.h"

namespace coterie::server {

using keyspace::Replication;
using node::Journal;
using runtime::Task;

namespace {
// What a call may be larger than the write in it, as etcd's.
constexpr std::size_t kMessageOverhead = 512u << 10;
}  // namespace

struct Server::Parts {
  ~Parts() {
    if (node) node->transport().Stop();  // its tasks run handlers of the members below
  }

  Task<Status> OpenKeyspaces(runtime::World* world);
  void OpenDoors(runtime::World& world, std::unique_ptr<runtime::Listener> etcd_listener,
                 std::unique_ptr<runtime::Listener> redis_listener,
                 std::unique_ptr<runtime::Listener> admin_listener);
  void OpenRedisDoor(runtime::World& world, std::unique_ptr<runtime::Listener> listener);
  door::redis::OrderedCommands::Parts OrderedParts();
  /// Conditional writes of an lww keyspace; null: it is none.
  node::Registers* ConditionalOf(std::string_view name);
  Task<void> FollowMap();

  std::unique_ptr<node::Node> node;
  std::unique_ptr<node::Gossip> gossip;
  std::unique_ptr<Journal> leaderless_journal;
  std::unique_ptr<node::LeaderlessReplicas> leaderless;
  std::unique_ptr<Journal> paxos_journal;
  std::unique_ptr<node::PaxosKeyspaces> paxos;
  std::map<std::string, std::unique_ptr<node::ConditionalWrites>, std::less<>> conditional_writes;

  std::unique_ptr<door::etcd::EtcdDoor> etcd;
  std::unique_ptr<door::redis::OrderedCommands> ordered;
  std::unique_ptr<door::redis::OrderedCommands> conditional;
  std::unique_ptr<door::redis::RedisDoor> redis;
  std::unique_ptr<door::admin::AdminDoor> admin;
  net::GrpcMethods etcd_methods;
  net::GrpcMethods no_methods;
  std::unique_ptr<net::HttpServer> etcd_server;
  std::unique_ptr<net::HttpServer> admin_server;
  std::set<std::string, std::less<>> swept;  // raft keyspaces whose expired strings are removed
  runtime::Scope scope;
};

Task<Result<std::unique_ptr<Server>>> Server::Start(runtime::World& world, node::NodeConfig config,
                                                    storage::EngineFactory engines) {
  auto parts = std::make_unique<Parts>();
  COT_CO_ASSIGN(auto etcd_listener, world.network().Listen(config.etcd_listen));
  std::unique_ptr<runtime::Listener> redis_listener;
  if (config.redis_listen.port != 0) {
    COT_CO_ASSIGN(redis_listener, world.network().Listen(config.redis_listen));
  }
  COT_CO_ASSIGN(auto admin_listener, world.network().Listen(config.admin_listen));
  COT_CO_ASSIGN(parts->node, co_await node::Node::Open(world, config, std::move(engines)));
  COT_CO_TRY(co_await parts->OpenKeyspaces(&world));
  parts->OpenDoors(world, std::move(etcd_listener), std::move(redis_listener),
                   std::move(admin_listener));
  parts->node->Serve();
  parts->scope.Spawn(parts->FollowMap());
  co_return std::unique_ptr<Server>(new Server(std::move(parts)));
}

namespace {
Task<Result<clock::Actor>> NextActor(node::Node* node) {
  COT_CO_ASSIGN(const std::uint16_t incarnation, co_await node->TakeIncarnation());
  co_return clock::MakeActor(node->config().id, incarnation);
}
}  // namespace

Task<Status> Server::Parts::OpenKeyspaces(runtime::World* world) {
  const NodeId self = node->config().id;
  const std::string dir = node->config().data_dir;
  gossip = std::make_unique<node::Gossip>(*world, node->transport(), self);
  gossip->Start();
  leaderless_journal = std::make_unique<Journal>(*world, node->wal(), Journal::kLeaderless,
                                                 node->TakeJournal(Journal::kLeaderless));
  node::LeaderlessReplicas::Host host{.world = *world,
                                      .transport = node->transport(),
                                      .journal = *leaderless_journal,
                                      .control = node->control(),
                                      .detector = *gossip,
                                      .self = self,
                                      .actor = clock::MakeActor(self, node->incarnation()),
                                      .next_actor = [this] { return NextActor(node.get()); },
                                      .dir = dir + "/cells",
                                      .engines = node->engines()};
  // Until the registers are open nothing is reported.
  host.has_followed = [this](const placement::Shard& shard) {
    return paxos != nullptr && paxos->HasFollowed(shard);
  };
  node::LeaderlessOptions options;
  options.write_back_interval = node->config().cells_write_back;
  options.journal_bytes_max = node->config().cells_journal_bytes;
  COT_CO_ASSIGN(leaderless, co_await node::LeaderlessReplicas::Open(host, options));
  paxos_journal = std::make_unique<Journal>(*world, node->wal(), Journal::kPaxos,
                                            node->TakeJournal(Journal::kPaxos));
  COT_CO_ASSIGN(paxos, co_await node::PaxosKeyspaces::Open(
                           *world, self, node->control(), node->transport(), *paxos_journal,
                           node->engines(), dir + "/registers", gossip.get()));
  co_return Ok();
}

void Server::Parts::OpenDoors(runtime::World& world,
                              std::unique_ptr<runtime::Listener> etcd_listener,
                              std::unique_ptr<runtime::Listener> redis_listener,
                              std::unique_ptr<runtime::Listener> admin_listener) {
  const node::NodeConfig& config = node->config();
  door::etcd::EtcdDoorOptions etcd_options;
  etcd_options.request_timeout = config.request_timeout;
  etcd_options.request_bytes_max = config.request_bytes_max;
  etcd_options.watch_progress_interval = config.watch_progress_interval;
  etcd = std::make_unique<door::etcd::EtcdDoor>(*node, etcd_options);
  etcd->Register(etcd_methods);
  net::HttpLimits etcd_limits;
  etcd_limits.message_bytes_max = config.request_bytes_max + kMessageOverhead;
  // Metrics are where etcd's are, too: on the clients' port.
  net::HttpHandler pages = [this, health = etcd->Http()](net::HttpRequest request) {
    return request.path == "/metrics" ? admin->Http()(std::move(request))
                                      : health(std::move(request));
  };
  etcd_server =
      std::make_unique<net::HttpServer>(world, etcd_limits, etcd_methods, std::move(pages));
  etcd_server->Serve(std::move(etcd_listener));

  if (redis_listener) OpenRedisDoor(world, std::move(redis_listener));

  door::admin::AdminParts admin_parts;
  admin_parts.control = &node->control();
  admin_parts.leaderless = leaderless.get();
  admin_parts.detector = gossip.get();
  admin_parts.tombstones = [this](const placement::Keyspace& keyspace) {
    std::uint64_t sum = 0;
    for (const placement::Shard& shard : keyspace.shards) {
      if (leaderless->store().HasShard(shard.id)) sum += leaderless->store().tombstones(shard.id);
    }
    return sum;
  };
  admin = std::make_unique<door::admin::AdminDoor>(*node, std::string(kVersion), admin_parts);
  admin_server =
      std::make_unique<net::HttpServer>(world, net::HttpLimits{}, no_methods, admin->Http());
  admin_server->Serve(std::move(admin_listener));
}

door::redis::OrderedCommands::Parts Server::Parts::OrderedParts() {
  door::redis::OrderedCommands::Parts parts;
  parts.raft = [this](std::string_view name) -> node::KvKeyspace* {
    const placement::Keyspace* keyspace = node->control().map()->Find(name);
    if (keyspace == nullptr || keyspace->promise.replication != Replication::kRaft) return nullptr;
    return node->kv(keyspace->shards.front().id);
  };
  parts.paxos = [this](std::string_view name) { return paxos->Find(name); };
  parts.pass_on = [this](door::redis::Context context, door::redis::OwnedWords words) {
    return redis->PassOn(std::move(context), std::move(words));
  };
  return parts;
}

node::Registers* Server::Parts::ConditionalOf(std::string_view name) {
  const placement::Keyspace* keyspace = node->control().map()->Find(name);
  if (keyspace == nullptr || keyspace->promise.conflict != keyspace::Conflict::kLww) return nullptr;
  const auto found = conditional_writes.find(name);
  if (found != conditional_writes.end()) return found->second.get();
  auto made = std::make_unique<node::ConditionalWrites>(node->world(), node->control(), *leaderless,
                                                        *paxos, std::string(name));
  return conditional_writes.emplace(name, std::move(made)).first->second.get();
}

void Server::Parts::OpenRedisDoor(runtime::World& world,
                                  std::unique_ptr<runtime::Listener> listener) {
  ordered = std::make_unique<door::redis::OrderedCommands>(world, OrderedParts());
  door::redis::OrderedCommands::Parts on_lww = OrderedParts();
  on_lww.paxos = [this](std::string_view name) { return ConditionalOf(name); };
  conditional = std::make_unique<door::redis::OrderedCommands>(world, std::move(on_lww));
  door::redis::RedisDoorOptions options;
  options.self = node->config().id;
  options.control = &node->control();
  options.leaderless = leaderless.get();
  options.transport = &node->transport();
  options.ordered = ordered.get();
  options.conditional = conditional.get();
  options.detector = gossip.get();
  redis = std::make_unique<door::redis::RedisDoor>(world, std::move(options));
  redis->Serve(std::move(listener));
}

/// Keeps what is not told by the map itself in step with it.
Task<void> Server::Parts::FollowMap() {
  for (;;) {
    const placement::ClusterMapPtr map = node->control().map();
    std::vector<NodeId> members;
    for (const auto& [id, info] : map->nodes) members.push_back(id);
    gossip->SetMembers(std::move(members));
    for (const auto& [name, keyspace] : map->keyspaces) {
      const bool ours = ordered && keyspace.promise.replication == Replication::kRaft;
      if (ours && swept.insert(name).second) ordered->SweepExpired(name);
    }
    co_await node->control().changed().Wait();
  }
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() = default;

Task<void> Server::Stop(Instant deadline) {
  co_await parts_->node->PrepareToStop(deadline);
  if (parts_->redis) co_await parts_->redis->Drain(deadline);
  co_await parts_->etcd_server->Drain(deadline);
  co_await parts_->leaderless->PrepareToStop(deadline);
}

node::Node& Server::node() { return *parts_->node; }
node::LeaderlessReplicas& Server::leaderless() { return *parts_->leaderless; }

}  // namespace coterie::server

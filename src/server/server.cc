#include "server/server.h"

#include "door/admin/admin_door.h"
#include "door/etcd/etcd_door.h"

namespace coterie::server {

struct Server::Parts {
  std::unique_ptr<node::Node> node;
  std::unique_ptr<door::etcd::EtcdDoor> etcd;
  std::unique_ptr<door::admin::AdminDoor> admin;
  net::GrpcMethods etcd_methods;
  net::GrpcMethods no_methods;
  std::unique_ptr<net::HttpServer> etcd_server;
  std::unique_ptr<net::HttpServer> admin_server;
};

runtime::Task<Result<std::unique_ptr<Server>>> Server::Start(runtime::World& world,
                                                             node::NodeConfig config,
                                                             storage::EngineFactory engines) {
  auto parts = std::make_unique<Parts>();
  COT_CO_ASSIGN(auto etcd_listener, world.network().Listen(config.etcd_listen));
  COT_CO_ASSIGN(auto admin_listener, world.network().Listen(config.admin_listen));
  COT_CO_ASSIGN(parts->node, co_await node::Node::Start(world, config, std::move(engines)));

  door::etcd::EtcdDoorOptions etcd_options;
  etcd_options.request_timeout = config.request_timeout;
  etcd_options.request_bytes_max = config.request_bytes_max;
  parts->etcd = std::make_unique<door::etcd::EtcdDoor>(*parts->node, etcd_options);
  parts->etcd->Register(parts->etcd_methods);
  parts->admin = std::make_unique<door::admin::AdminDoor>(*parts->node, std::string(kVersion));

  parts->etcd_server = std::make_unique<net::HttpServer>(world, net::HttpLimits{},
                                                         parts->etcd_methods, parts->etcd->Http());
  parts->etcd_server->Serve(std::move(etcd_listener));
  parts->admin_server = std::make_unique<net::HttpServer>(world, net::HttpLimits{},
                                                          parts->no_methods, parts->admin->Http());
  parts->admin_server->Serve(std::move(admin_listener));
  co_return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() = default;

runtime::Task<void> Server::Stop(Instant deadline) {
  co_await parts_->node->PrepareToStop(deadline);
  co_await parts_->etcd_server->Drain(deadline);
}

node::Node& Server::node() { return *parts_->node; }

}  // namespace coterie::server

#include "door/etcd/etcd_door.h"

#include <utility>

#include "door/etcd/services.h"

namespace coterie::door::etcd {

struct EtcdDoor::Services {
  Services(node::KvKeyspace& keyspace, EtcdDoorOptions options)
      : shared(keyspace, std::move(options)) {}
  Shared shared;
};

EtcdDoor::EtcdDoor(node::KvKeyspace& keyspace, EtcdDoorOptions options)
    : services_(std::make_unique<Services>(keyspace, std::move(options))) {}

EtcdDoor::~EtcdDoor() = default;

void EtcdDoor::Register(net::GrpcMethods& methods) {
  Shared& shared = services_->shared;
  RegisterKv(shared, methods);
  RegisterWatch(shared, methods);
  RegisterLease(shared, methods);
  RegisterCluster(shared, methods);
  RegisterMaintenance(shared, methods);
  RegisterAuth(shared, methods);
  RegisterHealth(shared, methods);
}

net::HttpHandler EtcdDoor::Http() { return HealthPages(services_->shared); }

}  // namespace coterie::door::etcd

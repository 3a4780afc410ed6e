#pragma once

#include <string>

#include "door/etcd/service.h"

namespace coterie::door::etcd {

// The door's services. Each adds its methods to a table; a handler is a task that refers to
// `shared`, which must outlive it.

void RegisterKv(Shared& shared, net::GrpcMethods& methods);
void RegisterWatch(Shared& shared, net::GrpcMethods& methods);
void RegisterLease(Shared& shared, net::GrpcMethods& methods);
void RegisterCluster(Shared& shared, net::GrpcMethods& methods);
void RegisterMaintenance(Shared& shared, net::GrpcMethods& methods);
void RegisterAuth(Shared& shared, net::GrpcMethods& methods);
void RegisterHealth(Shared& shared, net::GrpcMethods& methods);

/// The plain HTTP pages.
net::HttpHandler HealthPages(Shared& shared);

}  // namespace coterie::door::etcd

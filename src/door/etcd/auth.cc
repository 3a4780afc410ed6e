// The Auth service of a cluster without users: authentication is off, and stays off. Clients that
// have a user configured ask first, and go on when they hear so.
#include <utility>

#include "door/etcd/services.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcContext;
using net::GrpcReply;

constexpr std::string_view kPrefix = "/etcdserverpb.Auth/";

GrpcReply HeaderAlone(Shared& shared) {
  etcdserverpb::AuthDisableResponse response;
  response.mutable_header()->set_revision(shared.keyspace.store().revision());
  return Encode(shared, response);
}

GrpcReply AuthStatus(Shared& shared) {
  etcdserverpb::AuthStatusResponse response;
  response.mutable_header()->set_revision(shared.keyspace.store().revision());
  response.set_authrevision(1);
  return Encode(shared, response);
}

}  // namespace

void RegisterAuth(Shared& shared, net::GrpcMethods& methods) {
  const auto served = [&](std::string_view method, GrpcReply (*answer)(Shared&)) {
    methods.Unary(std::string(kPrefix) + std::string(method),
                  [&shared, answer](const GrpcContext& context, std::string) {
                    auto refusal = Refusal(shared, context, OnLearner::kRefused);
                    if (refusal) return Ready(std::unexpected(std::move(*refusal)));
                    return Ready(answer(shared));
                  });
  };
  served("AuthStatus", AuthStatus);
  for (const char* method : {"AuthDisable", "UserList", "RoleList"}) served(method, HeaderAlone);
  const auto refused = [&](std::string_view method, EtcdError error) {
    methods.Unary(std::string(kPrefix) + std::string(method),
                  [error](const GrpcContext&, std::string) { return Ready(Refuse(error)); });
  };
  refused("Authenticate", EtcdError::kAuthNotEnabled);
  refused("AuthEnable", EtcdError::kRootUserNotExist);
  for (const char* method :
       {"UserGet", "UserDelete", "UserChangePassword", "UserGrantRole", "UserRevokeRole"}) {
    refused(method, EtcdError::kUserNotFound);
  }
  for (const char* method :
       {"RoleGet", "RoleDelete", "RoleGrantPermission", "RoleRevokePermission"}) {
    refused(method, EtcdError::kRoleNotFound);
  }
  for (const char* method : {"UserAdd", "RoleAdd"}) {
    methods.Unary(std::string(kPrefix) + method, [method](const GrpcContext&, std::string) {
      return Ready(std::unexpected(
          net::GrpcStatus{net::GrpcCode::kUnimplemented,
                          std::string(method) + ": there are no users in this version"}));
    });
  }
}

}  // namespace coterie::door::etcd

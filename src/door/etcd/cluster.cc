// The Cluster service: who the members are. Their set is fixed by the configuration.
#include <utility>

#include "door/etcd/services.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcContext;
using net::GrpcReply;
using runtime::Task;

Task<GrpcReply> MemberList(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = Refusal(shared, context, OnLearner::kServed);
  if (refusal) co_return std::unexpected(std::move(*refusal));
  etcdserverpb::MemberListRequest request;
  if (!Decode(bytes, request)) co_return std::unexpected(MalformedRequest("MemberListRequest"));
  if (request.linearizable()) {
    auto failure = co_await Barrier(shared, PatienceOf(shared, context));
    if (failure) co_return std::unexpected(std::move(*failure));
  }
  etcdserverpb::MemberListResponse response;
  for (const node::Member& member : shared.keyspace.members()) {
    auto& row = *response.add_members();
    row.set_id(member.id.value);
    row.set_name(member.name);
    row.add_peerurls(member.peer_url);
    row.add_clienturls(member.client_url);
    row.set_islearner(member.learner);
  }
  response.mutable_header();  // membership has no revision: etcd's header has none here either
  co_return Encode(shared, response);
}

}  // namespace

void RegisterCluster(Shared& shared, net::GrpcMethods& methods) {
  methods.Unary("/etcdserverpb.Cluster/MemberList",
                [&shared](const GrpcContext& context, std::string request) {
                  return MemberList(shared, context, std::move(request));
                });
  for (const char* method : {"MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote"}) {
    methods.Unary(
        "/etcdserverpb.Cluster/" + std::string(method), [method](const GrpcContext&, std::string) {
          return Ready(std::unexpected(
              net::GrpcStatus{net::GrpcCode::kUnimplemented,
                              std::string(method) + ": `coterie node` adds and removes machines"}));
        });
  }
}

}  // namespace coterie::door::etcd

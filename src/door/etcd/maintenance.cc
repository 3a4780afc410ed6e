// The Maintenance service: what operators ask one member. Status and the hashes describe this
// replica as it is, without a barrier: comparing members is what they are for.
#include <algorithm>
#include <utility>

#include "door/etcd/services.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcContext;
using net::GrpcReply;
using net::GrpcStatus;
using runtime::Task;

std::unexpected<GrpcStatus> Unimplemented(std::string_view what) {
  return std::unexpected(GrpcStatus{net::GrpcCode::kUnimplemented, std::string(what)});
}

GrpcReply StatusPage(Shared& shared, const GrpcContext& context, const std::string&) {
  if (auto refusal = Refusal(shared, context, OnLearner::kServed)) return std::unexpected(*refusal);
  const node::ReplicaStatus status = shared.keyspace.replica().status();
  const auto bytes = static_cast<std::int64_t>(shared.keyspace.store().approximate_bytes());
  etcdserverpb::StatusResponse response;
  response.mutable_header()->set_revision(shared.keyspace.store().revision());
  response.set_version(shared.options.version);
  response.set_dbsize(bytes);
  response.set_dbsizeinuse(bytes);
  response.set_leader(status.leader.value);
  response.set_raftindex(status.commit.value);
  response.set_raftterm(status.term.value);
  response.set_raftappliedindex(status.applied.value);
  response.set_islearner(status.learner);
  response.set_storageversion(shared.options.version);
  response.mutable_downgradeinfo();
  if (status.leader == NodeId(0)) response.add_errors(std::string(TextOf(EtcdError::kNoLeader)));
  return Encode(shared, response);
}

constexpr std::size_t kHashRecordsPerTurn = 2'000;

/// Others have their turn between parts of the state.
Task<Result<kv::Store::HashAt>> HashInTurns(Shared& shared, kv::Revision revision) {
  kv::Store::HashProgress progress;
  progress.revision = revision;
  shared.keyspace.replica().CatchUp();
  for (;;) {
    auto hash = shared.keyspace.store().HashKv(progress, kHashRecordsPerTurn);
    if (!hash) co_return std::unexpected(std::move(hash.error()));
    if (*hash) co_return **hash;
    co_await runtime::Yield(shared.keyspace.world().executor());
  }
}

Task<GrpcReply> HashKv(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) co_return std::unexpected(std::move(*refusal));
  etcdserverpb::HashKVRequest request;
  if (!Decode(bytes, request)) co_return std::unexpected(MalformedRequest("HashKVRequest"));
  const auto hash = co_await HashInTurns(shared, request.revision());
  if (!hash) co_return std::unexpected(StatusOf(hash.error()));
  etcdserverpb::HashKVResponse response;
  response.mutable_header()->set_revision(shared.keyspace.store().revision());
  response.set_hash(hash->hash);
  response.set_compact_revision(hash->compact_revision);
  response.set_hash_revision(hash->hash_revision);
  co_return Encode(shared, response);
}

Task<GrpcReply> Hash(Shared& shared, const GrpcContext& context, std::string) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) co_return std::unexpected(std::move(*refusal));
  const auto hash = co_await HashInTurns(shared, 0);
  if (!hash) co_return std::unexpected(StatusOf(hash.error()));
  etcdserverpb::HashResponse response;
  response.mutable_header()->set_revision(shared.keyspace.store().revision());
  response.set_hash(hash->hash);
  co_return Encode(shared, response);
}

// No alarm is ever raised: a full disk or damaged state stops the node. So there is none to list,
// and lifting those that there are succeeds.
GrpcReply Alarm(Shared& shared, const GrpcContext& context, const std::string& bytes) {
  if (auto refusal = Refusal(shared, context, OnLearner::kServed)) return std::unexpected(*refusal);
  etcdserverpb::AlarmRequest request;
  if (!Decode(bytes, request)) return std::unexpected(MalformedRequest("AlarmRequest"));
  if (request.action() == etcdserverpb::AlarmRequest::ACTIVATE) {
    return Unimplemented("Alarm: alarms cannot be raised by hand");
  }
  etcdserverpb::AlarmResponse response;
  response.mutable_header()->set_revision(shared.keyspace.store().revision());
  return Encode(shared, response);
}

// The engine reclaims space by itself while it runs: there is nothing to defragment.
GrpcReply Defragment(Shared& shared, const GrpcContext& context, const std::string&) {
  if (auto refusal = Refusal(shared, context, OnLearner::kRefused))
    return std::unexpected(*refusal);
  return std::string();  // as etcd's: without a header
}

Task<GrpcReply> MoveLeader(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) co_return std::unexpected(std::move(*refusal));
  etcdserverpb::MoveLeaderRequest request;
  if (!Decode(bytes, request)) co_return std::unexpected(MalformedRequest("MoveLeaderRequest"));
  if (!shared.keyspace.replica().status().leading) co_return Refuse(EtcdError::kNotLeader);
  const std::vector<node::Member> members = shared.keyspace.members();
  const bool eligible =
      std::any_of(members.begin(), members.end(), [&](const node::Member& member) {
        return member.id.value == request.targetid() && !member.learner;
      });
  if (!eligible) co_return Refuse(EtcdError::kBadLeaderTransferee);
  // The leader leads already.
  if (NodeId(request.targetid()) == shared.keyspace.replica().status().self)
    co_return std::string();
  const Status moved = co_await shared.keyspace.replica().TransferLeadership(
      NodeId(request.targetid()), DeadlineOf(shared, context));
  if (!moved) co_return std::unexpected(StatusOf(moved.error()));
  co_return std::string();  // as etcd's: without a header
}

Task<GrpcStatus> Snapshot(net::GrpcStream&) {
  co_return GrpcStatus{net::GrpcCode::kUnimplemented, "Snapshot: not served by this version"};
}

}  // namespace

void RegisterMaintenance(Shared& shared, net::GrpcMethods& methods) {
  const std::string prefix = "/etcdserverpb.Maintenance/";
  const auto add = [&](std::string_view method,
                       GrpcReply (*handler)(Shared&, const GrpcContext&, const std::string&)) {
    methods.Unary(prefix + std::string(method),
                  [&shared, handler](const GrpcContext& context, std::string request) {
                    return Ready(handler(shared, context, request));
                  });
  };
  add("Status", StatusPage);
  add("Alarm", Alarm);
  add("Defragment", Defragment);
  methods.Unary(prefix + "HashKV", [&shared](const GrpcContext& context, std::string request) {
    return HashKv(shared, context, std::move(request));
  });
  methods.Unary(prefix + "Hash", [&shared](const GrpcContext& context, std::string request) {
    return Hash(shared, context, std::move(request));
  });
  methods.Unary(prefix + "MoveLeader", [&shared](const GrpcContext& context, std::string request) {
    return MoveLeader(shared, context, std::move(request));
  });
  methods.Unary(prefix + "Downgrade", [](const GrpcContext&, std::string) {
    return Ready(Unimplemented("Downgrade: not served by this version"));
  });
  methods.Streaming(prefix + "Snapshot", [](net::GrpcStream& stream) { return Snapshot(stream); });
}

}  // namespace coterie::door::etcd

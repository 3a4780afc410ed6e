// The Lease service. Grants and revocations are commands in the log; renewals are not: the leader
// counts time (kv::LeaseKeeper), and a lease that is not renewed there is revoked through the log.
#include <algorithm>

#include "door/etcd/services.h"
#include "model/kv/command_codec.h"
#include "runtime/scope.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcContext;
using net::GrpcReply;
using net::GrpcStatus;
using runtime::Task;

/// A random positive id that no lease of this replica has. Two nodes may still draw the same one;
/// then the log orders them and the second is refused as a duplicate.
std::int64_t FreshLeaseId(Shared& shared) {
  for (;;) {
    const auto id = static_cast<std::int64_t>(shared.keyspace.world().random().Next() >> 1);
    if (id != 0 && !shared.keyspace.store().FindLease(id, /*with_keys=*/false)) return id;
  }
}

Task<GrpcReply> Grant(Shared& shared, const GrpcContext& context, std::string bytes) {
  constexpr std::int64_t kTtlMaxSeconds = 9'000'000'000;
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) return Ready(std::unexpected(std::move(*refusal)));
  etcdserverpb::LeaseGrantRequest request;
  if (!Decode(bytes, request)) return Ready(std::unexpected(MalformedRequest("LeaseGrantRequest")));
  if (request.ttl() > kTtlMaxSeconds) return Ready(Refuse(EtcdError::kLeaseTtlTooLarge));
  request.set_ttl(std::max(request.ttl(), shared.options.lease_ttl_min_seconds));
  if (request.id() == 0) request.set_id(FreshLeaseId(shared));
  return Propose<etcdserverpb::LeaseGrantResponse>(
      &shared, kv::EncodeLeaseGrant(request.id(), request.ttl()), PatienceOf(shared, context));
}

Task<GrpcReply> Revoke(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) return Ready(std::unexpected(std::move(*refusal)));
  etcdserverpb::LeaseRevokeRequest request;
  if (!Decode(bytes, request))
    return Ready(std::unexpected(MalformedRequest("LeaseRevokeRequest")));
  return Propose<etcdserverpb::LeaseRevokeResponse>(&shared, kv::EncodeLeaseRevoke(bytes),
                                                    PatienceOf(shared, context));
}

Task<GrpcReply> TimeToLive(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) co_return std::unexpected(std::move(*refusal));
  etcdserverpb::LeaseTimeToLiveRequest request;
  if (!Decode(bytes, request))
    co_return std::unexpected(MalformedRequest("LeaseTimeToLiveRequest"));
  const Instant deadline = DeadlineOf(shared, context);
  const auto remaining = co_await shared.keyspace.LeaseRemaining(request.id(), deadline);
  if (!remaining) co_return std::unexpected(StatusOf(remaining.error()));
  // The keys are read here, not at the leader: not before this replica has seen what the leader
  // had.
  auto failure = co_await Barrier(shared, PatienceOf(shared, context));
  if (failure) co_return std::unexpected(std::move(*failure));
  etcdserverpb::LeaseTimeToLiveResponse response;
  response.set_id(request.id());
  response.set_ttl(-1);
  const auto lease = shared.keyspace.store().FindLease(request.id(), request.keys());
  if (*remaining >= 0 && lease) {
    response.set_ttl(*remaining);
    response.set_grantedttl(lease->granted_ttl_seconds);
    for (const std::string& key : lease->keys) response.add_keys(key);
  }
  response.mutable_header()->set_revision(shared.keyspace.store().revision());
  co_return Encode(shared, response);
}

Task<GrpcReply> Leases(Shared& shared, const GrpcContext& context, std::string) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) co_return std::unexpected(std::move(*refusal));
  auto failure = co_await Barrier(shared, PatienceOf(shared, context));
  if (failure) co_return std::unexpected(std::move(*failure));
  etcdserverpb::LeaseLeasesResponse response;
  for (const std::int64_t id : shared.keyspace.LeasesByEnd()) response.add_leases()->set_id(id);
  response.mutable_header()->set_revision(shared.keyspace.store().revision());
  co_return Encode(shared, response);
}

/// Renews one lease; the answer, or the status that ends the stream.
Task<GrpcReply> Renew(Shared* shared, std::string bytes) {
  etcdserverpb::LeaseKeepAliveRequest request;
  if (!Decode(bytes, request)) co_return std::unexpected(MalformedRequest("LeaseKeepAliveRequest"));
  etcdserverpb::LeaseKeepAliveResponse response;
  response.set_id(request.id());
  // Taken before the renewal: a client that reads at this revision must see the lease as renewed,
  // so the header may be older than the renewal but never newer [etcd v3rpc/lease.go,
  // leaseKeepAlive].
  response.mutable_header()->set_revision(shared->keyspace.store().revision());
  const Instant deadline = shared->keyspace.world().Now() + shared->options.request_timeout;
  const auto ttl = co_await shared->keyspace.LeaseRenew(request.id(), deadline);
  if (!ttl) co_return std::unexpected(StatusOf(ttl.error()));
  response.set_ttl(
      *ttl);  // 0: no such lease. An error would end the client's other leases with it.
  co_return Encode(*shared, response);
}

Task<void> KeepAliveLoop(Shared* shared, net::GrpcStream* stream, runtime::Slot<GrpcStatus>* done) {
  for (;;) {
    auto message = co_await stream->Receive();
    if (!message) break;
    GrpcReply reply = co_await Renew(shared, std::move(*message));
    if (!reply) {
      done->Set(std::move(reply.error()));
      co_return;
    }
    co_await stream->Send(std::move(*reply));
  }
  done->Set(GrpcStatus{});
}

Task<GrpcStatus> KeepAlive(Shared& shared, net::GrpcStream& stream) {
  auto refusal = Refusal(shared, stream.context(), OnLearner::kRefused);
  if (refusal) co_return std::move(*refusal);
  runtime::Slot<GrpcStatus> done(shared.keyspace.world().executor());
  runtime::Scope scope;
  if (AsksForLeader(stream.context())) scope.Spawn(EndWithoutLeader(&shared, &done));
  scope.Spawn(KeepAliveLoop(&shared, &stream, &done));
  GrpcStatus status = co_await done.Wait();
  co_return status;
}

}  // namespace

void RegisterLease(Shared& shared, net::GrpcMethods& methods) {
  const auto add = [&](std::string_view method,
                       Task<GrpcReply> (*handler)(Shared&, const GrpcContext&, std::string)) {
    methods.Unary("/etcdserverpb.Lease/" + std::string(method),
                  [&shared, handler](const GrpcContext& context, std::string request) {
                    return handler(shared, context, std::move(request));
                  });
  };
  add("LeaseGrant", Grant);
  add("LeaseRevoke", Revoke);
  add("LeaseTimeToLive", TimeToLive);
  add("LeaseLeases", Leases);
  methods.Streaming("/etcdserverpb.Lease/LeaseKeepAlive",
                    [&shared](net::GrpcStream& stream) { return KeepAlive(shared, stream); });
}

}  // namespace coterie::door::etcd

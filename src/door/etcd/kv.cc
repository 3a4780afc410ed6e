// The KV service. A write is checked, put into the log as the client's own bytes, and answered with
// what applying it gave. A read waits for a barrier unless it is serializable.
#include <google/protobuf/arena.h>

#include "door/etcd/services.h"
#include "model/kv/command_codec.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcContext;
using net::GrpcReply;
using runtime::Task;

std::unexpected<net::GrpcStatus> Fails(const Error& error) {
  return std::unexpected(StatusOf(error));
}

Task<GrpcReply> Range(Shared& shared, const GrpcContext& context, std::string bytes) {
  etcdserverpb::RangeRequest request;
  if (!Decode(bytes, request)) co_return std::unexpected(MalformedRequest("RangeRequest"));
  const bool serializable = request.serializable();
  auto refusal = Refusal(shared, context, serializable ? OnLearner::kServed : OnLearner::kRefused);
  if (refusal) co_return std::unexpected(std::move(*refusal));
  const Status valid = kv::Store::Validate(request);
  if (!valid) co_return Fails(valid.error());
  if (!serializable) {
    auto failure = co_await Barrier(shared, context.deadline);
    if (failure) co_return std::unexpected(std::move(*failure));
  } else {
    shared.keyspace.replica().CatchUp();
  }
  auto response = shared.keyspace.store().Range(request);
  if (!response) co_return Fails(response.error());
  co_return Encode(shared, *response);
}

/// What a write's bytes are refused for before they reach the log.
template <class Request, class... Limits>
std::optional<net::GrpcStatus> RefusalOfWrite(Shared& shared, const GrpcContext& context,
                                              const std::string& bytes, std::string_view type,
                                              Limits... limits) {
  if (auto refusal = Refusal(shared, context, OnLearner::kRefused)) return refusal;
  google::protobuf::Arena arena;
  auto& request = *google::protobuf::Arena::CreateMessage<Request>(&arena);
  if (!Decode(bytes, request)) return MalformedRequest(type);
  const Status valid = kv::Store::Validate(request, limits...);
  if (!valid) return StatusOf(valid.error());
  if (bytes.size() > shared.options.request_bytes_max) return StatusOf(EtcdError::kRequestTooLarge);
  return std::nullopt;
}

Task<GrpcReply> Put(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = RefusalOfWrite<etcdserverpb::PutRequest>(shared, context, bytes, "PutRequest");
  if (refusal) return Ready(std::unexpected(std::move(*refusal)));
  return Propose<etcdserverpb::PutResponse>(&shared, kv::EncodePut(bytes),
                                            DeadlineOf(shared, context));
}

Task<GrpcReply> DeleteRange(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = RefusalOfWrite<etcdserverpb::DeleteRangeRequest>(shared, context, bytes,
                                                                  "DeleteRangeRequest");
  if (refusal) return Ready(std::unexpected(std::move(*refusal)));
  return Propose<etcdserverpb::DeleteRangeResponse>(&shared, kv::EncodeDeleteRange(bytes),
                                                    DeadlineOf(shared, context));
}

Task<GrpcReply> ReadTxn(Shared& shared, const GrpcContext& context,
                        std::unique_ptr<etcdserverpb::TxnRequest> request) {
  if (!kv::Store::IsSerializable(*request)) {
    auto failure = co_await Barrier(shared, context.deadline);
    if (failure) co_return std::unexpected(std::move(*failure));
  } else {
    shared.keyspace.replica().CatchUp();
  }
  auto response = shared.keyspace.store().ReadTxn(*request);
  if (!response) co_return Fails(response.error());
  co_return Encode(shared, *response);
}

Task<GrpcReply> Txn(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) return Ready(std::unexpected(std::move(*refusal)));
  google::protobuf::Arena arena;
  auto& request = *google::protobuf::Arena::CreateMessage<etcdserverpb::TxnRequest>(&arena);
  if (!Decode(bytes, request)) return Ready(std::unexpected(MalformedRequest("TxnRequest")));
  const Status valid = kv::Store::Validate(request, shared.options.txn_operations_max);
  if (!valid) return Ready(Fails(valid.error()));
  if (kv::Store::IsReadOnly(request)) {
    return ReadTxn(shared, context, std::make_unique<etcdserverpb::TxnRequest>(request));
  }
  if (bytes.size() > shared.options.request_bytes_max)
    return Ready(Refuse(EtcdError::kRequestTooLarge));
  return Propose<etcdserverpb::TxnResponse>(&shared, kv::EncodeTxn(bytes),
                                            DeadlineOf(shared, context));
}

Task<GrpcReply> Compact(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) return Ready(std::unexpected(std::move(*refusal)));
  etcdserverpb::CompactionRequest request;
  if (!Decode(bytes, request)) return Ready(std::unexpected(MalformedRequest("CompactionRequest")));
  return Propose<etcdserverpb::CompactionResponse>(&shared, kv::EncodeCompaction(bytes),
                                                   DeadlineOf(shared, context));
}

}  // namespace

void RegisterKv(Shared& shared, net::GrpcMethods& methods) {
  const auto add = [&](std::string_view method,
                       Task<GrpcReply> (*handler)(Shared&, const GrpcContext&, std::string)) {
    methods.Unary("/etcdserverpb.KV/" + std::string(method),
                  [&shared, handler](const GrpcContext& context, std::string request) {
                    return handler(shared, context, std::move(request));
                  });
  };
  add("Range", Range);
  add("Put", Put);
  add("DeleteRange", DeleteRange);
  add("Txn", Txn);
  add("Compact", Compact);
}

}  // namespace coterie::door::etcd

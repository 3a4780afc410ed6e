// The KV service. A write is checked, put into the log as the client's own bytes, and answered with
// what applying it gave. A read waits for a barrier unless it is serializable.
#include <google/protobuf/arena.h>

#include "door/etcd/services.h"
#include "model/kv/command_codec.h"
#include "model/kv/range_reader.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcContext;
using net::GrpcReply;
using runtime::Task;

// An answer up to this size is given to the connection whole.
constexpr std::size_t kWholeAnswerMax = 1u << 20;

std::unexpected<net::GrpcStatus> Fails(const Error& error) {
  return std::unexpected(StatusOf(error));
}

/// One range that takes more than one turn, among a bounded number of them.
class LongRange {
 public:
  explicit LongRange(Shared& shared) : shared_(shared) { ++shared_.long_ranges; }
  LongRange(const LongRange&) = delete;
  ~LongRange() { --shared_.long_ranges; }

 private:
  Shared& shared_;
};

/// The parts of a measured answer, as the client takes them, or all of it where the caller cannot
/// take parts.
Task<GrpcReply> SendRange(Shared* shared, kv::RangeReader* reader, net::GrpcParts* parts) {
  std::string whole;
  etcdserverpb::RangeResponse header;
  header.mutable_header()->set_revision(reader->store_revision());
  std::string bytes = Encode(*shared, header);
  const bool in_parts = parts != nullptr && bytes.size() + reader->bytes() > kWholeAnswerMax;
  if (in_parts) parts->Begin(bytes.size() + reader->bytes());
  for (;;) {
    if (in_parts && !bytes.empty()) {
      const bool taken = co_await parts->Part(std::move(bytes), shared->options.read_patience);
      if (!taken) co_return Refuse(EtcdError::kRequestCanceled);
    } else {
      whole += bytes;
    }
    if (in_parts) co_await shared->turns.Next();
    auto part = reader->NextPart();
    if (!part) co_return Fails(part.error());
    if (!*part) co_return whole;
    bytes = std::move(**part);
  }
}

/// Most ranges are measured, and held, in one step; the others take their turns.
Task<GrpcReply> ReadRange(Shared* shared, const GrpcContext& context,
                          etcdserverpb::RangeRequest request) {
  auto reader = kv::RangeReader::Open(shared->keyspace.store(), std::move(request));
  if (!reader) co_return Fails(reader.error());
  std::optional<LongRange> long_range;
  for (;;) {
    const auto measured = (*reader)->Measure();
    if (!measured) co_return Fails(measured.error());
    if (*measured) break;
    if (!long_range) {
      if (shared->long_ranges >= shared->options.long_ranges_max) {
        co_return Refuse(EtcdError::kTooManyRequests);
      }
      long_range.emplace(*shared);
    }
    co_await shared->turns.Next();
  }
  if (auto order = (*reader)->OrderWork()) {
    co_await shared->keyspace.world().Offload(std::move(order));
  }
  GrpcReply reply = co_await SendRange(shared, reader->get(), context.parts);
  co_return reply;
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
    auto failure = co_await Barrier(shared, PatienceOf(shared, context));
    if (failure) co_return std::unexpected(std::move(*failure));
  } else {
    shared.keyspace.replica().CatchUp();
  }
  if (request.range_end().empty()) {
    auto response = shared.keyspace.store().Range(request);
    if (!response) co_return Fails(response.error());
    co_return Encode(shared, *response);
  }
  GrpcReply reply = co_await ReadRange(&shared, context, std::move(request));
  co_return reply;
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
                                            PatienceOf(shared, context));
}

Task<GrpcReply> DeleteRange(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = RefusalOfWrite<etcdserverpb::DeleteRangeRequest>(shared, context, bytes,
                                                                  "DeleteRangeRequest");
  if (refusal) return Ready(std::unexpected(std::move(*refusal)));
  return Propose<etcdserverpb::DeleteRangeResponse>(&shared, kv::EncodeDeleteRange(bytes),
                                                    PatienceOf(shared, context));
}

Task<GrpcReply> ReadTxn(Shared& shared, const GrpcContext& context,
                        std::unique_ptr<etcdserverpb::TxnRequest> request) {
  if (!kv::Store::IsSerializable(*request)) {
    auto failure = co_await Barrier(shared, PatienceOf(shared, context));
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
                                            PatienceOf(shared, context));
}

Task<GrpcReply> Compact(Shared& shared, const GrpcContext& context, std::string bytes) {
  auto refusal = Refusal(shared, context, OnLearner::kRefused);
  if (refusal) return Ready(std::unexpected(std::move(*refusal)));
  etcdserverpb::CompactionRequest request;
  if (!Decode(bytes, request)) return Ready(std::unexpected(MalformedRequest("CompactionRequest")));
  return Propose<etcdserverpb::CompactionResponse>(&shared, kv::EncodeCompaction(bytes),
                                                   PatienceOf(shared, context));
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

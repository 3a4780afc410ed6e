#include "sim/etcd_client.h"

#include <utility>

#include "etcd/rpc.pb.h"
#include "net/http.h"
#include "runtime/sync.h"

namespace coterie::sim {
namespace {

using check::Operation;
using check::Step;
using etcdserverpb::RangeRequest;
using runtime::Task;

constexpr Duration kConnectTimeout = 1s;

check::KeyValue Convert(const mvccpb::KeyValue& kv) {
  return {.key = kv.key(),
          .value = kv.value(),
          .create_revision = kv.create_revision(),
          .mod_revision = kv.mod_revision(),
          .version = kv.version()};
}

void Fill(const Step& step, RangeRequest& request) {
  request.set_key(step.key);
  request.set_range_end(step.range_end);
}
void Fill(const Step& step, etcdserverpb::PutRequest& request) {
  request.set_key(step.key);
  request.set_value(step.value);
  request.set_prev_kv(step.prev_kv);
  request.set_lease(step.lease);
}
void Fill(const Step& step, etcdserverpb::DeleteRangeRequest& request) {
  request.set_key(step.key);
  request.set_range_end(step.range_end);
  request.set_prev_kv(step.prev_kv);
}

void TakeAnswer(const etcdserverpb::RangeResponse& response, Step& step) {
  for (const auto& kv : response.kvs()) step.seen.push_back(Convert(kv));
  step.count = response.count();
}
void TakeAnswer(const etcdserverpb::PutResponse& response, Step& step) {
  if (response.has_prev_kv()) step.seen.push_back(Convert(response.prev_kv()));
}
void TakeAnswer(const etcdserverpb::DeleteRangeResponse& response, Step& step) {
  for (const auto& kv : response.prev_kvs()) step.seen.push_back(Convert(kv));
  step.count = response.deleted();
}

void Fill(const check::Compare& compare, etcdserverpb::Compare& request) {
  request.set_key(compare.key);
  switch (compare.relation) {
    case check::Compare::Relation::kEqual:
      request.set_result(etcdserverpb::Compare::EQUAL);
      break;
    case check::Compare::Relation::kNotEqual:
      request.set_result(etcdserverpb::Compare::NOT_EQUAL);
      break;
    case check::Compare::Relation::kLess:
      request.set_result(etcdserverpb::Compare::LESS);
      break;
    case check::Compare::Relation::kGreater:
      request.set_result(etcdserverpb::Compare::GREATER);
      break;
  }
  switch (compare.target) {
    case check::Compare::Target::kValue:
      request.set_target(etcdserverpb::Compare::VALUE);
      request.set_value(compare.value);
      break;
    case check::Compare::Target::kVersion:
      request.set_target(etcdserverpb::Compare::VERSION);
      request.set_version(compare.number);
      break;
    case check::Compare::Target::kCreate:
      request.set_target(etcdserverpb::Compare::CREATE);
      request.set_create_revision(compare.number);
      break;
    case check::Compare::Target::kMod:
      request.set_target(etcdserverpb::Compare::MOD);
      request.set_mod_revision(compare.number);
      break;
  }
}

void Fill(const Step& step, etcdserverpb::RequestOp& request) {
  switch (step.kind) {
    case Step::Kind::kGet:
      Fill(step, *request.mutable_request_range());
      break;
    case Step::Kind::kPut:
      Fill(step, *request.mutable_request_put());
      break;
    case Step::Kind::kDelete:
      Fill(step, *request.mutable_request_delete_range());
      break;
  }
}

/// What the server said, in our terms. It was not applied only where that is certain.
Error FromGrpc(const net::GrpcStatus& status) {
  switch (status.code) {
    case net::GrpcCode::kInvalidArgument:
    case net::GrpcCode::kNotFound:
    case net::GrpcCode::kOutOfRange:
    case net::GrpcCode::kFailedPrecondition:
    case net::GrpcCode::kResourceExhausted:
    case net::GrpcCode::kUnimplemented:
      return {ErrorCode::kInvalidArgument, Outcome::kNotApplied, status.message};
    default:
      break;
  }
  const bool refused = status.message == "etcdserver: no leader";
  return {refused ? ErrorCode::kNoLeader : ErrorCode::kTimedOut,
          refused ? Outcome::kNotApplied : Outcome::kUnknown, status.message};
}

class EtcdClient final : public KvClient {
 public:
  EtcdClient(runtime::World& world, runtime::Address endpoint)
      : world_(world), endpoint_(std::move(endpoint)) {}

  Task<Result<Operation>> Execute(Operation op, Duration timeout) override {
    const Instant deadline = world_.Now() + timeout;
    COT_CO_TRY(co_await EnsureConnected());
    const bool simple = op.compares.empty() && op.success.size() == 1 && op.failure.empty();
    auto done =
        simple ? co_await Single(std::move(op), deadline) : co_await Txn(std::move(op), deadline);
    co_return done;
  }

  Task<Result<std::int64_t>> GrantLease(std::int64_t ttl_seconds, Duration timeout) override {
    const Instant deadline = world_.Now() + timeout;
    COT_CO_TRY(co_await EnsureConnected());
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(ttl_seconds);
    etcdserverpb::LeaseGrantResponse response;
    COT_CO_TRY(co_await Call("/etcdserverpb.Lease/LeaseGrant", request.SerializeAsString(),
                             &response, deadline));
    co_return response.id();
  }

  Task<Result<std::int64_t>> RenewLease(std::int64_t id, Duration timeout) override {
    const Instant deadline = world_.Now() + timeout;
    COT_CO_TRY(co_await EnsureConnected());
    const std::shared_ptr<net::GrpcChannel> channel = channel_;
    const std::unique_ptr<net::GrpcClientStream> stream =
        channel->Open("/etcdserverpb.Lease/LeaseKeepAlive");
    etcdserverpb::LeaseKeepAliveRequest request;
    request.set_id(id);
    co_await stream->Send(request.SerializeAsString());
    auto received = co_await runtime::WithDeadline(world_.executor(), stream->Receive(), deadline);
    if (!received) co_return FailUnknown(ErrorCode::kTimedOut, "no answer to a renewal");
    if (!*received) co_return std::unexpected(FromGrpc(received->error()));
    etcdserverpb::LeaseKeepAliveResponse response;
    if (!response.ParseFromString(**received))
      co_return FailUnknown(ErrorCode::kMalformed, "renewal");
    co_return response.ttl();
  }

  Task<Status> Compact(std::int64_t revision, Duration timeout) override {
    const Instant deadline = world_.Now() + timeout;
    COT_CO_TRY(co_await EnsureConnected());
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    etcdserverpb::CompactionResponse response;
    co_return co_await Call("/etcdserverpb.KV/Compact", request.SerializeAsString(), &response,
                            deadline);
  }

  Task<Status> Watch(std::string key, std::string range_end, std::int64_t start,
                     WatchSink* sink) override {
    COT_CO_TRY(co_await EnsureConnected());
    const std::shared_ptr<net::GrpcChannel> channel = channel_;
    const std::unique_ptr<net::GrpcClientStream> stream =
        channel->Open("/etcdserverpb.Watch/Watch");
    etcdserverpb::WatchRequest request;
    auto* create = request.mutable_create_request();
    create->set_key(key);
    create->set_range_end(range_end);
    create->set_start_revision(start);
    create->set_prev_kv(true);
    create->set_progress_notify(true);
    co_await stream->Send(request.SerializeAsString());
    bool created = false;
    for (;;) {
      // A stream to a node that went silent says nothing either: look elsewhere after a while.
      const Instant patience = world_.Now() + 5s;
      auto received =
          co_await runtime::WithDeadline(world_.executor(), stream->Receive(), patience);
      if (!received) co_return Fail(ErrorCode::kTimedOut, "a silent watch");
      if (!*received) co_return std::unexpected(FromGrpc(received->error()));
      etcdserverpb::WatchResponse response;
      if (!response.ParseFromString(**received))
        co_return Fail(ErrorCode::kMalformed, "watch response");
      if (response.created() && !created) {
        created = true;
        sink->OnCreated(response.header().revision());
      } else {
        sink->OnResponse(Convert(response));
      }
      if (response.canceled()) co_return Fail(ErrorCode::kCancelled, response.cancel_reason());
    }
  }

 private:
  Task<Status> EnsureConnected() {
    if (channel_ && channel_->alive()) co_return Ok();
    channel_.reset();
    auto channel = co_await net::GrpcChannel::Connect(world_, endpoint_, kConnectTimeout);
    if (!channel) co_return std::unexpected(std::move(channel.error()));
    channel_ = std::move(*channel);
    co_return Ok();
  }

  template <class Response>
  Task<Status> Call(std::string path, std::string request, Response* response, Instant deadline) {
    const std::shared_ptr<net::GrpcChannel> channel = channel_;  // another call may replace it
    auto reply = co_await channel->Unary(std::move(path), std::move(request), deadline);
    if (!reply) co_return std::unexpected(FromGrpc(reply.error()));
    if (!response->ParseFromString(*reply))
      co_return FailUnknown(ErrorCode::kMalformed, "response");
    co_return Ok();
  }

  template <class Request, class Response>
  Task<Result<Operation>> One(Operation op, std::string path, Request request, Response response,
                              Instant deadline) {
    Fill(op.success[0], request);
    COT_CO_TRY(co_await Call(std::move(path), request.SerializeAsString(), &response, deadline));
    TakeAnswer(response, op.success[0]);
    op.revision = response.header().revision();
    op.succeeded = true;
    co_return op;
  }

  Task<Result<Operation>> Single(Operation op, Instant deadline) {
    switch (op.success[0].kind) {
      case Step::Kind::kGet: {
        RangeRequest request;
        request.set_serializable(op.serializable);
        return One(std::move(op), "/etcdserverpb.KV/Range", std::move(request),
                   etcdserverpb::RangeResponse(), deadline);
      }
      case Step::Kind::kPut:
        return One(std::move(op), "/etcdserverpb.KV/Put", etcdserverpb::PutRequest(),
                   etcdserverpb::PutResponse(), deadline);
      case Step::Kind::kDelete:
        return One(std::move(op), "/etcdserverpb.KV/DeleteRange",
                   etcdserverpb::DeleteRangeRequest(), etcdserverpb::DeleteRangeResponse(),
                   deadline);
    }
    return {};
  }

  Task<Result<Operation>> Txn(Operation op, Instant deadline) {
    etcdserverpb::TxnRequest request;
    for (const check::Compare& compare : op.compares) Fill(compare, *request.add_compare());
    for (const Step& step : op.success) Fill(step, *request.add_success());
    for (const Step& step : op.failure) Fill(step, *request.add_failure());
    etcdserverpb::TxnResponse response;
    COT_CO_TRY(
        co_await Call("/etcdserverpb.KV/Txn", request.SerializeAsString(), &response, deadline));
    op.succeeded = response.succeeded();
    op.revision = response.header().revision();
    std::vector<Step>& taken = op.succeeded ? op.success : op.failure;
    if (static_cast<std::size_t>(response.responses_size()) != taken.size()) {
      co_return FailUnknown(ErrorCode::kMalformed, "a txn response of another length");
    }
    for (int i = 0; i < response.responses_size(); ++i) {
      const auto& one = response.responses(i);
      Step& step = taken[static_cast<std::size_t>(i)];
      if (one.has_response_range()) TakeAnswer(one.response_range(), step);
      if (one.has_response_put()) TakeAnswer(one.response_put(), step);
      if (one.has_response_delete_range()) TakeAnswer(one.response_delete_range(), step);
    }
    co_return op;
  }

  check::WatchResponse Convert(const etcdserverpb::WatchResponse& response) const {
    check::WatchResponse out;
    out.time_ns = world_.Now().time_since_epoch().count();
    out.revision = response.header().revision();
    out.fragment = response.fragment();
    out.compact_revision = response.compact_revision();
    out.progress = response.events_size() == 0 && !response.canceled() && !response.created();
    for (const mvccpb::Event& event : response.events()) {
      check::WatchEvent one{.deleted = event.type() == mvccpb::Event::DELETE,
                            .kv = sim::Convert(event.kv())};
      if (event.has_prev_kv()) one.prev_kv = sim::Convert(event.prev_kv());
      out.events.push_back(std::move(one));
    }
    return out;
  }

  runtime::World& world_;
  const runtime::Address endpoint_;
  std::shared_ptr<net::GrpcChannel> channel_;
};

}  // namespace

std::unique_ptr<KvClient> NewEtcdClient(runtime::World& world, runtime::Address endpoint) {
  return std::make_unique<EtcdClient>(world, std::move(endpoint));
}

}  // namespace coterie::sim

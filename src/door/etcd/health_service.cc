// grpc.health.v1: what gRPC's own health checks ask. One service is known, the server itself ("").
#include <utility>

#include "base/coding.h"
#include "door/etcd/services.h"
#include "runtime/scope.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcCode;
using net::GrpcContext;
using net::GrpcReply;
using net::GrpcStatus;
using runtime::Task;

// HealthCheckRequest{service = 1}, HealthCheckResponse{status = 1}: too little for generated code.
constexpr char kServiceTag = 1 << 3 | 2;
constexpr std::string_view kServing("\x08\x01", 2);
constexpr std::string_view kServiceUnknown("\x08\x03", 2);

/// The service that is asked for; nullopt: malformed.
std::optional<std::string_view> ServiceIn(std::string_view bytes) {
  if (bytes.empty()) return "";
  if (bytes.front() != kServiceTag) return std::nullopt;
  bytes.remove_prefix(1);
  const auto service = GetLengthPrefixed(bytes);
  if (!service || !bytes.empty()) return std::nullopt;
  return *service;
}

GrpcReply Check(std::string_view bytes) {
  const auto service = ServiceIn(bytes);
  if (!service) return std::unexpected(MalformedRequest("HealthCheckRequest"));
  if (!service->empty()) return std::unexpected(GrpcStatus{GrpcCode::kNotFound, "unknown service"});
  return std::string(kServing);
}

/// The status now; it does not change while this node answers at all.
Task<GrpcStatus> Watch(Shared& shared, net::GrpcStream& stream) {
  const auto message = co_await stream.Receive();
  const auto service = message ? ServiceIn(*message) : std::nullopt;
  if (!service) co_return MalformedRequest("HealthCheckRequest");
  co_await stream.Send(std::string(service->empty() ? kServing : kServiceUnknown));
  runtime::Notification never(shared.keyspace.world().executor());
  for (;;) co_await never.Wait();
}

}  // namespace

void RegisterHealth(Shared& shared, net::GrpcMethods& methods) {
  methods.Unary("/grpc.health.v1.Health/Check",
                [](const GrpcContext&, std::string request) { return Ready(Check(request)); });
  methods.Streaming("/grpc.health.v1.Health/Watch",
                    [&shared](net::GrpcStream& stream) { return Watch(shared, stream); });
}

}  // namespace coterie::door::etcd

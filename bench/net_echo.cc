// A gRPC echo server that prints what a call costs it: `net_echo 127.0.0.1:50061 [seconds]`, driven
// by h2load. Prints requests, CPU per request and requests per second of CPU at its end.

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdlib>
#include <string>

#include "net/http.h"
#include "runtime/real/real_world.h"

namespace coterie::net {
namespace {

runtime::Task<GrpcReply> Echo(std::string request) { co_return request; }

runtime::Task<GrpcStatus> EchoStream(GrpcStream* stream) {
  for (;;) {
    std::optional<std::string> message = co_await stream->Receive();
    if (!message) break;
    co_await stream->Send(std::move(*message));
  }
  co_return GrpcStatus{};
}

runtime::Task<HttpResponse> Hello(HttpRequest request) {
  co_return HttpResponse{
      200, "text/plain; charset=utf-8",
      fmt::format("{} {} {}\n", request.method, request.path, request.body.size())};
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

runtime::Task<int> Serve(runtime::RealWorld* world, runtime::Address at, Duration duration) {
  GrpcMethods methods;
  methods.Unary("/echo.Echo/Unary",
                [](const GrpcContext&, std::string request) { return Echo(std::move(request)); });
  methods.Streaming("/echo.Echo/Bidi", [](GrpcStream& stream) { return EchoStream(&stream); });
  HttpServer server(*world, {}, methods, Hello);
  Result<std::unique_ptr<runtime::Listener>> listener = world->network().Listen(at);
  if (!listener) {
    fmt::print(stderr, "{}\n", Describe(listener.error()));
    co_return 1;
  }
  server.Serve(std::move(*listener));
  const double before = CpuSeconds();
  co_await runtime::Sleep(world->executor(), duration);
  const double used = CpuSeconds() - before;
  const auto requests = static_cast<double>(server.requests());
  fmt::print("{} requests, {:.3f} s CPU, {:.2f} us CPU per request\n", server.requests(), used,
             requests > 0 ? used * 1e6 / requests : 0.0);
  co_return 0;
}

}  // namespace
}  // namespace coterie::net

int main(int argc, char** argv) {
  using namespace coterie;
  const Result<runtime::Address> at = runtime::ParseAddress(argc > 1 ? argv[1] : "127.0.0.1:50061");
  if (!at) {
    fmt::print(stderr, "{}\n", Describe(at.error()));
    return 1;
  }
  auto world = runtime::RealWorld::Create();
  if (!world) return 1;
  const Duration duration = std::chrono::seconds(argc > 2 ? std::atoi(argv[2]) : 10);
  return runtime::BlockOn(**world, net::Serve(world->get(), *at, duration));
}

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/grpc.h"
#include "runtime/network.h"
#include "runtime/scope.h"
#include "runtime/world.h"

namespace coterie::net {

/// A plain HTTP request and answer (admin, metrics, health).
struct HttpRequest {
  std::string method;  ///< "GET"
  std::string path;    ///< without the query
  std::string query;   ///< after '?', undecoded
  Headers headers;
  std::string body;
};
struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};
using HttpHandler = std::function<runtime::Task<HttpResponse>(HttpRequest)>;

/// Every bound has a number.
struct HttpLimits {
  std::size_t message_bytes_max = 2u
                                  << 20;  ///< one gRPC request message; over it kResourceExhausted
  std::size_t body_bytes_max = 2u << 20;  ///< one HTTP/1.1 body
  std::size_t header_bytes_max = 64u << 10;  ///< decoded headers of one request
  std::size_t streams_max = 16384;  ///< open at once per connection; over it kResourceExhausted
  std::size_t stream_send_buffer_max = 1u << 20;  ///< queued per streaming call before Send waits
  std::size_t connection_send_buffer_max =
      16u
      << 20;  ///< past it, of streams that are read: no handler starts, a stuck peer is not read
  std::size_t connection_receive_buffer_max = 64u << 20;  ///< requests held, whole or in part
  std::size_t connections_max = 10000;
  Duration handshake_timeout = 10s;          ///< from accept to the first request or preface
  Duration idle_timeout = Duration::zero();  ///< without a call; zero: none
  Duration keepalive_interval = 7200s;       ///< HTTP/2: a ping after this long without a word
  Duration keepalive_timeout = 20s;          ///< the connection ends if that brings nothing
};

/// Serves HTTP/2 (gRPC, prior knowledge) and HTTP/1.1 on one port, told apart by the first bytes.
/// Connections run in its scope on the World's reactor.
class HttpServer {
 public:
  /// `methods` and `http` (may be empty: 404) must outlive it.
  HttpServer(runtime::World& world, HttpLimits limits, const GrpcMethods& methods,
             HttpHandler http);
  ~HttpServer();
  /// Accepts from `listener` until destroyed.
  void Serve(std::unique_ptr<runtime::Listener> listener);
  /// Sends GOAWAY, refuses new streams, answers when the open ones have ended or at `deadline`.
  runtime::Task<void> Drain(Instant deadline);
  std::size_t connections() const;
  std::uint64_t requests() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// A client's streaming call.
class GrpcClientStream {
 public:
  virtual ~GrpcClientStream() = default;  ///< cancels the call if it has not ended
  virtual runtime::Task<void> Send(std::string message) = 0;
  virtual void CloseSend() = 0;
  /// The next message; the call's final status as the error (kOk at a good end).
  virtual runtime::Task<GrpcReply> Receive() = 0;
};

/// One HTTP/2 connection to a gRPC server. Calls may overlap. After the connection ends every call
/// answers kUnavailable; make a new channel.
class GrpcChannel {
 public:
  /// Errors: kConnectFailed.
  static runtime::Task<Result<std::unique_ptr<GrpcChannel>>> Connect(runtime::World& world,
                                                                     runtime::Address to,
                                                                     Duration timeout);
  virtual ~GrpcChannel() = default;
  /// `deadline` is sent as grpc-timeout and enforced here (kDeadlineExceeded).
  virtual runtime::Task<GrpcReply> Unary(std::string path, std::string request,
                                         Instant deadline) = 0;
  virtual std::unique_ptr<GrpcClientStream> Open(std::string path) = 0;
  virtual bool alive() const = 0;
};

/// One HTTP/1.1 request over a connection of its own. Errors: kConnectFailed, kTimedOut,
/// kMalformed.
runtime::Task<Result<HttpResponse>> HttpCall(runtime::World& world, runtime::Address to,
                                             HttpRequest request, Instant deadline);

}  // namespace coterie::net

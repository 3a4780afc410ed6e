#pragma once

#include <coroutine>
#include <optional>
#include <string>
#include <vector>

#include "net/handler_frame.h"
#include "net/http2_server.h"

namespace coterie::net {

/// One request on an HTTP/2 connection, from its head until its stream has closed. Pooled.
class ServerCall final : public Http2Stream, public GrpcStream, private GrpcParts {
 public:
  explicit ServerCall(Http2ServerConnection& connection);
  ~ServerCall() override;

  // GrpcStream, for streaming handlers.
  const GrpcContext& context() const override { return context_; }
  runtime::Task<std::optional<std::string>> Receive() override;
  runtime::Task<void> Send(std::string message) override;
  runtime::Task<std::size_t> Room() override;
  std::size_t buffered() const override { return out.bytes(); }

  // From the connection.
  void OnHead();
  void OnBytes(std::string_view bytes);
  void OnRemoteEnded();
  void OnSent();
  void OnWindow();
  /// Runs the handler until its first suspension. Requires: readied and not yet started.
  void Start();
  /// Destroys the handler's frame, if it runs.
  void Stop();
  /// Makes a fresh call of this one. Requires: stopped, unlinked.
  void Recycle();

  /// Its place among the calls that are ready to start.
  struct ReadyNode : runtime::ListNode {
    ServerCall* call = nullptr;
  };
  ReadyNode ready_node;

 private:
  enum class Kind : std::uint8_t { kUndecided, kUnary, kStreaming, kHttp, kRefused };

  class DeadlineTimer final : public runtime::Timer {
   public:
    explicit DeadlineTimer(ServerCall& call) : call_(call) {}
    void Fire() override { call_.OnDeadline(); }

   private:
    ServerCall& call_;
  };

  static HandlerFrame RunUnary(ServerCall* call, std::string request);
  static HandlerFrame RunStreaming(ServerCall* call);
  static HandlerFrame RunHttp(ServerCall* call, HttpRequest request);

  // GrpcParts, for unary handlers.
  void Begin(std::size_t bytes) override;
  runtime::Task<bool> Part(std::string bytes, Duration patience) override;

  void ClassifyGrpc();
  void OnGrpcBytes(std::string_view bytes);
  void Ready();
  void OnDeadline();
  /// The answer's end for gRPC; trailers-only if nothing was sent yet.
  void Finish(GrpcStatus status);
  void FinishUnary(GrpcReply reply);
  void FinishHttp(HttpResponse response);
  void Refuse(GrpcStatus status);
  void RefuseHttp(int status, std::string body);
  void SendHead();
  bool MustWait() const;
  /// Whether the client takes nothing of this stream though it may take others'.
  bool Shut() const;
  void FrameEnded();
  void Account();
  void Held(std::size_t bytes);

  Http2ServerConnection& connection_;
  Kind kind_ = Kind::kUndecided;
  bool finished_ = false;                    // the answer's end is queued
  bool request_whole_ = false;               // unary: the one message is there
  std::size_t accounted_ = 0;                // of out.bytes(), in the connection's queued_bytes_
  std::size_t moving_ = 0;                   // of them, in the connection's moving_bytes_
  std::optional<std::uint64_t> parts_left_;  // of an answer in parts: bytes that must follow
  std::size_t held_ = 0;                     // in the connection's held_bytes_
  std::size_t held_whole_ = 0;               // of them, in whole messages
  const UnaryHandler* unary_ = nullptr;
  const StreamHandler* streaming_ = nullptr;
  GrpcContext context_;
  GrpcMessageReader reader_;
  std::string request_;             // unary's only message, or an HTTP body
  std::vector<std::string> inbox_;  // streaming: messages not yet received
  std::size_t inbox_first_ = 0;
  DeadlineTimer deadline_;
  runtime::Notification incoming_;  // a message, or the end of the client's side
  runtime::Notification room_;      // `out` shrank
  std::coroutine_handle<HandlerFrame::promise_type> frame_;
};

}  // namespace coterie::net

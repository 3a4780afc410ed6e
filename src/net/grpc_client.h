#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/http.h"
#include "net/http2_session.h"
#include "net/transport.h"

namespace coterie::net {

class ClientCall;

/// The client's side of one HTTP/2 connection.
class Http2ClientChannel final : public GrpcChannel, private ByteProtocol, private Http2Events {
 public:
  Http2ClientChannel(runtime::World& world, std::unique_ptr<runtime::Stream> stream,
                     std::string authority);
  ~Http2ClientChannel() override;

  runtime::Task<GrpcReply> Unary(std::string path, std::string request, Instant deadline) override;
  std::unique_ptr<GrpcClientStream> Open(std::string path) override;
  bool alive() const override { return !ended_ && !goaway_; }

 private:
  friend class ClientCall;

  bool OnInput(std::string_view bytes) override;
  bool OnEof() override;
  void Produce(std::string& out) override;
  bool wants_input() const override { return true; }
  bool finished() const override { return session_.Finished(); }
  void OnWritten() override {}

  Http2Stream* OnOpened(std::int32_t) override { return nullptr; }
  void OnHead(Http2Stream& stream, bool trailers) override;
  void OnBytes(Http2Stream& stream, std::string_view bytes) override;
  void OnRemoteEnded(Http2Stream& stream) override;
  void OnSent(Http2Stream& stream) override;
  void OnClosed(Http2Stream& stream, std::uint32_t error) override;
  void OnWindow(Http2Stream&) override {}
  void OnGoaway() override { goaway_ = true; }

  runtime::Task<void> RunTransport();
  /// Fails every open call with kUnavailable.
  void EndAll(std::string_view why);

  runtime::World& world_;
  std::string authority_;
  bool ended_ = false;
  bool goaway_ = false;
  Http2Session session_;
  Transport transport_;
  runtime::ListNode calls_;  // of ClientCall
  runtime::Scope scope_;
};

/// One call. Owned by its caller; linked in its channel until either ends.
class ClientCall final : public Http2Stream, public GrpcClientStream {
 public:
  explicit ClientCall(Http2ClientChannel& channel);
  ~ClientCall() override;

  /// Sends the head. `timeout` zero: none.
  void Begin(std::string_view path, Duration timeout);
  runtime::Task<void> Send(std::string message) override;
  void CloseSend() override;
  runtime::Task<GrpcReply> Receive() override;

  /// Queues without waiting for room.
  void Push(std::string message);
  /// The only answer of a unary call, once status() is known.
  GrpcReply TakeUnaryReply();
  /// Resets the stream and ends the call with `status`.
  void Cancel(GrpcStatus status);
  const std::optional<GrpcStatus>& status() const { return status_; }
  runtime::Notification& changed() { return changed_; }

  // From the channel.
  void OnHead();
  void OnBytes(std::string_view bytes);
  void OnRemoteEnded();
  void OnSent();
  void OnClosed(std::uint32_t error);
  /// Ends the call without a word to the peer.
  void End(GrpcStatus status);

 private:
  Http2ClientChannel* channel_;  // nullptr once the connection or the call has ended
  runtime::Notification changed_;
  runtime::Notification room_;
  GrpcMessageReader reader_;
  std::vector<std::string> inbox_;
  std::size_t inbox_first_ = 0;
  std::optional<GrpcStatus> status_;
};

}  // namespace coterie::net

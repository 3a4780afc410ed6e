#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http.h"
#include "net/http2_session.h"
#include "net/transport.h"

namespace coterie::net {

class ServerCall;

/// What the connections of one server share.
struct ServerShared {
  runtime::World& world;
  HttpLimits limits;
  const GrpcMethods& methods;
  HttpHandler http;
  std::uint64_t requests = 0;
};

/// The serving side of one HTTP/2 connection: starts handlers, sends their answers, and destroys
/// their frames when the client cancels, a deadline passes or the connection ends. No I/O.
class Http2ServerConnection final : public ByteProtocol, private Http2Events {
 public:
  /// `flush` is called when there may be something to send.
  Http2ServerConnection(ServerShared& shared, std::function<void()> flush,
                        std::function<std::size_t()> in_flight);
  ~Http2ServerConnection() override;

  bool OnInput(std::string_view bytes) override;
  bool OnEof() override { return false; }
  void Produce(std::string& out) override;
  bool wants_input() const override;
  bool finished() const override;
  void OnWritten() override;

  /// GOAWAY; the open calls finish.
  void Drain();
  void Ping();
  /// Whether anything arrived since the last call.
  bool TakeReceived() { return std::exchange(received_, false); }
  std::size_t open_calls() const { return open_count_; }
  /// Handler frames alive.
  std::size_t running() const { return running_; }
  /// Bytes queued by calls and not yet taken by a write.
  std::size_t queued_bytes() const { return queued_bytes_; }
  /// Bytes of requests held: whole messages that wait and parts of messages.
  std::size_t held_bytes() const { return held_bytes_; }

 private:
  friend class ServerCall;

  Http2Stream* OnOpened(std::int32_t id) override;
  void OnHead(Http2Stream& stream, bool trailers) override;
  void OnBytes(Http2Stream& stream, std::string_view bytes) override;
  void OnRemoteEnded(Http2Stream& stream) override;
  void OnSent(Http2Stream& stream) override;
  void OnWindow(Http2Stream& stream) override;
  void OnClosed(Http2Stream& stream, std::uint32_t error) override;
  void OnGoaway() override {}

  /// Of the bound on what is sent: so often as much may wait for streams that nobody reads.
  static constexpr std::size_t kUnreadMax = 16;

  void Flush() { flush_(); }
  std::size_t SendBound() const { return shared_.limits.connection_send_buffer_max; }
  /// What waits for streams that nobody reads does not count: the others go on.
  bool OverSendBound() const {
    return moving_bytes_ > SendBound() || queued_bytes_ / kUnreadMax > SendBound();
  }
  void StartReady();

  ServerShared& shared_;
  std::function<void()> flush_;
  std::function<std::size_t()> in_flight_;
  std::size_t open_count_ = 0;
  std::size_t running_ = 0;
  std::size_t queued_bytes_ = 0;
  std::size_t moving_bytes_ = 0;  // of them, those whose stream's window is open
  std::size_t held_bytes_ = 0;
  bool draining_ = false;
  bool ended_ = false;  // nothing is read or started any more
  bool received_ = false;
  Http2Session session_;
  runtime::ListNode open_;   // of ServerCall
  runtime::ListNode ready_;  // calls whose handler is to be started, in order of arrival
  std::vector<std::unique_ptr<ServerCall>> pool_;
};

}  // namespace coterie::net

#pragma once

#include <coroutine>
#include <functional>
#include <string>

#include "net/handler_frame.h"
#include "net/http1.h"
#include "net/http2_server.h"
#include "net/transport.h"

namespace coterie::net {

/// The serving side of one HTTP/1 connection: one request at a time, in order of arrival; those
/// that were sent ahead wait in the parser. No I/O.
class Http1ServerConnection final : public ByteProtocol {
 public:
  Http1ServerConnection(ServerShared& shared, std::function<void()> flush);
  ~Http1ServerConnection() override;

  bool OnInput(std::string_view bytes) override;
  bool OnEof() override;
  void Produce(std::string& out) override;
  bool wants_input() const override;
  bool finished() const override { return last_ && !frame_ && out_.empty(); }
  void OnWritten() override;

  /// The request under way is the last.
  void Drain();
  bool busy() const { return static_cast<bool>(frame_); }
  bool mid_request() const { return parser_.mid_message(); }

 private:
  static HandlerFrame Handle(Http1ServerConnection* connection, HttpRequest request);
  void Pump();
  void Start(Http1Message message);
  void Answer(HttpResponse response);
  void Refuse(int status);

  ServerShared& shared_;
  std::function<void()> flush_;
  Http1Parser parser_;
  std::string out_;
  bool keep_alive_ = true;  // of the request under way
  bool head_only_ = false;
  bool eof_ = false;
  bool draining_ = false;
  bool last_ = false;  // no request follows
  bool pumping_ = false;
  std::coroutine_handle<HandlerFrame::promise_type> frame_;
};

}  // namespace coterie::net

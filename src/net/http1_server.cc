#include "net/http1_server.h"

#include <fmt/format.h>

#include <utility>

#include "base/assert.h"

namespace coterie::net {
namespace {

// Requests sent ahead of their turn wait in the parser up to this much; then reading pauses.
constexpr std::size_t kAheadBytesMax = 256u << 10;

}  // namespace

Http1ServerConnection::Http1ServerConnection(ServerShared& shared, std::function<void()> flush)
    : shared_(shared),
      flush_(std::move(flush)),
      parser_(Http1Parser::Role::kServer, shared.limits.header_bytes_max,
              shared.limits.body_bytes_max) {}

Http1ServerConnection::~Http1ServerConnection() {
  if (frame_) std::exchange(frame_, {}).destroy();
}

bool Http1ServerConnection::OnInput(std::string_view bytes) {
  if (last_) return false;
  parser_.Feed(bytes);
  Pump();
  return !last_ || frame_;
}

bool Http1ServerConnection::OnEof() {
  eof_ = true;
  if (!frame_) last_ = true;
  return !finished();
}

void Http1ServerConnection::Produce(std::string& out) {
  out += out_;
  out_.clear();
}

bool Http1ServerConnection::wants_input() const {
  if (out_.size() > shared_.limits.connection_send_buffer_max) return false;
  return !last_ && (!frame_ || parser_.buffered_bytes() < kAheadBytesMax);
}

void Http1ServerConnection::OnWritten() { Pump(); }

void Http1ServerConnection::Drain() {
  draining_ = true;
  keep_alive_ = false;
  if (!frame_) last_ = true;
}

/// Starts requests while none is under way. Answers given at once come back here through Answer.
void Http1ServerConnection::Pump() {
  if (pumping_) return;
  pumping_ = true;
  while (!frame_ && !last_ && out_.size() <= shared_.limits.connection_send_buffer_max) {
    std::expected<std::optional<Http1Message>, int> next = parser_.Next();
    if (!next) {
      Refuse(next.error());
      break;
    }
    if (!*next) {
      if (parser_.TakeContinue()) out_ += "HTTP/1.1 100 Continue\r\n\r\n";
      if (eof_) last_ = true;
      break;
    }
    Start(std::move(**next));
  }
  pumping_ = false;
  if (!out_.empty() || last_) flush_();
}

void Http1ServerConnection::Start(Http1Message message) {
  COT_ASSERT(!frame_);
  ++shared_.requests;
  keep_alive_ = message.keep_alive && !draining_;
  head_only_ = message.method == "HEAD";
  if (!shared_.http) return Answer({404, "text/plain; charset=utf-8", "not found\n"});
  HttpRequest request;
  const std::size_t question = message.target.find('?');
  request.method = std::move(message.method);
  request.path = message.target.substr(0, question);
  if (question != std::string::npos) request.query = message.target.substr(question + 1);
  request.headers = std::move(message.headers);
  request.body = std::move(message.body);
  frame_ = Handle(this, std::move(request)).handle;
  frame_.resume();
}

HandlerFrame Http1ServerConnection::Handle(Http1ServerConnection* connection, HttpRequest request) {
  runtime::Task<HttpResponse> task = connection->shared_.http(std::move(request));
  HttpResponse response = co_await std::move(task);
  connection->frame_ = {};
  connection->Answer(std::move(response));
}

void Http1ServerConnection::Answer(HttpResponse response) {
  out_ += EncodeHttp1Response(response, keep_alive_, head_only_);
  if (!keep_alive_) last_ = true;
  Pump();
  flush_();
}

void Http1ServerConnection::Refuse(int status) {
  HttpResponse response;
  response.status = status;
  response.body = fmt::format("{}\n", ReasonOf(status));
  out_ += EncodeHttp1Response(response, false, false);
  last_ = true;
}

}  // namespace coterie::net

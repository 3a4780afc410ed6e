#include "net/server_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace coterie::net {
namespace {

constexpr HeaderField kGrpcHead[] = {{":status", "200", true},
                                     {"content-type", "application/grpc", true}};
// What a stream may make while its connection holds too much: less than any window it starts with.
constexpr std::size_t kRoomMin = 16u << 10;
// A pooled call keeps its buffers up to this size.
constexpr std::size_t kPooledBytesMax = 16u << 10;

bool IsGrpc(std::string_view content_type) {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!content_type.starts_with(kGrpc)) return false;
  const std::string_view rest = content_type.substr(kGrpc.size());
  return rest.empty() || rest.front() == '+' || rest.front() == ';';
}

/// The answer names the format that the request named, as gRPC's own servers do.
std::string_view AnswerType(std::string_view content_type) {
  return content_type.substr(0, content_type.find(';'));
}

GrpcStatus UnknownMethod(const GrpcMethods& methods, std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos || slash == 0) {
    return {GrpcCode::kUnimplemented, fmt::format("malformed method name: \"{}\"", path)};
  }
  const std::string_view service = path.substr(1, slash - 1);
  if (!methods.HasService(service)) {
    return {GrpcCode::kUnimplemented, fmt::format("unknown service {}", service)};
  }
  return {GrpcCode::kUnimplemented,
          fmt::format("unknown method {} for service {}", path.substr(slash + 1), service)};
}

}  // namespace

ServerCall::ServerCall(Http2ServerConnection& connection)
    : connection_(connection),
      reader_(connection.shared_.limits.message_bytes_max),
      deadline_(*this),
      incoming_(connection.shared_.world.executor()),
      room_(connection.shared_.world.executor()) {
  ready_node.call = this;
}

ServerCall::~ServerCall() {
  Stop();
  Held(0);
}

// ---- arrival ----------------------------------------------------------------------------------

void ServerCall::OnHead() {
  COT_ASSERT(kind_ == Kind::kUndecided);
  ++connection_.shared_.requests;
  if (head.path.empty() || head.path.front() != '/') return RefuseHttp(400, "bad path\n");
  if (IsGrpc(head.content_type)) return ClassifyGrpc();
  if (head.too_large) return RefuseHttp(431, "request headers too large\n");
  const GrpcMethods& methods = connection_.shared_.methods;
  if (methods.FindUnary(head.path) != nullptr || methods.FindStreaming(head.path) != nullptr ||
      head.content_type.starts_with("application/grpc")) {
    return RefuseHttp(415, "this path takes application/grpc\n");
  }
  if (!connection_.shared_.http) return RefuseHttp(404, "not found\n");
  kind_ = Kind::kHttp;
}

void ServerCall::ClassifyGrpc() {
  if (head.too_large) {
    return Refuse(
        {GrpcCode::kResourceExhausted, fmt::format("request headers over {} bytes",
                                                   connection_.shared_.limits.header_bytes_max)});
  }
  if (head.method != "POST") return RefuseHttp(405, "gRPC calls are POST requests\n");
  unary_ = connection_.shared_.methods.FindUnary(head.path);
  if (unary_ == nullptr) streaming_ = connection_.shared_.methods.FindStreaming(head.path);
  if (unary_ == nullptr && streaming_ == nullptr) {
    return Refuse(UnknownMethod(connection_.shared_.methods, head.path));
  }
  if (connection_.open_count_ > connection_.shared_.limits.streams_max) {
    return Refuse(
        {GrpcCode::kResourceExhausted,
         fmt::format("{}: {} on this connection at most. {}", CodeText(ErrorCode::kTooManyStreams),
                     connection_.shared_.limits.streams_max,
                     InfoOf(ErrorCode::kTooManyStreams).hint)});
  }
  if (head.timeout_malformed) return Refuse({GrpcCode::kInternal, "malformed grpc-timeout"});
  if (!head.encoding.empty() && head.encoding != "identity") {
    return Refuse({GrpcCode::kUnimplemented,
                   fmt::format("grpc: Decompressor is not installed for grpc-encoding \"{}\"",
                               head.encoding)});
  }
  context_.path = head.path;
  context_.headers = &head.headers;
  context_.deadline = Instant::max();
  context_.parts = unary_ != nullptr ? this : nullptr;
  if (head.timeout) {
    const Instant now = connection_.shared_.world.Now();
    if (*head.timeout < Instant::max() - now) {
      context_.deadline = now + *head.timeout;
      connection_.shared_.world.executor().Arm(deadline_, context_.deadline);
    }
  }
  kind_ = unary_ != nullptr ? Kind::kUnary : Kind::kStreaming;
  if (kind_ == Kind::kStreaming) Ready();
}

void ServerCall::OnBytes(std::string_view bytes) {
  if (finished_ || kind_ == Kind::kUndecided || kind_ == Kind::kRefused) {
    connection_.session_.Consume(*this, unconsumed);
    return;
  }
  if (kind_ == Kind::kHttp) {
    request_.append(bytes);
    Held(request_.size());
    connection_.session_.Consume(*this, unconsumed);
    if (request_.size() > connection_.shared_.limits.body_bytes_max)
      RefuseHttp(413, "body too large\n");
    return;
  }
  OnGrpcBytes(bytes);
}

void ServerCall::OnGrpcBytes(std::string_view bytes) {
  std::string message;
  while (!bytes.empty() && !finished_) {
    switch (reader_.Next(bytes, message)) {
      case GrpcMessageReader::Event::kNeedMore:
        Held(held_whole_ + reader_.partial_bytes());
        break;
      case GrpcMessageReader::Event::kMessage:
        held_whole_ += message.size();
        Held(held_whole_);
        if (kind_ == Kind::kStreaming) {
          inbox_.push_back(std::move(message));
          incoming_.NotifyAll();
        } else if (request_whole_) {
          return Refuse({GrpcCode::kInternal, "more than one message in a unary call"});
        } else {
          request_ = std::move(message);
          request_whole_ = true;
        }
        break;
      case GrpcMessageReader::Event::kCompressed:
        return Refuse(
            {GrpcCode::kUnimplemented, "grpc: compressed message without an agreed encoding"});
      case GrpcMessageReader::Event::kTooLarge:
        return Refuse(
            {GrpcCode::kResourceExhausted,
             TooLargeText(reader_.claimed_bytes(), connection_.shared_.limits.message_bytes_max)});
    }
  }
  if (connection_.held_bytes_ > connection_.shared_.limits.connection_receive_buffer_max) {
    return Refuse({GrpcCode::kResourceExhausted, "too many request bytes wait on this connection"});
  }
  // While whole messages wait, the window stays closed by their size: the client is to slow down.
  if (inbox_first_ == inbox_.size()) connection_.session_.Consume(*this, unconsumed);
}

void ServerCall::OnRemoteEnded() {
  if (finished_) return;
  if (kind_ == Kind::kStreaming) {
    incoming_.NotifyAll();
  } else if (kind_ == Kind::kHttp) {
    Ready();
  } else if (kind_ == Kind::kUnary) {
    if (!request_whole_) return Refuse({GrpcCode::kInternal, "a unary call without a message"});
    Ready();
  }
}

void ServerCall::Ready() {
  if (!ready_node.linked()) connection_.ready_.PushBack(ready_node);
}

// ---- running ----------------------------------------------------------------------------------

void ServerCall::Start() {
  COT_ASSERT(!frame_);
  COT_ASSERT(!ready_node.linked());
  if (kind_ == Kind::kUnary) {
    frame_ = RunUnary(this, std::move(request_)).handle;
  } else if (kind_ == Kind::kStreaming) {
    frame_ = RunStreaming(this).handle;
  } else {
    COT_ASSERT(kind_ == Kind::kHttp);
    HttpRequest request;
    const std::size_t question = head.path.find('?');
    request.method = head.method;
    request.path = head.path.substr(0, question);
    if (question != std::string::npos) request.query = head.path.substr(question + 1);
    request.headers = head.headers;
    if (!head.content_type.empty()) request.headers.emplace_back("content-type", head.content_type);
    request.body = std::move(request_);
    frame_ = RunHttp(this, std::move(request)).handle;
  }
  if (kind_ != Kind::kStreaming) {
    held_whole_ = 0;  // the handler owns them now
    Held(0);
  }
  ++connection_.running_;
  working = true;
  frame_.resume();
}

void ServerCall::Stop() {
  ready_node.Unlink();
  connection_.shared_.world.executor().Disarm(deadline_);
  if (!frame_) return;
  std::exchange(frame_, {}).destroy();
  --connection_.running_;
}

void ServerCall::FrameEnded() {
  COT_ASSERT(frame_);
  frame_ = {};
  --connection_.running_;
}

HandlerFrame ServerCall::RunUnary(ServerCall* call, std::string request) {
  runtime::Task<GrpcReply> task = (*call->unary_)(call->context_, std::move(request));
  GrpcReply reply = co_await std::move(task);
  call->FrameEnded();
  call->FinishUnary(std::move(reply));
}

HandlerFrame ServerCall::RunStreaming(ServerCall* call) {
  runtime::Task<GrpcStatus> task = (*call->streaming_)(*call);
  GrpcStatus status = co_await std::move(task);
  call->FrameEnded();
  call->Finish(std::move(status));
}

HandlerFrame ServerCall::RunHttp(ServerCall* call, HttpRequest request) {
  runtime::Task<HttpResponse> task = call->connection_.shared_.http(std::move(request));
  HttpResponse response = co_await std::move(task);
  call->FrameEnded();
  call->FinishHttp(std::move(response));
}

runtime::Task<std::optional<std::string>> ServerCall::Receive() {
  while (inbox_first_ == inbox_.size() && !remote_ended) co_await incoming_.Wait();
  if (inbox_first_ == inbox_.size()) co_return std::nullopt;
  std::string message = std::move(inbox_[inbox_first_++]);
  if (inbox_first_ == inbox_.size()) {
    inbox_.clear();
    inbox_first_ = 0;
  } else if (inbox_first_ > 32 && inbox_first_ > inbox_.size() / 2) {
    inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(inbox_first_));
    inbox_first_ = 0;
  }
  held_whole_ -= std::min(held_whole_, message.size());
  Held(held_whole_ + reader_.partial_bytes());
  const bool all = inbox_.empty();
  connection_.session_.Consume(
      *this, all ? unconsumed : std::min(unconsumed, message.size() + kGrpcPrefixBytes));
  connection_.Flush();
  co_return message;
}

runtime::Task<void> ServerCall::Send(std::string message) {
  if (!headers_sent) SendHead();
  out.PushMessage(std::move(message));
  Account();
  connection_.session_.ResumeSending(*this);
  connection_.Flush();
  while (MustWait()) co_await room_.Wait();
}

runtime::Task<std::size_t> ServerCall::Room() {
  const auto crowded = [this] { return connection_.queued_bytes_ > connection_.SendBound(); };
  while (MustWait() || (crowded() && Shut())) co_await room_.Wait();
  if (!crowded()) co_return connection_.shared_.limits.stream_send_buffer_max;
  co_return std::max(kRoomMin, connection_.SendBound() / connection_.open_count_);
}

void ServerCall::OnSent() {
  Account();
  room_.NotifyAll();
}

void ServerCall::OnWindow() {
  Account();
  room_.NotifyAll();
}

bool ServerCall::Shut() const { return headers_sent && connection_.session_.WindowShut(*this); }

/// A stream with nothing queued may always queue one message: only its own progress wakes it. While
/// the connection holds too much, each of its streams may hold its share.
bool ServerCall::MustWait() const {
  if (out.bytes() == 0) return false;
  return out.bytes() > connection_.shared_.limits.stream_send_buffer_max ||
         (connection_.queued_bytes_ > connection_.SendBound() &&
          out.bytes() > connection_.SendBound() / connection_.open_count_);
}

void ServerCall::Begin(std::size_t bytes) {
  COT_ASSERT(!headers_sent);
  COT_ASSERT(bytes <= UINT32_MAX);
  parts_left_ = bytes;
  SendHead();
  std::string prefix(kGrpcPrefixBytes, '\0');
  StoreGrpcPrefix(prefix.data(), static_cast<std::uint32_t>(bytes));
  out.PushRaw(std::move(prefix));
}

runtime::Task<bool> ServerCall::Part(std::string bytes, Duration patience) {
  COT_ASSERT(parts_left_ && bytes.size() <= *parts_left_);
  *parts_left_ -= bytes.size();
  out.PushRaw(std::move(bytes));
  Account();
  connection_.session_.ResumeSending(*this);
  connection_.Flush();
  while (MustWait()) {
    const Instant give_up = connection_.shared_.world.Now() + patience;
    const bool moved = co_await room_.WaitUntil(give_up);
    if (!moved) co_return false;
  }
  co_return true;
}

void ServerCall::OnDeadline() {
  Refuse({GrpcCode::kDeadlineExceeded, "context deadline exceeded"});
}

// ---- answering --------------------------------------------------------------------------------

void ServerCall::SendHead() {
  const HeaderField fields[] = {kGrpcHead[0], {"content-type", AnswerType(head.content_type)}};
  const bool plain = fields[1].value == kGrpcHead[1].value;
  connection_.session_.Respond(*this, plain ? kGrpcHead : fields, true);
}

void ServerCall::Finish(GrpcStatus status) {
  COT_ASSERT(!finished_);
  finished_ = true;
  connection_.shared_.world.executor().Disarm(deadline_);
  if (!headers_sent && status.code != GrpcCode::kOk) {
    const std::string code = fmt::format("{}", static_cast<int>(status.code));
    const std::string message = PercentEncode(status.message);
    const HeaderField fields[] = {kGrpcHead[0],
                                  {"content-type", AnswerType(head.content_type)},
                                  {"grpc-status", code},
                                  {"grpc-message", message}};
    connection_.session_.Respond(*this, std::span(fields, message.empty() ? 3 : 4), false);
  } else {
    if (!headers_sent) SendHead();
    ending = Ending::kTrailers;
    trailers = std::move(status);
    connection_.session_.ResumeSending(*this);
  }
  connection_.Flush();
}

void ServerCall::FinishUnary(GrpcReply reply) {
  if (parts_left_) {
    COT_ASSERT(!reply || *parts_left_ == 0);
    if (reply) return Finish({});
    // A message that ends early is no message.
    finished_ = true;
    connection_.shared_.world.executor().Disarm(deadline_);
    out.Clear();
    Account();
    connection_.session_.Reset(*this, Http2Error::kCancel);
    return connection_.Flush();
  }
  if (!reply) return Finish(std::move(reply.error()));
  out.PushMessage(std::move(*reply));
  Account();
  Finish({});
}

void ServerCall::FinishHttp(HttpResponse response) {
  COT_ASSERT(!finished_);
  finished_ = true;
  const int status_code = response.status >= 200 && response.status <= 599 ? response.status : 500;
  const std::string status = fmt::format("{}", status_code);
  const std::string length = fmt::format("{}", response.body.size());
  const HeaderField fields[] = {
      {":status", status}, {"content-type", response.content_type}, {"content-length", length}};
  const bool body = !response.body.empty() && head.method != "HEAD";
  if (body) out.PushRaw(std::move(response.body));
  Account();
  ending = Ending::kEndStream;
  connection_.session_.Respond(*this, fields, body);
  connection_.Flush();
}

/// Ends the call whatever its handler is doing; its frame is destroyed.
void ServerCall::Refuse(GrpcStatus status) {
  Stop();
  kind_ = Kind::kRefused;
  Held(0);
  request_.clear();
  inbox_.clear();
  inbox_first_ = 0;
  connection_.session_.Consume(*this, unconsumed);
  if (!finished_) Finish(std::move(status));
}

void ServerCall::RefuseHttp(int status, std::string body) {
  Stop();
  kind_ = Kind::kRefused;
  Held(0);
  request_.clear();
  connection_.session_.Consume(*this, unconsumed);
  if (!finished_) FinishHttp({status, "text/plain; charset=utf-8", std::move(body)});
}

void ServerCall::Account() {
  connection_.queued_bytes_ += out.bytes();
  COT_ASSERT(connection_.queued_bytes_ >= accounted_);
  connection_.queued_bytes_ -= accounted_;
  accounted_ = out.bytes();
  const std::size_t moving = out.bytes() == 0 || Shut() ? 0 : out.bytes();
  connection_.moving_bytes_ += moving;
  COT_ASSERT(connection_.moving_bytes_ >= moving_);
  connection_.moving_bytes_ -= moving_;
  moving_ = moving;
}

void ServerCall::Held(std::size_t bytes) {
  connection_.held_bytes_ += bytes;
  COT_ASSERT(connection_.held_bytes_ >= held_);
  connection_.held_bytes_ -= held_;
  held_ = bytes;
}

void ServerCall::Recycle() {
  COT_ASSERT(!frame_);
  COT_ASSERT(!ready_node.linked());
  ResetStream();
  Account();
  Held(0);
  held_whole_ = 0;
  kind_ = Kind::kUndecided;
  finished_ = request_whole_ = false;
  parts_left_.reset();
  unary_ = nullptr;
  streaming_ = nullptr;
  context_ = {};
  reader_.Reset();
  if (request_.capacity() > kPooledBytesMax) request_ = {};
  request_.clear();
  inbox_.clear();
  inbox_first_ = 0;
}

}  // namespace coterie::net

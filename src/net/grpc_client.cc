#include "net/grpc_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace coterie::net {
namespace {

constexpr std::size_t kWriteBytes = 256u << 10;
constexpr std::size_t kSendBufferMax = 1u << 20;
constexpr std::size_t kMessageBytesMax = 256u << 20;

Http2Options ClientOptions() {
  Http2Options options;
  options.server = false;
  return options;
}

/// What an answer that is not gRPC's says [gRPC: http-grpc-status-mapping].
GrpcCode CodeOfHttp(int status) {
  switch (status) {
    case 400:
      return GrpcCode::kInternal;
    case 401:
      return GrpcCode::kUnauthenticated;
    case 403:
      return GrpcCode::kPermissionDenied;
    case 404:
      return GrpcCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcCode::kUnavailable;
    default:
      return GrpcCode::kUnknown;
  }
}

GrpcCode CodeOfReset(std::uint32_t error) {
  switch (static_cast<Http2Error>(error)) {
    case Http2Error::kRefusedStream:
      return GrpcCode::kUnavailable;
    case Http2Error::kCancel:
      return GrpcCode::kCancelled;
    case Http2Error::kEnhanceYourCalm:
      return GrpcCode::kResourceExhausted;
    default:
      return GrpcCode::kInternal;
  }
}

ClientCall& CallOf(Http2Stream& stream) { return static_cast<ClientCall&>(stream); }

}  // namespace

// ---- the channel ------------------------------------------------------------------------------

runtime::Task<Result<std::unique_ptr<GrpcChannel>>> GrpcChannel::Connect(runtime::World& world,
                                                                         runtime::Address to,
                                                                         Duration timeout) {
  std::string authority = ToText(to);
  Result<std::unique_ptr<runtime::Stream>> stream =
      co_await world.network().Connect(std::move(to), timeout);
  if (!stream) co_return std::unexpected(std::move(stream.error()));
  co_return std::make_unique<Http2ClientChannel>(world, std::move(*stream), std::move(authority));
}

Http2ClientChannel::Http2ClientChannel(runtime::World& world,
                                       std::unique_ptr<runtime::Stream> stream,
                                       std::string authority)
    : world_(world),
      authority_(std::move(authority)),
      session_(ClientOptions(), *this),
      transport_(world, std::move(stream), *this) {
  scope_.Spawn(RunTransport());
}

Http2ClientChannel::~Http2ClientChannel() {
  EndAll("the channel is closed");
  scope_.Cancel();
}

runtime::Task<void> Http2ClientChannel::RunTransport() {
  co_await transport_.Run();
  EndAll("connection closed");
}

void Http2ClientChannel::EndAll(std::string_view why) {
  ended_ = true;
  while (runtime::ListNode* node = calls_.front()) {
    auto* call = static_cast<ClientCall*>(static_cast<Http2Stream*>(node));
    session_.Forget(*call);
    call->End({GrpcCode::kUnavailable, std::string(why)});
  }
}

bool Http2ClientChannel::OnInput(std::string_view bytes) {
  return session_.Receive(bytes, world_.Now());
}

bool Http2ClientChannel::OnEof() {
  EndAll("connection closed by the server");
  return false;
}

void Http2ClientChannel::Produce(std::string& out) { session_.Produce(out, kWriteBytes); }
void Http2ClientChannel::OnHead(Http2Stream& stream, bool) { CallOf(stream).OnHead(); }
void Http2ClientChannel::OnBytes(Http2Stream& stream, std::string_view bytes) {
  CallOf(stream).OnBytes(bytes);
}
void Http2ClientChannel::OnRemoteEnded(Http2Stream& stream) { CallOf(stream).OnRemoteEnded(); }
void Http2ClientChannel::OnSent(Http2Stream& stream) { CallOf(stream).OnSent(); }
void Http2ClientChannel::OnClosed(Http2Stream& stream, std::uint32_t error) {
  CallOf(stream).OnClosed(error);
}

runtime::Task<GrpcReply> Http2ClientChannel::Unary(std::string path, std::string request,
                                                   Instant deadline) {
  runtime::World& world = world_;
  ClientCall call(*this);
  const bool forever = deadline == Instant::max();
  const Duration left = forever ? Duration::zero() : deadline - world.Now();
  if (!forever && left <= Duration::zero()) {
    co_return std::unexpected(GrpcStatus{GrpcCode::kDeadlineExceeded, "context deadline exceeded"});
  }
  call.Begin(path, left);
  call.Push(std::move(request));
  call.CloseSend();
  while (!call.status()) {
    // The channel may be gone after each wait; the call knows.
    if (forever) {
      co_await call.changed().Wait();
      continue;
    }
    const bool in_time = co_await call.changed().WaitUntil(deadline);
    if (!in_time && !call.status()) {
      call.Cancel({GrpcCode::kDeadlineExceeded, "context deadline exceeded"});
    }
  }
  co_return call.TakeUnaryReply();
}

std::unique_ptr<GrpcClientStream> Http2ClientChannel::Open(std::string path) {
  auto call = std::make_unique<ClientCall>(*this);
  call->Begin(path, Duration::zero());
  return call;
}

// ---- one call ---------------------------------------------------------------------------------

ClientCall::ClientCall(Http2ClientChannel& channel)
    : channel_(&channel),
      changed_(channel.world_.executor()),
      room_(channel.world_.executor()),
      reader_(kMessageBytesMax) {}

ClientCall::~ClientCall() {
  if (channel_ != nullptr) Cancel({GrpcCode::kCancelled, "cancelled by the caller"});
}

void ClientCall::Begin(std::string_view path, Duration timeout) {
  COT_ASSERT(channel_ != nullptr);
  COT_ASSERT(id == 0);
  if (!channel_->alive()) return End({GrpcCode::kUnavailable, "connection closed"});
  const std::string timeout_text = FormatGrpcTimeout(timeout);
  const HeaderField fields[] = {{":method", "POST", true},
                                {":scheme", "http", true},
                                {":path", path},
                                {":authority", channel_->authority_},
                                {"te", "trailers", true},
                                {"content-type", "application/grpc", true},
                                {"user-agent", "coterie", true},
                                {"grpc-timeout", timeout_text}};
  const std::size_t count = timeout > Duration::zero() ? 8 : 7;
  if (!channel_->session_.Request(*this, std::span(fields, count))) {
    channel_->goaway_ = true;
    return End({GrpcCode::kUnavailable, "the connection's stream numbers are used up"});
  }
  channel_->calls_.PushBack(*this);
  channel_->transport_.ScheduleFlush();
}

void ClientCall::Push(std::string message) {
  if (channel_ == nullptr || ending != Ending::kOpen) return;
  out.PushMessage(std::move(message));
  channel_->session_.ResumeSending(*this);
  channel_->transport_.ScheduleFlush();
}

runtime::Task<void> ClientCall::Send(std::string message) {
  Push(std::move(message));
  while (channel_ != nullptr && out.bytes() > kSendBufferMax) co_await room_.Wait();
}

void ClientCall::CloseSend() {
  if (channel_ == nullptr || ending != Ending::kOpen) return;
  ending = Ending::kEndStream;
  channel_->session_.ResumeSending(*this);
  channel_->transport_.ScheduleFlush();
}

runtime::Task<GrpcReply> ClientCall::Receive() {
  while (inbox_first_ == inbox_.size() && !status_) co_await changed_.Wait();
  if (inbox_first_ == inbox_.size()) co_return std::unexpected(*status_);
  std::string message = std::move(inbox_[inbox_first_++]);
  if (inbox_first_ == inbox_.size()) {
    inbox_.clear();
    inbox_first_ = 0;
  } else if (inbox_first_ > 32 && inbox_first_ > inbox_.size() / 2) {
    inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(inbox_first_));
    inbox_first_ = 0;
  }
  if (channel_ != nullptr) {
    const std::size_t taken = std::min(unconsumed, message.size() + kGrpcPrefixBytes);
    channel_->session_.Consume(*this, inbox_.empty() ? unconsumed : taken);
    channel_->transport_.ScheduleFlush();
  }
  co_return message;
}

GrpcReply ClientCall::TakeUnaryReply() {
  COT_ASSERT(status_.has_value());
  if (status_->code != GrpcCode::kOk) return std::unexpected(std::move(*status_));
  if (inbox_.size() != 1) {
    return std::unexpected(
        GrpcStatus{GrpcCode::kInternal, "a unary answer without exactly one message"});
  }
  return std::move(inbox_.front());
}

void ClientCall::OnHead() {
  if (status_ || head.grpc_status || head.status == 200) return;
  Cancel({CodeOfHttp(head.status), fmt::format("HTTP status {}", head.status)});
}

void ClientCall::OnBytes(std::string_view bytes) {
  COT_ASSERT(channel_ != nullptr);
  std::string message;
  while (!bytes.empty()) {
    switch (reader_.Next(bytes, message)) {
      case GrpcMessageReader::Event::kNeedMore:
        break;
      case GrpcMessageReader::Event::kMessage:
        inbox_.push_back(std::move(message));
        changed_.NotifyAll();
        break;
      case GrpcMessageReader::Event::kCompressed:
        return Cancel({GrpcCode::kInternal, "compressed message without an agreed encoding"});
      case GrpcMessageReader::Event::kTooLarge:
        return Cancel({GrpcCode::kResourceExhausted,
                       TooLargeText(reader_.claimed_bytes(), kMessageBytesMax)});
    }
  }
  if (inbox_first_ == inbox_.size()) channel_->session_.Consume(*this, unconsumed);
}

void ClientCall::OnRemoteEnded() {
  if (status_) return;
  if (!head.grpc_status) {
    status_ = GrpcStatus{GrpcCode::kUnknown, "the answer ended without a grpc-status"};
  } else {
    const int code = *head.grpc_status;
    status_ = GrpcStatus{code >= 0 && code <= 16 ? static_cast<GrpcCode>(code) : GrpcCode::kUnknown,
                         std::move(head.grpc_message)};
  }
  changed_.NotifyAll();
}

void ClientCall::OnSent() {
  if (out.bytes() <= kSendBufferMax) room_.NotifyAll();
}

void ClientCall::OnClosed(std::uint32_t error) {
  End({CodeOfReset(error), fmt::format("stream reset by the server, HTTP/2 error {}", error)});
}

void ClientCall::Cancel(GrpcStatus status) {
  if (channel_ != nullptr && id != 0) {
    channel_->session_.Forget(*this);
    channel_->session_.Reset(*this, Http2Error::kCancel);
    channel_->transport_.ScheduleFlush();
  }
  End(std::move(status));
}

void ClientCall::End(GrpcStatus status) {
  Unlink();
  channel_ = nullptr;
  if (!status_) status_ = std::move(status);
  changed_.NotifyAll();
  room_.NotifyAll();
}

}  // namespace coterie::net

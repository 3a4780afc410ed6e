#include "net/http2_server.h"

#include <algorithm>

#include "base/assert.h"
#include "net/server_call.h"

namespace coterie::net {
namespace {

constexpr std::size_t kWriteBytes = 256u << 10;
constexpr std::size_t kPooledCallsMax = 256;
// Frames that wait for a peer that does not read; past it the peer is not read either.
constexpr std::size_t kQueuedFramesMax = 4096;
// Announced beyond the bound: clients wait in silence for ever at what is announced, and are told
// an error at the bound.
constexpr std::size_t kStreamsHeadroom = 1024;

Http2Options OptionsOf(const HttpLimits& limits) {
  Http2Options options;
  options.server = true;
  options.streams_max = limits.streams_max + kStreamsHeadroom;
  options.header_bytes_max = limits.header_bytes_max;
  return options;
}

ServerCall& CallOf(Http2Stream& stream) { return static_cast<ServerCall&>(stream); }

}  // namespace

Http2ServerConnection::Http2ServerConnection(ServerShared& shared, std::function<void()> flush,
                                             std::function<std::size_t()> in_flight)
    : shared_(shared),
      flush_(std::move(flush)),
      in_flight_(std::move(in_flight)),
      session_(OptionsOf(shared.limits), *this) {}

Http2ServerConnection::~Http2ServerConnection() {
  while (runtime::ListNode* node = open_.front()) {
    auto* call = static_cast<ServerCall*>(static_cast<Http2Stream*>(node));
    call->Stop();
    session_.Forget(*call);
    delete call;
  }
  COT_ASSERT(running_ == 0);
}

bool Http2ServerConnection::OnInput(std::string_view bytes) {
  received_ = true;
  if (!session_.Receive(bytes, shared_.world.Now())) ended_ = true;
  StartReady();
  return !ended_;
}

void Http2ServerConnection::Produce(std::string& out) { session_.Produce(out, kWriteBytes); }

bool Http2ServerConnection::wants_input() const {
  if (in_flight_() == 0) return true;
  // The peer does not take what we send. Reading on would only grow what waits for it.
  return !OverSendBound() && session_.queued_frames() < kQueuedFramesMax;
}

bool Http2ServerConnection::finished() const {
  return session_.Finished() || (draining_ && open_count_ == 0 && !session_.WantsToSend());
}

void Http2ServerConnection::OnWritten() { StartReady(); }

void Http2ServerConnection::Drain() {
  if (draining_) return;
  draining_ = true;
  session_.Goaway(Http2Error::kNone);
  Flush();
}

void Http2ServerConnection::Ping() {
  session_.Ping();
  Flush();
}

/// Handlers wait while the connection holds more answers than it may: answers they would only add
/// to.
void Http2ServerConnection::StartReady() {
  while (!ended_ && !OverSendBound()) {
    runtime::ListNode* node = ready_.front();
    if (node == nullptr) return;
    node->Unlink();
    static_cast<ServerCall::ReadyNode*>(node)->call->Start();
  }
}

Http2Stream* Http2ServerConnection::OnOpened(std::int32_t) {
  if (draining_ || running_ >= shared_.limits.streams_max + kStreamsHeadroom) return nullptr;
  std::unique_ptr<ServerCall> call;
  if (pool_.empty()) {
    call = std::make_unique<ServerCall>(*this);
  } else {
    call = std::move(pool_.back());
    pool_.pop_back();
  }
  open_.PushBack(*call);
  ++open_count_;
  return call.release();
}

void Http2ServerConnection::OnHead(Http2Stream& stream, bool trailers) {
  if (!trailers) CallOf(stream).OnHead();
}

void Http2ServerConnection::OnBytes(Http2Stream& stream, std::string_view bytes) {
  CallOf(stream).OnBytes(bytes);
}

void Http2ServerConnection::OnRemoteEnded(Http2Stream& stream) { CallOf(stream).OnRemoteEnded(); }

void Http2ServerConnection::OnSent(Http2Stream& stream) { CallOf(stream).OnSent(); }

void Http2ServerConnection::OnWindow(Http2Stream& stream) { CallOf(stream).OnWindow(); }

void Http2ServerConnection::OnClosed(Http2Stream& stream, std::uint32_t) {
  COT_ASSERT(open_count_ > 0);
  std::unique_ptr<ServerCall> call(&CallOf(stream));
  call->Unlink();
  --open_count_;
  call->Stop();
  call->Recycle();
  if (pool_.size() < kPooledCallsMax) pool_.push_back(std::move(call));
}

}  // namespace coterie::net

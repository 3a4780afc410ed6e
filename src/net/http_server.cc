#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "net/http.h"
#include "net/http1_server.h"
#include "net/http2_server.h"
#include "net/transport.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One accepted connection: decides by its first bytes which protocol it speaks, then is that
/// protocol.
class ServerConnection final : public ByteProtocol {
 public:
  ServerConnection(ServerShared& shared, std::unique_ptr<runtime::Stream> stream)
      : shared_(shared),
        keepalive_(*this),
        arrival_(*this),
        idle_(*this),
        transport_(shared.world, std::move(stream), *this) {}

  runtime::Task<void> Run() {
    UpdateTimer();
    shared_.world.executor().Arm(keepalive_,
                                 shared_.world.Now() + shared_.limits.keepalive_interval);
    co_await transport_.Run();
  }

  void Drain() {
    draining_ = true;
    if (http2_) {
      http2_->Drain();
    } else if (http1_) {
      http1_->Drain();
    }
    transport_.ScheduleFlush();
    if (!inner()) transport_.Abort();
  }

  bool OnInput(std::string_view bytes) override {
    bool more = true;
    if (ByteProtocol* protocol = inner()) {
      more = protocol->OnInput(bytes);
    } else {
      more = Sniff(bytes);
    }
    UpdateTimer();
    return more;
  }
  bool OnEof() override { return inner() != nullptr && inner()->OnEof(); }
  void Produce(std::string& out) override {
    if (inner() != nullptr) inner()->Produce(out);
  }
  bool wants_input() const override { return inner() == nullptr || inner()->wants_input(); }
  bool finished() const override { return inner() != nullptr && inner()->finished(); }
  void OnWritten() override {
    inner()->OnWritten();
    UpdateTimer();
  }

 private:
  enum class Phase { kStart, kAwaitingRequest, kBusy, kIdle };

  struct KeepaliveTimer final : runtime::Timer {
    explicit KeepaliveTimer(ServerConnection& connection) : owner(connection) {}
    void Fire() override { owner.OnKeepalive(); }
    ServerConnection& owner;
  };
  struct ArrivalTimer final : runtime::Timer {
    explicit ArrivalTimer(ServerConnection& connection) : owner(connection) {}
    void Fire() override { owner.transport_.Abort(); }
    ServerConnection& owner;
  };
  struct IdleTimer final : runtime::Timer {
    explicit IdleTimer(ServerConnection& connection) : owner(connection) {}
    void Fire() override { owner.Drain(); }
    ServerConnection& owner;
  };

  /// A peer that vanished without a word would otherwise hold its calls for ever.
  void OnKeepalive() {
    if (!http2_) return;
    const HttpLimits& limits = shared_.limits;
    const bool heard = http2_->TakeReceived();
    if (!heard && ping_sent_) return transport_.Abort();
    ping_sent_ = !heard;
    if (ping_sent_) http2_->Ping();
    const Duration wait = ping_sent_ ? limits.keepalive_timeout : limits.keepalive_interval;
    shared_.world.executor().Arm(keepalive_, shared_.world.Now() + wait);
  }

  ByteProtocol* inner() const {
    if (http2_) return http2_.get();
    return http1_.get();
  }

  bool Sniff(std::string_view bytes) {
    head_.append(bytes);
    const std::size_t compared = std::min(head_.size(), kPreface.size());
    const auto flush = [this] { transport_.ScheduleFlush(); };
    if (std::string_view(head_).substr(0, compared) != kPreface.substr(0, compared)) {
      http1_ = std::make_unique<Http1ServerConnection>(shared_, flush);
    } else if (compared == kPreface.size()) {
      http2_ = std::make_unique<Http2ServerConnection>(shared_, flush,
                                                       [this] { return transport_.in_flight(); });
    } else {
      return true;
    }
    const std::string head = std::exchange(head_, {});
    const bool more = inner()->OnInput(head);
    if (draining_) Drain();
    return more;
  }

  Phase CurrentPhase() const {
    if (http2_) return http2_->open_calls() > 0 ? Phase::kBusy : Phase::kIdle;
    if (!http1_) return Phase::kAwaitingRequest;
    if (http1_->busy()) return Phase::kBusy;
    return http1_->mid_request() ? Phase::kAwaitingRequest : Phase::kIdle;
  }

  /// A peer has a bounded time for each request's arrival, however slowly it drips, and for doing
  /// nothing.
  void UpdateTimer() {
    const Phase phase = CurrentPhase();
    if (phase == phase_ && phase != Phase::kIdle) return;
    phase_ = phase;
    const Instant now = shared_.world.Now();
    if (phase == Phase::kAwaitingRequest) {
      shared_.world.executor().Arm(arrival_, now + shared_.limits.handshake_timeout);
    } else {
      shared_.world.executor().Disarm(arrival_);
    }
    if (phase == Phase::kIdle && shared_.limits.idle_timeout > Duration::zero()) {
      shared_.world.executor().Arm(idle_, now + shared_.limits.idle_timeout);
    } else {
      shared_.world.executor().Disarm(idle_);
    }
  }

  ServerShared& shared_;
  KeepaliveTimer keepalive_;
  ArrivalTimer arrival_;  // of a request that has not come whole
  IdleTimer idle_;
  bool ping_sent_ = false;
  Transport transport_;
  std::string head_;  // what came before the protocol was known
  Phase phase_ = Phase::kStart;
  bool draining_ = false;
  std::unique_ptr<Http1ServerConnection> http1_;
  std::unique_ptr<Http2ServerConnection> http2_;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(runtime::World& world, HttpLimits limits, const GrpcMethods& methods, HttpHandler http)
      : shared_{world, limits, methods, std::move(http)}, ended_(world.executor()) {}

  ~Impl() {
    acceptors_.Cancel();
    connections_.Cancel();
  }

  void Serve(std::unique_ptr<runtime::Listener> listener) {
    acceptors_.Spawn(Accept(std::move(listener)));
  }

  runtime::Task<void> Drain(Instant deadline) {
    acceptors_.Cancel();
    draining_ = true;
    // Draining aborts connections that have not said anything yet, which only queues their end.
    for (ServerConnection* connection : Open()) connection->Drain();
    while (connections_.size() > 0) {
      const bool in_time = co_await ended_.WaitUntil(deadline);
      if (!in_time) break;
    }
  }

  std::size_t connections() const { return connections_.size(); }
  std::uint64_t requests() const { return shared_.requests; }

 private:
  std::vector<ServerConnection*> Open() { return open_; }

  runtime::Task<void> Accept(std::unique_ptr<runtime::Listener> listener) {
    for (;;) {
      Result<std::unique_ptr<runtime::Stream>> stream = co_await listener->Accept();
      if (!stream) {
        shared_.world.log().Warn("net", "accept at {}: {}", ToText(listener->local()),
                                 Describe(stream.error()));
        if (stream.error().code == ErrorCode::kConnectionClosed) co_return;
        co_await runtime::Sleep(shared_.world.executor(),
                                100ms);  // out of descriptors, most likely
        continue;
      }
      if (connections_.size() >= shared_.limits.connections_max) {
        shared_.world.log().Debug("net", "refused a connection: {} are open", connections_.size());
        continue;
      }
      connections_.Spawn(ServeConnection(std::move(*stream)));
    }
  }

  runtime::Task<void> ServeConnection(std::unique_ptr<runtime::Stream> stream) {
    const Leave leave(*this);
    ServerConnection connection(shared_, std::move(stream));
    open_.push_back(&connection);
    const Registration registration(open_, &connection);
    co_await connection.Run();
  }

  /// Takes the connection out of the list when its frame ends or is destroyed.
  struct Registration {
    Registration(std::vector<ServerConnection*>& open, ServerConnection* which)
        : open_(open), which_(which) {}
    Registration(const Registration&) = delete;
    ~Registration() { std::erase(open_, which_); }
    std::vector<ServerConnection*>& open_;
    ServerConnection* which_;
  };
  struct Leave {
    explicit Leave(Impl& owner) : owner_(owner) {}
    Leave(const Leave&) = delete;
    ~Leave() { owner_.ended_.NotifyAll(); }
    Impl& owner_;
  };

  ServerShared shared_;
  bool draining_ = false;
  runtime::Notification ended_;
  std::vector<ServerConnection*> open_;
  runtime::Scope acceptors_;
  runtime::Scope connections_;
};

HttpServer::HttpServer(runtime::World& world, HttpLimits limits, const GrpcMethods& methods,
                       HttpHandler http)
    : impl_(std::make_unique<Impl>(world, limits, methods, std::move(http))) {}
HttpServer::~HttpServer() = default;

void HttpServer::Serve(std::unique_ptr<runtime::Listener> listener) {
  impl_->Serve(std::move(listener));
}
runtime::Task<void> HttpServer::Drain(Instant deadline) { return impl_->Drain(deadline); }
std::size_t HttpServer::connections() const { return impl_->connections(); }
std::uint64_t HttpServer::requests() const { return impl_->requests(); }

}  // namespace coterie::net

#include "runtime/sim/sim_sockets.h"

namespace coterie::runtime {
namespace {

constexpr Duration kFirstRetry = 1s;  // of an unanswered SYN; doubles [RFC 6298 §2]

}  // namespace

SimListener::SimListener(Fabric& fabric, SimExecutor& executor, Address local)
    : fabric_(fabric),
      executor_(executor),
      local_(std::move(local)),
      backlog_(std::make_shared<Inbox<std::unique_ptr<Stream>>>(executor)) {
  fabric_.listeners.emplace(local_, this);
  ++fabric_.open_sockets[executor_.node()];
}

SimListener::~SimListener() {
  fabric_.listeners.erase(local_);
  backlog_->Close();
  --fabric_.open_sockets[executor_.node()];
}

Task<Result<std::unique_ptr<Stream>>> SimListener::Accept() {
  const auto backlog = backlog_;
  auto stream = co_await backlog->Next();
  co_return stream;
}

void SimListener::Establish(std::unique_ptr<Stream> stream) {
  COT_ASSERT(!full());
  backlog_->Put(std::move(stream));
}

SimDatagramSocket::SimDatagramSocket(Fabric& fabric, SimExecutor& executor, Address local)
    : fabric_(fabric),
      executor_(executor),
      local_(std::move(local)),
      queue_(std::make_shared<Inbox<Datagram>>(executor)) {
  fabric_.sockets.emplace(local_, this);
  ++fabric_.open_sockets[executor_.node()];
}

SimDatagramSocket::~SimDatagramSocket() {
  fabric_.sockets.erase(local_);
  queue_->Close();
  --fabric_.open_sockets[executor_.node()];
}

Task<Result<Datagram>> SimDatagramSocket::Receive() {
  const auto queue = queue_;
  auto datagram = co_await queue->Next();
  co_return datagram;
}

Status SimDatagramSocket::Send(const Address& to, std::string_view payload) {
  if (payload.size() > kPayloadMax) {
    return Fail(ErrorCode::kTooLarge, "a datagram holds at most 1400 bytes");
  }
  fabric_.SendPacket(executor_.node(), Datagram{local_, std::string(payload)}, to);
  return Ok();
}

void SimDatagramSocket::Deliver(Datagram datagram) {
  if (queue_->size() < kQueuedMax) queue_->Put(std::move(datagram));
}

Result<Address> SimNetwork::OwnAddress(const Address& at) const {
  const std::uint32_t self = executor_.node();
  const bool any = at.host == "0.0.0.0" || at.host == "::";
  if (!any && fabric_.NodeAt(at.host, self) != self) {
    return Fail(ErrorCode::kInvalidArgument, at.host + " is not an address of this node");
  }
  Address own{fabric_.HostOf(self), at.port};
  if (own.port == 0) own.port = fabric_.FreePort(self);
  if (own.port == 0) return Fail(ErrorCode::kAddressInUse, "no port is free");
  return own;
}

Result<std::unique_ptr<Listener>> SimNetwork::Listen(const Address& at) {
  COT_ASSIGN(Address own, OwnAddress(at));
  if (fabric_.listeners.contains(own)) return Fail(ErrorCode::kAddressInUse, ToText(own));
  return std::make_unique<SimListener>(fabric_, executor_, std::move(own));
}

Result<std::unique_ptr<DatagramSocket>> SimNetwork::Bind(const Address& at) {
  COT_ASSIGN(Address own, OwnAddress(at));
  if (fabric_.sockets.contains(own)) return Fail(ErrorCode::kAddressInUse, ToText(own));
  return std::make_unique<SimDatagramSocket>(fabric_, executor_, std::move(own));
}

Task<Result<std::unique_ptr<Stream>>> SimNetwork::Connect(Address to, Duration timeout) {
  Fabric& fabric = fabric_;
  SimExecutor& executor = executor_;
  const std::uint32_t self = executor.node();
  const Instant deadline = executor.Now() + timeout;
  const std::uint32_t target = fabric.NodeAt(to.host, self);
  if (target != 0) to.host = fabric.HostOf(target);
  for (Duration retry = kFirstRetry;; retry *= 2) {
    const Instant next_try = executor.Now() + retry;
    if (target != 0) {
      co_await Sleep(executor, fabric.DrawDelay(self, target, true));
      const bool heard = !fabric.IsCut(self, target) && !fabric.IsCut(target, self);
      if (heard && fabric.powered(target)) {
        co_await Sleep(executor, fabric.DrawDelay(target, self, true));
        if (executor.Now() > deadline) break;
        const auto listener = fabric.listeners.find(to);
        if (listener == fabric.listeners.end()) {
          fabric.trace().Note(fabric.scheduler().now(), self, EventKind::kRefuse, target);
          co_return Fail(ErrorCode::kConnectFailed, ToText(to) + ": connection refused");
        }
        if (!listener->second->full()) {
          fabric.trace().Note(fabric.scheduler().now(), self, EventKind::kConnect, target, to.port);
          SimExecutor& server = listener->second->executor();
          const Connection::Ref connection(new Connection(
              fabric, executor, {fabric.HostOf(self), fabric.FreePort(self)}, server, to));
          listener->second->Establish(std::make_unique<SimStream>(connection, 1, server));
          co_return std::make_unique<SimStream>(connection, 0, executor);
        }
      }
    }
    if (executor.Now() >= deadline) break;
    co_await SleepUntil(executor, std::min(next_try, deadline));
    if (executor.Now() >= deadline) break;
  }
  co_return Fail(ErrorCode::kConnectFailed, ToText(to) + ": timed out");
}

}  // namespace coterie::runtime

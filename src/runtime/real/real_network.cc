#include "runtime/real/real_network.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace coterie::runtime {
namespace {

constexpr int kBacklog = 1024;
constexpr std::size_t kDatagramBytesMax = 1400;
constexpr Duration kAcceptRetry = 50ms;

void SetNoDelay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/// A bound socket of `type`. Errors: kAddressInUse, kInvalidArgument, kIo.
Result<Socket::Ref> BoundSocket(Reactor& reactor, const Address& at, int type) {
  sockaddr_storage storage;
  const std::uint32_t length = ToSockaddr(at, storage);
  if (length == 0) return Fail(ErrorCode::kInvalidArgument, at.host + " is not an IP address");
  const int fd = ::socket(storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Fail(ErrorCode::kIo, std::string("socket: ") + std::strerror(errno));
  if (type == SOCK_STREAM) {
    const int on = 1;  // not SO_REUSEPORT: a second listener must fail
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  int error = ::bind(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0 ? 0 : errno;
  if (error == 0 && type == SOCK_STREAM) error = ::listen(fd, kBacklog) == 0 ? 0 : errno;
  if (error == 0) return Socket::Adopt(reactor, fd);
  ::close(fd);
  const std::string message = ToText(at) + ": " + std::strerror(error);
  if (error == EADDRINUSE) return Fail(ErrorCode::kAddressInUse, message);
  if (error == EADDRNOTAVAIL) return Fail(ErrorCode::kInvalidArgument, message);
  return Fail(ErrorCode::kIo, message);
}

class RealListener final : public Listener {
 public:
  RealListener(Socket::Ref socket, Logger& log)
      : socket_(std::move(socket)), local_(LocalAddress(socket_->fd())), log_(log) {}
  ~RealListener() override { socket_->Close(); }
  Task<Result<std::unique_ptr<Stream>>> Accept() override;
  Address local() const override { return local_; }

 private:
  Socket::Ref socket_;
  Address local_;
  Logger& log_;
};

bool OutOfDescriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

Task<Result<std::unique_ptr<Stream>>> RealListener::Accept() {
  const Socket::Ref listening = socket_;
  Logger& log = log_;
  for (;;) {
    co_await Socket::Turn(*listening, Socket::kRead);
    if (listening->closed()) co_return Fail(ErrorCode::kConnectionClosed, "listener closed");
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    const int fd = ::accept4(listening->fd(), address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    const int error = fd >= 0 ? 0 : errno;
    if (fd >= 0) {
      SetNoDelay(fd);
      auto socket = Socket::Adopt(listening->reactor(), fd);
      if (!socket) continue;  // the epoll set is full: the peer sees a reset
      co_return std::make_unique<RealStream>(std::move(*socket), FromSockaddr(address));
    }
    if (error == EAGAIN) {
      listening->Exhausted(Socket::kRead);
      co_await Socket::Wait(*listening, Socket::kRead);
    } else if (OutOfDescriptors(error)) {
      // The connection stays in the backlog; no further edge announces it.
      log.Warn("runtime", "accept: {}; trying again", std::strerror(error));
      co_await Sleep(listening->reactor(), kAcceptRetry);
    }
    // Anything else is the failed connection's own error [accept(2)]: take the next one.
  }
}

class RealDatagramSocket final : public DatagramSocket {
 public:
  explicit RealDatagramSocket(Socket::Ref socket) : socket_(std::move(socket)) {}
  ~RealDatagramSocket() override { socket_->Close(); }
  Task<Result<Datagram>> Receive() override;
  Status Send(const Address& to, std::string_view payload) override;

 private:
  Socket::Ref socket_;
};

Task<Result<Datagram>> RealDatagramSocket::Receive() {
  const Socket::Ref socket = socket_;
  for (;;) {
    co_await Socket::Turn(*socket, Socket::kRead);
    if (socket->closed()) co_return Fail(ErrorCode::kConnectionClosed, "closed here");
    char buffer[2048];
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    const ssize_t got =
        ::recvfrom(socket->fd(), buffer, sizeof buffer, MSG_TRUNC, address, &length);
    if (got > static_cast<ssize_t>(kDatagramBytesMax)) continue;  // not one of ours
    if (got >= 0) {
      co_return Datagram{FromSockaddr(address), std::string(buffer, static_cast<std::size_t>(got))};
    }
    if (errno != EAGAIN) continue;  // an ICMP error about an earlier Send
    socket->Exhausted(Socket::kRead);
    co_await Socket::Wait(*socket, Socket::kRead);
  }
}

Status RealDatagramSocket::Send(const Address& to, std::string_view payload) {
  if (payload.size() > kDatagramBytesMax) {
    return Fail(ErrorCode::kTooLarge, "a datagram holds at most 1400 bytes");
  }
  if (socket_->closed()) return Fail(ErrorCode::kConnectionClosed, "closed here");
  sockaddr_storage storage;
  const std::uint32_t length = ToSockaddr(to, storage);
  if (length == 0) return Fail(ErrorCode::kInvalidArgument, to.host + " is not an IP address");
  // A datagram that the kernel will not take now is one that was lost.
  ::sendto(socket_->fd(), payload.data(), payload.size(), MSG_NOSIGNAL,
           reinterpret_cast<sockaddr*>(&storage), length);
  return Ok();
}

}  // namespace

Result<std::unique_ptr<Listener>> RealNetwork::Listen(const Address& at) {
  COT_ASSIGN(Socket::Ref socket, BoundSocket(reactor_, at, SOCK_STREAM));
  return std::make_unique<RealListener>(std::move(socket), log_);
}

Result<std::unique_ptr<DatagramSocket>> RealNetwork::Bind(const Address& at) {
  COT_ASSIGN(Socket::Ref socket, BoundSocket(reactor_, at, SOCK_DGRAM));
  return std::make_unique<RealDatagramSocket>(std::move(socket));
}

Task<Result<std::unique_ptr<Stream>>> RealNetwork::Connect(Address to, Duration timeout) {
  const Instant deadline = reactor_.Now() + timeout;
  const auto failed = [](const Address& at, int error) {
    return Fail(ErrorCode::kConnectFailed, ToText(at) + ": " + std::strerror(error));
  };
  sockaddr_storage storage;
  const std::uint32_t length = ToSockaddr(to, storage);
  if (length == 0) co_return Fail(ErrorCode::kConnectFailed, to.host + " is not an IP address");
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return failed(to, errno);
  SetNoDelay(fd);
  const int connected = ::connect(fd, reinterpret_cast<sockaddr*>(&storage), length);
  if (connected != 0 && errno != EINPROGRESS) {
    const int error = errno;
    ::close(fd);
    co_return failed(to, error);
  }
  COT_CO_ASSIGN(const Socket::Ref socket, Socket::Adopt(reactor_, fd));
  if (connected != 0) {
    socket->Exhausted(Socket::kWrite);
    const bool in_time = co_await Socket::Wait(*socket, Socket::kWrite, deadline);
    if (!in_time) {
      socket->Close();
      co_return failed(to, ETIMEDOUT);
    }
  }
  int error = 0;
  socklen_t error_length = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_length);
  // TCP connects a socket to itself when the port asked for happens to be the ephemeral one it got.
  if (error == 0 && LocalAddress(fd) == PeerAddress(fd)) error = ECONNREFUSED;
  if (error != 0) {
    socket->Close();
    co_return failed(to, error);
  }
  co_return std::make_unique<RealStream>(socket, std::move(to));
}

}  // namespace coterie::runtime

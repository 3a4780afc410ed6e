#include "runtime/real/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace coterie::runtime {

Result<Socket::Ref> Socket::Adopt(Reactor& reactor, int fd) {
  COT_ASSERT(fd >= 0);
  Ref socket(new Socket(reactor, fd));
  COT_TRY(reactor.Watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *socket));
  return socket;
}

void Socket::Close() {
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  for (SideState& side : sides_) Wake(side);
}

void Socket::Wake(SideState& side) {
  side.ready = true;
  if (side.waiter == nullptr) return;
  reactor_.Post(std::exchange(side.waiter, nullptr)->resumer_);
}

void Socket::OnEvents(std::uint32_t events) {
  constexpr std::uint32_t kEnded = EPOLLHUP | EPOLLERR;
  if ((events & (EPOLLRDHUP | kEnded)) != 0) peer_ended_ = true;
  if ((events & (EPOLLIN | EPOLLRDHUP | kEnded)) != 0) Wake(sides_[kRead]);
  if ((events & (EPOLLOUT | kEnded)) != 0) Wake(sides_[kWrite]);
}

void Socket::Wait::await_suspend(std::coroutine_handle<> awaiting) {
  SideState& side = socket_.sides_[side_];
  COT_ASSERT(side.waiter == nullptr);  // one operation of a kind at a time
  side.tries = 0;
  side.waiter = this;
  resumer_.handle = awaiting;
  if (deadline_) socket_.reactor_.Arm(*this, *deadline_);
}

void Socket::Wait::Fire() {
  if (socket_.sides_[side_].waiter != this) return;  // woken this turn: the resumption follows
  socket_.sides_[side_].waiter = nullptr;
  timed_out_ = true;
  resumer_.handle.resume();
}

std::uint32_t ToSockaddr(const Address& address, sockaddr_storage& out) {
  std::memset(&out, 0, sizeof out);
  auto& v4 = reinterpret_cast<sockaddr_in&>(out);
  if (::inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  if (::inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    return sizeof v6;
  }
  return 0;
}

Address FromSockaddr(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    return {text, ntohs(v4->sin_port)};
  }
  if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return {text, ntohs(v6->sin6_port)};
  }
  return {};
}

Address LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return FromSockaddr(reinterpret_cast<sockaddr*>(&storage));
}

Address PeerAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return FromSockaddr(reinterpret_cast<sockaddr*>(&storage));
}

}  // namespace coterie::runtime

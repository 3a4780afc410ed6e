#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "runtime/real/real_network.h"

namespace coterie::runtime {

Task<Result<std::size_t>> RealStream::Read(std::span<char> into) {
  COT_ASSERT(!into.empty());
  const Socket::Ref socket = socket_;
  for (;;) {
    co_await Socket::Turn(*socket, Socket::kRead);
    if (socket->closed()) co_return Fail(ErrorCode::kConnectionClosed, "closed here");
    if (socket->ready(Socket::kRead)) {
      const ssize_t got = ::recv(socket->fd(), into.data(), into.size(), 0);
      if (got >= 0) {
        if (static_cast<std::size_t>(got) < into.size()) socket->ShortRead();
        co_return static_cast<std::size_t>(got);
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return Fail(ErrorCode::kConnectionClosed, std::strerror(errno));
      socket->Exhausted(Socket::kRead);
    }
    co_await Socket::Wait(*socket, Socket::kRead);
  }
}

Task<Status> RealStream::Write(std::string data) {
  const Socket::Ref socket = socket_;
  std::size_t sent = 0;
  while (sent < data.size()) {
    co_await Socket::Turn(*socket, Socket::kWrite);
    if (socket->closed()) co_return FailUnknown(ErrorCode::kConnectionClosed, "closed here");
    if (socket->ready(Socket::kWrite)) {
      const ssize_t n = ::send(socket->fd(), data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
      if (n >= 0) {
        sent += static_cast<std::size_t>(n);
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN)
        co_return FailUnknown(ErrorCode::kConnectionClosed, std::strerror(errno));
      socket->Exhausted(Socket::kWrite);
    }
    co_await Socket::Wait(*socket, Socket::kWrite);
  }
  co_return Ok();
}

void RealStream::ShutdownWrite() {
  if (!socket_->closed()) ::shutdown(socket_->fd(), SHUT_WR);
}

}  // namespace coterie::runtime

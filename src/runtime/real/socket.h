#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "runtime/network.h"
#include "runtime/real/reactor.h"

struct sockaddr;
struct sockaddr_storage;

namespace coterie::runtime {

/// A non-blocking socket in the reactor's epoll set, edge-triggered for both directions: it is
/// tried at once, and waited for only after it said EAGAIN. Shared by its owner and by the frames
/// of operations under way, so that the owner may be destroyed while they wait; they then find it
/// closed.
class Socket final : public Pollable {
 public:
  enum Side { kRead = 0, kWrite = 1 };
  /// Operations that succeed at once in a row, per side, before the task yields to the others.
  static constexpr int kTurnMax = 16;

  class Ref {
   public:
    Ref() = default;
    explicit Ref(Socket* socket) : socket_(socket) { ++socket_->references_; }
    Ref(const Ref& other) : socket_(other.socket_) {
      if (socket_ != nullptr) ++socket_->references_;
    }
    Ref(Ref&& other) noexcept : socket_(std::exchange(other.socket_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
      std::swap(socket_, other.socket_);
      return *this;
    }
    ~Ref() {
      if (socket_ != nullptr && --socket_->references_ == 0) delete socket_;
    }
    Socket* operator->() const { return socket_; }
    Socket& operator*() const { return *socket_; }

   private:
    Socket* socket_ = nullptr;
  };

  /// Takes over `fd`, non-blocking; closes it if it cannot be watched. Errors: kIo.
  static Result<Ref> Adopt(Reactor& reactor, int fd);

  int fd() const { return fd_; }
  bool closed() const { return fd_ < 0; }
  Reactor& reactor() { return reactor_; }
  bool ready(Side side) const { return sides_[side].ready; }
  /// The last call on `side` found nothing to do: wait for an edge.
  void Exhausted(Side side) { sides_[side].ready = false; }
  /// A receive that filled less than its buffer has emptied the socket, unless the peer's end is
  /// known to wait behind the bytes: then no further edge would come.
  void ShortRead() {
    if (!peer_ended_) sides_[kRead].ready = false;
  }
  /// Closes the descriptor; operations under way are resumed and see closed().
  void Close();
  void OnEvents(std::uint32_t events) override;

  /// `co_await socket.Wait(side)`: resumes when the side may be ready or the socket is closed;
  /// false if `deadline` came first.
  class [[nodiscard]] Wait final : public Timer {
   public:
    Wait(Socket& socket, Side side, std::optional<Instant> deadline = std::nullopt)
        : socket_(socket), side_(side), deadline_(deadline) {}
    ~Wait() {
      if (socket_.sides_[side_].waiter == this) socket_.sides_[side_].waiter = nullptr;
    }
    bool await_ready() const { return socket_.closed() || socket_.ready(side_); }
    void await_suspend(std::coroutine_handle<> awaiting);
    bool await_resume() const { return !timed_out_; }
    void Fire() override;

   private:
    friend class Socket;
    Socket& socket_;
    Side side_;
    bool timed_out_ = false;
    std::optional<Instant> deadline_;
    Resumer resumer_;
  };

  /// `co_await socket.Turn(side)` before each try: yields when this side has had kTurnMax tries in
  /// a row without waiting.
  class [[nodiscard]] Turn {
   public:
    Turn(Socket& socket, Side side) : socket_(socket), side_(side) {}
    bool await_ready() const { return ++socket_.sides_[side_].tries <= kTurnMax; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      socket_.sides_[side_].tries = 0;
      resumer_.handle = awaiting;
      socket_.reactor_.Post(resumer_);
    }
    void await_resume() const noexcept {}

   private:
    Socket& socket_;
    Side side_;
    Resumer resumer_;
  };

 private:
  struct SideState {
    bool ready = true;  // until a call says otherwise
    int tries = 0;
    Wait* waiter = nullptr;
  };

  Socket(Reactor& reactor, int fd) : reactor_(reactor), fd_(fd) {}
  ~Socket() { Close(); }
  void Wake(SideState& side);

  Reactor& reactor_;
  int fd_;
  int references_ = 0;
  bool peer_ended_ = false;
  SideState sides_[2];
};

/// The binary form of `address`; its length, or 0 if the host is not an IP literal.
std::uint32_t ToSockaddr(const Address& address, sockaddr_storage& out);
Address FromSockaddr(const sockaddr* address);
Address LocalAddress(int fd);
Address PeerAddress(int fd);

}  // namespace coterie::runtime

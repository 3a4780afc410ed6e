#pragma once

#include "base/log.h"
#include "runtime/network.h"
#include "runtime/real/reactor.h"
#include "runtime/real/socket.h"

namespace coterie::runtime {

/// A connected TCP socket as a Stream.
class RealStream final : public Stream {
 public:
  RealStream(Socket::Ref socket, Address peer)
      : socket_(std::move(socket)), peer_(std::move(peer)) {}
  ~RealStream() override { socket_->Close(); }
  Task<Result<std::size_t>> Read(std::span<char> into) override;
  Task<Status> Write(std::string data) override;
  void ShutdownWrite() override;
  void Close() override { socket_->Close(); }
  Address peer() const override { return peer_; }

 private:
  Socket::Ref socket_;
  Address peer_;
};

/// Sockets of the machine: TCP without Nagle's delay, UDP.
class RealNetwork final : public Network {
 public:
  RealNetwork(Reactor& reactor, Logger& log) : reactor_(reactor), log_(log) {}
  Result<std::unique_ptr<Listener>> Listen(const Address& at) override;
  Task<Result<std::unique_ptr<Stream>>> Connect(Address to, Duration timeout) override;
  Result<std::unique_ptr<DatagramSocket>> Bind(const Address& at) override;

 private:
  Reactor& reactor_;
  Logger& log_;
};

}  // namespace coterie::runtime

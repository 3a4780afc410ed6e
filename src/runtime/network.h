#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "base/time.h"
#include "runtime/task.h"

namespace coterie::runtime {

/// An IPv4 or IPv6 literal and a port. Names are resolved by callers, not here.
struct Address {
  std::string host;
  std::uint16_t port = 0;
  friend bool operator==(const Address&, const Address&) = default;
  friend auto operator<=>(const Address&, const Address&) = default;
};
/// "127.0.0.1:2379"; "[::1]:2379".
std::string ToText(const Address& address);
/// The inverse; error kInvalidArgument.
Result<Address> ParseAddress(std::string_view text);

/// A reliable ordered byte stream. One Read and one Write may be under way at the same time, no two
/// of a kind. Destroying it closes it.
class Stream {
 public:
  virtual ~Stream() = default;
  /// Reads at least one byte into `into`, as many as are there; 0 means the peer ended its side.
  /// `into` must stay valid until it answers or the awaiting frame is destroyed.
  virtual Task<Result<std::size_t>> Read(std::span<char> into) = 0;
  /// Answers when every byte is handed to the transport (not: received). Errors mean the stream is
  /// dead.
  virtual Task<Status> Write(std::string data) = 0;
  /// Ends our side after what was written; reading goes on.
  virtual void ShutdownWrite() = 0;
  /// Ends both sides at once; a Read or Write under way answers kConnectionClosed.
  virtual void Close() = 0;
  virtual Address peer() const = 0;
  /// It was accepted out of the descriptors that are kept back for the node itself: a door refuses
  /// it in its protocol's words, and closes it.
  virtual bool out_of_reserve() const { return false; }
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual Task<Result<std::unique_ptr<Stream>>> Accept() = 0;
  /// Where it listens, with the real port if 0 was asked.
  virtual Address local() const = 0;
};

struct Datagram {
  Address from;
  std::string payload;
};

class DatagramSocket {
 public:
  virtual ~DatagramSocket() = default;
  virtual Task<Result<Datagram>> Receive() = 0;
  /// Sends or drops; never blocks. Payloads over 1400 bytes are refused (kTooLarge).
  virtual Status Send(const Address& to, std::string_view payload) = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  /// Errors: kAddressInUse, kInvalidArgument (not an address of this machine), kIo.
  virtual Result<std::unique_ptr<Listener>> Listen(const Address& at) = 0;
  /// Errors: kConnectFailed (refused, unreachable, or no answer within `timeout`).
  virtual Task<Result<std::unique_ptr<Stream>>> Connect(Address to, Duration timeout) = 0;
  virtual Result<std::unique_ptr<DatagramSocket>> Bind(const Address& at) = 0;
};

}  // namespace coterie::runtime

#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "runtime/task.h"

namespace coterie::net {

/// gRPC's status codes, with their wire numbers.
enum class GrpcCode : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

struct GrpcStatus {
  GrpcCode code = GrpcCode::kOk;
  std::string message;
};
using GrpcReply = std::expected<std::string, GrpcStatus>;

using Headers = std::vector<std::pair<std::string, std::string>>;

/// A unary answer that is too large to be held whole: its message in parts. The handler then
/// answers with an empty string, which is not sent.
class GrpcParts {
 public:
  virtual ~GrpcParts() = default;
  /// The message has `bytes` bytes, at most 4 GiB, all of which follow. Once, before the first
  /// part.
  virtual void Begin(std::size_t bytes) = 0;
  /// Queues a part; answers when there is room for the next. False: the client has taken nothing
  /// for `patience`; the handler must end with an error, which ends the stream.
  virtual runtime::Task<bool> Part(std::string bytes, Duration patience) = 0;
};

/// What a handler may know of its call. Valid while the handler's frame lives.
struct GrpcContext {
  Instant deadline = Instant::max();  ///< from grpc-timeout
  std::string_view path;
  const Headers* headers = nullptr;  ///< lower-case names
  GrpcParts* parts = nullptr;        ///< of unary calls; nullptr: answers are taken whole
  /// The first value of a header, or "".
  std::string_view Header(std::string_view name) const;
};

/// A streaming call as its handler sees it. When the client cancels, the connection ends or the
/// deadline passes, the handler's frame is destroyed: it owns what it needs cleaned up.
class GrpcStream {
 public:
  virtual ~GrpcStream() = default;
  virtual const GrpcContext& context() const = 0;
  /// The next message; nullopt once the client has ended its side.
  virtual runtime::Task<std::optional<std::string>> Receive() = 0;
  /// Queues a message; answers when the stream's send buffer is under its bound again
  /// (back-pressure by the HTTP/2 window).
  virtual runtime::Task<void> Send(std::string message) = 0;
  /// Answers when a message may be made, and about how large it should be: the connection's queues
  /// are under their bound, or this stream's client takes what is sent.
  virtual runtime::Task<std::size_t> Room() = 0;
  /// Bytes queued and not yet taken by the transport.
  virtual std::size_t buffered() const = 0;
};

using UnaryHandler =
    std::function<runtime::Task<GrpcReply>(const GrpcContext&, std::string request)>;
using StreamHandler = std::function<runtime::Task<GrpcStatus>(GrpcStream&)>;

/// The methods a server serves, by path ("/etcdserverpb.KV/Range"). Filled before serving starts.
/// Unknown paths answer kUnimplemented.
class GrpcMethods {
 public:
  void Unary(std::string path, UnaryHandler handler);
  void Streaming(std::string path, StreamHandler handler);
  const UnaryHandler* FindUnary(std::string_view path) const;
  const StreamHandler* FindStreaming(std::string_view path) const;
  /// Whether any method is of this service ("etcdserverpb.KV").
  bool HasService(std::string_view service) const;

 private:
  std::map<std::string, UnaryHandler, std::less<>> unary_;
  std::map<std::string, StreamHandler, std::less<>> streaming_;
};

}  // namespace coterie::net

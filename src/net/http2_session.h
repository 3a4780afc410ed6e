#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"
#include "net/grpc.h"
#include "net/grpc_wire.h"
#include "runtime/executor.h"

struct nghttp2_session;

namespace coterie::net {

/// HTTP/2 error codes this room sends itself [RFC 9113 §7].
enum class Http2Error : std::uint32_t {
  kNone = 0x0,
  kProtocol = 0x1,
  kInternal = 0x2,
  kRefusedStream = 0x7,
  kCancel = 0x8,
  kEnhanceYourCalm = 0xb,
};

/// The header block of a request or answer. What gRPC itself uses is picked out on arrival; the
/// rest is in `headers`. A pooled head keeps its strings' memory.
struct MessageHead {
  std::string method;
  std::string path;
  int status = 0;  ///< answers only
  std::string content_type;
  std::string encoding;  ///< grpc-encoding
  std::optional<Duration> timeout;
  bool timeout_malformed = false;
  std::optional<int> grpc_status;
  std::string grpc_message;  ///< decoded
  Headers headers;
  std::size_t bytes = 0;   ///< as SETTINGS_MAX_HEADER_LIST_SIZE counts them
  bool too_large = false;  ///< over the session's bound; what came after is dropped

  void Clear();
};

/// One HTTP/2 stream, from its first HEADERS to its close. Owned by the session's owner; a list
/// node so that the owner can keep its open ones.
class Http2Stream : public runtime::ListNode {
 public:
  virtual ~Http2Stream() = default;
  enum class Ending : std::uint8_t { kOpen, kEndStream, kTrailers };

  std::int32_t id = 0;
  MessageHead head;
  OutQueue out;
  /// What follows the last byte of `out`. kTrailers sends `trailers` as grpc-status and
  /// grpc-message.
  Ending ending = Ending::kOpen;
  GrpcStatus trailers;
  bool headers_sent = false;  ///< our first HEADERS are submitted
  bool remote_ended = false;
  bool local_ended = false;    ///< END_STREAM or RST_STREAM is submitted
  std::size_t unconsumed = 0;  ///< bytes received and not yet given back to the windows
  bool working = false;        ///< a reset before our HEADERS throws work away

 protected:
  /// Back to a fresh stream, for pools. Requires: not linked.
  void ResetStream();

 private:
  friend class Http2Session;
  bool deferred_ = false;   // the transport waits for ResumeSending
  bool head_seen_ = false;  // the first header block is whole
};

/// What a session tells its owner, all from within Http2Session::Receive and Produce. The owner
/// must not destroy the session there.
class Http2Events {
 public:
  /// A peer opened stream `id` (servers only). nullptr refuses it.
  virtual Http2Stream* OnOpened(std::int32_t id) = 0;
  /// A header block is whole: the head, or later the trailers, which are merged into it.
  virtual void OnHead(Http2Stream& stream, bool trailers) = 0;
  /// Bytes to be given back with Consume sooner or later.
  virtual void OnBytes(Http2Stream& stream, std::string_view bytes) = 0;
  /// The peer ended its side.
  virtual void OnRemoteEnded(Http2Stream& stream) = 0;
  /// Some of `out` was taken by the transport.
  virtual void OnSent(Http2Stream& stream) = 0;
  /// The peer opened the stream's window further, or it is shut now.
  virtual void OnWindow(Http2Stream& stream) = 0;
  /// The stream is gone, with an HTTP/2 error code (0: regular end). Not used by the session again.
  virtual void OnClosed(Http2Stream& stream, std::uint32_t error) = 0;
  /// The peer will accept no new streams.
  virtual void OnGoaway() = 0;

 protected:
  ~Http2Events() = default;
};

struct Http2Options {
  bool server = true;
  std::size_t streams_max = 1024;  ///< announced
  std::size_t header_bytes_max = 64u << 10;
  std::uint32_t stream_window = 1u << 20;
  std::uint32_t connection_window = 16u << 20;
};

/// A header field to send. Fields of static storage are not copied.
struct HeaderField {
  std::string_view name;
  std::string_view value;
  bool is_static = false;
};

/// HTTP/2 as a codec: bytes in, bytes out, no I/O and no clock. Bounds what a peer may cost: header
/// bytes, streams, and the rate of PING, of SETTINGS, and of RST_STREAM on calls that are being
/// worked on and have no answer yet (past it: GOAWAY ENHANCE_YOUR_CALM).
class Http2Session {
 public:
  Http2Session(const Http2Options& options, Http2Events& events);
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;
  ~Http2Session();

  /// False: the connection must end once what Produce still gives is sent.
  bool Receive(std::string_view bytes, Instant now);
  /// Appends what can be sent now, stopping soon after `bytes_max`.
  void Produce(std::string& out, std::size_t bytes_max);
  bool WantsToSend() const;
  /// Neither side will send anything any more.
  bool Finished() const;

  /// Opens a stream with a request whose body is `stream.out` (clients only). False: ids are used
  /// up.
  bool Request(Http2Stream& stream, std::span<const HeaderField> fields);
  /// Submits the answer's head. With `body`, `stream.out` follows as it is filled; else the stream
  /// ends.
  void Respond(Http2Stream& stream, std::span<const HeaderField> fields, bool body);
  /// Tells the transport that `out` or `ending` changed.
  void ResumeSending(Http2Stream& stream);
  void Reset(Http2Stream& stream, Http2Error error);
  /// Cuts the tie: events of this stream are no longer reported. For owners that destroy it early.
  void Forget(Http2Stream& stream);
  /// The peer takes nothing more of this stream for now, whatever else it takes.
  bool WindowShut(const Http2Stream& stream) const;
  /// Gives received bytes back to the stream's and the connection's windows.
  void Consume(Http2Stream& stream, std::size_t bytes);
  /// No new streams from now on; the open ones finish.
  void Goaway(Http2Error error);
  /// Frames submitted and not yet produced.
  std::size_t queued_frames() const;
  void Ping();
  /// Answers to Ping received so far.
  std::uint64_t pings_answered() const { return pings_answered_; }

 private:
  struct Callbacks;
  friend struct Callbacks;

  /// A token bucket: `burst` at once, then `per_second`.
  struct Rate {
    double burst;
    double per_second;
    double tokens = burst;
    Instant at{};
    bool Take(Instant now);
  };

  void Calm();

  Http2Options options_;
  Http2Events& events_;
  nghttp2_session* session_ = nullptr;
  std::string* produced_ = nullptr;  // during Produce
  std::size_t produced_max_ = 0;
  Instant now_{};
  bool doomed_ = false;
  Rate resets_{10000, 2000};
  Rate pings_{1000, 100};
  Rate settings_{100, 10};
  std::uint64_t pings_answered_ = 0;
};

}  // namespace coterie::net

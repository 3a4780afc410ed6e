#include "net/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/assert.h"

namespace coterie::net {
namespace {

constexpr std::size_t kFieldsMax = 64;
constexpr std::size_t kFieldOverhead = 32;  // [RFC 9113 §6.5.2]

std::uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
}

nghttp2_nv ToNv(const HeaderField& field) {
  const std::uint8_t flags = field.is_static
                                 ? NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE
                                 : NGHTTP2_NV_FLAG_NONE;
  return {Bytes(field.name), Bytes(field.value), field.name.size(), field.value.size(), flags};
}

std::size_t ToNvs(std::span<const HeaderField> fields, std::array<nghttp2_nv, kFieldsMax>& nvs) {
  COT_ASSERT(fields.size() <= kFieldsMax);
  for (std::size_t i = 0; i < fields.size(); ++i) nvs[i] = ToNv(fields[i]);
  return fields.size();
}

std::string_view StatusText(GrpcCode code) {
  static constexpr std::array<std::string_view, 17> kTexts{
      "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};
  const auto number = static_cast<std::size_t>(code);
  return number < kTexts.size() ? kTexts[number] : kTexts[2];
}

void StorePseudoHeader(MessageHead& head, std::string_view name, std::string_view value) {
  if (name == ":path") {
    head.path = value;
  } else if (name == ":method") {
    head.method = value;
  } else if (name == ":status") {
    std::from_chars(value.data(), value.data() + value.size(), head.status);
  }
}

/// True if the header is one that gRPC itself uses.
bool StoreGrpcHeader(MessageHead& head, std::string_view name, std::string_view value) {
  if (name == "grpc-timeout") {
    head.timeout = ParseGrpcTimeout(value);
    head.timeout_malformed = !head.timeout;
  } else if (name == "grpc-encoding") {
    head.encoding = value;
  } else if (name == "grpc-status") {
    int number = 2;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    head.grpc_status = error == std::errc{} && end == value.data() + value.size() ? number : 2;
  } else if (name == "grpc-message") {
    head.grpc_message = PercentDecode(value);
  } else {
    return name == "grpc-accept-encoding";
  }
  return true;
}

void StoreHeader(MessageHead& head, std::string_view name, std::string_view value) {
  if (name.empty()) return;  // HPACK can say it, HTTP cannot
  if (name.front() == ':') {
    StorePseudoHeader(head, name, value);
  } else if (name == "content-type") {
    head.content_type = value;
  } else if (name == "te") {
    return;
  } else if (!name.starts_with("grpc-") || !StoreGrpcHeader(head, name, value)) {
    head.headers.emplace_back(name, value);
  }
}

Http2Stream* StreamOf(nghttp2_session* session, std::int32_t id) {
  return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, id));
}

}  // namespace

void MessageHead::Clear() {
  method.clear();
  path.clear();
  status = 0;
  content_type.clear();
  encoding.clear();
  timeout.reset();
  timeout_malformed = false;
  grpc_status.reset();
  grpc_message.clear();
  headers.clear();
  bytes = 0;
  too_large = false;
}

void Http2Stream::ResetStream() {
  COT_ASSERT(!linked());
  id = 0;
  head.Clear();
  out.Clear();
  ending = Ending::kOpen;
  trailers = {};
  headers_sent = remote_ended = local_ended = deferred_ = head_seen_ = false;
  unconsumed = 0;
  working = false;
}

bool Http2Session::Rate::Take(Instant now) {
  const double seconds = std::chrono::duration<double>(now - at).count();
  tokens = std::min(burst, tokens + std::max(0.0, seconds) * per_second);
  at = now;
  if (tokens < 1) return false;
  tokens -= 1;
  return true;
}

/// nghttp2 calls back into C functions; their user data is the session.
struct Http2Session::Callbacks {
  static Http2Session& Self(void* user) { return *static_cast<Http2Session*>(user); }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Http2Stream* stream = Self(user).events_.OnOpened(frame->hd.stream_id);
    if (stream == nullptr) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    stream->id = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, stream->id, stream);
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame,
                      const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                      std::size_t value_size, std::uint8_t, void* user) {
    Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr || name_size == 0) return 0;
    MessageHead& head = stream->head;
    head.bytes += name_size + value_size + kFieldOverhead;
    if (head.bytes > Self(user).options_.header_bytes_max) {
      head.too_large = true;
      return 0;
    }
    StoreHeader(head, {reinterpret_cast<const char*>(name), name_size},
                {reinterpret_cast<const char*>(value), value_size});
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& self = Self(user);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA:
        return OnMessageFrame(self, StreamOf(session, frame->hd.stream_id), *frame);
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
          ++self.pings_answered_;
        } else if (!self.pings_.Take(self.now_)) {
          self.Calm();
        }
        break;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 && !self.settings_.Take(self.now_))
          self.Calm();
        break;
      case NGHTTP2_RST_STREAM:
        OnReset(self, StreamOf(session, frame->hd.stream_id));
        break;
      case NGHTTP2_WINDOW_UPDATE:
        if (Http2Stream* stream = StreamOf(session, frame->hd.stream_id)) {
          self.events_.OnWindow(*stream);
        }
        break;
      case NGHTTP2_GOAWAY:
        self.events_.OnGoaway();
        break;
      default:
        break;
    }
    return 0;
  }

  // Clients cancel as a habit, and what has its answer, or was never started, costs no more than a
  // call that ends by itself.
  static void OnReset(Http2Session& self, const Http2Stream* stream) {
    const bool wasteful = stream != nullptr && stream->working && !stream->headers_sent;
    if (self.options_.server && wasteful && !self.resets_.Take(self.now_)) self.Calm();
  }

  static int OnMessageFrame(Http2Session& self, Http2Stream* stream, const nghttp2_frame& frame) {
    if (stream == nullptr) return 0;
    if (frame.hd.type == NGHTTP2_HEADERS) {
      const bool interim =
          frame.headers.cat != NGHTTP2_HCAT_REQUEST && stream->head.status / 100 == 1;
      if (interim) {
        stream->head.Clear();
        return 0;
      }
      // A client's trailers arrive as a second block; so do a server's, after the answer's head.
      const bool trailers = frame.headers.cat == NGHTTP2_HCAT_HEADERS && stream->head_seen_;
      stream->head_seen_ = true;
      self.events_.OnHead(*stream, trailers);
    }
    if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      stream->remote_ended = true;
      self.events_.OnRemoteEnded(*stream);
    }
    return 0;
  }

  static int OnDataChunk(nghttp2_session* session, std::uint8_t, std::int32_t id,
                         const std::uint8_t* bytes, std::size_t size, void* user) {
    Http2Stream* stream = StreamOf(session, id);
    if (stream == nullptr) {
      nghttp2_session_consume(session, id, size);
      return 0;
    }
    stream->unconsumed += size;
    Self(user).events_.OnBytes(*stream, {reinterpret_cast<const char*>(bytes), size});
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, std::int32_t id, std::uint32_t error,
                           void* user) {
    Http2Stream* stream = StreamOf(session, id);
    if (stream == nullptr) return 0;
    if (stream->unconsumed > 0) nghttp2_session_consume_connection(session, stream->unconsumed);
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    stream->unconsumed = 0;
    stream->local_ended = true;
    Self(user).events_.OnClosed(*stream, error);
    return 0;
  }

  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& self = Self(user);
    const bool message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!message) return 0;
    Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream != nullptr && self.WindowShut(*stream)) self.events_.OnWindow(*stream);
    // Pings are cheap beside calls: a peer that is being served may ping as it likes.
    self.pings_.tokens = self.pings_.burst;
    if (!self.options_.server || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    if (stream == nullptr || stream->remote_ended) return 0;
    // A complete answer before the request's end: ask the client to stop sending [RFC 9113 §8.1].
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session* session, std::int32_t id, std::uint8_t*,
                          std::size_t length, std::uint32_t* flags, nghttp2_data_source*, void*) {
    Http2Stream* stream = StreamOf(session, id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const std::size_t available = stream->out.bytes();
    if (available == 0 && stream->ending == Http2Stream::Ending::kOpen) {
      stream->deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    const std::size_t count = std::min(available, length);
    if (count > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (count < available || stream->ending == Http2Stream::Ending::kOpen) {
      return static_cast<ssize_t>(count);
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->ending == Http2Stream::Ending::kTrailers) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      SubmitTrailers(session, *stream);
    }
    return static_cast<ssize_t>(count);
  }

  static void SubmitTrailers(nghttp2_session* session, Http2Stream& stream) {
    const std::string message = PercentEncode(stream.trailers.message);
    const nghttp2_nv nvs[] = {ToNv({"grpc-status", StatusText(stream.trailers.code), true}),
                              ToNv({"grpc-message", message})};
    nghttp2_submit_trailer(session, stream.id, nvs, message.empty() ? 1 : 2);
    stream.local_ended = true;
  }

  static int SendBody(nghttp2_session* session, nghttp2_frame* frame, const std::uint8_t* head,
                      std::size_t length, nghttp2_data_source*, void* user) {
    Http2Session& self = Self(user);
    Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    COT_ASSERT(self.produced_ != nullptr);
    COT_ASSERT(frame->data.padlen == 0);
    self.produced_->append(reinterpret_cast<const char*>(head), 9);
    stream->out.Take(length, *self.produced_);
    self.events_.OnSent(*stream);
    // Pausing ends the library's own loop, so that one write stays near its bound.
    return self.produced_->size() >= self.produced_max_ ? NGHTTP2_ERR_PAUSE : 0;
  }

  static nghttp2_session_callbacks* Table() {
    static nghttp2_session_callbacks* const table = [] {
      nghttp2_session_callbacks* made = nullptr;
      const int failed = nghttp2_session_callbacks_new(&made);
      COT_ASSERT(failed == 0);
      nghttp2_session_callbacks_set_on_begin_headers_callback(made, OnBeginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(made, OnHeader);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made, OnFrame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, OnDataChunk);
      nghttp2_session_callbacks_set_on_stream_close_callback(made, OnStreamClose);
      nghttp2_session_callbacks_set_on_frame_send_callback(made, OnFrameSent);
      nghttp2_session_callbacks_set_send_data_callback(made, SendBody);
      return made;
    }();
    return table;
  }

  static nghttp2_option* Options() {
    static nghttp2_option* const options = [] {
      nghttp2_option* made = nullptr;
      const int failed = nghttp2_option_new(&made);
      COT_ASSERT(failed == 0);
      nghttp2_option_set_no_auto_window_update(made, 1);
      nghttp2_option_set_no_closed_streams(made, 1);
      // The library's own limit reads the system's clock; resets_ does the same on the World's
      // time.
      nghttp2_option_set_stream_reset_rate_limit(made, UINT64_C(1) << 62, 1);
      // etcd's own tools send a whole URL as :authority, which the library would refuse. Nothing
      // here uses it; what is used of a head is checked where it is used.
      nghttp2_option_set_no_http_messaging(made, 1);
      return made;
    }();
    return options;
  }
};

Http2Session::Http2Session(const Http2Options& options, Http2Events& events)
    : options_(options), events_(events) {
  COT_ASSERT(options.stream_window <= INT32_MAX);
  COT_ASSERT(options.connection_window <= INT32_MAX);
  int failed =
      options.server
          ? nghttp2_session_server_new2(&session_, Callbacks::Table(), this, Callbacks::Options())
          : nghttp2_session_client_new2(&session_, Callbacks::Table(), this, Callbacks::Options());
  COT_ASSERT(failed == 0);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<std::uint32_t>(options.streams_max)},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(options.header_bytes_max)},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  };
  failed = nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, options.server ? 3 : 4);
  COT_ASSERT(failed == 0);
  failed = nghttp2_session_set_local_window_size(
      session_, NGHTTP2_FLAG_NONE, 0, static_cast<std::int32_t>(options.connection_window));
  COT_ASSERT(failed == 0);
}

Http2Session::~Http2Session() { nghttp2_session_del(session_); }

bool Http2Session::Receive(std::string_view bytes, Instant now) {
  now_ = now;
  if (doomed_) return false;
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) {
    const std::uint32_t error =
        taken == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR;
    nghttp2_session_terminate_session(session_, error);
    doomed_ = true;
  }
  return !doomed_ && nghttp2_session_want_read(session_) != 0;
}

void Http2Session::Produce(std::string& out, std::size_t bytes_max) {
  COT_ASSERT(produced_ == nullptr);
  const std::size_t stop = out.size() + bytes_max;
  produced_max_ = stop;
  produced_ = &out;
  while (out.size() < stop) {
    const std::uint8_t* bytes = nullptr;
    const std::size_t before = out.size();
    const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
    if (count < 0) {
      doomed_ = true;
      break;
    }
    // Zero with nothing appended by SendBody means that nothing is left that may be sent now.
    if (count == 0 && out.size() == before) break;
    out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count));
  }
  produced_ = nullptr;
}

bool Http2Session::WantsToSend() const { return nghttp2_session_want_write(session_) != 0; }

bool Http2Session::Finished() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

bool Http2Session::Request(Http2Stream& stream, std::span<const HeaderField> fields) {
  COT_ASSERT(!options_.server);
  std::array<nghttp2_nv, kFieldsMax> nvs;
  const std::size_t count = ToNvs(fields, nvs);
  nghttp2_data_provider body{};
  body.read_callback = Callbacks::ReadBody;
  const std::int32_t id =
      nghttp2_submit_request(session_, nullptr, nvs.data(), count, &body, &stream);
  if (id < 0) return false;
  stream.id = id;
  stream.headers_sent = true;
  return true;
}

void Http2Session::Respond(Http2Stream& stream, std::span<const HeaderField> fields, bool body) {
  COT_ASSERT(options_.server);
  COT_ASSERT(!stream.headers_sent);
  std::array<nghttp2_nv, kFieldsMax> nvs;
  const std::size_t count = ToNvs(fields, nvs);
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::ReadBody;
  nghttp2_submit_response(session_, stream.id, nvs.data(), count, body ? &provider : nullptr);
  stream.headers_sent = true;
  stream.local_ended = !body;
}

void Http2Session::ResumeSending(Http2Stream& stream) {
  if (!stream.deferred_) return;
  stream.deferred_ = false;
  nghttp2_session_resume_data(session_, stream.id);
}

void Http2Session::Reset(Http2Stream& stream, Http2Error error) {
  COT_ASSERT(stream.id != 0);
  stream.local_ended = true;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id,
                            static_cast<std::uint32_t>(error));
}

void Http2Session::Forget(Http2Stream& stream) {
  if (stream.id == 0) return;
  if (stream.unconsumed > 0) nghttp2_session_consume_connection(session_, stream.unconsumed);
  stream.unconsumed = 0;
  nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
}

bool Http2Session::WindowShut(const Http2Stream& stream) const {
  return nghttp2_session_get_stream_remote_window_size(session_, stream.id) <= 0;
}

void Http2Session::Consume(Http2Stream& stream, std::size_t bytes) {
  COT_ASSERT(bytes <= stream.unconsumed);
  if (bytes == 0) return;
  stream.unconsumed -= bytes;
  nghttp2_session_consume(session_, stream.id, bytes);
}

void Http2Session::Goaway(Http2Error error) {
  if (doomed_) return;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_),
                        static_cast<std::uint32_t>(error), nullptr, 0);
}

std::size_t Http2Session::queued_frames() const {
  return nghttp2_session_get_outbound_queue_size(session_);
}

void Http2Session::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void Http2Session::Calm() {
  if (doomed_) return;
  doomed_ = true;
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
}

}  // namespace coterie::net

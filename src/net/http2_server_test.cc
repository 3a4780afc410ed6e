#include "net/http2_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "net/grpc_test_service.h"
#include "net/http2_test_frames.h"

namespace coterie::net::test {
namespace {

struct Seen {
  std::uint8_t type;
  std::uint8_t flags;
  std::uint32_t stream;
  std::string payload;
};

std::uint32_t Read32(std::string_view bytes) {
  std::uint32_t v = 0;
  for (const char c : bytes.substr(0, 4)) v = v << 8 | static_cast<std::uint8_t>(c);
  return v;
}

/// The server codec alone: bytes in, frames out, no transport.
class Http2Server : public testing::Test {
 protected:
  void Begin(HttpLimits limits = {}) {
    shared_.limits = limits;
    connection_ =
        std::make_unique<Http2ServerConnection>(shared_, [] {}, [this] { return in_flight_; });
    EXPECT_TRUE(Feed(std::string(kPreface) + RawFrame(kSettings, 0, 0, "") +
                     RawFrame(kSettings, kAck, 0, "")));
    Frames();
  }
  bool Feed(const std::string& bytes) { return connection_->OnInput(bytes); }
  std::vector<Seen> Frames() {
    std::string out;
    for (std::size_t before = 1; before != out.size();) {
      before = out.size();
      connection_->Produce(out);
      connection_->OnWritten();
    }
    std::vector<Seen> frames;
    for (std::string_view rest = out; rest.size() >= 9;) {
      const std::size_t length = Read32(rest) >> 8;
      frames.push_back({static_cast<std::uint8_t>(rest[3]), static_cast<std::uint8_t>(rest[4]),
                        Read32(rest.substr(5)), std::string(rest.substr(9, length))});
      rest.remove_prefix(9 + length);
    }
    return frames;
  }
  /// "HEADERS/1 DATA/1 ..." of everything there is to send.
  std::string Types() {
    static constexpr const char* kNames[] = {"DATA",     "HEADERS",     "PRIORITY", "RST",
                                             "SETTINGS", "PUSH",        "PING",     "GOAWAY",
                                             "WINDOW",   "CONTINUATION"};
    std::string text;
    for (const Seen& f : Frames()) {
      text +=
          (text.empty() ? "" : " ") + std::string(kNames[f.type]) + "/" + std::to_string(f.stream);
      const bool ends = f.type <= kHeaders && (f.flags & kEndStream) != 0;
      if (ends) text += "!";
      if (f.type == kRstStream) text += ":" + std::to_string(Read32(f.payload));
      if (f.type == kGoaway)
        text += ":" + std::to_string(Read32(std::string_view(f.payload).substr(4)));
    }
    return text;
  }

  TestWorld world_;
  TestService service_{world_};
  ServerShared shared_{world_, {}, service_.methods(), nullptr};
  std::size_t in_flight_ = 0;
  std::unique_ptr<Http2ServerConnection> connection_;
};

TEST_F(Http2Server, UnaryIsHeadersDataTrailers) {
  Begin();
  EXPECT_TRUE(Feed(UnaryFrames(1, "/t.T/Echo", "hello")));
  std::string data;
  for (const Seen& f : Frames()) {
    if (f.type == kData) data += f.payload;
  }
  EXPECT_EQ(data, GrpcBody("hello"));
  EXPECT_TRUE(Feed(UnaryFrames(3, "/t.T/Echo", "x")));
  EXPECT_EQ(Types(), "HEADERS/3 DATA/3 HEADERS/3!");
  EXPECT_EQ(connection_->open_calls(), 0u);
}

// All requests of one read are answered by one write; custom headers reach the handler.
TEST_F(Http2Server, ManyRequestsInOneRead) {
  Begin();
  EXPECT_TRUE(Feed(
      UnaryFrames(1, "/t.T/Echo", "a") + UnaryFrames(3, "/t.T/Fail", "b") +
      RawFrame(kHeaders, kEndHeaders, 5, HeaderBlock(GrpcFields("/t.T/Echo", {{"token", "T"}}))) +
      RawFrame(kData, kEndStream, 5, GrpcBody(""))));
  const std::string types = Types();
  for (const char* part :
       {"HEADERS/1 ", "DATA/1", "HEADERS/1!", "HEADERS/3!", "HEADERS/5 ", "HEADERS/5!"}) {
    EXPECT_NE(types.find(part), std::string::npos) << part << " in " << types;
  }
  EXPECT_EQ(service_.last_token, "T");
}

// Errors known before the request has ended are told at once, and the client is asked to stop
// sending.
TEST_F(Http2Server, EarlyErrorsAreTrailersOnly) {
  Begin();
  const auto open = [](std::uint32_t id, const std::string& path,
                       std::vector<std::pair<std::string, std::string>> more = {}) {
    return RawFrame(kHeaders, kEndHeaders, id, HeaderBlock(GrpcFields(path, std::move(more))));
  };
  EXPECT_TRUE(Feed(open(1, "/no.Such/Thing")));
  EXPECT_EQ(Types(), "HEADERS/1! RST/1:0");
  EXPECT_TRUE(Feed(open(3, "/t.T/Echo", {{"grpc-timeout", "soon"}})));
  EXPECT_EQ(Types(), "HEADERS/3! RST/3:0");
  EXPECT_TRUE(Feed(open(5, "/t.T/Echo", {{"grpc-encoding", "gzip"}})));
  EXPECT_EQ(Types(), "HEADERS/5! RST/5:0");
  EXPECT_TRUE(Feed(open(7, "/t.T/Echo") + RawFrame(kData, 0, 7, GrpcBody("x", 1))));
  EXPECT_EQ(Types(), "HEADERS/7! RST/7:0");
  EXPECT_TRUE(Feed(open(9, "/t.T/Echo") + RawFrame(kData, kEndStream, 9, "")));
  EXPECT_EQ(Types(), "HEADERS/9!");
  EXPECT_TRUE(Feed(UnaryFrames(11, "/t.T/Echo", "fine")));
  EXPECT_EQ(Types(), "HEADERS/11 DATA/11 HEADERS/11!");
  EXPECT_EQ(connection_->open_calls(), 0u);
}

// Any format of messages that gRPC names is taken, and named in the answer.
TEST_F(Http2Server, ContentTypesOfGrpc) {
  Begin();
  std::uint32_t id = 1;
  for (const std::string type : {"application/grpc+proto", "application/grpc+json",
                                 "application/grpc;charset=utf-8", "application/grpc+x;y"}) {
    auto fields = GrpcFields("/t.T/Echo");
    fields.back().second = type;
    EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders, id, HeaderBlock(fields)) +
                     RawFrame(kData, kEndStream, id, GrpcBody("x"))));
    EXPECT_EQ(Types(), fmt::format("HEADERS/{0} DATA/{0} HEADERS/{0}!", id)) << type;
    id += 2;
  }
}

TEST_F(Http2Server, OtherContentTypesAreRefusedOnGrpcPaths) {
  Begin();
  auto fields = GrpcFields("/t.T/Echo");
  fields.back().second = "application/json";
  EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders | kEndStream, 1, HeaderBlock(fields))));
  const std::vector<Seen> frames = Frames();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_NE(frames[0].payload.find("\x0f\x0d"), std::string::npos) << "content-length is there";
  EXPECT_EQ(frames[1].payload, "this path takes application/grpc\n");
}

// A handler's frame is gone the moment its stream is reset, even one that was opened in the same
// read.
TEST_F(Http2Server, RapidResetLeavesNothingAndIsCalmed) {
  Begin();
  std::string bytes;
  bool open = true;
  int rounds = 0;
  for (std::uint32_t id = 1; open && id < 40000; id += 2, ++rounds) {
    open = Feed(UnaryFrames(id, "/t.T/Slow", "x"));
    if (open) open = Feed(RawFrame(kRstStream, 0, id, BigEndian32(8)));
    ASSERT_LE(connection_->running(), 1u);
  }
  EXPECT_FALSE(open);
  EXPECT_LE(rounds, 10001);
  EXPECT_EQ(connection_->running(), 0u);
  EXPECT_EQ(service_.alive, 0);
  const std::string types = Types();
  EXPECT_TRUE(types.ends_with(":11")) << types;
}

// Clients cancel as a habit: whatever has its answer, or part of it, may be cancelled at any rate.
TEST_F(Http2Server, CancelsOfAnsweredCallsAreFree) {
  Begin();
  for (std::uint32_t id = 1; id < 60000; id += 2) {
    ASSERT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders, id, HeaderBlock(GrpcFields("/t.T/Chat"))) +
                     RawFrame(kData, 0, id, GrpcBody("x"))));
    ASSERT_TRUE(Types().starts_with("HEADERS/")) << id;
    ASSERT_TRUE(Feed(RawFrame(kRstStream, 0, id, BigEndian32(8)) +
                     RawFrame(kWindowUpdate, 0, 0, BigEndian32(100))));
    ASSERT_EQ(Types(), "");
  }
  EXPECT_EQ(connection_->running(), 0u);
}

TEST_F(Http2Server, ResetInTheSameReadNeverStartsTheHandler) {
  Begin();
  EXPECT_TRUE(Feed(UnaryFrames(1, "/t.T/Slow", "x") + RawFrame(kRstStream, 0, 1, BigEndian32(8))));
  EXPECT_EQ(service_.started, 0);
  EXPECT_EQ(connection_->open_calls(), 0u);
}

TEST_F(Http2Server, FloodsOfPingAndSettingsAreCalmed) {
  for (const std::uint8_t type : {kPing, kSettings}) {
    Begin();
    const std::string frame = RawFrame(type, 0, 0, type == kPing ? "12345678" : "");
    int fed = 0;
    while (fed < 5000 && Feed(frame)) {
      Frames();
      ++fed;
    }
    EXPECT_LT(fed, 1100);
    EXPECT_FALSE(Feed(frame));
  }
}

// A client that pings every five seconds for a day is answered every time.
TEST_F(Http2Server, PatientPingsAreAlwaysAnswered) {
  Begin();
  for (int i = 0; i < 17280; ++i) {
    world_.executor().RunFor(5s);
    ASSERT_TRUE(Feed(RawFrame(kPing, 0, 0, "12345678")));
    ASSERT_EQ(Types(), "PING/0");
  }
}

// One stream too many is told so: a client that waits for a place would wait in silence, for ever.
TEST_F(Http2Server, StreamsOverTheLimitAreRefused) {
  HttpLimits limits;
  limits.streams_max = 2;
  shared_.limits = limits;
  connection_ =
      std::make_unique<Http2ServerConnection>(shared_, [] {}, [this] { return in_flight_; });
  EXPECT_TRUE(Feed(std::string(kPreface) + RawFrame(kSettings, 0, 0, "")));
  Frames();
  std::string bytes;
  for (const std::uint32_t id : {1u, 3u, 5u}) bytes += UnaryFrames(id, "/t.T/Slow", "x");
  EXPECT_TRUE(Feed(bytes));
  EXPECT_EQ(Types(), "HEADERS/5!");
  EXPECT_EQ(connection_->running(), 2u);
  EXPECT_TRUE(Feed(RawFrame(kSettings, kAck, 0, "") + UnaryFrames(7, "/t.T/Slow", "x")));
  EXPECT_EQ(Types(), "HEADERS/7!");
  EXPECT_TRUE(Feed(RawFrame(kRstStream, 0, 1, BigEndian32(8)) + UnaryFrames(9, "/t.T/Echo", "x")));
  EXPECT_EQ(Types(), "HEADERS/9 DATA/9 HEADERS/9!");
}

// etcdctl's endpoint commands send a URL as :authority, which is not one [RFC 9113 §8.3.1]: such
// calls are served like all others.
TEST_F(Http2Server, UrlAsAuthorityIsServed) {
  Begin();
  for (const char* authority : {"http://127.0.0.1:2379", "unix://x", "a b", ""}) {
    auto fields = GrpcFields("/t.T/Echo");
    fields[3].second = authority;
    EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders, 1, HeaderBlock(fields)) +
                     RawFrame(kData, kEndStream, 1, GrpcBody("x"))));
    EXPECT_EQ(Types(), "HEADERS/1 DATA/1 HEADERS/1!") << authority;
    Begin();
  }
}

// Heads that lack what a request needs, or say it twice, are answered or reset, never a crash; the
// connection serves on.
TEST_F(Http2Server, OddHeadsEndTheirStreamOnly) {
  Begin();
  const std::vector<std::pair<std::string, std::string>> odd[] = {
      {},
      {{":method", "POST"}},
      {{":method", "POST"}, {":path", ""}, {"content-type", "application/grpc"}},
      {{":path", "/t.T/Echo"}, {":path", "/t.T/Fail"}, {":status", "200"}},
      {{"te", "trailers"}, {":method", "POST"}, {"UPPER", "case"}, {"bad name", "\x01\n"}},
  };
  std::uint32_t id = 1;
  for (const auto& fields : odd) {
    EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders | kEndStream, id, HeaderBlock(fields))));
    const std::string stream = "/" + std::to_string(id);
    EXPECT_NE(Types().find(stream), std::string::npos) << stream;
    id += 2;
  }
  // Trailers that repeat the head, once and again, change nothing about the call.
  const std::string again =
      RawFrame(kHeaders, kEndHeaders, id, HeaderBlock(GrpcFields("/t.T/Fail")));
  EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders, id, HeaderBlock(GrpcFields("/t.T/Echo"))) +
                   again + again + RawFrame(kData, kEndStream, id, GrpcBody("x"))));
  EXPECT_EQ(Types(), "HEADERS/11 DATA/11 HEADERS/11!");
  EXPECT_TRUE(Feed(UnaryFrames(13, "/t.T/Echo", "fine")));
  EXPECT_EQ(Types(), "HEADERS/13 DATA/13 HEADERS/13!");
  EXPECT_EQ(connection_->open_calls(), 0u);
}

TEST_F(Http2Server, HeadersOverTheBoundAreRefused) {
  HttpLimits limits;
  limits.header_bytes_max = 2000;
  Begin(limits);
  std::vector<std::pair<std::string, std::string>> more;
  for (int i = 0; i < 30; ++i) more.emplace_back("x-" + std::to_string(i), std::string(100, 'y'));
  EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders, 1, HeaderBlock(GrpcFields("/t.T/Echo", more)))));
  EXPECT_EQ(Types(), "HEADERS/1! RST/1:0");
}

// Bytes that break the protocol end the connection with GOAWAY.
TEST_F(Http2Server, MalformedFramesEndTheConnection) {
  const std::string cases[] = {
      RawFrame(kData, 0, 0, "x"),  // DATA on the connection
      RawFrame(kHeaders, kEndHeaders, 2,
               HeaderBlock(GrpcFields("/t.T/Echo"))),                  // even id from a client
      RawFrame(kHeaders, kEndHeaders, 1, "\xff\xff\xff\xff\xff\xff"),  // HPACK garbage
      RawFrame(kWindowUpdate, 0, 0, BigEndian32(0)),
      RawFrame(kPing, 0, 0, "short"),
      RawFrame(kSettings, 0, 0, "odd"),
      RawFrame(kContinuation, 0, 1, ""),
      RawFrame(kPushPromise, kEndHeaders, 1, BigEndian32(2)),
      RawFrame(kRstStream, 0, 0, BigEndian32(0)),
      BigEndian32(0x7fffff00).append("\x00\x00\x00\x00\x01", 5) +
          std::string(100, 'x'),  // over the frame size
  };
  for (const std::string& bytes : cases) {
    Begin();
    EXPECT_TRUE(Feed(UnaryFrames(101, "/t.T/Slow", "x")));
    Feed(bytes);
    const std::string types = Types();
    EXPECT_NE(types.find("GOAWAY"), std::string::npos) << types;
    connection_.reset();
    EXPECT_EQ(service_.alive, 0);
  }
}

// Answers that the connection's window does not let out are bounded: past the bound no further
// handler starts.
TEST_F(Http2Server, AnswersThatWaitHoldHandlersBack) {
  HttpLimits limits;
  limits.connection_send_buffer_max = 200'000;
  Begin(limits);
  std::string bytes;
  std::string body = GrpcBody(std::string(15000, 'b'));
  for (std::uint32_t id = 1; id < 100; id += 2) {
    EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders, id, HeaderBlock(GrpcFields("/t.T/Echo"))) +
                     RawFrame(kData, kEndStream, id, body)));
    for (const Seen& f : Frames()) {
      if (f.type == kData) bytes += f.payload;
    }
  }
  EXPECT_LE(connection_->queued_bytes(), limits.connection_send_buffer_max + body.size());
  EXPECT_TRUE(connection_->wants_input()) << "the window update is yet to come";
  in_flight_ = 1;
  EXPECT_FALSE(connection_->wants_input()) << "a peer that does not even take a write is not read";
  in_flight_ = 0;
  EXPECT_TRUE(Feed(RawFrame(kWindowUpdate, 0, 0, BigEndian32(1 << 20))));
  for (const Seen& f : Frames()) {
    if (f.type == kData) bytes += f.payload;
  }
  EXPECT_EQ(bytes.size(), 50 * body.size());
  EXPECT_EQ(connection_->queued_bytes(), 0u);
  EXPECT_EQ(connection_->held_bytes(), 0u);
}

// Streams that nobody reads hold up no other call of their connection, and are held themselves.
TEST_F(Http2Server, UnreadStreamsHoldUpNothingElse) {
  HttpLimits limits;
  limits.connection_send_buffer_max = 400'000;
  Begin(limits);
  EXPECT_TRUE(Feed(RawFrame(kWindowUpdate, 0, 0, BigEndian32(1 << 30))));
  std::uint32_t id = 1;
  for (; id < 40; id += 2) {
    EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders, id, HeaderBlock(GrpcFields("/t.T/Flood"))) +
                     RawFrame(kData, kEndStream, id, GrpcBody("x"))));
    Frames();
  }
  world_.executor().RunFor(1s);
  Frames();
  EXPECT_GT(connection_->queued_bytes(), limits.connection_send_buffer_max);
  EXPECT_LT(connection_->queued_bytes(), 20 * 110'000u);
  EXPECT_TRUE(Feed(UnaryFrames(id, "/t.T/Echo", "x")));
  EXPECT_EQ(Types(), fmt::format("HEADERS/{0} DATA/{0} HEADERS/{0}!", id));
}

// A client that stops reading in the middle of an answer in parts does not hold its source for
// ever.
TEST_F(Http2Server, AnswerInPartsThatNobodyReads) {
  Begin();
  EXPECT_TRUE(Feed(UnaryFrames(1, "/t.T/Parts", "5000")));
  world_.executor().RunFor(50s);
  Frames();
  EXPECT_EQ(service_.alive, 1);
  EXPECT_LE(connection_->queued_bytes(), HttpLimits().stream_send_buffer_max);
  world_.executor().RunFor(60s);
  EXPECT_EQ(service_.alive, 0);
  EXPECT_EQ(connection_->queued_bytes(), 0u);
  EXPECT_EQ(Types(), "RST/1:8");
}

// Messages a handler has not received keep the stream's window shut.
TEST_F(Http2Server, WindowOpensOnlyAsMessagesAreReceived) {
  Begin();
  EXPECT_TRUE(Feed(RawFrame(kHeaders, kEndHeaders, 1, HeaderBlock(GrpcFields("/t.T/Lazy")))));
  for (int i = 0; i < 60; ++i)
    EXPECT_TRUE(Feed(RawFrame(kData, 0, 1, GrpcBody(std::string(10000, 'd')))));
  EXPECT_EQ(Types(), "");
  EXPECT_EQ(connection_->held_bytes(), 600'000u);
  world_.executor().RunFor(100s);
  EXPECT_EQ(connection_->held_bytes(), 0u);
  EXPECT_EQ(Types(), "WINDOW/1");
}

}  // namespace
}  // namespace coterie::net::test

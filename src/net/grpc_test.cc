#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "net/grpc_test_service.h"
#include "net/http2_test_frames.h"

namespace coterie::net::test {
namespace {

const runtime::Address kServer{"127.0.0.1", 2379};

Task<void> WriteOnce(runtime::Stream* stream, std::string bytes) {
  const Status written = co_await stream->Write(std::move(bytes));
  EXPECT_TRUE(written);
}

Task<HttpResponse> ShowPath(HttpRequest request) {
  co_return HttpResponse{200, "text/plain",
                         request.method + " " + request.path + " " + request.body};
}

/// A server and clients on one in-memory network.
class Grpc : public testing::Test {
 protected:
  void StartServer(HttpLimits limits = {}) {
    server_ = std::make_unique<HttpServer>(world_, limits, service_.methods(), ShowPath);
    auto listener = world_.network().Listen(kServer);
    server_->Serve(std::move(*listener));
  }
  std::unique_ptr<GrpcChannel> Connect() {
    std::unique_ptr<GrpcChannel> channel;
    scope_.Spawn(ConnectInto(&world_, &channel));
    world_.executor().RunFor(1ms);
    return channel;
  }
  void Call(GrpcChannel* channel, std::string path, std::string request,
            std::optional<GrpcReply>* reply, Instant deadline = Instant::max()) {
    scope_.Spawn(CallInto(channel, std::move(path), std::move(request), deadline, reply));
  }
  void Run(Duration duration) { world_.executor().RunFor(duration); }

  static Task<void> ConnectInto(TestWorld* world, std::unique_ptr<GrpcChannel>* out) {
    auto channel = co_await GrpcChannel::Connect(*world, kServer, 1s);
    if (channel) *out = std::move(*channel);
  }
  static Task<void> CallInto(GrpcChannel* channel, std::string path, std::string request,
                             Instant deadline, std::optional<GrpcReply>* out) {
    GrpcReply reply = co_await channel->Unary(std::move(path), std::move(request), deadline);
    out->emplace(std::move(reply));
  }
  static Task<void> ReceiveAll(GrpcClientStream* stream, std::vector<std::string>* messages,
                               std::optional<GrpcStatus>* status) {
    for (;;) {
      GrpcReply message = co_await stream->Receive();
      if (!message) {
        *status = message.error();
        co_return;
      }
      messages->push_back(std::move(*message));
    }
  }
  static Task<void> SendMany(GrpcClientStream* stream, int count, std::size_t size, int* sent) {
    for (*sent = 0; *sent < count; ++*sent) co_await stream->Send(std::string(size, 's'));
    stream->CloseSend();
  }

  TestWorld world_;
  TestService service_{world_};
  std::unique_ptr<HttpServer> server_;
  runtime::Scope scope_;
};

// A unary call brings its request to the handler and its reply back, however large.
TEST_F(Grpc, UnaryEchoesSmallEmptyAndLargeMessages) {
  StartServer();
  auto channel = Connect();
  ASSERT_TRUE(channel);
  for (const std::size_t size : {0u, 1u, 5u, 300u, 16379u, 16380u, 70000u, 2000000u}) {
    std::optional<GrpcReply> reply;
    Call(channel.get(), "/t.T/Echo", std::string(size, 'x'), &reply);
    Run(100ms);
    ASSERT_TRUE(reply.has_value()) << size;
    ASSERT_TRUE(reply->has_value()) << reply->error().message;
    EXPECT_EQ(**reply, std::string(size, 'x'));
  }
  EXPECT_EQ(server_->requests(), 8u);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(Grpc, OverlappingCallsEachGetTheirOwnAnswer) {
  StartServer();
  auto channel = Connect();
  std::vector<std::optional<GrpcReply>> replies(500);
  for (int i = 0; i < 500; ++i) Call(channel.get(), "/t.T/Echo", std::to_string(i), &replies[i]);
  Run(100ms);
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(replies[i] && *replies[i]);
    EXPECT_EQ(**replies[i], std::to_string(i));
  }
}

TEST_F(Grpc, ErrorsCarryCodeAndAnyMessage) {
  StartServer();
  auto channel = Connect();
  std::optional<GrpcReply> failed;
  std::optional<GrpcReply> unknown;
  std::optional<GrpcReply> no_service;
  std::optional<GrpcReply> large;
  Call(channel.get(), "/no.Such/None", "", &no_service);
  Call(channel.get(), "/t.T/Fail", "100% \xc3\xa9\n", &failed);
  Call(channel.get(), "/t.T/None", "", &unknown);
  Call(channel.get(), "/t.T/Echo", std::string((2u << 20) + 1, 'x'), &large);
  Run(100ms);
  ASSERT_TRUE(failed && unknown && no_service && large);
  EXPECT_EQ(no_service->error().message, "unknown service no.Such");
  EXPECT_EQ(failed->error().code, GrpcCode::kFailedPrecondition);
  EXPECT_EQ(failed->error().message, "no: 100% \xc3\xa9\n");
  EXPECT_EQ(unknown->error().code, GrpcCode::kUnimplemented);
  EXPECT_EQ(unknown->error().message, "unknown method None for service t.T");
  EXPECT_EQ(large->error().code, GrpcCode::kResourceExhausted);
  EXPECT_EQ(large->error().message, "grpc: received message larger than max (2097153 vs. 2097152)");
  EXPECT_TRUE(channel->alive());
}

TEST_F(Grpc, ServerStreamEndsWithOk) {
  StartServer();
  auto channel = Connect();
  auto stream = channel->Open("/t.T/Count");
  std::vector<std::string> messages;
  std::optional<GrpcStatus> status;
  int sent = 0;
  scope_.Spawn(ReceiveAll(stream.get(), &messages, &status));
  static const std::string kThree = "3";
  struct Once {
    static Task<void> Run(GrpcClientStream* s) {
      co_await s->Send(kThree);
      s->CloseSend();
    }
  };
  scope_.Spawn(Once::Run(stream.get()));
  (void)sent;
  Run(10ms);
  EXPECT_EQ(messages, (std::vector<std::string>{"n0", "n1", "n2"}));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, GrpcCode::kOk);
}

TEST_F(Grpc, BidirectionalStreamAnswersBeforeItsEndAndCarriesTrailers) {
  StartServer();
  auto channel = Connect();
  auto stream = channel->Open("/t.T/Chat");
  std::vector<std::string> messages;
  std::optional<GrpcStatus> status;
  scope_.Spawn(ReceiveAll(stream.get(), &messages, &status));
  int sent = 0;
  scope_.Spawn(SendMany(stream.get(), 2, 1, &sent));
  Run(10ms);
  EXPECT_EQ(messages, (std::vector<std::string>{"re: s", "re: s"}));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, GrpcCode::kAborted);
  EXPECT_EQ(status->message, "bye %");
  EXPECT_EQ(service_.alive, 0);
}

// The deadline destroys the handler's frame at the server and answers the caller, both without the
// other.
TEST_F(Grpc, DeadlineEndsTheCallOnBothSides) {
  StartServer();
  auto channel = Connect();
  std::optional<GrpcReply> reply;
  Call(channel.get(), "/t.T/Slow", "", &reply, world_.Now() + 50ms);
  Run(10ms);
  EXPECT_EQ(service_.alive, 1);
  EXPECT_FALSE(reply);
  Run(60ms);
  EXPECT_EQ(service_.alive, 0);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->error().code, GrpcCode::kDeadlineExceeded);
}

TEST_F(Grpc, CancellationAndConnectionEndDestroyHandlerFrames) {
  StartServer();
  auto channel = Connect();
  auto other = Connect();
  auto stream = channel->Open("/t.T/Chat");
  auto kept = other->Open("/t.T/Chat");
  {
    runtime::Scope call;
    std::optional<GrpcReply> reply;
    call.Spawn(CallInto(channel.get(), "/t.T/Slow", "", Instant::max(), &reply));
    Run(10ms);
    EXPECT_EQ(service_.alive, 3);
  }
  Run(10ms);
  EXPECT_EQ(service_.alive, 2) << "destroying a caller's frame cancels its call";
  stream.reset();
  Run(10ms);
  EXPECT_EQ(service_.alive, 1) << "so does destroying a stream";
  other.reset();
  Run(10ms);
  EXPECT_EQ(service_.alive, 0) << "and the end of the connection";
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(Grpc, DestroyingTheServerDestroysFramesAndFailsCalls) {
  StartServer();
  auto channel = Connect();
  std::optional<GrpcReply> reply;
  Call(channel.get(), "/t.T/Slow", "", &reply);
  Run(10ms);
  EXPECT_EQ(service_.alive, 1);
  server_.reset();
  EXPECT_EQ(service_.alive, 0);
  Run(10ms);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->error().code, GrpcCode::kUnavailable);
  EXPECT_FALSE(channel->alive());
}

TEST_F(Grpc, DestroyingTheChannelAnswersItsCalls) {
  StartServer();
  auto channel = Connect();
  std::optional<GrpcReply> reply;
  Call(channel.get(), "/t.T/Slow", "", &reply);
  Run(10ms);
  channel.reset();
  Run(10ms);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->error().code, GrpcCode::kUnavailable);
  EXPECT_EQ(service_.alive, 0);
}

// A client that does not read stops the handler: what waits for it stays near the stream's bound.
TEST_F(Grpc, SlowReaderHoldsTheSenderBack) {
  HttpLimits limits;
  StartServer(limits);
  auto channel = Connect();
  auto stream = channel->Open("/t.T/Flood");
  stream->CloseSend();
  Run(100ms);
  const int stuck_at = service_.flood_sent;
  EXPECT_LT(stuck_at, 40);
  Run(100ms);
  EXPECT_EQ(service_.flood_sent, stuck_at);
  std::vector<std::string> messages;
  std::optional<GrpcStatus> status;
  scope_.Spawn(ReceiveAll(stream.get(), &messages, &status));
  Run(1s);
  EXPECT_EQ(messages.size(), 1000u);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, GrpcCode::kOk);
  EXPECT_LE(service_.flood_buffered_max, limits.stream_send_buffer_max + 100'005);
}

// A large answer is made in parts as the client reads it, and is one message to the client.
TEST_F(Grpc, AnswerInParts) {
  StartServer();
  auto channel = Connect();
  std::optional<GrpcReply> reply, none;
  Call(channel.get(), "/t.T/Parts", "5000", &reply);
  Call(channel.get(), "/t.T/Parts", "0", &none);
  Run(1s);
  ASSERT_TRUE(reply && *reply);
  EXPECT_EQ(**reply, std::string(5'000'000, 'p'));
  ASSERT_TRUE(none && *none);
  EXPECT_EQ(**none, "");
  EXPECT_EQ(service_.alive, 0);
}

// A handler that does not receive stops the client, and gets every message in the end.
TEST_F(Grpc, SlowHandlerHoldsTheClientBack) {
  StartServer();
  auto channel = Connect();
  auto stream = channel->Open("/t.T/Lazy");
  int sent = 0;
  scope_.Spawn(SendMany(stream.get(), 100, 100'000, &sent));
  Run(100ms);
  EXPECT_LT(sent, 40);
  std::vector<std::string> messages;
  std::optional<GrpcStatus> status;
  scope_.Spawn(ReceiveAll(stream.get(), &messages, &status));
  Run(200s);
  EXPECT_EQ(sent, 100);
  EXPECT_EQ(messages, std::vector<std::string>{"100"});
}

TEST_F(Grpc, CallsOverTheStreamLimitAreTold) {
  HttpLimits limits;
  limits.streams_max = 3;
  StartServer(limits);
  auto channel = Connect();
  std::vector<std::optional<GrpcReply>> replies(10);
  for (auto& reply : replies) Call(channel.get(), "/t.T/Slow", "", &reply);
  Run(1s);
  EXPECT_EQ(service_.alive, 3);
  Run(60s);
  for (std::size_t i = 0; i < replies.size(); ++i) {
    ASSERT_TRUE(replies[i]);
    EXPECT_EQ(replies[i]->has_value(), i < 3) << i;
    if (i < 3) continue;
    EXPECT_EQ(replies[i]->error().code, GrpcCode::kResourceExhausted);
    EXPECT_TRUE(replies[i]->error().message.starts_with("COT-3005")) << replies[i]->error().message;
  }
  EXPECT_EQ(service_.started, 3);
}

Task<void> DrainInto(HttpServer* server, Instant deadline, bool* done) {
  co_await server->Drain(deadline);
  *done = true;
}

TEST_F(Grpc, DrainRefusesNewCallsAndWaitsForOpenOnes) {
  StartServer();
  auto channel = Connect();
  auto idle = Connect();
  std::optional<GrpcReply> reply;
  Call(channel.get(), "/t.T/Slow", "", &reply);
  Run(10ms);
  bool drained = false;
  scope_.Spawn(DrainInto(server_.get(), world_.Now() + 60s, &drained));
  Run(100ms);
  EXPECT_FALSE(drained);
  EXPECT_FALSE(channel->alive());
  std::optional<GrpcReply> refused;
  Call(channel.get(), "/t.T/Echo", "x", &refused);
  EXPECT_EQ(Connect(), nullptr);
  Run(100ms);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error().code, GrpcCode::kUnavailable);
  Run(15s);
  ASSERT_TRUE(reply && *reply);
  EXPECT_EQ(**reply, "late");
  EXPECT_TRUE(drained);
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(Grpc, DrainGivesUpAtItsDeadline) {
  StartServer();
  auto channel = Connect();
  std::optional<GrpcReply> reply;
  Call(channel.get(), "/t.T/Slow", "", &reply);
  Run(10ms);
  bool drained = false;
  scope_.Spawn(DrainInto(server_.get(), world_.Now() + 1s, &drained));
  Run(2s);
  EXPECT_TRUE(drained);
  EXPECT_EQ(service_.alive, 1);
}

Task<void> HttpInto(TestWorld* world, HttpRequest request,
                    std::optional<Result<HttpResponse>>* out) {
  Result<HttpResponse> response =
      co_await HttpCall(*world, kServer, std::move(request), world->Now() + 1s);
  out->emplace(std::move(response));
}

TEST_F(Grpc, Http1SharesThePort) {
  StartServer();
  std::optional<Result<HttpResponse>> response;
  scope_.Spawn(HttpInto(&world_, {"POST", "/a/b", "q=1", {}, "body"}, &response));
  Run(10ms);
  ASSERT_TRUE(response && *response);
  EXPECT_EQ((*response)->status, 200);
  EXPECT_EQ((*response)->content_type, "text/plain");
  EXPECT_EQ((*response)->body, "POST /a/b body");
}

// A peer that says nothing for the interval is pinged; one that then stays silent is let go, with
// its calls.
TEST_F(Grpc, KeepaliveEndsVanishedPeersOnly) {
  HttpLimits limits;
  limits.keepalive_interval = 60s;
  StartServer(limits);
  auto living = Connect();
  auto stream = living->Open("/t.T/Chat");
  auto vanished = world_.network().Dial(kServer);
  ASSERT_TRUE(vanished);
  scope_.Spawn(WriteOnce(vanished->get(), std::string(kPreface) + RawFrame(kSettings, 0, 0, "") +
                                              RawFrame(kHeaders, kEndHeaders, 1,
                                                       HeaderBlock(GrpcFields("/t.T/Chat")))));
  Run(1s);
  EXPECT_EQ(service_.alive, 2);
  Run(600s);
  EXPECT_EQ(service_.alive, 1);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(Grpc, IdleConnectionsAreToldToGoAway) {
  HttpLimits limits;
  limits.idle_timeout = 30s;
  StartServer(limits);
  auto idle = Connect();
  auto busy = Connect();
  auto stream = busy->Open("/t.T/Chat");
  Run(60s);
  EXPECT_FALSE(idle->alive());
  EXPECT_TRUE(busy->alive());
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(Grpc, ConnectionsThatSayNothingAreClosed) {
  StartServer();
  auto stream = world_.network().Dial(kServer);
  Run(9s);
  EXPECT_EQ(server_->connections(), 1u);
  Run(2s);
  EXPECT_EQ(server_->connections(), 0u);
}

}  // namespace
}  // namespace coterie::net::test

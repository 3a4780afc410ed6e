#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>

#include "net/http.h"
#include "runtime/real/real_world.h"

// An independent implementation (grpc++) as the client, over real sockets.

namespace coterie::net {
namespace {

runtime::Task<GrpcReply> Echo(std::string request) {
  if (request == "fail")
    co_return std::unexpected(GrpcStatus{GrpcCode::kAborted, "caf\xc3\xa9 100%"});
  co_return request;
}

runtime::Task<GrpcReply> Never(runtime::World* world) {
  co_await runtime::Sleep(world->executor(), 3600s);
  co_return "";
}

runtime::Task<GrpcStatus> EchoStream(GrpcStream* stream) {
  for (;;) {
    std::optional<std::string> message = co_await stream->Receive();
    if (!message) break;
    co_await stream->Send(std::move(*message));
  }
  co_return GrpcStatus{};
}

/// The server on the test's thread; the client, which blocks, on another.
class Interop : public testing::Test {
 protected:
  void SetUp() override {
    auto world = runtime::RealWorld::Create();
    ASSERT_TRUE(world);
    world_ = std::move(*world);
    methods_.Unary("/t.T/Echo", [](const GrpcContext&, std::string request) {
      return Echo(std::move(request));
    });
    methods_.Unary("/t.T/Never",
                   [this](const GrpcContext&, std::string) { return Never(world_.get()); });
    methods_.Streaming("/t.T/Bidi", [](GrpcStream& stream) { return EchoStream(&stream); });
    server_ = std::make_unique<HttpServer>(*world_, HttpLimits{}, methods_, nullptr);
    auto listener = world_->network().Listen({"127.0.0.1", 0});
    ASSERT_TRUE(listener);
    target_ = ToText((*listener)->local());
    server_->Serve(std::move(*listener));
  }
  void TearDown() override { server_.reset(); }

  /// Runs `client` beside the server until it returns.
  template <class Client>
  void WithClient(Client client) {
    std::thread thread([this, &client] {
      client(grpc::CreateChannel(target_, grpc::InsecureChannelCredentials()));
      world_->Stop();
    });
    world_->Run();
    thread.join();
  }

  static grpc::ByteBuffer Buffer(const std::string& text) {
    const grpc::Slice slice(text);
    return grpc::ByteBuffer(&slice, 1);
  }
  static std::string Text(const grpc::ByteBuffer& buffer) {
    std::vector<grpc::Slice> slices;
    if (!buffer.Dump(&slices).ok()) return "?";
    std::string text;
    for (const grpc::Slice& slice : slices) {
      text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return text;
  }
  static grpc::Status Unary(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                            const std::string& request, std::string* reply,
                            int timeout_ms = 20000) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
    grpc::CompletionQueue queue;
    auto call = stub.PrepareUnaryCall(&context, path, Buffer(request), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    *reply = Text(answer);
    return status;
  }

  std::unique_ptr<runtime::RealWorld> world_;
  GrpcMethods methods_;
  std::unique_ptr<HttpServer> server_;
  std::string target_;
};

TEST_F(Interop, UnaryErrorsAndDeadline) {
  WithClient([](const std::shared_ptr<grpc::Channel>& channel) {
    std::string reply;
    for (const std::size_t size : {0u, 5u, 100'000u, 2'000'000u}) {
      EXPECT_TRUE(Unary(channel, "/t.T/Echo", std::string(size, 'x'), &reply).ok());
      EXPECT_EQ(reply, std::string(size, 'x'));
    }
    const grpc::Status failed = Unary(channel, "/t.T/Echo", "fail", &reply);
    EXPECT_EQ(failed.error_code(), grpc::StatusCode::ABORTED);
    EXPECT_EQ(failed.error_message(), "caf\xc3\xa9 100%");
    EXPECT_EQ(Unary(channel, "/t.T/None", "", &reply).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_EQ(Unary(channel, "/t.T/Echo", std::string(3 << 20, 'x'), &reply).error_code(),
              grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(Unary(channel, "/t.T/Never", "", &reply, 50).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  });
  EXPECT_EQ(server_->requests(), 8u);
}

TEST_F(Interop, BidirectionalStream) {
  WithClient([](const std::shared_ptr<grpc::Channel>& channel) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    void* tag = nullptr;
    bool ok = false;
    const auto next = [&] { return queue.Next(&tag, &ok) && ok; };
    auto call = stub.PrepareCall(&context, "/t.T/Bidi", &queue);
    call->StartCall(nullptr);
    ASSERT_TRUE(next());
    for (int i = 0; i < 50; ++i) {
      const std::string sent(static_cast<std::size_t>(i) * 5000, 'm');
      call->Write(Buffer(sent), nullptr);
      ASSERT_TRUE(next());
      grpc::ByteBuffer answer;
      call->Read(&answer, nullptr);
      ASSERT_TRUE(next());
      EXPECT_EQ(Text(answer), sent);
    }
    call->WritesDone(nullptr);
    ASSERT_TRUE(next());
    grpc::Status status;
    call->Finish(&status, nullptr);
    ASSERT_TRUE(next());
    EXPECT_TRUE(status.ok()) << status.error_message();
  });
}

}  // namespace
}  // namespace coterie::net

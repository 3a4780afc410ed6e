// Peers that stop in the middle, in the simulated world: what they hold is let go.

#include <gtest/gtest.h>

#include "net/http.h"
#include "runtime/sim/simulation.h"
#include "runtime/sync.h"

namespace coterie::net {
namespace {

using runtime::Task;
using runtime::World;

class StuckPeerTest : public testing::Test {
 protected:
  void SetUp() override {
    sim_.Start(server_, [this](World& world) { return Serve(this, &world); });
    sim_.RunFor(10ms);
  }
  static Task<void> Serve(StuckPeerTest* test, World* world) {
    auto listener = world->network().Listen({"10.0.0.1", 80});
    COT_ASSERT(listener.has_value());
    const GrpcMethods methods;
    HttpServer server(*world, HttpLimits{}, methods, [test, world](HttpRequest request) {
      return test->Handle(world, std::move(request));
    });
    server.Serve(std::move(*listener));
    test->http_ = &server;
    runtime::Notification never(world->executor());
    co_await never.Wait();
  }
  Task<HttpResponse> Handle(World* world, HttpRequest request) {
    struct Count {
      int& count;
      explicit Count(int& c) : count(c) { ++count; }
      ~Count() { --count; }
    } running(handlers_);
    if (request.path == "/slow") co_await runtime::Sleep(world->executor(), std::chrono::hours(1));
    co_return HttpResponse{.body = std::string(1u << 20, 'x')};
  }
  /// Asks, reads `bytes` of the answers, then only holds the connection.
  static Task<void> AskAndStop(World* world, std::string requests, std::size_t bytes) {
    auto stream = co_await world->network().Connect({"10.0.0.1", 80}, 1s);
    COT_ASSERT(stream.has_value());
    const Status written = co_await (*stream)->Write(std::move(requests));
    COT_ASSERT(written.has_value());
    std::vector<char> buffer(64u << 10);
    for (std::size_t got = 0; got < bytes;) {
      auto read = co_await (*stream)->Read(buffer);
      if (!read || *read == 0) co_return;
      got += *read;
    }
    runtime::Notification never(world->executor());
    co_await never.Wait();
  }
  void Ask(std::string path, std::size_t bytes) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nhost: x\r\n\r\n";
    sim_.Start(client_, [=](World& world) { return AskAndStop(&world, request + request, bytes); });
    ASSERT_TRUE(sim_.RunUntil([&] { return http_->connections() == 1; }, 5s));
  }

  runtime::Simulation sim_{{.seed = 3}};
  runtime::NodeHandle server_ = sim_.AddNode("server", "10.0.0.1");
  runtime::NodeHandle client_ = sim_.AddNode("client", "10.0.0.2");
  HttpServer* http_ = nullptr;
  int handlers_ = 0;
};

// A client that reads nothing of what it asked for loses its connection, and what waits for it
// goes.
TEST_F(StuckPeerTest, StuckReaderLosesItsConnection) {
  Ask("/big", 0);
  EXPECT_FALSE(sim_.RunUntil([&] { return http_->connections() == 0; }, 59s));
  EXPECT_TRUE(sim_.RunUntil([&] { return http_->connections() == 0; }, 120s));
}

// One that has read everything may stay as long as it likes.
TEST_F(StuckPeerTest, IdleReaderStays) {
  Ask("/big", 2u << 20);
  EXPECT_FALSE(sim_.RunUntil([&] { return http_->connections() == 0; }, std::chrono::minutes(10)));
}

// The client is gone while its handler runs: the handler ends with it.
TEST_F(StuckPeerTest, HandlerEndsWithItsClient) {
  Ask("/slow", 1);
  ASSERT_TRUE(sim_.RunUntil([&] { return handlers_ == 1; }, 5s));
  sim_.Kill(client_);
  EXPECT_TRUE(sim_.RunUntil([&] { return handlers_ == 0 && http_->connections() == 0; }, 5s));
}

}  // namespace
}  // namespace coterie::net

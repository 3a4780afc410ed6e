#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/http.h"
#include "net/test_world.h"

namespace coterie::net::test {

using runtime::Task;

/// Methods that show every kind of call, and counters that show what became of their frames.
class TestService {
 public:
  explicit TestService(TestWorld& world) : world_(world) {
    methods_.Unary("/t.T/Echo", [this](const GrpcContext& context, std::string request) {
      last_token = context.Header("token");
      return Echo(std::move(request));
    });
    methods_.Unary("/t.T/Fail", [](const GrpcContext&, std::string request) {
      return Failing(std::move(request));
    });
    methods_.Unary("/t.T/Parts", [this](const GrpcContext& context, std::string request) {
      return Parts(this, context.parts, std::stoul(request));
    });
    methods_.Unary("/t.T/Slow", [this](const GrpcContext&, std::string) { return Slow(this); });
    methods_.Streaming("/t.T/Count", [](GrpcStream& stream) { return Count(&stream); });
    methods_.Streaming("/t.T/Flood", [this](GrpcStream& stream) { return Flood(this, &stream); });
    methods_.Streaming("/t.T/Chat", [this](GrpcStream& stream) { return Chat(this, &stream); });
    methods_.Streaming("/t.T/Lazy", [this](GrpcStream& stream) { return Lazy(this, &stream); });
  }

  const GrpcMethods& methods() const { return methods_; }
  int alive = 0;
  int started = 0;
  std::size_t flood_buffered_max = 0;
  int flood_sent = 0;
  std::string last_token;

 private:
  static Task<GrpcReply> Echo(std::string request) { co_return request; }
  static Task<GrpcReply> Failing(std::string request) {
    co_return std::unexpected(GrpcStatus{GrpcCode::kFailedPrecondition, "no: " + request});
  }
  /// 1000 bytes a part; gives up after a minute without progress.
  static Task<GrpcReply> Parts(TestService* self, GrpcParts* parts, std::size_t count) {
    const Canary canary(&self->alive);
    parts->Begin(count * 1000);
    for (std::size_t i = 0; i < count; ++i) {
      const bool more = co_await parts->Part(std::string(1000, 'p'), 60s);
      if (!more) co_return std::unexpected(GrpcStatus{GrpcCode::kAborted, "not read"});
    }
    co_return "";
  }
  static Task<GrpcReply> Slow(TestService* self) {
    const Canary canary(&self->alive);
    ++self->started;
    co_await runtime::Sleep(self->world_.executor(), 10s);
    co_return "late";
  }
  static Task<GrpcStatus> Count(GrpcStream* stream) {
    const std::optional<std::string> request = co_await stream->Receive();
    const int count = request && request->size() == 1 ? request->front() - '0' : 0;
    for (int i = 0; i < count; ++i) co_await stream->Send("n" + std::to_string(i));
    co_return GrpcStatus{};
  }
  static Task<GrpcStatus> Flood(TestService* self, GrpcStream* stream) {
    const Canary canary(&self->alive);
    for (self->flood_sent = 0; self->flood_sent < 1000; ++self->flood_sent) {
      co_await stream->Send(std::string(100'000, 'f'));
      self->flood_buffered_max = std::max(self->flood_buffered_max, stream->buffered());
    }
    co_return GrpcStatus{};
  }
  static Task<GrpcStatus> Chat(TestService* self, GrpcStream* stream) {
    const Canary canary(&self->alive);
    ++self->started;
    for (;;) {
      std::optional<std::string> message = co_await stream->Receive();
      if (!message) break;
      co_await stream->Send("re: " + *message);
    }
    co_return GrpcStatus{GrpcCode::kAborted, "bye %"};
  }
  static Task<GrpcStatus> Lazy(TestService* self, GrpcStream* stream) {
    const Canary canary(&self->alive);
    int received = 0;
    for (;;) {
      co_await runtime::Sleep(self->world_.executor(), 1s);
      const std::optional<std::string> message = co_await stream->Receive();
      if (!message) break;
      ++received;
    }
    co_await stream->Send(std::to_string(received));
    co_return GrpcStatus{};
  }

  TestWorld& world_;
  GrpcMethods methods_;
};

}  // namespace coterie::net::test

#pragma once

// For this room's tests: a door on a fake node, called through its method table.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "door/etcd/etcd_door.h"
#include "door/etcd/fake_node.h"
#include "door/etcd/fake_world.h"

namespace coterie::door::etcd {

class DoorTest : public testing::Test {
 protected:
  explicit DoorTest(EtcdDoorOptions options = {}) : door(node, std::move(options)) {
    door.Register(methods);
    context.headers = &headers;
  }

  static runtime::Task<void> Collect(runtime::Task<net::GrpcReply> call,
                                     std::optional<net::GrpcReply>* into) {
    into->emplace(co_await std::move(call));
  }

  /// Calls a unary method and runs until it has answered.
  net::GrpcReply CallBytes(std::string_view path, std::string request) {
    const net::UnaryHandler* handler = methods.FindUnary(path);
    EXPECT_NE(handler, nullptr) << path;
    std::optional<net::GrpcReply> reply;
    runtime::Scope scope;
    scope.Spawn(Collect((*handler)(context, std::move(request)), &reply));
    world.executor().Settle();
    EXPECT_TRUE(reply.has_value()) << path << " has not answered";
    return reply ? std::move(*reply)
                 : std::unexpected(net::GrpcStatus{net::GrpcCode::kUnknown, "none"});
  }

  template <class Response, class Request>
  std::expected<Response, net::GrpcStatus> Call(std::string_view path, const Request& request) {
    net::GrpcReply reply = CallBytes(path, request.SerializeAsString());
    if (!reply) return std::unexpected(reply.error());
    Response response;
    EXPECT_TRUE(response.ParseFromString(*reply));
    return response;
  }

  etcdserverpb::PutResponse Put(std::string key, std::string value, std::int64_t lease = 0) {
    etcdserverpb::PutRequest request;
    request.set_key(std::move(key));
    request.set_value(std::move(value));
    request.set_lease(lease);
    auto response = Call<etcdserverpb::PutResponse>("/etcdserverpb.KV/Put", request);
    EXPECT_TRUE(response.has_value());
    return response ? std::move(*response) : etcdserverpb::PutResponse();
  }

  void Delete(std::string key, std::string range_end = "") {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(std::move(key));
    request.set_range_end(std::move(range_end));
    EXPECT_TRUE(Call<etcdserverpb::DeleteRangeResponse>("/etcdserverpb.KV/DeleteRange", request));
  }

  void Compact(kv::Revision revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    EXPECT_TRUE(Call<etcdserverpb::CompactionResponse>("/etcdserverpb.KV/Compact", request));
  }

  FakeWorld world;
  FakeNode node{world};
  EtcdDoor door;
  net::GrpcMethods methods;
  net::Headers headers;
  net::GrpcContext context;
};

/// An open streaming call; destroying it cancels it.
class OpenStream {
 public:
  OpenStream(FakeWorld& world, const net::GrpcMethods& methods, std::string_view path,
             net::Headers headers = {})
      : world_(world), stream(world) {
    stream.headers() = std::move(headers);
    const net::StreamHandler* handler = methods.FindStreaming(path);
    COT_ASSERT(handler != nullptr);
    scope_.Spawn(Follow((*handler)(stream), &ended));
    world_.executor().Settle();
  }

  template <class Request>
  void Send(const Request& request) {
    stream.ClientSend(request.SerializeAsString());
    world_.executor().Settle();
  }
  /// The next message from the server; a test failure and an empty one if there is none.
  template <class Response>
  Response Take() {
    Response response;
    auto message = stream.ClientTake();
    EXPECT_TRUE(message.has_value()) << "no message";
    if (message) EXPECT_TRUE(response.ParseFromString(*message));
    world_.executor().Settle();
    return response;
  }

 private:
  static runtime::Task<void> Follow(runtime::Task<net::GrpcStatus> call,
                                    std::optional<net::GrpcStatus>* ended) {
    ended->emplace(co_await std::move(call));
  }
  FakeWorld& world_;

 public:
  FakeStream stream;
  std::optional<net::GrpcStatus> ended;

 private:
  runtime::Scope scope_;
};

}  // namespace coterie::door::etcd

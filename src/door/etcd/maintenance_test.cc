#include <gtest/gtest.h>

#include "door/etcd/door_fixture.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcCode;

class MaintenanceDoor : public DoorTest {
 protected:
  template <class Response, class Request>
  auto Ask(std::string method, const Request& request) {
    return Call<Response>("/etcdserverpb.Maintenance/" + method, request);
  }
  net::HttpResponse Page(std::string path, std::string query = "", std::string method = "GET") {
    std::optional<net::HttpResponse> page;
    runtime::Scope scope;
    scope.Spawn(Fetch(door.Http(), {method, std::move(path), std::move(query), {}, ""}, &page));
    world.executor().Settle();
    EXPECT_TRUE(page.has_value());
    return page ? std::move(*page) : net::HttpResponse();
  }
  static runtime::Task<void> Fetch(net::HttpHandler handler, net::HttpRequest request,
                                   std::optional<net::HttpResponse>* into) {
    into->emplace(co_await handler(std::move(request)));
  }
};

TEST_F(MaintenanceDoor, Status) {
  Put("a", "1");
  auto status = Ask<etcdserverpb::StatusResponse>("Status", etcdserverpb::StatusRequest());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->version(), "3.6.0");
  EXPECT_EQ(status->leader(), 1u);
  EXPECT_EQ(status->raftterm(), 3u);
  EXPECT_EQ(status->raftindex(), 1u);
  EXPECT_EQ(status->raftappliedindex(), 1u);
  EXPECT_EQ(status->header().revision(), 2);
  EXPECT_GT(status->dbsize(), 0);
  EXPECT_FALSE(status->islearner());
  EXPECT_EQ(status->errors_size(), 0);
  EXPECT_EQ(status->storageversion(), "3.6.0");
  EXPECT_TRUE(status->has_downgradeinfo());

  node.mutable_status().leader = NodeId(0);
  node.mutable_status().learner = true;
  status = Ask<etcdserverpb::StatusResponse>("Status", etcdserverpb::StatusRequest());
  ASSERT_TRUE(status) << "a learner without a leader says so";
  EXPECT_TRUE(status->islearner());
  ASSERT_EQ(status->errors_size(), 1);
  EXPECT_EQ(status->errors(0), "etcdserver: no leader");
}

// Claim: the hash depends on the history up to the revision asked for, and on nothing else.
TEST_F(MaintenanceDoor, Hashes) {
  Put("a", "1");
  const auto hash = [&](std::int64_t revision) {
    etcdserverpb::HashKVRequest request;
    request.set_revision(revision);
    return Ask<etcdserverpb::HashKVResponse>("HashKV", request);
  };
  const auto before = hash(0);
  ASSERT_TRUE(before);
  EXPECT_EQ(before->hash_revision(), 2);
  Put("a", "2");
  EXPECT_NE(hash(0)->hash(), before->hash());
  EXPECT_EQ(hash(2)->hash(), before->hash());
  EXPECT_EQ(Ask<etcdserverpb::HashResponse>("Hash", etcdserverpb::HashRequest())->hash(),
            hash(3)->hash());
  const auto future = hash(100);
  ASSERT_FALSE(future);
  EXPECT_EQ(future.error().code, GrpcCode::kOutOfRange);
  EXPECT_EQ(future.error().message, "etcdserver: mvcc: required revision is a future revision");
}

TEST_F(MaintenanceDoor, HashOfAnEmptyStore) {
  const auto kv = Ask<etcdserverpb::HashKVResponse>("HashKV", etcdserverpb::HashKVRequest());
  ASSERT_TRUE(kv);
  EXPECT_NE(kv->hash(), 0u);
  EXPECT_EQ(Ask<etcdserverpb::HashResponse>("Hash", etcdserverpb::HashRequest())->hash(),
            kv->hash());
}

// Claim: these two have no header in etcd either.
TEST_F(MaintenanceDoor, DefragmentAndMovingToTheLeaderSucceed) {
  EXPECT_EQ(CallBytes("/etcdserverpb.Maintenance/Defragment", ""), "");
  etcdserverpb::MoveLeaderRequest request;
  request.set_targetid(1);
  EXPECT_EQ(CallBytes("/etcdserverpb.Maintenance/MoveLeader", request.SerializeAsString()), "");
  EXPECT_FALSE(node.transferred_to.has_value());
}

// Claim: authentication is off, which clients with a configured user ask first.
TEST_F(MaintenanceDoor, AuthenticationIsOff) {
  const auto call = [&](const std::string& method) {
    return CallBytes("/etcdserverpb.Auth/" + method, "");
  };
  for (const char* method : {"AuthDisable", "UserList", "RoleList"}) {
    const auto reply = call(method);
    ASSERT_TRUE(reply.has_value()) << method;
    etcdserverpb::AuthDisableResponse response;
    ASSERT_TRUE(response.ParseFromString(*reply));
    EXPECT_EQ(response.header().revision(), 1);
  }
  etcdserverpb::AuthStatusResponse status;
  ASSERT_TRUE(status.ParseFromString(call("AuthStatus").value()));
  EXPECT_FALSE(status.enabled());
  EXPECT_EQ(status.authrevision(), 1u);
  EXPECT_EQ(call("Authenticate").error().code, GrpcCode::kFailedPrecondition);
  EXPECT_EQ(call("Authenticate").error().message, "etcdserver: authentication is not enabled");
  EXPECT_EQ(call("AuthEnable").error().message, "etcdserver: root user does not exist");
  EXPECT_EQ(call("UserGet").error().message, "etcdserver: user name not found");
  EXPECT_EQ(call("RoleDelete").error().message, "etcdserver: role name not found");
  EXPECT_EQ(call("UserAdd").error().code, GrpcCode::kUnimplemented);
}

// Claim: the server itself is serving; no other service has a status.
TEST_F(MaintenanceDoor, GrpcHealth) {
  constexpr std::string_view kCheck = "/grpc.health.v1.Health/Check";
  EXPECT_EQ(CallBytes(kCheck, ""), std::string("\x08\x01", 2));
  EXPECT_EQ(CallBytes(kCheck, std::string("\x0a\x00", 2)), std::string("\x08\x01", 2));
  EXPECT_EQ(CallBytes(kCheck, "\x0a\x01x").error().code, GrpcCode::kNotFound);
  EXPECT_EQ(CallBytes(kCheck, "\x0a\x09x").error().code, GrpcCode::kInternal);
  OpenStream watch(world, methods, "/grpc.health.v1.Health/Watch");
  watch.stream.ClientSend("");
  world.executor().Settle();
  EXPECT_EQ(watch.stream.ClientTake(), std::string("\x08\x01", 2));
  EXPECT_FALSE(watch.ended.has_value());
}

TEST_F(MaintenanceDoor, Alarms) {
  etcdserverpb::AlarmRequest request;
  const auto list = Ask<etcdserverpb::AlarmResponse>("Alarm", request);
  ASSERT_TRUE(list);
  EXPECT_EQ(list->alarms_size(), 0);
  request.set_action(etcdserverpb::AlarmRequest::DEACTIVATE);
  EXPECT_TRUE(Ask<etcdserverpb::AlarmResponse>("Alarm", request));
  request.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  const auto raised = Ask<etcdserverpb::AlarmResponse>("Alarm", request);
  ASSERT_FALSE(raised);
  EXPECT_EQ(raised.error().code, GrpcCode::kUnimplemented);
}

// Claim: leadership moves only from the leader, and only to a voting member.
TEST_F(MaintenanceDoor, MoveLeader) {
  node.member_list.push_back({NodeId(2), "second", "http://p", "http://c", false});
  node.member_list.push_back({NodeId(3), "learner", "http://p", "http://c", true});
  etcdserverpb::MoveLeaderRequest request;
  for (const std::uint64_t target : {3u, 9u}) {
    request.set_targetid(target);
    const auto refused = Ask<etcdserverpb::MoveLeaderResponse>("MoveLeader", request);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, GrpcCode::kFailedPrecondition);
    EXPECT_EQ(refused.error().message, "etcdserver: bad leader transferee");
  }
  request.set_targetid(2);
  EXPECT_TRUE(Ask<etcdserverpb::MoveLeaderResponse>("MoveLeader", request));
  EXPECT_EQ(node.transferred_to, NodeId(2));
  node.mutable_status().leading = false;
  const auto follower = Ask<etcdserverpb::MoveLeaderResponse>("MoveLeader", request);
  ASSERT_FALSE(follower);
  EXPECT_EQ(follower.error().message, "etcdserver: not leader");
}

TEST_F(MaintenanceDoor, WhatIsNotServedSaysSo) {
  OpenStream snapshot(world, methods, "/etcdserverpb.Maintenance/Snapshot");
  ASSERT_TRUE(snapshot.ended.has_value());
  EXPECT_EQ(snapshot.ended->code, GrpcCode::kUnimplemented);
  for (const char* path :
       {"/etcdserverpb.Maintenance/Downgrade", "/etcdserverpb.Cluster/MemberAdd",
        "/etcdserverpb.Cluster/MemberRemove", "/etcdserverpb.Cluster/MemberUpdate",
        "/etcdserverpb.Cluster/MemberPromote"}) {
    const auto reply = CallBytes(path, "");
    ASSERT_FALSE(reply.has_value());
    EXPECT_EQ(reply.error().code, GrpcCode::kUnimplemented);
  }
  EXPECT_EQ(methods.FindUnary("/v3lockpb.Lock/Lock"), nullptr);
}

TEST_F(MaintenanceDoor, MemberList) {
  node.member_list.push_back(
      {NodeId(2), "second", "http://127.0.0.2:7071", "http://127.0.0.2:2379", true});
  const auto list = Call<etcdserverpb::MemberListResponse>("/etcdserverpb.Cluster/MemberList",
                                                           etcdserverpb::MemberListRequest());
  ASSERT_TRUE(list);
  EXPECT_EQ(node.barriers, 0);
  ASSERT_EQ(list->members_size(), 2);
  EXPECT_EQ(list->members(0).id(), 1u);
  EXPECT_EQ(list->members(0).name(), "solo");
  EXPECT_EQ(list->members(1).clienturls(0), "http://127.0.0.2:2379");
  EXPECT_EQ(list->members(1).peerurls(0), "http://127.0.0.2:7071");
  EXPECT_TRUE(list->members(1).islearner());
  EXPECT_EQ(list->header().cluster_id(), node.cluster_id());
  etcdserverpb::MemberListRequest linearizable;
  linearizable.set_linearizable(true);
  ASSERT_TRUE(
      Call<etcdserverpb::MemberListResponse>("/etcdserverpb.Cluster/MemberList", linearizable));
  EXPECT_EQ(node.barriers, 1);
}

TEST_F(MaintenanceDoor, VersionPage) {
  const auto page = Page("/version");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.content_type, "application/json");
  EXPECT_EQ(page.body, R"({"etcdserver":"3.6.0","etcdcluster":"3.6.0","storage":"3.6.0"})");
  EXPECT_EQ(Page("/version", "", "POST").status, 405);
  EXPECT_EQ(Page("/nothing").status, 404);
}

TEST_F(MaintenanceDoor, HealthPage) {
  EXPECT_EQ(Page("/health").body, R"({"health":"true","reason":""})");
  node.barrier_error = Error{ErrorCode::kTimedOut, Outcome::kNotApplied, ""};
  auto page = Page("/health");
  EXPECT_EQ(page.status, 503);
  EXPECT_EQ(page.body,
            "{\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: request timed out\"}\n");
  EXPECT_EQ(page.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(Page("/health", "serializable=true").status, 200);
  node.mutable_status().leader = NodeId(0);
  EXPECT_EQ(Page("/health", "serializable=true").status, 200);
  page = Page("/health");
  EXPECT_EQ(page.status, 503);
  EXPECT_EQ(page.body, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n");
}

TEST_F(MaintenanceDoor, LiveAndReadyPages) {
  EXPECT_EQ(Page("/livez").body, "ok\n");
  EXPECT_EQ(Page("/readyz").body, "ok\n");
  EXPECT_EQ(
      Page("/readyz", "verbose").body,
      "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\n"
      "ok\n");
  EXPECT_EQ(Page("/readyz/linearizable_read", "verbose").body, "[+]linearizable_read ok\nok\n");
  EXPECT_EQ(Page("/readyz/other").status, 404);
  EXPECT_EQ(Page("/livezz").status, 404);
  node.barrier_error = Error{ErrorCode::kNoLeader, Outcome::kNotApplied, ""};
  const auto page = Page("/readyz");
  EXPECT_EQ(page.status, 503);
  EXPECT_NE(page.body.find("[-]linearizable_read failed: etcdserver: no leader\n"),
            std::string::npos);
  EXPECT_EQ(Page("/livez").status, 200);
  EXPECT_EQ(Page("/readyz", "exclude=other&exclude=linearizable_read").status, 200);
  EXPECT_NE(Page("/readyz", "verbose&exclude=linearizable_read")
                .body.find("[+]linearizable_read excluded: ok\n"),
            std::string::npos);
}

}  // namespace
}  // namespace coterie::door::etcd

#include <gtest/gtest.h>

#include "door/etcd/door_fixture.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcCode;

class LeaseDoor : public DoorTest {
 protected:
  std::expected<etcdserverpb::LeaseGrantResponse, net::GrpcStatus> Grant(std::int64_t ttl,
                                                                         std::int64_t id = 0) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(ttl);
    request.set_id(id);
    return Call<etcdserverpb::LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant", request);
  }
  std::expected<etcdserverpb::LeaseRevokeResponse, net::GrpcStatus> Revoke(std::int64_t id) {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(id);
    return Call<etcdserverpb::LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", request);
  }
  std::expected<etcdserverpb::LeaseTimeToLiveResponse, net::GrpcStatus> TimeToLive(
      std::int64_t id, bool keys = false) {
    etcdserverpb::LeaseTimeToLiveRequest request;
    request.set_id(id);
    request.set_keys(keys);
    return Call<etcdserverpb::LeaseTimeToLiveResponse>("/etcdserverpb.Lease/LeaseTimeToLive",
                                                       request);
  }
  std::vector<std::int64_t> Leases() {
    auto response = Call<etcdserverpb::LeaseLeasesResponse>("/etcdserverpb.Lease/LeaseLeases",
                                                            etcdserverpb::LeaseLeasesRequest());
    EXPECT_TRUE(response);
    std::vector<std::int64_t> ids;
    for (const auto& lease : response->leases()) ids.push_back(lease.id());
    return ids;
  }
  OpenStream KeepAlive(net::Headers with = {}) {
    return OpenStream(world, methods, "/etcdserverpb.Lease/LeaseKeepAlive", std::move(with));
  }
  static etcdserverpb::LeaseKeepAliveRequest Renewal(std::int64_t id) {
    etcdserverpb::LeaseKeepAliveRequest request;
    request.set_id(id);
    return request;
  }
};

// Claim: the server chooses a positive id when the client gives none, and another one each time.
TEST_F(LeaseDoor, GrantChoosesIds) {
  const auto first = Grant(60);
  const auto second = Grant(60);
  ASSERT_TRUE(first);
  ASSERT_TRUE(second);
  EXPECT_GT(first->id(), 0);
  EXPECT_GT(second->id(), 0);
  EXPECT_NE(first->id(), second->id());
  EXPECT_EQ(first->ttl(), 60);
  EXPECT_TRUE(first->error().empty());
  EXPECT_EQ(first->header().revision(), 1) << "a grant makes no revision";
}

TEST_F(LeaseDoor, ShortTtlsAreRaised) {
  for (const std::int64_t ttl : {-5, 0, 1}) {
    const auto granted = Grant(ttl);
    ASSERT_TRUE(granted);
    EXPECT_EQ(granted->ttl(), 2);
  }
}

TEST_F(LeaseDoor, LongTtlsAreRefused) {
  EXPECT_TRUE(Grant(9000000000));
  const auto refused = Grant(9000000001);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, GrpcCode::kOutOfRange);
  EXPECT_EQ(refused.error().message, "etcdserver: too large lease TTL");
}

TEST_F(LeaseDoor, DuplicateIdsAreRefused) {
  ASSERT_TRUE(Grant(60, 7));
  const auto refused = Grant(60, 7);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, GrpcCode::kFailedPrecondition);
  EXPECT_EQ(refused.error().message, "etcdserver: lease already exists");
}

// Claim: revoking deletes the lease's keys in one revision; revoking twice is NotFound.
TEST_F(LeaseDoor, Revoke) {
  ASSERT_TRUE(Grant(60, 7));
  Put("a", "1", 7);
  Put("b", "1", 7);
  const auto revoked = Revoke(7);
  ASSERT_TRUE(revoked);
  EXPECT_EQ(revoked->header().revision(), 4);
  etcdserverpb::RangeRequest all;
  all.set_key(std::string(1, '\0'));
  all.set_range_end(std::string(1, '\0'));
  EXPECT_EQ(Call<etcdserverpb::RangeResponse>("/etcdserverpb.KV/Range", all)->count(), 0);
  const auto again = Revoke(7);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, GrpcCode::kNotFound);
  EXPECT_EQ(again.error().message, "etcdserver: requested lease not found");
}

// Claim: seconds left, what was granted, and the keys if asked; -1 and no error for an unknown
// lease.
TEST_F(LeaseDoor, TimeToLive) {
  ASSERT_TRUE(Grant(60, 7));
  Put("a", "1", 7);
  world.executor().Advance(10500ms);
  auto left = TimeToLive(7);
  ASSERT_TRUE(left);
  EXPECT_EQ(left->id(), 7);
  EXPECT_EQ(left->grantedttl(), 60);
  EXPECT_GE(left->ttl(), 48);
  EXPECT_LE(left->ttl(), 50);
  EXPECT_EQ(left->keys_size(), 0);
  left = TimeToLive(7, /*keys=*/true);
  ASSERT_EQ(left->keys_size(), 1);
  EXPECT_EQ(left->keys(0), "a");
  const auto unknown = TimeToLive(8);
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->ttl(), -1);
  EXPECT_EQ(unknown->grantedttl(), 0);
  EXPECT_EQ(unknown->header().member_id(), 1u);
}

TEST_F(LeaseDoor, LeasesAreListed) {
  EXPECT_TRUE(Leases().empty());
  ASSERT_TRUE(Grant(60, 9));
  ASSERT_TRUE(Grant(60, 7));
  EXPECT_EQ(Leases(), (std::vector<std::int64_t>{7, 9}));
}

// Claim: a renewed lease lives on, and its keys; one that is not renewed goes, and its keys.
TEST_F(LeaseDoor, KeepAliveKeepsAlive) {
  ASSERT_TRUE(Grant(5, 7));
  ASSERT_TRUE(Grant(5, 8));
  Put("kept", "1", 7);
  Put("lost", "1", 8);
  auto open = KeepAlive();
  for (int i = 0; i < 10; ++i) {
    world.executor().Advance(2s);
    open.Send(Renewal(7));
    const auto renewed = open.Take<etcdserverpb::LeaseKeepAliveResponse>();
    EXPECT_EQ(renewed.id(), 7);
    EXPECT_EQ(renewed.ttl(), 5);
    EXPECT_EQ(renewed.header().member_id(), 1u);
  }
  EXPECT_EQ(Leases(), (std::vector<std::int64_t>{7}));
  etcdserverpb::RangeRequest lost;
  lost.set_key("lost");
  EXPECT_EQ(Call<etcdserverpb::RangeResponse>("/etcdserverpb.KV/Range", lost)->count(), 0);
}

// Claim: an unknown lease is answered with TTL 0 and the stream goes on.
TEST_F(LeaseDoor, KeepAliveOfAnUnknownLease) {
  auto open = KeepAlive();
  open.Send(Renewal(99));
  const auto answer = open.Take<etcdserverpb::LeaseKeepAliveResponse>();
  EXPECT_EQ(answer.id(), 99);
  EXPECT_EQ(answer.ttl(), 0);
  EXPECT_FALSE(open.ended.has_value());
  open.stream.ClientCloseSend();
  world.executor().Settle();
  ASSERT_TRUE(open.ended.has_value());
  EXPECT_EQ(open.ended->code, GrpcCode::kOk);
}

// Claim: when nobody can renew, the stream ends with a code on which clients reconnect.
TEST_F(LeaseDoor, KeepAliveWithoutLeader) {
  auto open = KeepAlive();
  node.renew_error = Error{ErrorCode::kNoLeader, Outcome::kNotApplied, ""};
  open.Send(Renewal(7));
  ASSERT_TRUE(open.ended.has_value());
  EXPECT_EQ(open.ended->code, GrpcCode::kUnavailable);
  EXPECT_EQ(open.ended->message, "etcdserver: no leader");

  auto strict = KeepAlive({{"hasleader", "true"}});
  node.mutable_status().leader = NodeId(0);
  world.executor().Advance(4s);
  ASSERT_TRUE(strict.ended.has_value());
  EXPECT_EQ(strict.ended->message, "etcdserver: no leader");
}

// Claim: a put names a lease that exists, and takes it over from the one the key had.
TEST_F(LeaseDoor, KeysMoveBetweenLeases) {
  ASSERT_TRUE(Grant(60, 7));
  ASSERT_TRUE(Grant(60, 8));
  Put("a", "1", 7);
  Put("a", "2", 8);
  EXPECT_EQ(TimeToLive(7, true)->keys_size(), 0);
  EXPECT_EQ(TimeToLive(8, true)->keys_size(), 1);
}

}  // namespace
}  // namespace coterie::door::etcd

// Ranges of more than one turn: complete, at one revision, in bounded numbers, and in parts where
// the connection takes them.
#include <gtest/gtest.h>

#include "door/etcd/door_fixture.h"

namespace coterie::door::etcd {
namespace {

constexpr std::string_view kRange = "/etcdserverpb.KV/Range";

EtcdDoorOptions AtMostTwo() {
  EtcdDoorOptions options;
  options.long_ranges_max = 2;
  return options;
}

/// Takes an answer in parts; stops when told to.
class TakenParts final : public net::GrpcParts {
 public:
  void Begin(std::size_t bytes) override { expected = bytes; }
  runtime::Task<bool> Part(std::string bytes, Duration) override {
    largest = std::max(largest, bytes.size());
    taken += bytes;
    co_return taken.size() < stop_after;
  }
  std::size_t expected = 0;
  std::size_t largest = 0;
  std::size_t stop_after = SIZE_MAX;
  std::string taken;
};

class LongRanges : public DoorTest {
 protected:
  LongRanges() : DoorTest(AtMostTwo()) {
    for (int i = 0; i < 8000; ++i) Put("key" + std::to_string(i), std::string(1000, 'v'));
    request_.set_key(std::string(1, '\0'));
    request_.set_range_end(std::string(1, '\0'));
  }
  std::unique_ptr<std::optional<net::GrpcReply>> Begin(runtime::Scope& scope) {
    auto reply = std::make_unique<std::optional<net::GrpcReply>>();
    scope.Spawn(
        Collect((*methods.FindUnary(kRange))(context, request_.SerializeAsString()), reply.get()));
    return reply;
  }
  void ExpectAll(const std::string& bytes, kv::Revision revision) {
    etcdserverpb::RangeResponse response;
    ASSERT_TRUE(response.ParseFromString(bytes));
    EXPECT_EQ(response.header().revision(), revision);
    EXPECT_EQ(response.header().cluster_id(), node.cluster_id());
    EXPECT_EQ(response.count(), 8000);
    ASSERT_EQ(response.kvs_size(), 8000);
    for (const auto& kv : response.kvs()) ASSERT_EQ(kv.value().size(), 1000u);
  }

  etcdserverpb::RangeRequest request_;
};

// Keys change while it is read; the answer is of one revision.
TEST_F(LongRanges, AreOfOneRevision) {
  runtime::Scope scope;
  const kv::Revision revision = node.store().revision();
  const auto reply = Begin(scope);
  EXPECT_FALSE(reply->has_value()) << "it takes more than one turn";
  Put("key1", "other");
  Delete("key2");
  world.executor().Settle();
  ASSERT_TRUE(reply->has_value());
  ASSERT_TRUE((*reply)->has_value());
  ExpectAll(***reply, revision);
}

TEST_F(LongRanges, InAnotherOrder) {
  request_.set_sort_order(etcdserverpb::RangeRequest::DESCEND);
  const auto all = Call<etcdserverpb::RangeResponse>(kRange, request_);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->kvs_size(), 8000);
  EXPECT_EQ(all->kvs(0).key(), "key999");
  EXPECT_EQ(all->kvs(7999).key(), "key0");
}

TEST_F(LongRanges, OneTooManyIsRefused) {
  runtime::Scope scope;
  const auto first = Begin(scope);
  const auto second = Begin(scope);
  const auto third = Begin(scope);
  ASSERT_TRUE(third->has_value());
  ASSERT_FALSE((*third)->has_value());
  EXPECT_EQ((*third)->error().code, net::GrpcCode::kResourceExhausted);
  EXPECT_EQ((*third)->error().message, "etcdserver: too many requests");
  world.executor().Settle();
  EXPECT_TRUE(first->has_value() && (*first)->has_value());
  EXPECT_TRUE(second->has_value() && (*second)->has_value());
  EXPECT_TRUE(Call<etcdserverpb::RangeResponse>(kRange, request_));
}

TEST_F(LongRanges, InParts) {
  TakenParts parts;
  context.parts = &parts;
  const net::GrpcReply reply = CallBytes(kRange, request_.SerializeAsString());
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(*reply, "");
  EXPECT_EQ(parts.taken.size(), parts.expected);
  EXPECT_LT(parts.largest, 200'000u);
  ExpectAll(parts.taken, node.store().revision());
}

// A client that stops taking them gets an error, and others their turn.
TEST_F(LongRanges, InPartsThatAreNotTaken) {
  TakenParts parts;
  parts.stop_after = 500'000;
  context.parts = &parts;
  for (int i = 0; i < 3; ++i) {
    parts.taken.clear();
    EXPECT_FALSE(CallBytes(kRange, request_.SerializeAsString()).has_value());
  }
  context.parts = nullptr;
  EXPECT_TRUE(Call<etcdserverpb::RangeResponse>(kRange, request_));
}

}  // namespace
}  // namespace coterie::door::etcd

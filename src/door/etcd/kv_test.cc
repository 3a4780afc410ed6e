#include <gtest/gtest.h>

#include "door/etcd/door_fixture.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcCode;

constexpr char kRange[] = "/etcdserverpb.KV/Range";
constexpr char kPut[] = "/etcdserverpb.KV/Put";
constexpr char kDelete[] = "/etcdserverpb.KV/DeleteRange";
constexpr char kTxn[] = "/etcdserverpb.KV/Txn";
constexpr char kCompact[] = "/etcdserverpb.KV/Compact";

class KvDoor : public DoorTest {
 protected:
  std::expected<etcdserverpb::RangeResponse, net::GrpcStatus> Get(std::string key,
                                                                  std::int64_t revision = 0,
                                                                  bool serializable = false) {
    etcdserverpb::RangeRequest request;
    request.set_key(std::move(key));
    request.set_revision(revision);
    request.set_serializable(serializable);
    return Call<etcdserverpb::RangeResponse>(kRange, request);
  }
  template <class Request>
  net::GrpcStatus Failure(std::string_view path, const Request& request) {
    auto reply = CallBytes(path, request.SerializeAsString());
    EXPECT_FALSE(reply.has_value()) << path << " was served";
    return reply ? net::GrpcStatus{} : reply.error();
  }
};

#define EXPECT_FAILS(status, grpc_code, text) \
  do {                                        \
    const net::GrpcStatus failed = (status);  \
    EXPECT_EQ(failed.code, grpc_code);        \
    EXPECT_EQ(failed.message, text);          \
  } while (0)

// Claim: every answer names cluster, member, term and revision, none of them 0; the first put is 2.
TEST_F(KvDoor, HeadersAreComplete) {
  const auto put = Put("a", "1");
  EXPECT_EQ(put.header().cluster_id(), node.cluster_id());
  EXPECT_EQ(put.header().member_id(), 1u);
  EXPECT_EQ(put.header().raft_term(), 3u);
  EXPECT_EQ(put.header().revision(), 2);
  const auto got = Get("a");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->header().SerializeAsString(), put.header().SerializeAsString());
  ASSERT_EQ(got->kvs_size(), 1);
  EXPECT_EQ(got->kvs(0).value(), "1");
}

// Claim: the header of a read at an old revision is the store's revision, not the one asked for.
TEST_F(KvDoor, ReadAtOldRevisionHasTheCurrentHeader) {
  Put("a", "1");
  Put("a", "2");
  const auto got = Get("a", 2);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->header().revision(), 3);
  EXPECT_EQ(got->kvs(0).value(), "1");
}

// Claim: a read waits for the barrier, a serializable one does not, nor does a serializable
// transaction.
TEST_F(KvDoor, OnlyLinearizableReadsTakeTheBarrier) {
  Put("a", "1");
  ASSERT_TRUE(Get("a"));
  EXPECT_EQ(node.barriers, 1);
  ASSERT_TRUE(Get("a", 0, /*serializable=*/true));
  EXPECT_EQ(node.barriers, 1);

  etcdserverpb::TxnRequest txn;
  txn.add_success()->mutable_request_range()->set_key("a");
  ASSERT_TRUE(Call<etcdserverpb::TxnResponse>(kTxn, txn));
  EXPECT_EQ(node.barriers, 2);
  txn.mutable_success(0)->mutable_request_range()->set_serializable(true);
  const std::size_t proposed = node.proposed.size();
  const auto response = Call<etcdserverpb::TxnResponse>(kTxn, txn);
  ASSERT_TRUE(response);
  EXPECT_EQ(node.barriers, 2);
  EXPECT_EQ(node.proposed.size(), proposed) << "a read-only txn must not enter the log";
  EXPECT_EQ(response->responses(0).response_range().kvs(0).value(), "1");
}

// Claim: what enters the log is the Command that holds the client's request.
TEST_F(KvDoor, CommandsHoldTheRequest) {
  etcdserverpb::PutRequest request;
  request.set_key("k");
  request.set_value(std::string(300, 'v'));
  ASSERT_TRUE(Call<etcdserverpb::PutResponse>(kPut, request));
  kv::Command command;
  ASSERT_TRUE(command.ParseFromString(node.proposed.back()));
  ASSERT_TRUE(command.has_put());
  EXPECT_EQ(command.put().SerializeAsString(), request.SerializeAsString());
}

// Claim: nested answers of a transaction carry the revision alone; the outer header is complete.
TEST_F(KvDoor, NestedHeadersHaveOnlyTheRevision) {
  etcdserverpb::TxnRequest txn;
  txn.add_success()->mutable_request_put()->set_key("a");
  txn.add_success()->mutable_request_range()->set_key("a");
  const auto response = Call<etcdserverpb::TxnResponse>(kTxn, txn);
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->succeeded());
  EXPECT_EQ(response->header().revision(), 2);
  EXPECT_EQ(response->header().member_id(), 1u);
  const auto& nested = response->responses(0).response_put().header();
  EXPECT_EQ(nested.revision(), 2);
  EXPECT_EQ(nested.member_id(), 0u);
  EXPECT_EQ(nested.raft_term(), 0u);
  EXPECT_EQ(response->responses(1).response_range().kvs_size(), 1);
}

// Claim: requests that cannot be valid are refused with etcd's texts before they reach the log.
TEST_F(KvDoor, InvalidRequestsAreRefusedBeforeTheLog) {
  EXPECT_FAILS(Failure(kRange, etcdserverpb::RangeRequest()), GrpcCode::kInvalidArgument,
               "etcdserver: key is not provided");
  EXPECT_FAILS(Failure(kPut, etcdserverpb::PutRequest()), GrpcCode::kInvalidArgument,
               "etcdserver: key is not provided");
  EXPECT_FAILS(Failure(kDelete, etcdserverpb::DeleteRangeRequest()), GrpcCode::kInvalidArgument,
               "etcdserver: key is not provided");
  etcdserverpb::PutRequest put;
  put.set_key("a");
  put.set_value("1");
  put.set_ignore_value(true);
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kInvalidArgument, "etcdserver: value is provided");
  put.set_ignore_value(false);
  put.set_lease(9);
  put.set_ignore_lease(true);
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kInvalidArgument, "etcdserver: lease is provided");
  etcdserverpb::RangeRequest range;
  range.set_key("a");
  range.set_sort_order(static_cast<etcdserverpb::RangeRequest::SortOrder>(7));
  EXPECT_FAILS(Failure(kRange, range), GrpcCode::kInvalidArgument,
               "etcdserver: invalid sort option");
  EXPECT_TRUE(node.proposed.empty());
}

// Claim: the same for transactions, through their branches.
TEST_F(KvDoor, InvalidTransactionsAreRefusedBeforeTheLog) {
  etcdserverpb::TxnRequest many;
  for (int i = 0; i < 129; ++i)
    many.add_success()->mutable_request_put()->set_key(std::to_string(i));
  EXPECT_FAILS(Failure(kTxn, many), GrpcCode::kInvalidArgument,
               "etcdserver: too many operations in txn request");
  etcdserverpb::TxnRequest twice;
  twice.add_success()->mutable_request_put()->set_key("a");
  twice.add_success()->mutable_request_put()->set_key("a");
  EXPECT_FAILS(Failure(kTxn, twice), GrpcCode::kInvalidArgument,
               "etcdserver: duplicate key given in txn request");
  etcdserverpb::TxnRequest empty;
  empty.add_success();
  EXPECT_FAILS(Failure(kTxn, empty), GrpcCode::kInvalidArgument, "etcdserver: key not found");
  EXPECT_TRUE(node.proposed.empty());
}

// Claim: a request over 1.5 MiB is refused; one that just fits is served.
TEST_F(KvDoor, RequestSizeIsBounded) {
  etcdserverpb::PutRequest request;
  request.set_key("a");
  request.set_value(std::string(1536 * 1024, 'v'));
  EXPECT_FAILS(Failure(kPut, request), GrpcCode::kInvalidArgument,
               "etcdserver: request is too large");
  request.mutable_value()->resize(1536 * 1024 - 64);
  EXPECT_TRUE(Call<etcdserverpb::PutResponse>(kPut, request));
}

// Claim: bytes that are no message of the method are an Internal error, as gRPC servers say it.
TEST_F(KvDoor, MalformedBytesAreRefused) {
  for (const char* path : {kRange, kPut, kDelete, kTxn, kCompact}) {
    const auto reply = CallBytes(path, "\x0a\xff");
    ASSERT_FALSE(reply.has_value());
    EXPECT_EQ(reply.error().code, GrpcCode::kInternal);
  }
  EXPECT_TRUE(node.proposed.empty());
}

// Claim: refusals that depend on the state come from the log, with etcd's texts.
TEST_F(KvDoor, RefusalsByTheState) {
  etcdserverpb::PutRequest put;
  put.set_key("a");
  put.set_lease(99);
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kNotFound, "etcdserver: requested lease not found");
  put.set_lease(0);
  put.set_ignore_value(true);
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kInvalidArgument, "etcdserver: key not found");
}

// Claim: compacted and future revisions are out of range; the compacted revision itself is
// readable.
TEST_F(KvDoor, CompactionAndFutureRevisions) {
  for (const char* value : {"1", "2", "3"}) Put("a", value);
  Compact(3);
  etcdserverpb::CompactionRequest again;
  again.set_revision(3);
  EXPECT_FAILS(Failure(kCompact, again), GrpcCode::kOutOfRange,
               "etcdserver: mvcc: required revision has been compacted");
  again.set_revision(100);
  EXPECT_FAILS(Failure(kCompact, again), GrpcCode::kOutOfRange,
               "etcdserver: mvcc: required revision is a future revision");
  auto old = Get("a", 2);
  ASSERT_FALSE(old);
  EXPECT_FAILS(old.error(), GrpcCode::kOutOfRange,
               "etcdserver: mvcc: required revision has been compacted");
  const auto compacted = Get("a", 3);
  ASSERT_TRUE(compacted);
  EXPECT_EQ(compacted->kvs(0).value(), "2");
  auto future = Get("a", 100);
  ASSERT_FALSE(future);
  EXPECT_FAILS(future.error(), GrpcCode::kOutOfRange,
               "etcdserver: mvcc: required revision is a future revision");
}

// Claim: with `hasleader` a call without a leader is refused at once; without it a serializable
// read is still served.
TEST_F(KvDoor, HasLeader) {
  Put("a", "1");
  node.mutable_status().leader = NodeId(0);
  ASSERT_TRUE(Get("a", 0, /*serializable=*/true));
  headers = {{"hasleader", "true"}};
  auto refused = Get("a", 0, /*serializable=*/true);
  ASSERT_FALSE(refused);
  EXPECT_FAILS(refused.error(), GrpcCode::kUnavailable, "etcdserver: no leader");
}

// Claim: a learner serves serializable ranges and nothing else of this service.
TEST_F(KvDoor, LearnersServeOnlySerializableRanges) {
  node.mutable_status().learner = true;
  EXPECT_TRUE(Get("a", 0, /*serializable=*/true));
  auto refused = Get("a");
  ASSERT_FALSE(refused);
  EXPECT_FAILS(refused.error(), GrpcCode::kFailedPrecondition,
               "etcdserver: rpc not supported for learner");
  etcdserverpb::PutRequest put;
  put.set_key("a");
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kFailedPrecondition,
               "etcdserver: rpc not supported for learner");
}

TEST_F(KvDoor, ClientApiVersionMustBeText) {
  headers = {{"client-api-version", "\xff\xfe"}};
  auto refused = Get("a");
  ASSERT_FALSE(refused);
  EXPECT_FAILS(refused.error(), GrpcCode::kInvalidArgument,
               "etcdserver: invalid client api version");
  headers = {{"client-api-version", "3.6.0"}};
  EXPECT_TRUE(Get("a"));
}

// Claim: the earlier of the call's deadline and the door's request timeout reaches the log.
TEST_F(KvDoor, DeadlinesReachTheLog) {
  Put("a", "1");
  EXPECT_EQ(node.last_deadline, world.Now() + 7s);
  context.deadline = world.Now() + 2s;
  Put("a", "2");
  EXPECT_EQ(node.last_deadline, world.Now() + 2s);
  ASSERT_TRUE(Get("a"));
  EXPECT_EQ(node.last_deadline, world.Now() + 2s);
}

// Claim: a barrier that runs into the client's own deadline says so; one that runs into the door's
// is a transient state that clients may try again.
TEST_F(KvDoor, TimedOutReads) {
  node.barrier_error = Error{ErrorCode::kTimedOut, Outcome::kNotApplied, ""};
  auto own = Get("a");
  ASSERT_FALSE(own);
  EXPECT_FAILS(own.error(), GrpcCode::kUnavailable, "etcdserver: request timed out");
  context.deadline = world.Now() + 1s;
  auto clients = Get("a");
  ASSERT_FALSE(clients);
  EXPECT_FAILS(clients.error(), GrpcCode::kDeadlineExceeded, "context deadline exceeded");
}

// Claim: without a leader a call that has a deadline waits for one, and is told at the end that
// there is none; one without a deadline is told at once.
TEST_F(KvDoor, CallsWaitForALeader) {
  etcdserverpb::PutRequest put;
  put.set_key("a");
  etcdserverpb::RangeRequest get;
  get.set_key("a");
  node.propose_error = Error{ErrorCode::kNoLeader, Outcome::kNotApplied, ""};
  const auto at_once = Call<etcdserverpb::PutResponse>(kPut, put);
  EXPECT_FAILS(at_once.error(), GrpcCode::kUnavailable, "etcdserver: no leader");
  context.deadline = world.Now() + 60s;
  const auto begin = [&](std::string_view path, const google::protobuf::Message& request,
                         runtime::Scope& scope) {
    auto reply = std::make_unique<std::optional<net::GrpcReply>>();
    scope.Spawn(
        Collect((*methods.FindUnary(path))(context, request.SerializeAsString()), reply.get()));
    world.executor().Settle();
    return reply;
  };
  for (const bool comes : {true, false}) {
    runtime::Scope scope;
    node.propose_error = node.barrier_error = Error{ErrorCode::kNoLeader, Outcome::kNotApplied, ""};
    const auto write = begin(kPut, put, scope);
    const auto read = begin("/etcdserverpb.KV/Range", get, scope);
    world.executor().Advance(6s);
    EXPECT_FALSE(write->has_value());
    EXPECT_FALSE(read->has_value());
    if (comes) node.propose_error = node.barrier_error = std::nullopt;
    world.executor().Advance(2s);
    ASSERT_TRUE(write->has_value());
    ASSERT_TRUE(read->has_value());
    EXPECT_EQ((*write)->has_value(), comes);
    EXPECT_EQ((*read)->has_value(), comes);
    if (comes) continue;
    EXPECT_FAILS((*write)->error(), GrpcCode::kUnavailable, "etcdserver: no leader");
    EXPECT_FAILS((*read)->error(), GrpcCode::kUnavailable, "etcdserver: no leader");
  }
}

// Claim: a field in another wire type than its own is not taken for one that is not known.
TEST_F(KvDoor, MistypedFieldsAreRefused) {
  const auto reply = CallBytes("/etcdserverpb.KV/Range", std::string("\x08\x01", 2));
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code, GrpcCode::kInternal);
  EXPECT_TRUE(CallBytes("/etcdserverpb.KV/Range", std::string("\x0a\x01"
                                                              "a\xf8\x07\x01",
                                                              6)))
      << "a field of a later version";
}

// Claim: an answer is sent when the command has been applied, not before.
TEST_F(KvDoor, WritesAnswerWhenApplied) {
  node.hold_proposals = true;
  etcdserverpb::PutRequest request;
  request.set_key("a");
  std::optional<net::GrpcReply> reply;
  runtime::Scope scope;
  scope.Spawn(Collect((*methods.FindUnary(kPut))(context, request.SerializeAsString()), &reply));
  world.executor().Settle();
  EXPECT_FALSE(reply.has_value());
  node.Release();
  world.executor().Settle();
  ASSERT_TRUE(reply.has_value());
  EXPECT_TRUE(reply->has_value());
}

// Claim: a write whose outcome is unknown never looks like one that did not happen.
TEST_F(KvDoor, FailedProposals) {
  etcdserverpb::PutRequest put;
  put.set_key("a");
  headers = {{"hasleader", "true"}};
  node.propose_error = Error{ErrorCode::kNoLeader, Outcome::kNotApplied, ""};
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kUnavailable, "etcdserver: no leader");
  node.propose_error = Error{ErrorCode::kTimedOut, Outcome::kUnknown, ""};
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kUnavailable, "etcdserver: request timed out");
  node.propose_error = Error{ErrorCode::kLeaderChanged, Outcome::kUnknown, ""};
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kUnavailable,
               "etcdserver: request timed out, possibly due to previous leader failure");
  node.propose_error = Error{ErrorCode::kOverloaded, Outcome::kNotApplied, ""};
  EXPECT_FAILS(Failure(kPut, put), GrpcCode::kResourceExhausted, "etcdserver: too many requests");
}

}  // namespace
}  // namespace coterie::door::etcd

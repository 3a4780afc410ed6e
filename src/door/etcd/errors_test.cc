#include "door/etcd/errors.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace coterie::door::etcd {
namespace {

using net::GrpcCode;

// Every text that an etcd server may answer with and its code, as in etcd's
// api/v3rpc/rpctypes/error.go. Kept apart from the door's own table on purpose: the two are
// compared.
const std::map<std::string, GrpcCode>& EtcdTexts() {
  static const std::map<std::string, GrpcCode> texts = [] {
    std::map<std::string, GrpcCode> all;
    const auto add = [&](GrpcCode code, std::initializer_list<const char*> suffixes) {
      for (const char* suffix : suffixes) all["etcdserver: " + std::string(suffix)] = code;
    };
    add(GrpcCode::kInvalidArgument,
        {"key is not provided", "key not found", "value is provided", "lease is provided",
         "too many operations in txn request", "duplicate key given in txn request",
         "invalid client api version", "invalid sort option", "given member URLs are invalid",
         "request is too large"});
    add(GrpcCode::kOutOfRange,
        {"mvcc: required revision has been compacted",
         "mvcc: required revision is a future revision", "too large lease TTL"});
    add(GrpcCode::kResourceExhausted, {"mvcc: database space exceeded", "too many requests"});
    add(GrpcCode::kNotFound, {"requested lease not found", "member not found"});
    add(GrpcCode::kFailedPrecondition,
        {"lease already exists", "member ID already exist", "Peer URLs already exists",
         "cluster ID mismatch", "not leader", "not capable", "rpc not supported for learner",
         "bad leader transferee", "authentication is not enabled", "root user does not exist",
         "user name not found", "role name not found"});
    add(GrpcCode::kPermissionDenied, {"permission denied"});
    add(GrpcCode::kDataLoss, {"corrupt cluster"});
    add(GrpcCode::kCancelled, {"watch canceled", "request canceled"});
    add(GrpcCode::kUnavailable,
        {"no leader", "leader changed", "server stopped", "request timed out",
         "request timed out, possibly due to previous leader failure",
         "request timed out, possibly due to connection lost",
         "request timed out, waiting for the applied index took too long", "unhealthy cluster"});
    all["context deadline exceeded"] = GrpcCode::kDeadlineExceeded;
    return all;
  }();
  return texts;
}

// Claim: each row of the door's table is a text of etcd's, with etcd's code.
TEST(EtcdErrors, EveryRowIsOneOfEtcds) {
  std::size_t rows = 0;
#define COT_ETCD_ERROR(name, grpc_code, text)                               \
  {                                                                         \
    const auto found = EtcdTexts().find(text);                              \
    ASSERT_NE(found, EtcdTexts().end()) << text;                            \
    EXPECT_EQ(found->second, GrpcCode::grpc_code) << text;                  \
    EXPECT_EQ(StatusOf(EtcdError::name).code, GrpcCode::grpc_code) << text; \
    EXPECT_EQ(StatusOf(EtcdError::name).message, text);                     \
    EXPECT_EQ(TextOf(EtcdError::name), text);                               \
    ++rows;                                                                 \
  }
#include "door/etcd/error_texts.inc"
#undef COT_ETCD_ERROR
  EXPECT_GE(rows, 30u);
}

struct Mapping {
  ErrorCode code;
  Outcome outcome;
  GrpcCode grpc;
  const char* text;
};

// Claim: the errors a replica and a store answer with reach the client as etcd would say them.
TEST(EtcdErrors, ErrorsOfTheRoomsBelowAreTranslated) {
  const Mapping mappings[] = {
      {ErrorCode::kEmptyKey, Outcome::kNotApplied, GrpcCode::kInvalidArgument,
       "etcdserver: key is not provided"},
      {ErrorCode::kKeyNotFound, Outcome::kNotApplied, GrpcCode::kInvalidArgument,
       "etcdserver: key not found"},
      {ErrorCode::kTooManyOperations, Outcome::kNotApplied, GrpcCode::kInvalidArgument,
       "etcdserver: too many operations in txn request"},
      {ErrorCode::kDuplicateKey, Outcome::kNotApplied, GrpcCode::kInvalidArgument,
       "etcdserver: duplicate key given in txn request"},
      {ErrorCode::kTooLarge, Outcome::kNotApplied, GrpcCode::kInvalidArgument,
       "etcdserver: request is too large"},
      {ErrorCode::kCompacted, Outcome::kNotApplied, GrpcCode::kOutOfRange,
       "etcdserver: mvcc: required revision has been compacted"},
      {ErrorCode::kFutureRevision, Outcome::kNotApplied, GrpcCode::kOutOfRange,
       "etcdserver: mvcc: required revision is a future revision"},
      {ErrorCode::kLeaseTtlTooLarge, Outcome::kNotApplied, GrpcCode::kOutOfRange,
       "etcdserver: too large lease TTL"},
      {ErrorCode::kLeaseNotFound, Outcome::kNotApplied, GrpcCode::kNotFound,
       "etcdserver: requested lease not found"},
      {ErrorCode::kLeaseExists, Outcome::kNotApplied, GrpcCode::kFailedPrecondition,
       "etcdserver: lease already exists"},
      {ErrorCode::kOverloaded, Outcome::kNotApplied, GrpcCode::kResourceExhausted,
       "etcdserver: too many requests"},
      {ErrorCode::kNoLeader, Outcome::kNotApplied, GrpcCode::kUnavailable, "etcdserver: no leader"},
      {ErrorCode::kProposalDropped, Outcome::kNotApplied, GrpcCode::kUnavailable,
       "etcdserver: leader changed"},
      {ErrorCode::kLeaderChanged, Outcome::kNotApplied, GrpcCode::kUnavailable,
       "etcdserver: leader changed"},
      {ErrorCode::kLeaderChanged, Outcome::kUnknown, GrpcCode::kUnavailable,
       "etcdserver: request timed out, possibly due to previous leader failure"},
      {ErrorCode::kTimedOut, Outcome::kUnknown, GrpcCode::kUnavailable,
       "etcdserver: request timed out"},
      {ErrorCode::kStopped, Outcome::kUnknown, GrpcCode::kUnavailable,
       "etcdserver: server stopped"},
      {ErrorCode::kNotLeader, Outcome::kNotApplied, GrpcCode::kFailedPrecondition,
       "etcdserver: not leader"},
      {ErrorCode::kBadTransferee, Outcome::kNotApplied, GrpcCode::kFailedPrecondition,
       "etcdserver: bad leader transferee"},
      {ErrorCode::kCorruptState, Outcome::kNotApplied, GrpcCode::kDataLoss,
       "etcdserver: corrupt cluster"},
  };
  for (const Mapping& mapping : mappings) {
    const net::GrpcStatus status = StatusOf(Error{mapping.code, mapping.outcome, "particulars"});
    EXPECT_EQ(status.code, mapping.grpc) << mapping.text;
    EXPECT_EQ(status.message, mapping.text);
  }
}

// Claim: an invalid argument carries the text that the check gave, so that "value is provided" and
// its like need no code of their own.
TEST(EtcdErrors, InvalidArgumentsKeepTheirText) {
  for (const char* text : {"value is provided", "lease is provided", "invalid sort option"}) {
    const net::GrpcStatus status =
        StatusOf(Error{ErrorCode::kInvalidArgument, Outcome::kNotApplied, text});
    EXPECT_EQ(status.code, GrpcCode::kInvalidArgument);
    const auto found = EtcdTexts().find(status.message);
    ASSERT_NE(found, EtcdTexts().end()) << status.message;
    EXPECT_EQ(found->second, GrpcCode::kInvalidArgument);
  }
}

// Claim: no answer to a write that may have been applied has one of the two texts on which etcd's
// clients repeat a write by themselves [etcd client/v3/retry.go, isSafeRetryMutableRPC].
TEST(EtcdErrors, UnknownOutcomesAreNeverSilentlyRepeated) {
  for (int number = 0; number < 10000; ++number) {
    const ErrorInfo* info = FindError(CodeText(static_cast<ErrorCode>(number)));
    if (info == nullptr) continue;
    const net::GrpcStatus status = StatusOf(Error{info->code, Outcome::kUnknown, "particulars"});
    EXPECT_NE(status.message, "there is no address available");
    EXPECT_NE(status.message, "there is no connection available");
    EXPECT_NE(status.code, GrpcCode::kOk);
  }
}

}  // namespace
}  // namespace coterie::door::etcd

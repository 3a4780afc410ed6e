#include "door/etcd/errors.h"

#include <array>
#include <utility>

#include "base/assert.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcCode;
using net::GrpcStatus;

struct Row {
  EtcdError error;
  GrpcCode code;
  std::string_view text;
};

constexpr std::array kRows = {
#define COT_ETCD_ERROR(name, code, text) Row{EtcdError::name, GrpcCode::code, text},
#include "door/etcd/error_texts.inc"
#undef COT_ETCD_ERROR
};

const Row& RowOf(EtcdError error) {
  const auto index = static_cast<std::size_t>(error);
  COT_ASSERT(index < kRows.size());
  COT_ASSERT(kRows[index].error == error);
  return kRows[index];
}

// An invalid argument names its particulars by etcd's own text, without the prefix.
GrpcStatus InvalidArgument(const Error& error) {
  return {GrpcCode::kInvalidArgument, "etcdserver: " + error.message};
}

GrpcStatus Unexpected(GrpcCode code, const Error& error) { return {code, Describe(error)}; }

}  // namespace

std::string_view TextOf(EtcdError error) { return RowOf(error).text; }

GrpcStatus StatusOf(EtcdError error) {
  const Row& row = RowOf(error);
  return {row.code, std::string(row.text)};
}

std::unexpected<GrpcStatus> Refuse(EtcdError error) { return std::unexpected(StatusOf(error)); }

GrpcStatus StatusOf(const Error& error) {
  const bool unknown = error.outcome == Outcome::kUnknown;
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
      return InvalidArgument(error);
    case ErrorCode::kEmptyKey:
      return StatusOf(EtcdError::kEmptyKey);
    case ErrorCode::kKeyNotFound:
      return StatusOf(EtcdError::kKeyNotFound);
    case ErrorCode::kDuplicateKey:
      return StatusOf(EtcdError::kDuplicateKey);
    case ErrorCode::kTooManyOperations:
      return StatusOf(EtcdError::kTooManyOperations);
    case ErrorCode::kTooLarge:
      return StatusOf(EtcdError::kRequestTooLarge);
    case ErrorCode::kCompacted:
      return StatusOf(EtcdError::kCompacted);
    case ErrorCode::kFutureRevision:
      return StatusOf(EtcdError::kFutureRevision);
    case ErrorCode::kLeaseTtlTooLarge:
      return StatusOf(EtcdError::kLeaseTtlTooLarge);
    case ErrorCode::kLeaseNotFound:
      return StatusOf(EtcdError::kLeaseNotFound);
    case ErrorCode::kLeaseExists:
      return StatusOf(EtcdError::kLeaseExists);
    case ErrorCode::kDiskFull:
      return StatusOf(EtcdError::kNoSpace);
    case ErrorCode::kOverloaded:
      return StatusOf(EtcdError::kTooManyRequests);
    case ErrorCode::kNotLeader:
      return StatusOf(EtcdError::kNotLeader);
    case ErrorCode::kBadTransferee:
      return StatusOf(EtcdError::kBadLeaderTransferee);
    case ErrorCode::kWrongCluster:
      return StatusOf(EtcdError::kClusterIdMismatch);
    case ErrorCode::kPermissionDenied:
      return StatusOf(EtcdError::kPermissionDenied);
    case ErrorCode::kCorruptState:
      return StatusOf(EtcdError::kCorrupt);
    case ErrorCode::kCancelled:
      return StatusOf(EtcdError::kRequestCanceled);
    case ErrorCode::kNoLeader:
      return StatusOf(EtcdError::kNoLeader);
    case ErrorCode::kStopped:
      return StatusOf(EtcdError::kStopped);
    case ErrorCode::kTimedOut:
      return StatusOf(EtcdError::kTimedOut);
    // Dropped by a leader on its way out: nothing happened, and another try may find the next one.
    case ErrorCode::kProposalDropped:
      return StatusOf(EtcdError::kLeaderChanged);
    case ErrorCode::kLeaderChanged:
      return StatusOf(unknown ? EtcdError::kTimedOutLeaderFailed : EtcdError::kLeaderChanged);
    case ErrorCode::kConnectFailed:
    case ErrorCode::kConnectionClosed:
      return StatusOf(EtcdError::kTimedOutConnectionLost);
    case ErrorCode::kUnimplemented:
      return Unexpected(GrpcCode::kUnimplemented, error);
    default:
      return Unexpected(GrpcCode::kInternal, error);
  }
}

}  // namespace coterie::door::etcd

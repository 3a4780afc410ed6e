#pragma once

#include <vector>

#include "etcd/rpc.pb.h"
#include "model/kv/history.h"
#include "model/kv/layout.h"

namespace coterie::kv {

/// Which way a txn, and every txn nested in the taken branch, goes.
struct TxnPath {
  bool succeeded = false;
  std::vector<TxnPath> nested;  ///< one per nested txn of the taken branch, in order

  const google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& Branch(
      const etcdserverpb::TxnRequest& request) const {
    return succeeded ? request.success() : request.failure();
  }
};

/// Decides all compares, nested ones too, against the state at `current`: before anything is
/// written.
Result<TxnPath> DecidePath(History& history, const etcdserverpb::TxnRequest& request,
                           Revision current);

/// Checks the revisions of the ranges on the path. Errors: kFutureRevision, kCompacted.
Status CheckRanges(const etcdserverpb::TxnRequest& request, const TxnPath& path, Revision current,
                   Revision compacted);

/// Answers a txn that only reads.
Result<etcdserverpb::TxnResponse> EvaluateReadTxn(History& history,
                                                  const etcdserverpb::TxnRequest& request,
                                                  Revision current, Revision compacted);

}  // namespace coterie::kv

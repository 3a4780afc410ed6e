#pragma once

#include <memory>
#include <string_view>

#include "coterie/command.pb.h"
#include "model/kv/command_codec.h"
#include "model/kv/txn.h"
#include "model/kv/writer.h"

namespace coterie::kv {

/// Runs commands, one after another, on one Writer. A refusal is in the Answer's Result and has
/// changed nothing; an Error of Run means that the Engine or its contents are broken.
class Applier {
 public:
  using Response = Answer::Response;

  explicit Applier(Writer& writer) : writer_(writer) {}

  Result<std::unique_ptr<model::StateMachine::Answer>> Run(
      const model::StateMachine::Command& command);

 private:
  Result<Response> Dispatch(const Command& command, LogIndex index);
  Result<Response> Apply(const PutView& put);
  Result<Response> Apply(const etcdserverpb::DeleteRangeRequest& request);
  Result<Response> Apply(const etcdserverpb::TxnRequest& request);
  Result<Response> Apply(const etcdserverpb::CompactionRequest& request);
  Result<Response> Apply(const etcdserverpb::LeaseGrantRequest& request, LogIndex index);
  Result<Response> Apply(const etcdserverpb::LeaseRevokeRequest& request);

  Status CheckLease(std::int64_t lease) const;
  Result<etcdserverpb::PutResponse> Put(const PutView& put, const Head& old);
  Result<etcdserverpb::DeleteRangeResponse> DeleteRange(
      const etcdserverpb::DeleteRangeRequest& request);
  Status CheckPuts(const etcdserverpb::TxnRequest& request, const TxnPath& path);
  Status RunTxn(const etcdserverpb::TxnRequest& request, const TxnPath& path,
                etcdserverpb::TxnResponse& response);
  Status RunOperation(const etcdserverpb::RequestOp& op, etcdserverpb::ResponseOp& response);

  Writer& writer_;
  bool answer_wanted_ = false;
};

}  // namespace coterie::kv

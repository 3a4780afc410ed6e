#include "model/kv/apply.h"

#include <google/protobuf/arena.h>

#include <limits>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "model/kv/range.h"

namespace coterie::kv {
namespace {

using etcdserverpb::DeleteRangeRequest;
using etcdserverpb::DeleteRangeResponse;
using etcdserverpb::PutRequest;
using etcdserverpb::PutResponse;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

constexpr std::int64_t kLeaseTtlMaxSeconds = 9'000'000'000;

PutView ViewOf(const PutRequest& request) {
  return {request.key(),     request.value(),        request.lease(),
          request.prev_kv(), request.ignore_value(), request.ignore_lease()};
}

Status CheckShape(const PutView& put) {
  if (put.key.empty()) return Fail(ErrorCode::kEmptyKey, "key is not provided");
  if (put.ignore_value && !put.value.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "value is provided");
  }
  if (put.ignore_lease && put.lease != 0)
    return Fail(ErrorCode::kInvalidArgument, "lease is provided");
  return Ok();
}

/// Errors that a replica cannot live on with, against refusals that every replica makes alike.
bool IsBroken(ErrorCode code) {
  switch (code) {
    case ErrorCode::kIo:
    case ErrorCode::kDiskFull:
    case ErrorCode::kSyncFailed:
    case ErrorCode::kCorruptState:
    case ErrorCode::kNewerData:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<std::unique_ptr<model::StateMachine::Answer>> Applier::Run(
    const model::StateMachine::Command& command) {
  answer_wanted_ = command.answer_wanted;
  Result<Response> response = Fail(ErrorCode::kMalformed, "command");
  if (const auto put = DecodePut(command.payload)) {
    if (put->key.empty()) writer_.state().leases.Renew(put->lease, command.index);
    response = Apply(*put);
  } else {
    google::protobuf::Arena arena;
    auto* parsed = google::protobuf::Arena::CreateMessage<Command>(&arena);
    if (parsed->ParseFromArray(command.payload.data(), static_cast<int>(command.payload.size()))) {
      response = Dispatch(*parsed, command.index);
    }
  }
  if (!response && IsBroken(response.error().code))
    return std::unexpected(std::move(response.error()));
  writer_.EndCommand();
  if (!answer_wanted_) return nullptr;
  return std::make_unique<Answer>(std::move(response));
}

Result<Applier::Response> Applier::Dispatch(const Command& command, LogIndex index) {
  switch (command.operation_case()) {
    case Command::kPut:
      return Apply(ViewOf(command.put()));
    case Command::kDeleteRange:
      return Apply(command.delete_range());
    case Command::kTxn:
      return Apply(command.txn());
    case Command::kCompaction:
      return Apply(command.compaction());
    case Command::kLeaseGrant:
      return Apply(command.lease_grant(), index);
    case Command::kLeaseRevoke:
      return Apply(command.lease_revoke());
    case Command::OPERATION_NOT_SET:
      break;
  }
  // A newer version knows what this means; to skip it would make this replica differ from the
  // others.
  if (!Command::GetReflection()->GetUnknownFields(command).empty()) {
    return Fail(ErrorCode::kNewerData, "kv: unknown command");
  }
  return Fail(ErrorCode::kMalformed, "command without an operation");
}

Status Applier::CheckLease(std::int64_t lease) const {
  if (lease == 0 || writer_.state().leases.Find(lease) != nullptr) return Ok();
  return Fail(ErrorCode::kLeaseNotFound, "requested lease not found");
}

Result<Applier::Response> Applier::Apply(const PutView& put) {
  COT_TRY(CheckShape(put));
  COT_TRY(CheckLease(put.lease));
  COT_ASSIGN(const Head old, writer_.history().Newest(put.key));
  if ((put.ignore_value || put.ignore_lease) && !old.live()) {
    return Fail(ErrorCode::kKeyNotFound, "key not found");
  }
  return Put(put, old);
}

Result<PutResponse> Applier::Put(const PutView& put, const Head& old) {
  COT_ASSERT(!put.key.empty());
  PutResponse response;
  std::optional<History::Version> replaced;
  if (old.live() && (put.ignore_value || (put.prev_kv && answer_wanted_))) {
    COT_ASSIGN(replaced, writer_.history().VersionAt(put.key, old.mod));
    if (!replaced) return Fail(ErrorCode::kCorruptState, "kv: the newest version has no record");
  }
  if (answer_wanted_) {
    response.mutable_header()->set_revision(writer_.next());
    if (put.prev_kv && old.live()) {
      SetKeyValue({put.key, old, replaced->value}, *response.mutable_prev_kv());
    }
  }
  COT_ASSERT(!put.ignore_value || replaced);
  writer_.Put(put.key, put.ignore_value ? std::string_view(replaced->value) : put.value, old,
              put.ignore_lease ? old.lease : put.lease);
  return response;
}

Result<Applier::Response> Applier::Apply(const DeleteRangeRequest& request) {
  COT_TRY(Store::Validate(request));
  return DeleteRange(request);
}

Result<DeleteRangeResponse> Applier::DeleteRange(const DeleteRangeRequest& request) {
  DeleteRangeResponse response;
  std::vector<std::pair<std::string, Head>> doomed;
  const bool prev_kv = request.prev_kv() && answer_wanted_;
  if (request.range_end().empty() && !prev_kv) {
    COT_ASSIGN(const Head old, writer_.history().Newest(request.key()));
    if (old.live()) doomed.emplace_back(request.key(), old);
  } else {
    COT_TRY(writer_.history().Scan(request.key(), request.range_end(), writer_.current(),
                                   [&](const VersionView& version) {
                                     doomed.emplace_back(version.key, version.head);
                                     if (prev_kv) SetKeyValue(version, *response.add_prev_kvs());
                                     return true;
                                   }));
  }
  for (const auto& [key, old] : doomed) writer_.Delete(key, old);
  response.set_deleted(static_cast<std::int64_t>(doomed.size()));
  response.mutable_header()->set_revision(writer_.current());
  return response;
}

// [etcd] decides every compare and checks every operation on the taken path before the first write,
// so that a txn never stops half-way.
Result<Applier::Response> Applier::Apply(const TxnRequest& request) {
  // The number of operations is for the door to limit: the limit may differ between replicas.
  COT_TRY(Store::Validate(request, std::numeric_limits<std::size_t>::max()));
  const layout::Meta& meta = writer_.state().meta;
  COT_ASSIGN(const TxnPath path, DecidePath(writer_.history(), request, meta.revision));
  COT_TRY(CheckPuts(request, path));
  COT_TRY(CheckRanges(request, path, meta.revision, meta.compacted));
  TxnResponse response;
  COT_TRY(RunTxn(request, path, response));
  response.mutable_header()->set_revision(writer_.current());
  return response;
}

Status Applier::CheckPuts(const TxnRequest& request, const TxnPath& path) {
  auto nested = path.nested.begin();
  for (const auto& op : path.Branch(request)) {
    if (op.has_request_txn()) COT_TRY(CheckPuts(op.request_txn(), *nested++));
    if (!op.has_request_put()) continue;
    const PutRequest& put = op.request_put();
    if (put.ignore_value() || put.ignore_lease()) {
      COT_ASSIGN(const Head old, writer_.history().Newest(put.key()));
      if (!old.live()) return Fail(ErrorCode::kKeyNotFound, "key not found");
    }
    COT_TRY(CheckLease(put.lease()));
  }
  return Ok();
}

Status Applier::RunTxn(const TxnRequest& request, const TxnPath& path, TxnResponse& response) {
  response.set_succeeded(path.succeeded);
  auto nested = path.nested.begin();
  for (const auto& op : path.Branch(request)) {
    auto& out = *response.add_responses();
    if (op.has_request_txn()) {
      out.mutable_response_txn()->mutable_header();  // present and empty, as etcd's
      COT_TRY(RunTxn(op.request_txn(), *nested++, *out.mutable_response_txn()));
    } else {
      COT_TRY(RunOperation(op, out));
    }
  }
  COT_ASSERT(nested == path.nested.end());
  return Ok();
}

Status Applier::RunOperation(const RequestOp& op, etcdserverpb::ResponseOp& out) {
  if (op.has_request_range()) {
    if (!answer_wanted_) return Ok();  // reads change nothing
    COT_ASSIGN(auto range,
               EvaluateRange(writer_.history(), op.request_range(), writer_.current(), nullptr));
    *out.mutable_response_range() = std::move(range);
  } else if (op.has_request_put()) {
    const PutView put = ViewOf(op.request_put());
    COT_ASSIGN(const Head old, writer_.history().Newest(put.key));
    COT_ASSIGN(*out.mutable_response_put(), Put(put, old));
  } else {
    COT_ASSERT(op.has_request_delete_range());
    COT_ASSIGN(*out.mutable_response_delete_range(), DeleteRange(op.request_delete_range()));
  }
  return Ok();
}

Result<Applier::Response> Applier::Apply(const etcdserverpb::CompactionRequest& request) {
  layout::Meta& meta = writer_.state().meta;
  if (request.revision() <= meta.compacted) {
    return Fail(ErrorCode::kCompacted, std::to_string(meta.compacted));
  }
  if (request.revision() > meta.revision) {
    return Fail(ErrorCode::kFutureRevision, std::to_string(meta.revision));
  }
  meta.compacted = request.revision();
  etcdserverpb::CompactionResponse response;
  response.mutable_header()->set_revision(meta.revision);
  return response;
}

Result<Applier::Response> Applier::Apply(const etcdserverpb::LeaseGrantRequest& request,
                                         LogIndex index) {
  if (request.id() == 0) return Fail(ErrorCode::kInvalidArgument, "a lease needs an id");
  if (request.ttl() > kLeaseTtlMaxSeconds) {
    return Fail(ErrorCode::kLeaseTtlTooLarge, "too large lease TTL");
  }
  if (writer_.state().leases.Find(request.id()) != nullptr) {
    return Fail(ErrorCode::kLeaseExists, "lease already exists");
  }
  writer_.GrantLease(request.id(), request.ttl(), index);
  etcdserverpb::LeaseGrantResponse response;
  response.mutable_header()->set_revision(writer_.current());
  response.set_id(request.id());
  response.set_ttl(request.ttl());
  return response;
}

Result<Applier::Response> Applier::Apply(const etcdserverpb::LeaseRevokeRequest& request) {
  if (request.id() == 0 || writer_.state().leases.Find(request.id()) == nullptr) {
    return Fail(ErrorCode::kLeaseNotFound, "requested lease not found");
  }
  std::vector<std::string> keys;
  COT_TRY(writer_.history().ScanAttachments(request.id(),
                                            [&](std::string_view key) { keys.emplace_back(key); }));
  for (const auto& key : keys) {
    COT_ASSIGN(const Head old, writer_.history().Newest(key));
    if (!old.live() || old.lease != request.id()) {
      return Fail(ErrorCode::kCorruptState, "kv: attachment without its key");
    }
    writer_.Delete(key, old);
  }
  writer_.RevokeLease(request.id());
  etcdserverpb::LeaseRevokeResponse response;
  response.mutable_header()->set_revision(writer_.current());
  return response;
}

}  // namespace coterie::kv

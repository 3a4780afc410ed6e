#include "model/kv/txn.h"

#include <string_view>

#include "base/assert.h"
#include "model/kv/range.h"

namespace coterie::kv {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

int Sign(std::int64_t a, std::int64_t b) { return a < b ? -1 : a > b ? 1 : 0; }

// A union that does not match the target reads as 0 or empty.
int Difference(const Compare& compare, const VersionView& version) {
  switch (compare.target()) {
    case Compare::VERSION:
      return Sign(version.head.version, compare.version());
    case Compare::CREATE:
      return Sign(version.head.create, compare.create_revision());
    case Compare::MOD:
      return Sign(version.head.mod, compare.mod_revision());
    case Compare::VALUE:
      return version.value.compare(compare.value());
    case Compare::LEASE:
      return Sign(version.head.lease, compare.lease());
    default:
      return 0;
  }
}

bool Holds(const Compare& compare, const VersionView& version) {
  const int difference = Difference(compare, version);
  switch (compare.result()) {
    case Compare::EQUAL:
      return difference == 0;
    case Compare::NOT_EQUAL:
      return difference != 0;
    case Compare::GREATER:
      return difference > 0;
    case Compare::LESS:
      return difference < 0;
    default:
      return true;
  }
}

// Of a missing key every number is 0, but its value compares to nothing: always false.
Result<bool> Holds(History& history, const Compare& compare, Revision current) {
  bool found = false;
  bool holds = true;
  const auto look = [&](const VersionView& version) {
    found = true;
    holds = Holds(compare, version);
    return holds;
  };
  if (compare.range_end().empty() && compare.target() != Compare::VALUE) {
    COT_ASSIGN(const Head head, history.Newest(compare.key()));
    if (head.live()) look({compare.key(), head, {}});
  } else {
    COT_TRY(history.Scan(compare.key(), compare.range_end(), current, look));
  }
  if (found) return holds;
  return compare.target() != Compare::VALUE && Holds(compare, VersionView{});
}

Status FillReadTxn(History& history, const TxnRequest& request, const TxnPath& path,
                   Revision current, TxnResponse& response) {
  response.set_succeeded(path.succeeded);
  auto nested = path.nested.begin();
  for (const auto& op : path.Branch(request)) {
    auto& out = *response.add_responses();
    if (op.has_request_txn()) {
      out.mutable_response_txn()->mutable_header();
      COT_TRY(
          FillReadTxn(history, op.request_txn(), *nested++, current, *out.mutable_response_txn()));
      continue;
    }
    COT_ASSERT(op.has_request_range());
    COT_ASSIGN(auto range, EvaluateRange(history, op.request_range(), current, nullptr));
    *out.mutable_response_range() = std::move(range);
  }
  return Ok();
}

}  // namespace

Result<TxnPath> DecidePath(History& history, const TxnRequest& request, Revision current) {
  TxnPath path{.succeeded = true};
  for (const auto& compare : request.compare()) {
    COT_ASSIGN(path.succeeded, Holds(history, compare, current));
    if (!path.succeeded) break;
  }
  for (const auto& op : path.Branch(request)) {
    if (!op.has_request_txn()) continue;
    COT_ASSIGN(auto nested, DecidePath(history, op.request_txn(), current));
    path.nested.push_back(std::move(nested));
  }
  return path;
}

Status CheckRanges(const TxnRequest& request, const TxnPath& path, Revision current,
                   Revision compacted) {
  auto nested = path.nested.begin();
  for (const auto& op : path.Branch(request)) {
    if (op.has_request_txn()) COT_TRY(CheckRanges(op.request_txn(), *nested++, current, compacted));
    if (!op.has_request_range()) continue;
    const Revision asked = op.request_range().revision();
    // Unlike a plain Range, etcd's check inside a txn takes a negative revision for an old one.
    if (asked < 0 && asked < compacted) {
      return Fail(ErrorCode::kCompacted, std::to_string(compacted));
    }
    COT_TRY(CheckRevision(asked, current, compacted));
  }
  return Ok();
}

Result<TxnResponse> EvaluateReadTxn(History& history, const TxnRequest& request, Revision current,
                                    Revision compacted) {
  COT_ASSIGN(const TxnPath path, DecidePath(history, request, current));
  COT_TRY(CheckRanges(request, path, current, compacted));
  TxnResponse response;
  response.mutable_header()->set_revision(current);
  COT_TRY(FillReadTxn(history, request, path, current, response));
  return response;
}

}  // namespace coterie::kv

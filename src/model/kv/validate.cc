#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "model/kv/store.h"

namespace coterie::kv {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;
using Operations = google::protobuf::RepeatedPtrField<RequestOp>;

Status CheckKey(std::string_view key) {
  if (key.empty()) return Fail(ErrorCode::kEmptyKey, "key is not provided");
  return Ok();
}

Status CheckTxn(const TxnRequest& request, std::size_t operations_max);

Status CheckOperation(const RequestOp& op, std::size_t operations_max) {
  switch (op.request_case()) {
    case RequestOp::kRequestRange:
      return Store::Validate(op.request_range());
    case RequestOp::kRequestPut:
      return Store::Validate(op.request_put());
    case RequestOp::kRequestDeleteRange:
      return Store::Validate(op.request_delete_range());
    case RequestOp::kRequestTxn:
      return CheckTxn(op.request_txn(), operations_max);
    case RequestOp::REQUEST_NOT_SET:
      break;
  }
  return Fail(ErrorCode::kInvalidArgument, "key not found");
}

// A level may have as many operations as the levels around it left over.
Status CheckTxn(const TxnRequest& request, std::size_t operations_max) {
  const auto operations = static_cast<std::size_t>(
      std::max({request.compare_size(), request.success_size(), request.failure_size()}));
  if (operations > operations_max) {
    return Fail(ErrorCode::kTooManyOperations, "too many operations in txn request");
  }
  for (const auto& compare : request.compare()) COT_TRY(CheckKey(compare.key()));
  for (const auto* branch : {&request.success(), &request.failure()}) {
    for (const auto& op : *branch) COT_TRY(CheckOperation(op, operations_max - operations));
  }
  return Ok();
}

/// The keys a branch may write: puts one by one, deletions as disjoint ranges.
class WriteSet {
 public:
  /// False if the key is written already.
  bool AddPut(std::string_view key) { return !Deletes(key) && puts_.insert(key).second; }

  /// False if a key in it is put already.
  bool AddDeletion(std::string_view key, std::string_view range_end) {
    std::string end = EndOf(key, range_end);
    if (Ends(end, key)) return true;  // an empty range
    const auto put = puts_.lower_bound(key);
    if (put != puts_.end() && !Ends(end, *put)) return false;
    Insert(std::string(key), std::move(end));
    return true;
  }
  /// Adds `other`, which happens besides this: false if both write a key, deletions apart.
  bool Add(const WriteSet& other) {
    for (const auto& [begin, end] : other.deleted_) {
      const auto put = puts_.lower_bound(begin);
      if (put != puts_.end() && !Ends(end, *put)) return false;
    }
    for (const auto key : other.puts_) {
      if (!AddPut(key)) return false;
    }
    for (const auto& [begin, end] : other.deleted_) Insert(begin, end);
    return true;
  }
  /// Adds `other`, which happens instead of this.
  void AddAlternative(const WriteSet& other) {
    puts_.insert(other.puts_.begin(), other.puts_.end());
    for (const auto& [begin, end] : other.deleted_) Insert(begin, end);
  }

 private:
  // Ends are exclusive; "" means there is none.
  static bool Ends(std::string_view end, std::string_view key) {
    return !end.empty() && key >= end;
  }
  static std::string EndOf(std::string_view key, std::string_view range_end) {
    if (range_end.empty()) return std::string(key) + '\0';
    if (range_end == std::string_view("\0", 1)) return {};
    return std::string(range_end);
  }
  bool Deletes(std::string_view key) const {
    auto after = deleted_.upper_bound(key);
    return after != deleted_.begin() && !Ends(std::prev(after)->second, key);
  }
  void Insert(std::string begin, std::string end) {
    auto at = deleted_.upper_bound(begin);
    if (at != deleted_.begin() && !Ends(std::prev(at)->second, begin)) --at;
    while (at != deleted_.end() && !Ends(end, at->first)) {
      begin = std::min(begin, at->first);
      end = end.empty() || at->second.empty() ? std::string() : std::max(end, at->second);
      at = deleted_.erase(at);
    }
    deleted_.emplace(std::move(begin), std::move(end));
  }

  std::set<std::string_view> puts_;
  std::map<std::string, std::string, std::less<>> deleted_;  // begin -> end
};

bool CollectWrites(const Operations& operations, WriteSet& out) {
  for (const auto& op : operations) {
    if (op.has_request_put() && !out.AddPut(op.request_put().key())) return false;
    if (op.has_request_delete_range()) {
      const auto& request = op.request_delete_range();
      if (!out.AddDeletion(request.key(), request.range_end())) return false;
    }
    if (!op.has_request_txn()) continue;
    WriteSet success, failure;
    if (!CollectWrites(op.request_txn().success(), success)) return false;
    if (!CollectWrites(op.request_txn().failure(), failure)) return false;
    success.AddAlternative(failure);
    if (!out.Add(success)) return false;
  }
  return true;
}

template <class Predicate>
bool AllRanges(const TxnRequest& request, const Predicate& predicate) {
  for (const auto* branch : {&request.success(), &request.failure()}) {
    for (const auto& op : *branch) {
      if (op.has_request_range() && !predicate(op.request_range())) return false;
      if (op.has_request_txn() && !AllRanges(op.request_txn(), predicate)) return false;
    }
  }
  return true;
}

}  // namespace

Status Store::Validate(const RangeRequest& request) {
  COT_TRY(CheckKey(request.key()));
  if (!RangeRequest::SortOrder_IsValid(request.sort_order()) ||
      !RangeRequest::SortTarget_IsValid(request.sort_target())) {
    return Fail(ErrorCode::kInvalidArgument, "invalid sort option");
  }
  return Ok();
}

Status Store::Validate(const etcdserverpb::PutRequest& request) {
  COT_TRY(CheckKey(request.key()));
  if (request.ignore_value() && !request.value().empty()) {
    return Fail(ErrorCode::kInvalidArgument, "value is provided");
  }
  if (request.ignore_lease() && request.lease() != 0) {
    return Fail(ErrorCode::kInvalidArgument, "lease is provided");
  }
  return Ok();
}

Status Store::Validate(const etcdserverpb::DeleteRangeRequest& request) {
  return CheckKey(request.key());
}

Status Store::Validate(const TxnRequest& request, std::size_t operations_max) {
  COT_TRY(CheckTxn(request, operations_max));
  for (const auto* branch : {&request.success(), &request.failure()}) {
    WriteSet writes;
    if (!CollectWrites(*branch, writes)) {
      return Fail(ErrorCode::kDuplicateKey, "duplicate key given in txn request");
    }
  }
  return Ok();
}

bool Store::IsReadOnly(const TxnRequest& request) {
  for (const auto* branch : {&request.success(), &request.failure()}) {
    for (const auto& op : *branch) {
      if (op.has_request_put() || op.has_request_delete_range()) return false;
      if (op.has_request_txn() && !IsReadOnly(op.request_txn())) return false;
    }
  }
  return true;
}

bool Store::IsSerializable(const TxnRequest& request) {
  return AllRanges(request, [](const RangeRequest& range) { return range.serializable(); });
}

}  // namespace coterie::kv

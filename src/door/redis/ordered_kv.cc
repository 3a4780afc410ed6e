#include "door/redis/ordered_kv.h"

#include <algorithm>
#include <utility>

#include "door/redis/mutants.h"
#include "model/kv/command_codec.h"

namespace coterie::door::redis::ordered {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::TxnRequest;

bool IsOpen(const KeyRange& range) { return range.end.size() == 1 && range.end.front() == '\0'; }

bool Contains(const KeyRange& range, const std::string& record) {
  return record >= range.begin && (IsOpen(range) || record < range.end);
}

bool Covers(const KeyRange& outer, const KeyRange& inner) {
  if (inner.begin < outer.begin) return false;
  return IsOpen(outer) || (!IsOpen(inner) && inner.end <= outer.end);
}

bool Meets(const KeyRange& a, const KeyRange& b) {
  return (IsOpen(b) || a.begin < b.end) && (IsOpen(a) || b.begin < a.end);
}

void AddCompare(TxnRequest& request, const std::string& record, std::int64_t mod_revision) {
  Compare& compare = *request.add_compare();
  compare.set_key(record);
  compare.set_target(Compare::MOD);
  compare.set_result(Compare::EQUAL);
  compare.set_mod_revision(mod_revision);
}

void AddErase(google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& operations,
              const std::string& begin, const std::string& end) {
  auto& deletion = *operations.Add()->mutable_request_delete_range();
  deletion.set_key(begin);
  deletion.set_range_end(end);
}

void AddPut(google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& operations,
            const std::string& record, const std::string& value) {
  auto& put = *operations.Add()->mutable_request_put();
  put.set_key(record);
  put.set_value(value);
}

}  // namespace

bool KvTransaction::Erased(const std::string& record) const {
  return std::ranges::any_of(erased_, [&](const KeyRange& r) { return Contains(r, record); });
}

void KvTransaction::Note(Status read) {
  if (!read && !error_) error_ = std::move(read.error());
}

KvTransaction::Buffered& KvTransaction::Load(const std::string& record) {
  Buffered& buffered = buffer_[record];
  if (buffered.known) return buffered;
  buffered.known = true;
  ++visited_;
  const bool visible = !buffered.written && !Erased(record);
  Note(store_.VisitRange(record, "", [&](std::string_view, std::string_view value, auto revision) {
    buffered.revision = revision;
    if (visible) buffered.value = value;
    return false;
  }));
  return buffered;
}

std::optional<KvTransaction::Found> KvTransaction::Peek(const std::string& record) {
  const Buffered& buffered = Load(record);
  if (!buffered.value) return std::nullopt;
  return Found{*buffered.value, buffered.written ? 0 : buffered.revision};
}

std::optional<KvTransaction::Found> KvTransaction::Get(const std::string& record) {
  guards_[record] = Load(record).revision;
  return Peek(record);
}

std::int64_t KvTransaction::Revision(const std::string& record) {
  const Buffered& buffered = Load(record);
  guards_[record] = buffered.revision;
  if (COT_ORDERED_MUTANT(kWatchTheStore)) return buffered.revision;
  if (buffered.written) return buffered.value ? kWrittenHere : 0;
  return Erased(record) ? 0 : buffered.revision;
}

std::int64_t KvTransaction::LastChange(const std::string& record) {
  const auto revision = store_.LastChange(record);
  if (!revision) {
    Note(std::unexpected(revision.error()));
    return 0;
  }
  return *revision;
}

void KvTransaction::Guard(const std::string& record, std::int64_t mod_revision) {
  guards_[record] = mod_revision;
}

void KvTransaction::Write(const std::string& record, std::optional<std::string> value) {
  Buffered& buffered = buffer_[record];
  if (buffered.written) {
    bytes_ -= buffered.value ? buffered.value->size() : 0;
  } else {
    ++writes_;
    bytes_ += record.size() + 16;
  }
  bytes_ += value ? value->size() : 0;
  buffered.written = true;
  buffered.value = std::move(value);
}

void KvTransaction::Put(const std::string& record, std::string value) {
  Write(record, std::move(value));
}

void KvTransaction::Erase(const std::string& record) {
  const auto found = buffer_.find(record);
  // Absent in the store and never to be there: nothing to do when it commits.
  if (found != buffer_.end() && found->second.known && found->second.revision == 0) {
    Buffered& buffered = found->second;
    if (buffered.written) {
      --writes_;
      bytes_ -= record.size() + 16 + (buffered.value ? buffered.value->size() : 0);
    }
    buffered.written = false;
    buffered.value.reset();
    return;
  }
  Write(record, std::nullopt);
}

void KvTransaction::Erase(const KeyRange& range) {
  for (auto at = buffer_.lower_bound(range.begin);
       at != buffer_.end() && Contains(range, at->first); ++at) {
    Buffered& buffered = at->second;
    if (buffered.written) {
      --writes_;
      bytes_ -= at->first.size() + 16 + (buffered.value ? buffered.value->size() : 0);
    }
    buffered.written = false;
    buffered.value.reset();
  }
  if (std::ranges::any_of(erased_, [&](const KeyRange& r) { return Covers(r, range); })) return;
  std::erase_if(erased_, [&](const KeyRange& r) { return Covers(range, r); });
  erased_.push_back(range);
}

std::vector<KvTransaction::Entry> KvTransaction::ScanStore(const KeyRange& range, std::size_t max) {
  std::vector<Entry> out;
  Note(store_.VisitRange(range.begin, range.end,
                         [&](std::string_view record, std::string_view value, auto) {
                           out.push_back({std::string(record), std::string(value)});
                           ++visited_;
                           return max == 0 || out.size() < max;
                         }));
  return out;
}

std::vector<KvTransaction::Entry> KvTransaction::Scan(const KeyRange& range, std::size_t max) {
  std::size_t buffered = 0;
  for (auto at = buffer_.lower_bound(range.begin);
       at != buffer_.end() && Contains(range, at->first); ++at) {
    if (at->second.written) ++buffered;
  }
  const auto meets = [&](const KeyRange& r) { return Meets(r, range); };
  const bool erased = std::ranges::any_of(erased_, meets);
  if (buffered == 0 && !erased) return ScanStore(range, max);
  std::vector<Entry> stored;
  if (std::ranges::none_of(erased_, [&](const KeyRange& r) { return Covers(r, range); })) {
    stored = ScanStore(range, erased || max == 0 ? 0 : max + buffered);
  }
  std::map<std::string, std::string> merged;
  for (Entry& entry : stored) {
    if (!Erased(entry.record)) merged.emplace(std::move(entry.record), std::move(entry.value));
  }
  for (auto at = buffer_.lower_bound(range.begin);
       at != buffer_.end() && Contains(range, at->first); ++at) {
    if (!at->second.written) continue;
    merged.erase(at->first);
    if (at->second.value) merged.emplace(at->first, *at->second.value);
  }
  std::vector<Entry> out;
  for (auto& [record, value] : merged) {
    if (max != 0 && out.size() == max) break;
    out.push_back({record, std::move(value)});
  }
  return out;
}

std::size_t KvTransaction::Count(const KeyRange& range) {
  const auto meets = [&](const KeyRange& r) { return Meets(r, range); };
  const auto buffered = buffer_.lower_bound(range.begin);
  if (std::ranges::any_of(erased_, meets) ||
      (buffered != buffer_.end() && Contains(range, buffered->first))) {
    return Scan(range, 0).size();
  }
  std::size_t count = 0;
  Note(store_.VisitRange(range.begin, range.end, [&](auto, auto, auto) {
    ++count;
    return true;
  }));
  visited_ += count;
  return count;
}

Result<std::string> KvTransaction::Encode() const {
  if (error_) return std::unexpected(*error_);
  if (guards_.size() > kTransactionComparesMax) {
    return Fail(ErrorCode::kTooLarge, "the command reads more than " +
                                          std::to_string(kTransactionComparesMax) + " records");
  }
  if (writes_ + erased_.size() > kTransactionOperationsMax) {
    return Fail(ErrorCode::kTooLarge, "the command changes more than " +
                                          std::to_string(kTransactionOperationsMax) + " records");
  }
  if (bytes_ > kTransactionBytesMax) {
    return Fail(ErrorCode::kTooLarge,
                "the command writes more than " + std::to_string(kTransactionBytesMax) + " bytes");
  }
  TxnRequest request;
  if (!COT_ORDERED_MUTANT(kGuardNothing)) {
    for (const auto& [record, revision] : guards_) AddCompare(request, record, revision);
  }
  auto& operations = *request.mutable_success();
  for (const KeyRange& range : erased_) {
    // What is put into an erased range is cut out of it: kv takes one write of a key only.
    std::string begin = range.begin;
    for (auto at = buffer_.lower_bound(begin); at != buffer_.end() && Contains(range, at->first);
         ++at) {
      if (!at->second.written || !at->second.value) continue;
      if (begin < at->first) AddErase(operations, begin, at->first);
      begin = at->first + '\0';
    }
    if (IsOpen(range) || begin < range.end) AddErase(operations, begin, range.end);
  }
  for (const auto& [record, buffered] : buffer_) {
    if (!buffered.written) continue;
    if (buffered.value) {
      AddPut(operations, record, *buffered.value);
    } else if (!Erased(record)) {
      AddErase(operations, record, "");
    }
  }
  return kv::EncodeTxn(request.SerializeAsString());
}

Result<bool> Succeeded(const model::StateMachine::Answer& answer) {
  const auto& response = static_cast<const kv::Answer&>(answer).response;
  if (!response) return std::unexpected(response.error());
  const auto* txn = std::get_if<etcdserverpb::TxnResponse>(&*response);
  return txn != nullptr && txn->succeeded();
}

std::string EncodeBlindSet(const std::string& key, const std::string& value,
                           std::uint64_t expires_at_ms) {
  TxnRequest request;
  const std::string header = HeaderRecord(key);
  const std::string expiry = ExpiryRecord(key);
  AddCompare(request, header, 0);
  if (expires_at_ms == 0) AddCompare(request, expiry, 0);
  for (auto* branch : {request.mutable_success(), request.mutable_failure()}) {
    AddPut(*branch, StringRecord(key), value);
    if (expires_at_ms != 0) AddPut(*branch, expiry, EncodeExpiry({.at_ms = expires_at_ms}));
  }
  if (expires_at_ms == 0) AddErase(*request.mutable_failure(), expiry, "");
  AddErase(*request.mutable_failure(), header, "");
  for (const KeyRange& range : {Elements(key), Scores(key)}) {
    AddErase(*request.mutable_failure(), range.begin, range.end);
  }
  return kv::EncodeTxn(request.SerializeAsString());
}

}  // namespace coterie::door::redis::ordered

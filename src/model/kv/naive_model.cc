#include "model/kv/naive_model.h"

#include <algorithm>

namespace coterie::kv::testing {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using etcdserverpb::TxnRequest;

bool InRange(const std::string& key, const std::string& begin, const std::string& end) {
  if (end.empty()) return key == begin;
  if (key < begin) return false;
  return end == std::string(1, '\0') || key < end;
}

template <class Message>
NaiveModel::Outcome Success(const Message& message) {
  return {std::nullopt, message.SerializeAsString()};
}

bool CompareHolds(const Compare& c, const mvccpb::KeyValue& kv) {
  std::int64_t difference = 0;
  if (c.target() == Compare::VERSION) difference = kv.version() - c.version();
  if (c.target() == Compare::CREATE) difference = kv.create_revision() - c.create_revision();
  if (c.target() == Compare::MOD) difference = kv.mod_revision() - c.mod_revision();
  if (c.target() == Compare::LEASE) difference = kv.lease() - c.lease();
  if (c.target() == Compare::VALUE) difference = kv.value().compare(c.value());
  if (c.result() == Compare::EQUAL) return difference == 0;
  if (c.result() == Compare::NOT_EQUAL) return difference != 0;
  return c.result() == Compare::GREATER ? difference > 0 : difference < 0;
}

}  // namespace

void NaiveModel::Begin() {
  now_ = maps_.back();
  changes_.clear();
}

void NaiveModel::End() {
  if (changes_.empty()) return;
  maps_.push_back(now_);
  events_.push_back(changes_);
  changes_.clear();
}

std::vector<std::string> NaiveModel::KeysOf(std::int64_t lease) const {
  std::vector<std::string> keys;
  for (const auto& [key, kv] : maps_.back()) {
    if (kv.lease() == lease) keys.push_back(key);
  }
  return keys;
}

std::vector<mvccpb::Event> NaiveModel::EventsOf(Revision revision, const WatchSpec& spec) const {
  std::vector<mvccpb::Event> out;
  for (mvccpb::Event event : events_[static_cast<std::size_t>(revision)]) {
    const bool put = event.type() == mvccpb::Event::PUT;
    const std::string begin = spec.key.empty() ? std::string(1, '\0') : spec.key;
    if (!InRange(event.kv().key(), begin, spec.range_end)) continue;
    if (put ? spec.no_put : spec.no_delete) continue;
    const Map& before = maps_[static_cast<std::size_t>(revision - 1)];
    if (const auto prev = before.find(event.kv().key());
        spec.prev_kv && revision - 1 >= compacted_ && prev != before.end()) {
      *event.mutable_prev_kv() = prev->second;
    }
    out.push_back(std::move(event));
  }
  return out;
}

std::optional<ErrorCode> NaiveModel::CheckRevision(Revision asked) const {
  if (asked > revision()) return ErrorCode::kFutureRevision;
  if (asked > 0 && asked < compacted_) return ErrorCode::kCompacted;
  return std::nullopt;
}

etcdserverpb::RangeResponse NaiveModel::Evaluate(const RangeRequest& r, const Map& now,
                                                 Revision header) const {
  std::vector<mvccpb::KeyValue> found;
  const Map& map = r.revision() > 0 ? maps_[static_cast<std::size_t>(r.revision())] : now;
  for (const auto& [key, kv] : map) {
    if (InRange(key, r.key(), r.range_end())) found.push_back(kv);
  }
  etcdserverpb::RangeResponse response;
  response.mutable_header()->set_revision(header);
  response.set_count(static_cast<std::int64_t>(found.size()));
  if (r.count_only()) return response;
  const bool filters = r.min_mod_revision() || r.max_mod_revision() || r.min_create_revision() ||
                       r.max_create_revision();
  const auto limit = static_cast<std::size_t>(r.limit());
  if (limit > 0 && !filters && r.sort_order() == RangeRequest::NONE && found.size() > limit + 1) {
    found.resize(limit + 1);
  }
  std::erase_if(found, [&](const mvccpb::KeyValue& kv) {
    return (r.min_mod_revision() && kv.mod_revision() < r.min_mod_revision()) ||
           (r.max_mod_revision() && kv.mod_revision() > r.max_mod_revision()) ||
           (r.min_create_revision() && kv.create_revision() < r.min_create_revision()) ||
           (r.max_create_revision() && kv.create_revision() > r.max_create_revision());
  });
  const bool descending = r.sort_order() == RangeRequest::DESCEND;
  const auto less = [&](const mvccpb::KeyValue& a, const mvccpb::KeyValue& b) {
    switch (r.sort_target()) {
      case RangeRequest::VERSION:
        return a.version() < b.version();
      case RangeRequest::CREATE:
        return a.create_revision() < b.create_revision();
      case RangeRequest::MOD:
        return a.mod_revision() < b.mod_revision();
      case RangeRequest::VALUE:
        return a.value() < b.value();
      default:
        return a.key() < b.key();
    }
  };
  // etcd leaves the order of ties open; by key, always ascending, is ours.
  std::sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
    if (!less(a, b) && !less(b, a)) return a.key() < b.key();
    return descending ? less(b, a) : less(a, b);
  });
  if (limit > 0 && found.size() > limit) {
    found.resize(limit);
    response.set_more(true);
  }
  for (auto& kv : found) {
    if (r.keys_only()) kv.clear_value();
    *response.add_kvs() = kv;
  }
  return response;
}

NaiveModel::Outcome NaiveModel::Range(const RangeRequest& request) const {
  if (const auto error = CheckRevision(request.revision())) return {error, {}};
  return Success(Evaluate(request, maps_.back(), revision()));
}

etcdserverpb::PutResponse NaiveModel::Put(const etcdserverpb::PutRequest& put) {
  etcdserverpb::PutResponse response;
  response.mutable_header()->set_revision(revision() + 1);
  mvccpb::KeyValue& kv = now_[put.key()];
  if (put.prev_kv() && kv.version() > 0) *response.mutable_prev_kv() = kv;
  if (kv.version() == 0) kv.set_create_revision(revision() + 1);
  kv.set_key(put.key());
  kv.set_mod_revision(revision() + 1);
  kv.set_version(kv.version() + 1);
  if (!put.ignore_value()) kv.set_value(put.value());
  if (!put.ignore_lease()) kv.set_lease(put.lease());
  mvccpb::Event event;
  event.set_type(mvccpb::Event::PUT);
  *event.mutable_kv() = kv;
  changes_.push_back(event);
  return response;
}

etcdserverpb::DeleteRangeResponse NaiveModel::Delete(
    const etcdserverpb::DeleteRangeRequest& request) {
  etcdserverpb::DeleteRangeResponse response;
  for (auto at = now_.begin(); at != now_.end();) {
    if (!InRange(at->first, request.key(), request.range_end())) {
      ++at;
      continue;
    }
    if (request.prev_kv()) *response.add_prev_kvs() = at->second;
    response.set_deleted(response.deleted() + 1);
    mvccpb::Event event;
    event.set_type(mvccpb::Event::DELETE);
    event.mutable_kv()->set_key(at->first);
    event.mutable_kv()->set_mod_revision(revision() + 1);
    changes_.push_back(event);
    at = now_.erase(at);
  }
  response.mutable_header()->set_revision(Seen());
  return response;
}

bool NaiveModel::Succeeds(const TxnRequest& txn) const {
  for (const auto& compare : txn.compare()) {
    bool any = false;
    for (const auto& [key, kv] : maps_.back()) {
      if (!InRange(key, compare.key(), compare.range_end())) continue;
      any = true;
      if (!CompareHolds(compare, kv)) return false;
    }
    if (!any && (compare.target() == Compare::VALUE || !CompareHolds(compare, {}))) return false;
  }
  return true;
}

std::optional<ErrorCode> NaiveModel::Check(const TxnRequest& txn, bool puts) const {
  for (const auto& op : Succeeds(txn) ? txn.success() : txn.failure()) {
    std::optional<ErrorCode> error;
    if (op.has_request_txn()) error = Check(op.request_txn(), puts);
    if (puts && op.has_request_put()) {
      const auto& put = op.request_put();
      const bool needs_key = put.ignore_value() || put.ignore_lease();
      if (needs_key && !maps_.back().contains(put.key()))
        error = ErrorCode::kKeyNotFound;
      else if (put.lease() != 0 && !leases_.contains(put.lease()))
        error = ErrorCode::kLeaseNotFound;
    }
    if (!puts && op.has_request_range()) error = CheckRevision(op.request_range().revision());
    if (error) return error;
  }
  return std::nullopt;
}

etcdserverpb::TxnResponse NaiveModel::Run(const TxnRequest& txn, const NaiveModel& before) {
  etcdserverpb::TxnResponse response;
  response.set_succeeded(before.Succeeds(txn));
  for (const auto& op : response.succeeded() ? txn.success() : txn.failure()) {
    auto* out = response.add_responses();
    if (op.has_request_range()) {
      *out->mutable_response_range() = Evaluate(op.request_range(), now_, Seen());
    } else if (op.has_request_put()) {
      *out->mutable_response_put() = Put(op.request_put());
    } else if (op.has_request_delete_range()) {
      *out->mutable_response_delete_range() = Delete(op.request_delete_range());
    } else {
      *out->mutable_response_txn() = Run(op.request_txn(), before);
      out->mutable_response_txn()->mutable_header();
    }
  }
  return response;
}

NaiveModel::Outcome NaiveModel::Apply(const Command& command) {
  Begin();
  if (command.has_put()) {
    const auto& put = command.put();
    if (put.lease() != 0 && !leases_.contains(put.lease())) return {ErrorCode::kLeaseNotFound, {}};
    if ((put.ignore_value() || put.ignore_lease()) && !now_.contains(put.key())) {
      return {ErrorCode::kKeyNotFound, {}};
    }
    const auto response = Put(put);
    End();
    return Success(response);
  }
  if (command.has_delete_range()) {
    const auto response = Delete(command.delete_range());
    End();
    return Success(response);
  }
  if (command.has_txn()) {
    if (const auto error = Check(command.txn(), true)) return {error, {}};
    if (const auto error = Check(command.txn(), false)) return {error, {}};
    const NaiveModel before = *this;
    auto response = Run(command.txn(), before);
    End();
    response.mutable_header()->set_revision(revision());
    return Success(response);
  }
  if (command.has_compaction()) {
    const Revision at = command.compaction().revision();
    if (at <= compacted_) return {ErrorCode::kCompacted, {}};
    if (at > revision()) return {ErrorCode::kFutureRevision, {}};
    compacted_ = at;
    etcdserverpb::CompactionResponse response;
    response.mutable_header()->set_revision(revision());
    return Success(response);
  }
  if (command.has_lease_grant()) {
    const auto& grant = command.lease_grant();
    if (!leases_.emplace(grant.id(), grant.ttl()).second) return {ErrorCode::kLeaseExists, {}};
    etcdserverpb::LeaseGrantResponse response;
    response.mutable_header()->set_revision(revision());
    response.set_id(grant.id());
    response.set_ttl(grant.ttl());
    return Success(response);
  }
  const std::int64_t id = command.lease_revoke().id();
  if (!leases_.contains(id)) return {ErrorCode::kLeaseNotFound, {}};
  for (const auto& key : KeysOf(id)) {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(key);
    Delete(request);
  }
  leases_.erase(id);
  End();
  etcdserverpb::LeaseRevokeResponse response;
  response.mutable_header()->set_revision(revision());
  return Success(response);
}

std::string RequestMaker::Key() {
  static const std::vector<std::string> kKeys = {"a",
                                                 "aa",
                                                 "ab",
                                                 "b",
                                                 "ba",
                                                 "c",
                                                 "\xff",
                                                 "\xff\xff",
                                                 std::string("a\0", 2),
                                                 std::string("a\0b", 3),
                                                 std::string("\0", 1),
                                                 std::string("\0\0", 2),
                                                 std::string("a\0\xff", 3),
                                                 "a\x01",
                                                 "d",
                                                 "e"};
  return kKeys[random_.Below(kKeys.size())];
}

std::string RequestMaker::RangeEnd() {
  if (random_.Chance(0.4)) return {};
  return random_.Chance(0.2) ? std::string(1, '\0') : Key();
}

Revision RequestMaker::SomeRevision(const NaiveModel& model) {
  if (random_.Chance(0.6)) return 0;
  return random_.Between(std::max<Revision>(1, model.compacted() - 2), model.revision() + 1);
}

etcdserverpb::PutRequest RequestMaker::MakePut() {
  etcdserverpb::PutRequest put;
  put.set_key(Key());
  if (random_.Chance(0.15))
    put.set_ignore_value(true);
  else
    put.set_value(std::string(random_.Below(4), static_cast<char>('v' + random_.Below(3))));
  if (random_.Chance(0.15))
    put.set_ignore_lease(true);
  else if (random_.Chance(0.3))
    put.set_lease(Lease());
  put.set_prev_kv(random_.Chance(0.3));
  return put;
}

etcdserverpb::DeleteRangeRequest RequestMaker::MakeDelete() {
  etcdserverpb::DeleteRangeRequest request;
  request.set_key(Key());
  request.set_range_end(RangeEnd());
  request.set_prev_kv(random_.Chance(0.4));
  return request;
}

RangeRequest RequestMaker::MakeRange(const NaiveModel& model) {
  RangeRequest r;
  r.set_key(Key());
  r.set_range_end(RangeEnd());
  r.set_revision(SomeRevision(model));
  if (random_.Chance(0.4)) r.set_limit(random_.Between(1, 5));
  if (random_.Chance(0.3))
    r.set_sort_target(static_cast<RangeRequest::SortTarget>(random_.Below(5)));
  if (random_.Chance(0.3)) r.set_sort_order(static_cast<RangeRequest::SortOrder>(random_.Below(3)));
  r.set_keys_only(random_.Chance(0.2));
  r.set_count_only(random_.Chance(0.1));
  if (random_.Chance(0.1)) r.set_min_mod_revision(random_.Between(1, model.revision()));
  if (random_.Chance(0.1)) r.set_max_create_revision(random_.Between(1, model.revision()));
  return r;
}

WatchSpec RequestMaker::MakeWatch(const NaiveModel& model) {
  WatchSpec spec;
  spec.key = random_.Chance(0.1) ? std::string() : Key();
  spec.range_end = RangeEnd();
  if (random_.Chance(0.6)) {
    spec.start =
        random_.Between(std::max<Revision>(1, model.compacted() - 1), model.revision() + 5);
  }
  spec.prev_kv = random_.Chance(0.5);
  spec.no_put = random_.Chance(0.1);
  spec.no_delete = random_.Chance(0.1);
  return spec;
}

TxnRequest RequestMaker::MakeTxn(const NaiveModel& model, int depth) {
  TxnRequest txn;
  for (auto n = random_.Below(3); n > 0; --n) {
    auto* compare = txn.add_compare();
    compare->set_key(Key());
    if (random_.Chance(0.3)) compare->set_range_end(RangeEnd());
    compare->set_target(static_cast<Compare::CompareTarget>(random_.Below(5)));
    compare->set_result(static_cast<Compare::CompareResult>(random_.Below(4)));
    const auto some = static_cast<std::int64_t>(random_.Below(4));
    switch (compare->target()) {
      case Compare::VERSION:
        compare->set_version(some);
        break;
      case Compare::CREATE:
        compare->set_create_revision(SomeRevision(model));
        break;
      case Compare::MOD:
        compare->set_mod_revision(SomeRevision(model));
        break;
      case Compare::VALUE:
        compare->set_value(std::string(static_cast<std::size_t>(some), 'w'));
        break;
      default:
        compare->set_lease(some);
    }
  }
  for (auto* branch : {txn.mutable_success(), txn.mutable_failure()}) {
    for (auto n = random_.Below(4); n > 0; --n) {
      auto* op = branch->Add();
      const auto kind = random_.Below(depth > 0 ? 10 : 9);
      if (kind < 4)
        *op->mutable_request_put() = MakePut();
      else if (kind < 6)
        *op->mutable_request_delete_range() = MakeDelete();
      else if (kind < 9)
        *op->mutable_request_range() = MakeRange(model);
      else
        *op->mutable_request_txn() = MakeTxn(model, depth - 1);
    }
  }
  return txn;
}

Command RequestMaker::MakeCommand(const NaiveModel& model) {
  Command command;
  const auto kind = random_.Below(100);
  if (kind < 45) {
    *command.mutable_put() = MakePut();
  } else if (kind < 55) {
    *command.mutable_delete_range() = MakeDelete();
  } else if (kind < 83) {
    do {
      *command.mutable_txn() = MakeTxn(model, 2);
    } while (!Store::Validate(command.txn(), 128));
  } else if (kind < 86) {
    command.mutable_compaction()->set_revision(
        random_.Between(std::max<Revision>(0, model.compacted() - 1), model.revision() + 1));
  } else if (kind < 95) {
    command.mutable_lease_grant()->set_id(Lease());
    command.mutable_lease_grant()->set_ttl(random_.Between(2, 100));
  } else {
    command.mutable_lease_revoke()->set_id(Lease());
  }
  return command;
}

}  // namespace coterie::kv::testing

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "model/kv/command_codec.h"
#include "model/kv/store.h"
#include "runtime/executor.h"
#include "storage/engine.h"

namespace coterie::kv::testing {

/// The plainest Engine that can be right: a map, copied when it is written to while somebody
/// iterates.
class MapEngine final : public storage::Engine {
 public:
  using Map = std::map<std::string, std::string, std::less<>>;

  Status Write(storage::Batch batch) override {
    ++writes;
    if (map_.use_count() > 1) map_ = std::make_shared<Map>(*map_);
    for (const auto& change : batch.changes()) {
      switch (change.kind) {
        case storage::Batch::Kind::kPut:
          (*map_)[change.key] = change.value;
          break;
        case storage::Batch::Kind::kDelete:
          map_->erase(change.key);
          break;
        case storage::Batch::Kind::kDeleteRange:
          map_->erase(map_->lower_bound(change.key), map_->lower_bound(change.value));
      }
    }
    return Ok();
  }
  Result<std::optional<std::string>> Get(std::string_view key,
                                         const storage::ReadView* view) const override {
    COT_ASSERT(view == nullptr);
    ++gets;
    const auto found = map_->find(key);
    return found == map_->end() ? std::optional<std::string>() : std::optional(found->second);
  }
  std::unique_ptr<storage::ReadView> View() const override { return nullptr; }
  std::unique_ptr<storage::Iterator> Iterate(std::string lower, std::string upper,
                                             const storage::ReadView* view) const override {
    COT_ASSERT(view == nullptr);
    return std::make_unique<MapIterator>(*this, std::move(lower), std::move(upper));
  }
  runtime::Task<Status> Flush() override { co_return Ok(); }
  std::uint64_t ApproximateBytes() const override { return map_->size(); }

  const Map& content() const { return *map_; }
  Map& mutable_content() { return *map_; }
  /// What was done to it, for tests of how much work a request is.
  std::size_t writes = 0;
  mutable std::size_t gets = 0;
  mutable std::size_t steps = 0;  // seeks and moves of iterators

 private:
  class MapIterator final : public storage::Iterator {
   public:
    MapIterator(const MapEngine& engine, std::string lower, std::string upper)
        : engine_(engine),
          map_(engine.map_),
          lower_(std::move(lower)),
          upper_(std::move(upper)),
          at_(map_->end()) {}
    bool Valid() const override {
      return at_ != map_->end() && at_->first >= lower_ && (upper_.empty() || at_->first < upper_);
    }
    void Seek(std::string_view key) override {
      ++engine_.steps;
      at_ = map_->lower_bound(std::max(key, std::string_view(lower_)));
    }
    void SeekToFirst() override { Seek(lower_); }
    void SeekForPrev(std::string_view) override { COT_ASSERT(false); }
    void SeekToLast() override { COT_ASSERT(false); }
    void Prev() override { COT_ASSERT(false); }
    void Next() override {
      COT_ASSERT(Valid());
      ++engine_.steps;
      ++at_;
    }
    std::string_view key() const override { return at_->first; }
    std::string_view value() const override { return at_->second; }
    Status status() const override { return Ok(); }

   private:
    const MapEngine& engine_;
    std::shared_ptr<Map> map_;
    std::string lower_, upper_;
    Map::const_iterator at_;
  };

  std::shared_ptr<Map> map_ = std::make_shared<Map>();
};

/// Counts what is posted and runs none of it: enough for a Notification nobody awaits.
class IdleExecutor final : public runtime::Executor {
 public:
  Instant Now() const override { return Instant(); }
  void Post(runtime::Runnable&) override {}

 protected:
  void DoArm(runtime::Timer&) override {}
  void DoDisarm(runtime::Timer&) override {}
};

/// A Store on a MapEngine, and one line per request.
struct Kv {
  explicit Kv(StoreOptions options = {}) : store(executor, options) { Reload(); }

  void Reload() {
    const Status loaded = store.Load(engine);
    EXPECT_TRUE(loaded.has_value());
  }
  /// Applies `payloads` in one call.
  std::vector<Result<Answer::Response>> ApplyAll(const std::vector<std::string>& payloads,
                                                 bool answers = true) {
    std::vector<model::StateMachine::Command> commands;
    LogIndex index = store.applied();
    for (const auto& payload : payloads) commands.push_back({++index, Term(1), payload, answers});
    auto applied = store.Apply(commands, index, Term(1));
    EXPECT_TRUE(applied.has_value());
    std::vector<Result<Answer::Response>> out;
    for (auto& answer : *applied) {
      if (answer) out.push_back(std::move(static_cast<Answer&>(*answer).response));
    }
    return out;
  }
  Result<Answer::Response> Apply(const std::string& payload) { return ApplyAll({payload})[0]; }

  template <class Response>
  static Result<Response> As(Result<Answer::Response> response) {
    if (!response) return std::unexpected(response.error());
    return std::get<Response>(*response);
  }
  Result<etcdserverpb::PutResponse> Put(const etcdserverpb::PutRequest& request) {
    return As<etcdserverpb::PutResponse>(Apply(EncodePut(request.SerializeAsString())));
  }
  Revision Put(const std::string& key, const std::string& value, std::int64_t lease = 0) {
    etcdserverpb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    request.set_lease(lease);
    const auto response = Put(request);
    return response ? response->header().revision() : -1;
  }
  Result<etcdserverpb::DeleteRangeResponse> Delete(const std::string& key,
                                                   const std::string& end = {},
                                                   bool prev_kv = false) {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_prev_kv(prev_kv);
    return As<etcdserverpb::DeleteRangeResponse>(
        Apply(EncodeDeleteRange(request.SerializeAsString())));
  }
  Result<etcdserverpb::TxnResponse> Txn(const etcdserverpb::TxnRequest& request) {
    return As<etcdserverpb::TxnResponse>(Apply(EncodeTxn(request.SerializeAsString())));
  }
  Result<etcdserverpb::CompactionResponse> Compact(Revision revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    return As<etcdserverpb::CompactionResponse>(
        Apply(EncodeCompaction(request.SerializeAsString())));
  }
  Result<etcdserverpb::LeaseGrantResponse> Grant(std::int64_t id, std::int64_t ttl) {
    return As<etcdserverpb::LeaseGrantResponse>(Apply(EncodeLeaseGrant(id, ttl)));
  }
  Result<etcdserverpb::LeaseRevokeResponse> Revoke(std::int64_t id) {
    return As<etcdserverpb::LeaseRevokeResponse>(Apply(EncodeLeaseRevoke(id)));
  }
  void Renew(std::int64_t id) {
    const auto refused = Apply(EncodeLeaseRenewal(id));
    EXPECT_EQ(refused.error().code, ErrorCode::kEmptyKey);
  }
  Result<etcdserverpb::RangeResponse> Range(const std::string& key, const std::string& end = {},
                                            Revision revision = 0, std::int64_t limit = 0) const {
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_revision(revision);
    request.set_limit(limit);
    return store.Range(request);
  }
  /// The newest version of `key`; all fields 0 if there is none.
  mvccpb::KeyValue Get(const std::string& key, Revision revision = 0) const {
    const auto response = Range(key, {}, revision);
    if (!response || response->kvs().empty()) return {};
    return response->kvs(0);
  }
  void PurgeAll(std::size_t step = 1000) {
    while (true) {
      const auto more = store.PurgeSome(step);
      ASSERT_TRUE(more.has_value());
      if (!*more) return;
    }
  }
  std::unique_ptr<Watcher> Watch(const std::string& key, const std::string& end = {},
                                 Revision start = 0, bool prev_kv = false) {
    WatchSpec spec;
    spec.key = key;
    spec.range_end = end;
    spec.start = start;
    spec.prev_kv = prev_kv;
    return store.Watch(spec, wake);
  }

  MapEngine engine;
  IdleExecutor executor;
  runtime::Notification wake{executor};
  Store store;
};

inline const std::string kAll(1, '\0');

inline void AddPut(google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>* ops,
                   const std::string& key, const std::string& value) {
  auto* put = ops->Add()->mutable_request_put();
  put->set_key(key);
  put->set_value(value);
}
inline void AddDelete(google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>* ops,
                      const std::string& key, const std::string& end = {}) {
  auto* request = ops->Add()->mutable_request_delete_range();
  request->set_key(key);
  request->set_range_end(end);
}
inline void AddRange(google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>* ops,
                     const std::string& key, Revision revision = 0) {
  auto* request = ops->Add()->mutable_request_range();
  request->set_key(key);
  request->set_revision(revision);
}
inline etcdserverpb::Compare* AddCompare(etcdserverpb::TxnRequest& txn, const std::string& key,
                                         etcdserverpb::Compare::CompareTarget target,
                                         etcdserverpb::Compare::CompareResult result) {
  auto* compare = txn.add_compare();
  compare->set_key(key);
  compare->set_target(target);
  compare->set_result(result);
  return compare;
}
inline std::string Keys(const etcdserverpb::RangeResponse& response) {
  std::string out;
  for (const auto& kv : response.kvs()) out += kv.key() + " ";
  return out;
}

/// "PUT a=1@3" or "DEL a@4", with the previous value in brackets where there is one.
inline std::string Text(const mvccpb::Event& event) {
  const bool put = event.type() == mvccpb::Event::PUT;
  std::string out =
      put ? "PUT " + event.kv().key() + "=" + event.kv().value() : "DEL " + event.kv().key();
  out += "@" + std::to_string(event.kv().mod_revision());
  if (event.has_prev_kv()) out += "[" + event.prev_kv().value() + "]";
  return out;
}
/// Everything the watcher has now, a space between events; the error's number if it is finished.
inline std::string Drain(Watcher& watcher, std::size_t bytes_max = 1 << 20) {
  std::string out;
  while (true) {
    auto polled = watcher.Poll(bytes_max);
    if (!polled) return out + CodeText(polled.error().code) + ":" + polled.error().message;
    if (polled->events.empty() && !watcher.pending()) return out;
    for (const auto& event : polled->events) out += (out.empty() ? "" : " ") + Text(event);
  }
}

}  // namespace coterie::kv::testing

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "coterie/command.pb.h"
#include "model/kv/store.h"

namespace coterie::kv::testing {

/// etcd's data model in its plainest form, to compare the Store with: the whole map of every
/// revision, and every event. Shares no code with the Store.
class NaiveModel {
 public:
  using Map = std::map<std::string, mvccpb::KeyValue>;
  /// What an answer comes to: the error, or the serialised response.
  struct Outcome {
    std::optional<ErrorCode> error;
    std::string response;
    friend bool operator==(const Outcome&, const Outcome&) = default;
  };

  NaiveModel() : maps_(2), events_(2) {}

  Outcome Apply(const Command& command);
  Outcome Range(const etcdserverpb::RangeRequest& request) const;
  Revision revision() const { return static_cast<Revision>(maps_.size()) - 1; }
  Revision compacted() const { return compacted_; }
  const std::map<std::int64_t, std::int64_t>& leases() const { return leases_; }
  std::vector<std::string> KeysOf(std::int64_t lease) const;
  /// The events of a revision that a watcher of [key, end) sees.
  std::vector<mvccpb::Event> EventsOf(Revision revision, const WatchSpec& spec) const;

 private:
  std::optional<ErrorCode> Check(const etcdserverpb::TxnRequest& txn, bool puts) const;
  bool Succeeds(const etcdserverpb::TxnRequest& txn) const;
  std::optional<ErrorCode> CheckRevision(Revision revision) const;
  etcdserverpb::RangeResponse Evaluate(const etcdserverpb::RangeRequest& r, const Map& now,
                                       Revision header) const;
  etcdserverpb::PutResponse Put(const etcdserverpb::PutRequest& put);
  etcdserverpb::DeleteRangeResponse Delete(const etcdserverpb::DeleteRangeRequest& request);
  etcdserverpb::TxnResponse Run(const etcdserverpb::TxnRequest& txn, const NaiveModel& before);
  Revision Seen() const { return revision() + (changes_.empty() ? 0 : 1); }
  void Begin();
  void End();

  std::vector<Map> maps_;  // by revision
  std::vector<std::vector<mvccpb::Event>> events_;
  std::map<std::int64_t, std::int64_t> leases_;
  Revision compacted_ = -1;
  Map now_;  // during a command
  std::vector<mvccpb::Event> changes_;
};

/// Random requests over few keys, so that they meet. Keys have zero bytes, 0xff and common
/// prefixes.
class RequestMaker {
 public:
  explicit RequestMaker(std::uint64_t seed) : random_(seed) {}
  Random& random() { return random_; }
  Command MakeCommand(const NaiveModel& model);
  etcdserverpb::RangeRequest MakeRange(const NaiveModel& model);
  WatchSpec MakeWatch(const NaiveModel& model);
  std::string Key();
  std::string RangeEnd();

 private:
  etcdserverpb::PutRequest MakePut();
  etcdserverpb::DeleteRangeRequest MakeDelete();
  etcdserverpb::TxnRequest MakeTxn(const NaiveModel& model, int depth);
  std::int64_t Lease() { return random_.Between(1, 6); }
  Revision SomeRevision(const NaiveModel& model);

  Random random_;
};

}  // namespace coterie::kv::testing

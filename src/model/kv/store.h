#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "coterie/command.pb.h"
#include "etcd/rpc.pb.h"
#include "model/state_machine.h"
#include "runtime/sync.h"

namespace coterie::kv {

/// A point of the store's history: every mutating command makes the next one. A fresh store is
/// at 1.
using Revision = std::int64_t;

/// The answer to one Command: the matching etcd response with only `header.revision` filled in (and
/// the nested headers of a txn), or why the command was refused, identically on every replica.
struct Answer final : model::StateMachine::Answer {
  using Response =
      std::variant<etcdserverpb::PutResponse, etcdserverpb::DeleteRangeResponse,
                   etcdserverpb::TxnResponse, etcdserverpb::CompactionResponse,
                   etcdserverpb::LeaseGrantResponse, etcdserverpb::LeaseRevokeResponse>;
  Result<Response> response;
  explicit Answer(Result<Response> r) : response(std::move(r)) {}
};

struct StoreOptions {
  std::size_t watch_ring_bytes_max = 16u << 20;  ///< newest events kept in memory for watchers
  std::size_t key_cache_bytes_max = 64u << 20;   ///< newest version of recently used keys
  std::size_t txn_operations_max = 128;
  std::int64_t lease_ttl_min_seconds = 2;
  /// Apply stops once commands have looked at and changed so many records: a deletion of a range is
  /// small and may cost all that is stored. 0: it does not.
  std::size_t apply_records_max = 0;
};

struct WatchSpec {
  std::string key;  ///< "" and range_end as in etcd's WatchCreateRequest
  std::string range_end;
  Revision start = 0;  ///< 0: from the next revision on
  bool prev_kv = false;
  bool no_put = false;
  bool no_delete = false;
};

/// One watcher: a cursor into the store's history. Never buffers: it reads the shared ring of
/// recent events, or the engine when it is further behind.
class Watcher {
 public:
  virtual ~Watcher() = default;
  struct Events {
    std::vector<mvccpb::Event> events;  ///< whole revisions only, in order
    Revision revision = 0;  ///< the store's revision when this was made (for the header)
  };
  /// The next events, about `bytes_max` bytes of them but at least one revision if there is one;
  /// empty when it has caught up, or, with pending() still true, when the bounded part of the
  /// history that one call looks at had nothing for it: let others have a turn, and call again.
  /// Error kCompacted (the message is the compacted revision in decimal): the watcher is finished.
  virtual Result<Events> Poll(std::size_t bytes_max) = 0;
  /// Whether Poll may have something: false is certain, true may turn out empty.
  virtual bool pending() const = 0;
  /// All events up to and including this revision have been polled. 0 while the watch's start lies
  /// beyond the next revision: nothing, progress included, is due before it.
  virtual Revision synced_to() const = 0;
};

struct LeaseInfo {
  std::int64_t id = 0;
  std::int64_t granted_ttl_seconds = 0;
  std::vector<std::string> keys;  ///< only when asked
};

/// The etcd data model: multi-version keys, transactions, watches and leases with etcd's exact
/// revision rules. State lives in the Engine; what is in memory is bounded. Reads see the newest
/// applied state; linearizability is the caller's (node::Replica::ReadBarrier). Single reactor.
class Store final : public model::StateMachine {
 public:
  Store(runtime::Executor& executor, StoreOptions options);
  ~Store() override;

  // model::StateMachine
  Status Load(storage::Engine& engine) override;
  LogIndex applied() const override;
  bool watched() const override;
  Result<std::vector<std::unique_ptr<model::StateMachine::Answer>>> Apply(
      std::span<const Command> commands, LogIndex upto, Term upto_term) override;

  Revision revision() const;
  Revision compact_revision() const;

  /// Checks a request for everything that does not depend on state, as etcd does before it
  /// proposes: kEmptyKey, kDuplicateKey, kTooManyOperations, kInvalidArgument ("value is provided",
  /// "lease is provided", "key not found" for an empty op, "invalid sort option": the etcd text is
  /// the message).
  static Status Validate(const etcdserverpb::RangeRequest& request);
  static Status Validate(const etcdserverpb::PutRequest& request);
  static Status Validate(const etcdserverpb::DeleteRangeRequest& request);
  static Status Validate(const etcdserverpb::TxnRequest& request, std::size_t operations_max);
  /// True if no branch of `request` writes: it can be served by ReadTxn.
  static bool IsReadOnly(const etcdserverpb::TxnRequest& request);
  /// True if no range of a read-only txn asks for linearizability.
  static bool IsSerializable(const etcdserverpb::TxnRequest& request);

  /// Errors: kFutureRevision, kCompacted, kCorruptState.
  Result<etcdserverpb::RangeResponse> Range(const etcdserverpb::RangeRequest& request) const;
  /// Visits the newest versions of the keys in [key, range_end), etcd's meaning of range_end, in
  /// order, until `visit` answers false; unlike Range it counts nothing behind that. Error
  /// kCorruptState.
  using Visit =
      std::function<bool(std::string_view key, std::string_view value, Revision mod_revision)>;
  Status VisitRange(std::string_view key, std::string_view range_end, const Visit& visit) const;
  /// The revision of the newest change of `key`, a deletion included; 0: it was never there, or a
  /// compaction has forgotten when it was deleted. Error kCorruptState.
  Result<Revision> LastChange(std::string_view key) const;
  /// The same at one revision in steps of about `records_max` records, so that a large state, or a
  /// long history, does not hold up the others. Errors: kFutureRevision, kCompacted (since the step
  /// before: begin anew), kCorruptState.
  struct VisitProgress {
    Revision revision = 0;
    std::string next;  ///< "": from the start
    bool done = false;
  };
  Status VisitSome(std::string_view key, std::string_view range_end, VisitProgress& progress,
                   std::size_t records_max, const Visit& visit) const;
  Result<etcdserverpb::TxnResponse> ReadTxn(const etcdserverpb::TxnRequest& request) const;
  /// A hash over the live history at `revision` (0: now), equal on all replicas; and that revision.
  struct HashAt {
    std::uint32_t hash;
    Revision hash_revision;
    Revision compact_revision;
  };
  Result<HashAt> HashKv(Revision revision) const;
  /// The same in steps of about `records_max` records, so that a large state does not hold up the
  /// others: nullopt until the last. Begins anew when a compaction comes between.
  struct HashProgress {
    Revision revision = 0;  ///< asked for; 0: that of the first step
    Revision compacted = -1;
    std::uint64_t hash = 0;
    std::string next;  ///< the record to go on at; "": from the start
    std::string done;  ///< the prefix of the key whose newest version <= compacted was met
  };
  Result<std::optional<HashAt>> HashKv(HashProgress& progress, std::size_t records_max) const;

  /// Never fails for a compacted start: the first Poll does. The watcher must not outlive the
  /// Store. `wake` is notified whenever it may have become pending.
  std::unique_ptr<Watcher> Watch(WatchSpec spec, runtime::Notification& wake);

  /// Leases in the replicated state, by id.
  std::vector<std::int64_t> LeaseIds() const;
  std::optional<LeaseInfo> FindLease(std::int64_t id, bool with_keys) const;
  /// Changes whenever a lease is granted, renewed or revoked (for LeaseKeeper).
  std::uint64_t lease_generation() const;

  /// Deletes some of what compaction made garbage; true if there is more. Called by the driver when
  /// idle; invisible to readers, and may differ between replicas in progress but not in result.
  Result<bool> PurgeSome(std::size_t records_max);

  std::uint64_t approximate_bytes() const;

 private:
  friend class LeaseKeeper;
  friend class RangeReader;
  struct State;
  std::unique_ptr<State> state_;
};

/// Who expires leases: counts on every replica, from when it heard of a grant or a renewal, which
/// is never before the leader that answered it: so none ends early. A new leader gives a lease its
/// whole TTL again, for clients that could not reach one, but only once between two renewals: the
/// others learn that by Adopt. What a replica heard is lost when it loads a state; then it counts
/// anew, until Adopt. Pure: time is passed in.
class LeaseKeeper {
 public:
  explicit LeaseKeeper(const Store& store);
  ~LeaseKeeper();
  /// Leadership gained, which prolongs what was not prolonged since it was heard of, or lost. What
  /// was handed out is handed out anew by whoever leads next.
  void OnLeadership(bool leading, Instant now);
  /// Picks up leases granted, renewed and revoked since the last call, with `now` for the time of
  /// it: to be called often.
  void Refresh(Instant now);
  /// Counts all leases from `now`, as after a load.
  void CountAnew(Instant now);
  /// The granted TTL if the lease is alive, nullopt if there is no such lease. Requires: leading.
  std::optional<std::int64_t> Renew(std::int64_t id, Instant now);
  /// Seconds left, >= 0: whole ones, without the one that runs; nullopt if there is no such lease.
  std::optional<std::int64_t> RemainingSeconds(std::int64_t id, Instant now) const;
  /// Ids to revoke now, oldest deadline first, at most `max`; each is handed out again only after
  /// `retry` has passed without its revocation.
  std::vector<std::int64_t> TakeExpired(Instant now, std::size_t max, Duration retry);
  /// When TakeExpired next has something; Instant::max() if never.
  Instant NextDeadline() const;
  /// All leases, the one that ends soonest first.
  std::vector<std::int64_t> ByEnd() const;

  /// One lease as a replica counts it.
  struct Count {
    std::int64_t id = 0;
    LogIndex granted_at;
    Duration left{};
    bool prolonged = false;  ///< by a new leader, since it was heard of
  };
  /// At most `max` leases, by id, from the first after `after` on (nullopt: from the first).
  std::vector<Count> Counts(std::optional<std::int64_t> after, std::size_t max, Instant now) const;
  /// How often a state was loaded: what the counts before it knew is lost.
  std::uint64_t loads() const;
  /// Takes the leader's count, asked for at `asked` and learned `now`, for a lease that was not
  /// heard of since: the leader knew of every renewal before `asked`.
  void Adopt(const Count& leaders, Instant asked, Instant now);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::kv

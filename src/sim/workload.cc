#include "sim/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace coterie::sim {
namespace {

using check::Operation;
using check::Step;

std::string KeyName(std::uint32_t key) { return fmt::format("{}{}", kKeyPrefix, key); }

/// What a client last saw of each key: the swaps start from it.
using LastSeen = std::map<std::string, check::KeyValue>;

Operation MakeOperation(const PlannedOp& planned, const LastSeen& seen) {
  const std::string key = KeyName(planned.key);
  const std::string value = fmt::format("v{}", planned.id);
  const auto known = seen.find(key);
  Operation op;
  switch (planned.kind) {
    case OpKind::kGet:
      return check::Get(planned.client, key);
    case OpKind::kStaleGet:
      op = check::Get(planned.client, key);
      op.serializable = true;
      return op;
    case OpKind::kPut:
    case OpKind::kLeasedPut:
    case OpKind::kHeldLease:  // these two are not one operation; see Client
    case OpKind::kCompact:
      return check::Put(planned.client, key, value);
    case OpKind::kDelete:
      op = check::Delete(planned.client, key);
      op.success[0].prev_kv = planned.id % 2 == 0;
      return op;
    case OpKind::kSwap:
      return check::CompareAndSwap(planned.client, key,
                                   known == seen.end() ? "none" : known->second.value, value);
    case OpKind::kGuardedPut:
      op = check::Put(planned.client, key, value);
      op.compares.push_back({.key = key,
                             .target = check::Compare::Target::kMod,
                             .number = known == seen.end() ? 0 : known->second.mod_revision});
      op.failure.push_back({.kind = Step::Kind::kGet, .key = key});
      return op;
    case OpKind::kTwoKeyTxn:
      op = check::Put(planned.client, key, value);
      if (planned.other_key != planned.key) {
        op.success.push_back(
            {.kind = Step::Kind::kPut, .key = KeyName(planned.other_key), .value = value});
      }
      op.success.push_back({.kind = Step::Kind::kGet, .key = KeyName(planned.other_key)});
      return op;
    case OpKind::kRange:
      op = check::Get(planned.client, std::string(kKeysBegin));
      op.success[0].range_end = std::string(kKeysEnd);
      return op;
  }
  return op;
}

/// A client: one connection at a time, to a replica that it leaves after an error.
class Client {
 public:
  Client(runtime::World& world, Cluster& cluster, WorkloadState& state, std::uint32_t number)
      : world_(world), cluster_(cluster), state_(state), number_(number) {
    MoveOn();
  }

  runtime::Task<void> PlayPlan() {
    const Instant start = world_.Now();
    for (const PlannedOp& planned : state_.plan.ops) {
      if (planned.client != number_) continue;
      if (start + planned.at > world_.Now()) {
        co_await runtime::SleepUntil(world_.executor(), start + planned.at);
      }
      if (state_.live) break;
      if (planned.kind == OpKind::kHeldLease) {
        holders_.Spawn(HoldLease(planned.id));
        continue;
      }
      if (planned.kind == OpKind::kCompact) {
        co_await Compact(planned.id);
        continue;
      }
      Operation op = MakeOperation(planned, seen_);
      if (planned.kind == OpKind::kLeasedPut) {
        Result<std::int64_t> lease = co_await client_->GrantLease(2, state_.plan.request_timeout);
        if (!lease) {
          MoveOn();
          continue;
        }
        op.success[0].lease = *lease;
        // The lease may end, and remove the key, any time from now on.
        state_.recorder.AddUnknown(check::Delete(kLeases + planned.id, op.success[0].key),
                                   world_.Now());
      }
      const bool answered = co_await Run(std::move(op));
      if (!answered) MoveOn();
    }
  }

  runtime::Task<void> ProveLiveness() {
    while (!state_.live) co_await runtime::Sleep(world_.executor(), 50ms);
    const std::string key = KeyName(number_ % 2);
    for (std::uint32_t n = 0; state_.answered_live[number_] < state_.plan.liveness_ops; ++n) {
      MoveOn();
      const std::string value = fmt::format("live{}-{}", number_, n);
      const bool put = co_await Run(check::Put(number_, key, value));
      bool got = false;
      if (put) got = co_await Run(check::Get(number_, key));
      if (got) ++state_.answered_live[number_];
      if (!got) co_await runtime::Sleep(world_.executor(), 100ms);
    }
  }

 private:
  // Process numbers of leases and of those who hold one.
  static constexpr std::uint64_t kLeases = 1'000'000;
  static constexpr std::uint64_t kHolders = 2'000'000;

  std::uint32_t AnyReplica() {
    return static_cast<std::uint32_t>(world_.random().Below(state_.plan.replicas));
  }

  runtime::Task<void> Compact(std::uint32_t id) {
    std::int64_t newest = 0;
    for (const auto& [key, kv] : seen_) newest = std::max(newest, kv.mod_revision);
    const std::int64_t revision = newest - id % 16;
    if (revision <= 1) co_return;
    state_.compacted = std::max(state_.compacted, revision);
    const Status done = co_await client_->Compact(revision, state_.plan.request_timeout);
    const bool answered = done || done.error().code == ErrorCode::kInvalidArgument;
    if (!answered) MoveOn();
  }

  /// Holds a lease with a key on it, at changing replicas, and looks whether it ends too early: it
  /// must live for its TTL, as the fastest clock counts it, from when its last renewal was asked.
  runtime::Task<void> HoldLease(std::uint32_t id) {
    Held held{.id = id, .ttl_seconds = world_.random().Between(2, 5)};
    std::unique_ptr<KvClient> client = cluster_.NewClient(world_, AnyReplica());
    held.asked = world_.Now();
    Result<std::int64_t> lease =
        co_await client->GrantLease(held.ttl_seconds, state_.plan.request_timeout);
    if (!lease) co_return;
    held.lease = *lease;
    Operation put = check::Put(kHolders + id, fmt::format("lease{}", id), fmt::format("v{}", id));
    put.success[0].lease = *lease;
    state_.recorder.AddUnknown(check::Delete(kLeases + id, put.success[0].key), world_.Now());
    Result<Operation> answer = co_await RunWith(client.get(), std::move(put));
    if (!answer) co_return;
    const std::int64_t renewals = world_.random().Between(1, 4);
    for (std::int64_t n = 0; held.alive && !state_.live; ++n) {
      co_await runtime::Sleep(world_.executor(),
                              Duration(world_.random().Between(50'000'000, 900'000'000)));
      client = cluster_.NewClient(world_, AnyReplica());
      if (n < renewals) co_await Renew(client.get(), &held);
      co_await Look(client.get(), &held);
    }
  }

  struct Held {
    std::uint32_t id = 0;
    std::int64_t ttl_seconds = 0;
    std::int64_t lease = 0;
    Instant asked{};  // when the grant or renewal was asked that was answered last
    bool alive = true;
  };

  runtime::Task<void> Renew(KvClient* client, Held* held) {
    const Instant asked = world_.Now();
    Result<std::int64_t> left =
        co_await client->RenewLease(held->lease, state_.plan.request_timeout);
    if (!left) co_return;
    ++state_.renewals;
    if (*left > 0) {
      held->asked = asked;
    } else {
      Ended(held, "a renewal found no such lease");
    }
  }

  runtime::Task<void> Look(KvClient* client, Held* held) {
    Result<Operation> got =
        co_await RunWith(client, check::Get(kHolders + held->id, fmt::format("lease{}", held->id)));
    if (got && got->success[0].seen.empty()) Ended(held, "its key is gone");
  }

  void Ended(Held* held, std::string_view how) {
    held->alive = false;
    // No clock gains more than a twentieth (plan.h).
    const Instant least = held->asked + std::chrono::milliseconds(held->ttl_seconds * 950);
    if (world_.Now() >= least || !state_.lease_problem.empty()) return;
    state_.lease_problem =
        fmt::format("lease {:x} of {} s, granted or renewed at {}, ended by {}: {}", held->lease,
                    held->ttl_seconds, check::TimeText(held->asked.time_since_epoch().count()),
                    check::TimeText(world_.Now().time_since_epoch().count()), how);
  }

  runtime::Task<Result<Operation>> RunWith(KvClient* client, Operation op) {
    const std::size_t number = state_.recorder.Begin(op, world_.Now());
    Result<Operation> answer = co_await client->Execute(std::move(op), state_.plan.request_timeout);
    state_.recorder.End(number, answer, world_.Now());
    co_return answer;
  }

  void MoveOn() {
    const auto& core = state_.plan.core;
    replica_ = state_.live ? core[world_.random().Below(core.size())] : AnyReplica();
    client_ = cluster_.NewClient(world_, replica_);
  }

  runtime::Task<bool> Run(Operation op) {
    op.endpoint = fmt::format("replica {}", replica_);
    const std::size_t number = state_.recorder.Begin(op, world_.Now());
    Result<Operation> answer =
        co_await client_->Execute(std::move(op), state_.plan.request_timeout);
    state_.recorder.End(number, answer, world_.Now());
    if (!answer) co_return false;
    if (answer->serializable) co_return true;  // a stale answer guards nothing
    for (const Step& step : answer->taken()) {
      for (const check::KeyValue& kv : step.seen) seen_[kv.key] = kv;
    }
    co_return true;
  }

  runtime::World& world_;
  Cluster& cluster_;
  WorkloadState& state_;
  const std::uint32_t number_;
  std::uint32_t replica_ = 0;
  std::unique_ptr<KvClient> client_;
  LastSeen seen_;
  runtime::Scope holders_;  // last: its tasks use everything above
};

/// Writes one attempt of a watch down.
class AttemptSink final : public WatchSink {
 public:
  AttemptSink(check::WatchAttempt& attempt, Recorder& recorder, runtime::World& world)
      : attempt_(attempt), recorder_(recorder), world_(world) {}
  void OnCreated(std::int64_t header_revision) override {
    attempt_.created_revision = header_revision;
  }
  void OnResponse(check::WatchResponse response) override {
    response.time_ns = recorder_.Stamp(world_.Now());
    attempt_.responses.push_back(std::move(response));
  }

 private:
  check::WatchAttempt& attempt_;
  Recorder& recorder_;
  runtime::World& world_;
};

/// Where a client library would resume: behind what it has seen, or where the compaction left off.
std::int64_t ResumeAt(const check::Watch& watch) {
  if (watch.attempts.empty()) return 1;
  const check::WatchAttempt& last = watch.attempts.back();
  if (!last.responses.empty() && last.responses.back().compact_revision != 0) {
    return last.responses.back().compact_revision;
  }
  const std::int64_t covered = CoveredBy(watch);
  return covered == 0 ? last.start_revision : covered + 1;
}

}  // namespace

std::int64_t Recorder::Stamp(Instant now) {
  last_ns_ = std::max<std::int64_t>(last_ns_ + 1, now.time_since_epoch().count());
  return last_ns_;
}

std::size_t Recorder::Begin(Operation op, Instant now) {
  op.invoke_ns = Stamp(now);
  op.return_ns = check::kNever;
  op.outcome = Operation::Outcome::kUnknown;
  history_.operations.push_back(std::move(op));
  return history_.operations.size() - 1;
}

void Recorder::End(std::size_t number, const Result<Operation>& answer, Instant now) {
  COT_ASSERT(number < history_.operations.size());
  Operation& op = history_.operations[number];
  COT_ASSERT(op.return_ns == check::kNever);
  op.return_ns = Stamp(now);
  if (answer) {
    op.outcome = Operation::Outcome::kOk;
    op.success = answer->success;
    op.failure = answer->failure;
    op.succeeded = answer->succeeded;
    op.revision = answer->revision;
    return;
  }
  op.outcome = answer.error().outcome == Outcome::kNotApplied ? Operation::Outcome::kFailed
                                                              : Operation::Outcome::kUnknown;
  op.error = CodeText(answer.error().code) + " " + answer.error().message;
}

void Recorder::AddUnknown(Operation op, Instant now) { Begin(std::move(op), now); }

std::int64_t CoveredBy(const check::Watch& watch) {
  std::int64_t covered = 0;
  for (const check::WatchAttempt& attempt : watch.attempts) {
    for (const check::WatchResponse& response : attempt.responses) {
      if (response.progress) covered = std::max(covered, response.revision);
      if (response.events.empty() || response.fragment) continue;
      covered = std::max(covered, response.events.back().kv.mod_revision);
    }
  }
  return covered;
}

runtime::Task<void> RunClient(runtime::World& world, Cluster& cluster, WorkloadState& state,
                              std::uint32_t client) {
  Client self(world, cluster, state, client);
  co_await self.PlayPlan();
  co_await self.ProveLiveness();
  ++state.clients_done;
}

runtime::Task<void> RunWatcher(runtime::World& world, Cluster& cluster, WorkloadState& state,
                               std::uint32_t watcher) {
  check::Watch& watch = state.watches[watcher];
  watch.name = fmt::format("{}", watcher);
  watch.key = std::string(kKeysBegin);
  watch.range_end = std::string(kKeysEnd);
  watch.prev_kv = true;
  for (;;) {
    const auto& core = state.plan.core;
    const auto replica =
        state.live ? core[world.random().Below(core.size())]
                   : static_cast<std::uint32_t>(world.random().Below(state.plan.replicas));
    const std::unique_ptr<KvClient> client = cluster.NewClient(world, replica);
    const std::int64_t start = ResumeAt(watch);
    check::WatchAttempt attempt;
    attempt.created_ns = state.recorder.Stamp(world.Now());
    attempt.start_revision = start;
    watch.attempts.push_back(std::move(attempt));
    // Its last element stays put while this attempt lasts: only this task appends.
    AttemptSink sink(watch.attempts.back(), state.recorder, world);
    // Why it ended does not matter: a watch that ends is resumed.
    (void)co_await client->Watch(watch.key, watch.range_end, start, &sink);
    co_await runtime::Sleep(world.executor(), 50ms);
  }
}

}  // namespace coterie::sim

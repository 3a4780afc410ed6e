#include "sim/redis_workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "sim/redis_client.h"

namespace coterie::sim {
namespace {

using check::Operation;
using runtime::Task;
using Kind = RedisReply::Kind;
using Words = std::vector<std::string>;

// A replica that was down is given so long before it must answer again.
constexpr Duration kReturn = 8s;
constexpr std::string_view kBag = "bag";
constexpr std::string_view kTable = "table";

// The default of node::LeaderlessOptions::drift_max, less what drift adds.
constexpr std::int64_t kSkewMaxNs = 8'000'000'000;
// With more replicas in the cluster than copies, a node may have to ask another.
constexpr std::uint32_t kCopies = 3;

/// Whether the plan does something to this replica itself, or has just done, between two instants
/// after the start. Links between replicas do not count: a live node answers in every partition.
bool Troubled(const Plan& plan, std::uint32_t replica, Duration from, Duration to) {
  return std::ranges::any_of(plan.faults, [&](const FaultEvent& f) {
    switch (f.kind) {
      case FaultKind::kCrashProcess:
      case FaultKind::kCrashMachine:
      case FaultKind::kPowerOff:
      case FaultKind::kPause:
      case FaultKind::kSyncFailure:
      case FaultKind::kDiskFull:
      case FaultKind::kSlowDisk:
        break;
      case FaultKind::kClockJump:
        // Such a node's timestamps are refused, by itself, too, until time has caught up with them.
        return std::abs(f.amount) > kSkewMaxNs && f.at <= to &&
               std::ranges::count(f.replicas, replica) > 0;
      default:
        return false;
    }
    return std::ranges::count(f.replicas, replica) > 0 && f.at <= to &&
           f.at + f.length + kReturn >= from;
  });
}

class Client {
 public:
  Client(runtime::World& world, Cluster& cluster, RedisState& state, std::uint32_t number)
      : world_(world), cluster_(cluster), state_(state), number_(number), start_(world.Now()) {}

  Task<void> Play() {
    MoveOn();
    const Duration pause = state_.plan.safety / std::max(state_.plan.redis_ops, 1U);
    for (std::uint32_t n = 0; n < state_.plan.redis_ops && !state_.live; ++n) {
      co_await runtime::Sleep(world_.executor(),
                              Duration(world_.random().Between(0, 2 * pause.count())));
      const bool answered = co_await One();
      if (!answered || world_.random().Chance(0.1)) MoveOn();
    }
  }

  Task<void> ProveLiveness() {
    while (!state_.live) co_await runtime::Sleep(world_.executor(), 50ms);
    while (state_.answered_live[number_] < state_.plan.liveness_ops || !pending_.empty()) {
      MoveOn();
      const bool added = co_await RetryAdditions();
      const bool answered = co_await One();
      if (answered && added) ++state_.answered_live[number_];
      if (!answered) co_await runtime::Sleep(world_.executor(), 100ms);
    }
  }

  Task<void> CheckFinalState() {
    while (!state_.final_reads) co_await runtime::Sleep(world_.executor(), 50ms);
    for (bool done = false; !done;) {
      MoveOn();
      done = co_await ReadAll();
      if (!done) co_await runtime::Sleep(world_.executor(), 100ms);
    }
  }

 private:
  struct Addition {
    std::string key;
    std::string name;
    std::int64_t amount = 0;
  };

  void MoveOn() {
    const auto& core = state_.plan.core;
    replica_ = state_.live
                   ? core[world_.random().Below(core.size())]
                   : static_cast<std::uint32_t>(world_.random().Below(state_.plan.replicas));
    cart_ = cluster_.NewRedisClient(world_, replica_, kCartDatabase);
    lock_ = cluster_.NewRedisClient(world_, replica_, kLockDatabase);
  }

  Task<bool> One() {
    switch (world_.random().Below(8)) {
      case 0:
      case 1:
        co_return co_await Add();
      case 2:
      case 3:
        co_return co_await ChangeElement(world_.random().Chance(0.5) ? kBag : kTable);
      case 4:
        co_return co_await String();
      default:
        co_return co_await Register();
    }
  }

  /// A command on the keyspace with R = W = 1, which every live node must answer.
  Task<Result<RedisReply>> Cart(Words words) {
    const Duration asked = world_.Now() - start_;
    const std::uint32_t replica = replica_;
    const std::string text = fmt::format("{} {}", words[0], words.size() > 1 ? words[1] : "");
    auto reply = co_await cart_->Command(std::move(words), state_.plan.request_timeout);
    const Duration answered = world_.Now() - start_;
    if (reply && reply->kind == Kind::kError) {
      reply = std::unexpected(Error{ErrorCode::kInvalidArgument, Outcome::kUnknown, reply->text});
    }
    if (reply) {
      ++state_.answered;
      ++state_.cart_answered;
      served_.insert(replica);
      co_return reply;
    }
    ++state_.failed;
    // Before its first answer a cluster is being made.
    if (state_.plan.replicas <= kCopies && served_.contains(replica) &&
        !Troubled(state_.plan, replica, asked, answered)) {
      state_.Break("availability",
                   fmt::format("{} at replica {}, which is alive, at {}: {}", text, replica,
                               check::TimeText(asked.count()), Describe(reply.error())));
    }
    co_return reply;
  }

  Task<bool> Add() {
    Addition addition{.key = fmt::format("count{}", world_.random().Below(2)),
                      .name = fmt::format("add-{}-{}", number_, ++made_),
                      .amount = world_.random().Between(-3, 9)};
    // It will be repeated under its name until it is acknowledged: so it counts exactly once.
    state_.counters[addition.key] += addition.amount;
    pending_.push_back(std::move(addition));
    co_return co_await RetryAdditions();
  }

  Task<bool> RetryAdditions() {
    while (!pending_.empty()) {
      const Addition addition = pending_.front();
      Words words = {"COTERIE", "ID",         addition.name,
                     "INCRBY",  addition.key, fmt::format("{}", addition.amount)};
      const auto reply = co_await Cart(std::move(words));
      if (!reply) co_return false;
      // Now and then once more, as a client does that did not hear the answer.
      if (world_.random().Chance(0.9)) pending_.erase(pending_.begin());
    }
    co_return true;
  }

  /// Adds an element nobody else has, or removes one of its own at the replica that took it.
  Task<bool> ChangeElement(std::string_view key) {
    auto& fates = state_.sets[std::string(key)];
    const auto mine = std::ranges::find_if(mine_, [&](const Mine& m) {
      return m.key == key && m.replica == replica_ && state_.plan.replicas <= kCopies;
    });
    const bool table = key == kTable;
    if (mine != mine_.end() && world_.random().Chance(0.5)) {
      const std::string element = mine->element;
      const Duration added = mine->added;
      mine_.erase(mine);
      fates[element] = Fate::kMayBe;
      Words words = {table ? "HDEL" : "SREM", std::string(key), element};
      const auto reply = co_await Cart(std::move(words));
      if (!reply) co_return false;
      if (reply->kind == Kind::kInteger && reply->integer == 0 &&
          Troubled(state_.plan, replica_, added, world_.Now() - start_)) {
        // Another replica's disk had it when it was acknowledged; here it is not back yet.
        fates[element] = Fate::kMustBe;
        co_return true;
      }
      if (reply->kind != Kind::kInteger || reply->integer != 1) {
        state_.Break("session", fmt::format("replica {} took {} of {} and does not have it",
                                            replica_, element, key));
      }
      fates[element] = Fate::kMustNot;
      co_return true;
    }
    const std::string element = fmt::format("e{}-{}", number_, ++made_);
    fates[element] = Fate::kMayBe;
    Words words = {table ? "HSET" : "SADD", std::string(key), element};
    if (table) words.push_back("v" + element);
    const std::uint32_t replica = replica_;
    const auto reply = co_await Cart(std::move(words));
    if (!reply) co_return false;
    fates[element] = Fate::kMustBe;
    mine_.push_back({std::string(key), element, replica, world_.Now() - start_});
    co_return true;
  }

  /// Last writer wins: load for conflicts under clocks that disagree.
  Task<bool> String() {
    const std::string key = fmt::format("shared{}", world_.random().Below(2));
    Words set = {"SET", key, fmt::format("v{}-{}", number_, ++made_)};
    auto reply = co_await Cart(std::move(set));
    if (!reply) co_return false;
    Words get = {"GET", key};
    reply = co_await Cart(std::move(get));
    co_return reply.has_value();
  }

  /// Registers decided by ballots: judged as linearizable.
  Task<bool> Register() {
    const std::string key = fmt::format("r{}", world_.random().Below(3));
    const std::string value = fmt::format("v{}-{}", number_, ++made_);
    const std::uint64_t draw = world_.random().Below(10);
    Operation op;
    Words words;
    if (draw < 4) {
      op = check::Get(number_, key);
      words = {"GET", key};
    } else if (draw < 7) {
      op = check::Put(number_, key, value);
      words = {"SET", key, value};
    } else if (draw < 9) {
      op = check::Put(number_, key, value);
      op.compares.push_back({.key = key, .target = check::Compare::Target::kVersion, .number = 0});
      words = {"SET", key, value, "NX"};
    } else {
      op = check::Delete(number_, key);
      words = {"DEL", key};
    }
    op.endpoint = fmt::format("replica {}", replica_);
    const std::size_t number = state_.locks.Begin(op, world_.Now());
    auto reply = co_await lock_->Command(std::move(words), state_.plan.request_timeout);
    if (reply && reply->kind == Kind::kError) {
      const bool refused = reply->text.find("not applied") != std::string::npos;
      reply =
          std::unexpected(Error{ErrorCode::kInvalidArgument,
                                refused ? Outcome::kNotApplied : Outcome::kUnknown, reply->text});
    }
    if (!reply) {
      ++state_.failed;
      state_.locks.End(number, std::unexpected(reply.error()), world_.Now());
      co_return false;
    }
    ++state_.answered;
    if (draw < 4 && reply->kind == Kind::kBulk) {
      op.success[0].seen.push_back({.key = key, .value = reply->text});
      op.success[0].count = 1;
    }
    if (draw >= 7 && draw < 9) op.succeeded = reply->kind == Kind::kSimple;
    if (draw == 9) op.success[0].count = reply->integer;
    state_.locks.End(number, op, world_.Now());
    co_return true;
  }

  Task<bool> ReadAll() {
    for (const auto& [key, expected] : state_.counters) {
      Words words = {"GET", key};
      const auto reply = co_await Cart(std::move(words));
      if (!reply) co_return false;
      const std::string found = reply->kind == Kind::kBulk ? reply->text : "nothing";
      if (found != fmt::format("{}", expected)) {
        state_.Break("counters",
                     fmt::format("{} is {} at replica {}, not {}", key, found, replica_, expected));
      }
    }
    for (const auto& [key, fates] : state_.sets) {
      Words words = {key == kTable ? "HKEYS" : "SMEMBERS", key};
      const auto reply = co_await Cart(std::move(words));
      if (!reply) co_return false;
      std::set<std::string> found;
      for (const RedisReply& item : reply->items) found.insert(item.text);
      for (const auto& [element, fate] : fates) {
        const bool there = found.contains(element);
        if (fate == Fate::kMustBe && !there) {
          state_.Break("lost", fmt::format("{} of {} was acknowledged and is not at replica {}",
                                           element, key, replica_));
        }
        if (fate == Fate::kMustNot && there) {
          state_.Break("resurrected", fmt::format("{} of {} was removed and is at replica {}",
                                                  element, key, replica_));
        }
      }
    }
    co_return true;
  }

  struct Mine {
    std::string key;
    std::string element;
    std::uint32_t replica = 0;
    Duration added{};
  };

  runtime::World& world_;
  Cluster& cluster_;
  RedisState& state_;
  const std::uint32_t number_;
  const Instant start_;
  std::uint32_t replica_ = 0;
  std::unique_ptr<RedisClient> cart_;
  std::unique_ptr<RedisClient> lock_;
  std::vector<Addition> pending_;
  std::vector<Mine> mine_;
  std::set<std::uint32_t> served_;
  std::uint64_t made_ = 0;
};

}  // namespace

Task<void> RunRedisClient(runtime::World& world, Cluster& cluster, RedisState& state,
                          std::uint32_t client) {
  Client self(world, cluster, state, client);
  co_await self.Play();
  co_await self.ProveLiveness();
  ++state.clients_done;
  co_await self.CheckFinalState();
  ++state.readers_done;
}

}  // namespace coterie::sim

#include "sim/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace coterie::sim {
namespace {

constexpr std::array<std::string_view, kFaultKinds> kFaultNames = {
    "crash_process", "crash_machine", "power_off",   "pause",      "isolate",
    "partition",     "bridge",        "cut_one_way", "slow_links", "lossy_links",
    "sync_failure",  "disk_full",     "slow_disk",   "clock_jump", "clock_drift"};
constexpr std::array<std::string_view, kOpKinds> kOpNames = {
    "get",         "stale_get", "put",        "delete",     "swap",   "guarded_put",
    "two_key_txn", "range",     "leased_put", "held_lease", "compact"};

/// Faults that take a replica, or the soundness of its disk, away: they count against the budget.
bool TakesReplicaDown(FaultKind kind) {
  switch (kind) {
    case FaultKind::kCrashProcess:
    case FaultKind::kCrashMachine:
    case FaultKind::kPowerOff:
    case FaultKind::kSyncFailure:
    case FaultKind::kDiskFull:
      return true;
    default:
      return false;
  }
}

/// A crashed replica needs a moment after its return before it counts as sound again.
constexpr Duration kRecovery = 1s;

bool KeepsBudget(const std::vector<FaultEvent>& faults, std::uint32_t replicas) {
  for (const FaultEvent& point : faults) {
    if (!TakesReplicaDown(point.kind)) continue;
    std::vector<bool> down(replicas, false);
    for (const FaultEvent& other : faults) {
      if (!TakesReplicaDown(other.kind)) continue;
      if (other.at <= point.at && point.at < other.at + other.length + kRecovery) {
        for (const std::uint32_t r : other.replicas) down[r] = true;
      }
    }
    if (std::ranges::count(down, true) > (replicas - 1) / 2) return false;
  }
  return true;
}

std::vector<std::uint32_t> DrawReplicas(Random& random, std::uint32_t replicas,
                                        std::uint32_t count) {
  std::vector<std::uint32_t> all(replicas);
  for (std::uint32_t i = 0; i < replicas; ++i) all[i] = i;
  for (std::uint32_t i = 0; i < count; ++i) std::swap(all[i], all[i + random.Below(replicas - i)]);
  all.resize(count);
  return all;
}

Duration DrawDuration(Random& random, Duration low, Duration high) {
  return Duration(random.Between(low.count(), high.count()));
}

FaultEvent DrawFault(Random& random, FaultKind kind, const Plan& plan) {
  FaultEvent fault{.kind = kind};
  fault.at = DrawDuration(random, 0ms, plan.safety);
  fault.length = DrawDuration(random, 10ms, random.Chance(0.3) ? 8000ms : 1500ms);
  std::uint32_t count = 1;
  switch (kind) {
    case FaultKind::kPartition:
      count = static_cast<std::uint32_t>(random.Between(1, (plan.replicas - 1) / 2));
      break;
    case FaultKind::kCutOneWay:
      count = 2;
      break;
    case FaultKind::kSlowLinks:
      fault.amount = random.Between(1'000, 400'000);
      break;
    case FaultKind::kLossyLinks:
      fault.amount = random.Between(10, 400);
      break;
    case FaultKind::kSlowDisk:
      fault.amount = random.Between(10'000, 1'000'000);
      break;
    case FaultKind::kClockJump:
      fault.amount = random.Between(-60'000'000'000, 60'000'000'000);
      break;
    case FaultKind::kClockDrift:
      fault.amount = random.Between(-50'000'000, 50'000'000);
      break;
    default:
      break;
  }
  fault.replicas = DrawReplicas(random, plan.replicas, count);
  return fault;
}

void DrawFaults(Random& random, Plan& plan, const PlanLimits& limits) {
  std::vector<FaultKind> kinds;
  for (std::size_t k = 0; k < kFaultKinds; ++k) {
    if (random.Chance(0.5)) kinds.push_back(static_cast<FaultKind>(k));
  }
  if (kinds.empty()) return;
  const std::uint64_t wanted = random.Below(limits.faults_max + 1);
  for (std::uint64_t i = 0; i < wanted; ++i) {
    plan.faults.push_back(DrawFault(random, kinds[random.Below(kinds.size())], plan));
    if (!KeepsBudget(plan.faults, plan.replicas)) plan.faults.pop_back();
  }
  std::ranges::sort(plan.faults, [](const FaultEvent& a, const FaultEvent& b) {
    return a.at != b.at ? a.at < b.at : a.kind < b.kind;
  });
}

void DrawOps(Random& random, Plan& plan, const PlanLimits& limits) {
  std::vector<OpKind> kinds = {OpKind::kPut, OpKind::kGet};
  for (std::size_t k = 0; k < kOpKinds; ++k) {
    const auto weight = random.Chance(0.5) ? 1 + random.Below(4) : 0;
    kinds.insert(kinds.end(), weight, static_cast<OpKind>(k));
  }
  const std::uint64_t keys = 1 + random.Below(4);
  std::uint64_t count = 20 + random.Below(std::max(limits.ops_max, 21U) - 20);
  if (limits.ops_per_second > 0) {
    count = static_cast<std::uint64_t>(plan.safety / 1ms) * limits.ops_per_second / 1000;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    PlannedOp op;
    op.client = static_cast<std::uint32_t>(random.Below(plan.clients));
    // One that writes and one that reads always remain.
    op.kind = i < 2 ? kinds[i] : kinds[random.Below(kinds.size())];
    op.key = static_cast<std::uint32_t>(random.Below(keys));
    op.other_key = static_cast<std::uint32_t>(random.Below(keys));
    op.at = DrawDuration(random, 0ms, plan.safety);
    plan.ops.push_back(op);
  }
  std::ranges::sort(plan.ops, [](const PlannedOp& a, const PlannedOp& b) {
    return std::tie(a.at, a.client, a.kind, a.key) < std::tie(b.at, b.client, b.kind, b.key);
  });
  for (std::uint32_t i = 0; i < plan.ops.size(); ++i) plan.ops[i].id = i + 1;
}

}  // namespace

std::string_view NameOf(FaultKind kind) { return kFaultNames[static_cast<std::size_t>(kind)]; }
std::string_view NameOf(OpKind kind) { return kOpNames[static_cast<std::size_t>(kind)]; }

Plan DrawPlan(std::uint64_t seed, const PlanLimits& limits) {
  // A stream for each part: a draw more in one leaves the others as they were.
  Random random(seed);
  Random knobs = random.Split();
  Random faults = random.Split();
  Random ops = random.Split();
  Random core = random.Split();
  Plan plan;
  plan.seed = seed;
  plan.replicas = knobs.Chance(0.7) ? 3 : 5;
  if (limits.replicas > 0) plan.replicas = limits.replicas;
  plan.clients = static_cast<std::uint32_t>(knobs.Between(2, 6));
  plan.watchers = static_cast<std::uint32_t>(knobs.Below(3));
  plan.chaos = knobs.Chance(0.5);
  plan.link_delay_max_us = knobs.Between(200, knobs.Chance(0.2) ? 30'000 : 1'000);
  plan.link_loss_permille = knobs.Chance(0.5) ? knobs.Between(0, 20) : 0;
  plan.stream_split_permille = knobs.Chance(0.5) ? knobs.Between(0, 300) : 0;
  plan.sync_max_us = knobs.Between(200, knobs.Chance(0.2) ? 30'000 : 2'000);
  plan.safety = DrawDuration(knobs, limits.safety_max / 4, limits.safety_max);
  DrawFaults(faults, plan, limits);
  DrawOps(ops, plan, limits);
  plan.core = DrawReplicas(core, plan.replicas, plan.replicas / 2 + 1);
  std::ranges::sort(plan.core);
  plan.rest_is_dead = core.Chance(0.5);
  Random redis = random.Split();
  if (limits.redis && redis.Chance(0.5)) {
    plan.redis_clients = static_cast<std::uint32_t>(redis.Between(1, 4));
    plan.redis_ops = static_cast<std::uint32_t>(redis.Between(10, 80));
    // What one replica alone has acknowledged (W = 1) is gone with a replica that is gone for good.
    plan.core = DrawReplicas(core, plan.replicas, plan.replicas);
    std::ranges::sort(plan.core);
    // Mutations stamped ahead of time are not applied elsewhere before time has caught up.
    for (const FaultEvent& fault : plan.faults) {
      if (fault.kind == FaultKind::kClockJump && fault.amount > 0) {
        plan.liveness += Duration(fault.amount);
      }
    }
  }
  return plan;
}

Status Validate(const Plan& plan) {
  const auto refuse = [](std::string why) {
    return Fail(ErrorCode::kInvalidArgument, std::move(why));
  };
  if (plan.replicas < 1 || plan.replicas > 9) return refuse("replicas is not in 1..9");
  if (plan.clients < 1 || plan.clients > 64) return refuse("clients is not in 1..64");
  if (plan.redis_clients > 64) return refuse("redis_clients is over 64");
  if (plan.redis_clients > 0 && plan.core.size() != plan.replicas) {
    return refuse("with redis_clients the core must be all replicas");
  }
  if (plan.watchers > 64) return refuse("watchers is over 64");
  if (plan.safety < 0s || plan.liveness <= 0s || plan.request_timeout <= 0s) {
    return refuse("a duration is not positive");
  }
  if (plan.core.size() < plan.replicas / 2 + 1) return refuse("the core is no majority");
  if (!std::ranges::is_sorted(plan.core) ||
      std::ranges::adjacent_find(plan.core) != plan.core.end() ||
      plan.core.back() >= plan.replicas) {
    return refuse("the core is not an ascending list of replicas");
  }
  for (const FaultEvent& fault : plan.faults) {
    const std::size_t least = fault.kind == FaultKind::kCutOneWay ? 2 : 1;
    if (fault.replicas.size() < least)
      return refuse(fmt::format("{} names too few replicas", NameOf(fault.kind)));
    for (const std::uint32_t r : fault.replicas) {
      if (r >= plan.replicas)
        return refuse(fmt::format("{} names replica {}", NameOf(fault.kind), r));
    }
    if (fault.at < 0s || fault.length < 0s) return refuse("a fault's time is negative");
  }
  for (const PlannedOp& op : plan.ops) {
    if (op.client >= plan.clients)
      return refuse(fmt::format("an operation names client {}", op.client));
    if (op.at < 0s) return refuse("an operation's time is negative");
  }
  if (!KeepsBudget(plan.faults, plan.replicas)) {
    return refuse("more than a minority of the replicas is down or has a troubled disk at once");
  }
  return Ok();
}

}  // namespace coterie::sim

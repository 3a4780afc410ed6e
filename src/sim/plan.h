#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"

namespace coterie::sim {

/// What can go wrong. Links are between replicas, both ways unless said otherwise.
enum class FaultKind : std::uint8_t {
  kCrashProcess,  ///< the process dies, the page cache survives; it starts again at the end
  kCrashMachine,  ///< unsynced writes are kept, dropped or torn
  kPowerOff,      ///< as kCrashMachine, and peers are not even refused
  kPause,         ///< the process is held back
  kIsolate,       ///< all links of the replicas
  kPartition,     ///< the replicas on one side, all others on the other
  kBridge,        ///< two halves that only the first replica of the list can both reach
  kCutOneWay,     ///< from the first replica of the list to the second
  kSlowLinks,     ///< `amount` microseconds more, at most, on every link of the replicas
  kLossyLinks,    ///< `amount` of 1000 segments are lost on every link of the replicas
  kSyncFailure,   ///< the next fsync fails
  kDiskFull,
  kSlowDisk,    ///< one operation in ten takes up to `amount` microseconds
  kClockJump,   ///< the wall clock is off by `amount` nanoseconds
  kClockDrift,  ///< both clocks gain `amount` ns a second
};
inline constexpr std::size_t kFaultKinds = 15;
std::string_view NameOf(FaultKind kind);

struct FaultEvent {
  FaultKind kind = FaultKind::kPause;
  Duration at{};
  Duration length{};
  std::vector<std::uint32_t> replicas;  ///< from 0
  std::int64_t amount = 0;
  friend bool operator==(const FaultEvent&, const FaultEvent&) = default;
};

enum class OpKind : std::uint8_t {
  kGet,
  kStaleGet,
  kPut,
  kDelete,
  kSwap,
  kGuardedPut,
  kTwoKeyTxn,
  kRange,
  kLeasedPut,
  kHeldLease,  ///< beside its client's other operations: a lease kept alive for a while, with a key
  kCompact,    ///< history up to a little before what the client has seen
};
inline constexpr std::size_t kOpKinds = 11;
std::string_view NameOf(OpKind kind);

/// One operation of one client, begun when the client's one before has ended and `at` has come.
struct PlannedOp {
  std::uint32_t id = 0;  ///< in the value it writes: values are unique
  std::uint32_t client = 0;
  OpKind kind = OpKind::kGet;
  std::uint32_t key = 0;
  std::uint32_t other_key = 0;
  Duration at{};
  friend bool operator==(const PlannedOp&, const PlannedOp&) = default;
};

/// A whole run, spelled out: it can be printed, read back, and made smaller by hand or by Shrink.
/// Together with the program's version it decides everything that happens.
struct Plan {
  std::uint64_t seed = 0;  ///< of the simulation's own draws
  std::uint32_t replicas = 3;
  std::uint32_t clients = 4;
  std::uint32_t watchers = 1;
  std::uint32_t redis_clients = 0;  ///< on the convergent and the paxos keyspace; core is then all
  std::uint32_t redis_ops = 60;     ///< of each
  bool chaos = false;               ///< seeded order of ready work
  std::int64_t link_delay_max_us = 500;
  std::int64_t link_loss_permille = 0;
  std::int64_t stream_split_permille = 100;
  std::int64_t sync_max_us = 1000;
  Duration request_timeout = 3s;

  /// Safety: until then faults come and go. Whatever is answered must be right; nothing need be
  /// answered.
  Duration safety{};
  std::vector<FaultEvent> faults;  ///< by time
  std::vector<PlannedOp> ops;      ///< by time

  /// Liveness: then the core is healed for good, and everybody else is gone for good. All that is
  /// asked must be answered and the core must converge within `liveness`.
  std::vector<std::uint32_t> core;
  bool rest_is_dead = true;  ///< else: alive, but cut off from core and clients
  Duration liveness = 60s;
  std::uint32_t liveness_ops = 5;  ///< that each client must get through
  friend bool operator==(const Plan&, const Plan&) = default;
};

struct PlanLimits {
  Duration safety_max = 20s;
  std::uint32_t ops_max = 400;
  std::uint32_t faults_max = 24;
  std::uint32_t replicas = 0;        ///< 0: drawn
  std::uint32_t ops_per_second = 0;  ///< 0: as many as were drawn, up to ops_max
  bool redis = true;                 ///< false: no Redis clients
};

/// Draws a plan. Swarm: each fault kind and each kind of operation is left out with probability one
/// half [Groce et al. 2012, "Swarm testing" §3]; one op kind that writes and one that reads always
/// remain. Budget: at no time is more than a minority of the replicas down or with a troubled disk.
Plan DrawPlan(std::uint64_t seed, const PlanLimits& limits = {});

/// Whether the plan keeps the budget and its numbers are in range; error kInvalidArgument says why
/// not.
Status Validate(const Plan& plan);

/// JSON, one member, fault or operation a line.
std::string ToJson(const Plan& plan);
/// The inverse; error kMalformed. The plan is validated.
Result<Plan> PlanFromJson(std::string_view text);

}  // namespace coterie::sim

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/log.h"
#include "check/availability.h"
#include "check/linearizable.h"
#include "check/verdict.h"
#include "check/watch_order.h"
#include "sim/cluster.h"
#include "sim/plan.h"

namespace coterie::sim {

struct RunOptions {
  std::function<void(std::string_view line)> log;
  LogLevel log_minimum = LogLevel::kInfo;
  runtime::Trace::Sink trace;
  check::LinearizableOptions linearizable{.steps_max = 20'000'000, .memo_entries_max = 4'000'000};
};

struct RunReport {
  check::Answer answer = check::Answer::kOk;
  /// Which judge said so and why: "linearizable: key k1: ..."; empty if ok.
  std::string explanation;
  /// The judge alone: "linearizable", "revisions", "watches", "leases", "liveness",
  /// "convergence", "invariant", "determinism", "availability", "session", "counters", "lost",
  /// "resurrected", "registers"; empty if ok. A smaller plan must fail before the
  /// same one.
  std::string judge;
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  Duration simulated{};
  std::uint64_t faults = 0;
  std::uint64_t crashes = 0;  ///< replicas that ended themselves
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t unknown = 0;
  std::uint64_t watch_events = 0;
  std::uint64_t redis_answered = 0;  ///< counted apart from the operations above
  std::uint64_t redis_failed = 0;
  std::uint64_t renewals = 0;  ///< of leases, answered
  std::int64_t compacted = 0;  ///< the highest revision that was asked to be compacted
  check::Gap longest_gap;      ///< in the safety phase, over all clients
  check::History history;
  std::vector<check::Watch> watches;

  bool ok() const { return answer == check::Answer::kOk; }
};

/// Runs one plan from boot to verdict: the safety phase with its faults, the liveness phase on the
/// core, then every judge the cluster supports. A function of the plan and the program alone.
RunReport RunPlan(const Plan& plan, const ClusterFactory& factory, const RunOptions& options = {});

/// RunPlan of DrawPlan(seed).
RunReport RunSeed(std::uint64_t seed, const ClusterFactory& factory, const PlanLimits& limits = {},
                  const RunOptions& options = {});

/// Runs the plan twice: a difference in trace hash or history is a violation by the judge
/// "determinism".
RunReport RunTwice(const Plan& plan, const ClusterFactory& factory, const RunOptions& options = {});

/// One line for people: "seed 0x2a ok: 312 answered, 4 failed, 9 unknown; 7 faults; 21.4 s in 48211
/// events; trace 5f..".
std::string Summary(const Plan& plan, const RunReport& report);
/// The command that runs it again: "coterie sim --seed 0x2a".
std::string ReproCommand(const Plan& plan);

}  // namespace coterie::sim

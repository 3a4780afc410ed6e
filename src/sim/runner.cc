#include "sim/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "check/revision_order.h"
#include "sim/nemesis.h"
#include "sim/redis_workload.h"
#include "sim/workload.h"

namespace coterie::sim {
namespace {

constexpr Duration kBeginsWithin = 60s;

/// Watches are told of changes of their keys only: a later revision need not reach them.
bool WritesWatchedKey(const check::Operation& op) {
  return std::ranges::any_of(op.taken(), [](const check::Step& step) {
    return step.kind != check::Step::Kind::kGet && check::InRange(step.key, kKeysBegin, kKeysEnd);
  });
}

/// One run. Members are destroyed bottom up: first the simulation with all frames, then what they
/// use.
class Run {
 public:
  Run(const Plan& plan, const ClusterFactory& factory, const RunOptions& options)
      : plan_(plan),
        options_(options),
        state_(plan_),
        redis_(plan_),
        simulation_(OptionsOf(plan, options)) {
    cluster_ = factory(simulation_, plan_);
    COT_ASSERT(cluster_ != nullptr);
    redis_count_ = cluster_->has_redis() ? plan_.redis_clients : 0;
    for (std::uint32_t i = 0; i < plan_.clients; ++i) {
      clients_.push_back(
          simulation_.AddNode(fmt::format("client{}", i), fmt::format("10.9.1.{}", i + 1)));
    }
    for (std::uint32_t i = 0; i < plan_.watchers; ++i) {
      watchers_.push_back(
          simulation_.AddNode(fmt::format("watcher{}", i), fmt::format("10.9.2.{}", i + 1)));
    }
    for (std::uint32_t i = 0; i < redis_count_; ++i) {
      redis_clients_.push_back(
          simulation_.AddNode(fmt::format("redis{}", i), fmt::format("10.9.3.{}", i + 1)));
    }
    std::vector<runtime::NodeHandle> outside = clients_;
    outside.insert(outside.end(), redis_clients_.begin(), redis_clients_.end());
    outside.insert(outside.end(), watchers_.begin(), watchers_.end());
    nemesis_ = std::make_unique<Nemesis>(simulation_, *cluster_, plan_, std::move(outside));
  }

  RunReport Play() {
    if (!simulation_.RunUntil([this] { return cluster_->begun(); }, kBeginsWithin)) {
      Judge("liveness", check::Answer::kViolation, "the cluster does not begin");
    }
    StartClients();
    nemesis_->Play();
    simulation_.RunFor(plan_.safety);
    const std::int64_t safety_end = simulation_.Now().time_since_epoch().count();
    nemesis_->EnterLiveness();
    state_.live = true;
    redis_.live = true;
    // A watcher whose stream hangs at a replica that is cut off starts again, as its user would.
    for (const runtime::NodeHandle watcher : watchers_) {
      simulation_.Kill(watcher, runtime::Death::kProcess);
      simulation_.Restart(watcher);
    }
    JudgeLiveness();
    JudgeHistory();
    Fill(safety_end);
    return std::move(report_);
  }

 private:
  static runtime::SimOptions OptionsOf(const Plan& plan, const RunOptions& options) {
    runtime::SimOptions out;
    out.seed = plan.seed;
    out.chaos = plan.chaos;
    out.streams.split = static_cast<double>(plan.stream_split_permille) / 1000;
    out.crash_death = runtime::Death::kMachine;
    out.log = options.log;
    out.log_minimum = options.log_minimum;
    out.trace = options.trace;
    return out;
  }

  void StartClients() {
    for (std::uint32_t i = 0; i < plan_.clients; ++i) {
      simulation_.Start(clients_[i], [this, i](runtime::World& world) {
        return RunClient(world, *cluster_, state_, i);
      });
    }
    for (std::uint32_t i = 0; i < redis_count_; ++i) {
      simulation_.Start(redis_clients_[i], [this, i](runtime::World& world) {
        return RunRedisClient(world, *cluster_, redis_, i);
      });
    }
    for (std::uint32_t i = 0; i < plan_.watchers; ++i) {
      simulation_.Start(watchers_[i], [this, i](runtime::World& world) {
        return RunWatcher(world, *cluster_, state_, i);
      });
    }
  }

  void Judge(std::string_view judge, check::Answer answer, std::string_view why) {
    // The first violation counts; an unknown one is kept only while there is no violation.
    if (answer == check::Answer::kOk || report_.answer == check::Answer::kViolation) return;
    if (answer == check::Answer::kUnknown && !report_.ok()) return;
    report_.answer = answer;
    report_.judge = judge;
    report_.explanation = fmt::format("{}: {}", judge, why);
  }

  /// Runs in small steps until `problem` answers "", or says what is still wrong after
  /// plan.liveness.
  std::string Await(const std::function<std::string()>& problem) {
    const Instant limit = simulation_.Now() + plan_.liveness;
    for (;;) {
      std::string why = problem();
      if (why.empty() || simulation_.Now() >= limit) return why;
      simulation_.RunFor(100ms);
    }
  }

  void JudgeLiveness() {
    const std::string clients = Await([this]() -> std::string {
      if (state_.clients_done == plan_.clients) return "";
      std::string out;
      for (std::uint32_t i = 0; i < plan_.clients; ++i) {
        if (state_.answered_live[i] >= plan_.liveness_ops) continue;
        out += fmt::format("{}client {} got {} of {} answers from the core",
                           out.empty() ? "" : ", ", i, state_.answered_live[i], plan_.liveness_ops);
      }
      return out.empty() ? "a client has not ended" : out;
    });
    if (!clients.empty()) return Judge("liveness", check::Answer::kViolation, clients);
    const std::string redis = Await([this]() -> std::string {
      if (redis_.clients_done == redis_count_) return "";
      return fmt::format("{} of {} Redis clients got their answers", redis_.clients_done,
                         redis_count_);
    });
    if (!redis.empty()) return Judge("liveness", check::Answer::kViolation, redis);
    const std::string differs = Await([this] { return cluster_->Divergence(plan_.core); });
    if (!differs.empty()) return Judge("convergence", check::Answer::kViolation, differs);
    redis_.final_reads = true;
    const std::string unread = Await([this]() -> std::string {
      return redis_.readers_done == redis_count_ ? "" : "a Redis client cannot read";
    });
    if (!unread.empty()) return Judge("liveness", check::Answer::kViolation, unread);
    if (!cluster_->has_revisions()) return;
    must_reach_ = 0;
    for (const check::Operation& op : state_.recorder.history().operations) {
      if (op.wrote() && WritesWatchedKey(op)) must_reach_ = std::max(must_reach_, op.revision);
    }
    const std::string behind = Await([this]() -> std::string {
      for (const check::Watch& watch : state_.watches) {
        if (CoveredBy(watch) < must_reach_) {
          return fmt::format("watch {} has covered revision {}, not {}", watch.name,
                             CoveredBy(watch), must_reach_);
        }
      }
      return "";
    });
    if (!behind.empty()) Judge("liveness", check::Answer::kViolation, behind);
  }

  void JudgeHistory() {
    const auto judge = [this](std::string_view name, const check::Verdict& verdict) {
      Judge(name, verdict.answer, verdict.explanation);
    };
    const check::History& history = state_.recorder.history();
    if (std::string broken = cluster_->BrokenInvariant(); !broken.empty()) {
      Judge("invariant", check::Answer::kViolation, broken);
    }
    if (!state_.lease_problem.empty()) {
      Judge("leases", check::Answer::kViolation, state_.lease_problem);
    }
    judge("linearizable", check::CheckLinearizable(history, options_.linearizable));
    if (!redis_.problem.empty()) Judge(redis_.judge, check::Answer::kViolation, redis_.problem);
    judge("registers", check::CheckLinearizable(redis_.locks.history(), options_.linearizable));
    if (!cluster_->has_revisions()) return;
    judge("revisions", check::CheckRevisionOrder(history));
    judge("watches",
          check::CheckWatchOrder(history, state_.watches,
                                 {.must_reach = must_reach_, .compacted = state_.compacted}));
  }

  void Fill(std::int64_t safety_end) {
    report_.trace_hash = simulation_.trace_hash();
    report_.events = simulation_.events();
    report_.simulated = simulation_.Now().time_since_epoch();
    report_.faults = nemesis_->faults_applied();
    report_.crashes = nemesis_->crashes();
    report_.history = state_.recorder.history();
    report_.watches = state_.watches;
    report_.renewals = state_.renewals;
    report_.redis_answered = redis_.answered;
    report_.redis_failed = redis_.failed;
    report_.compacted = state_.compacted;
    const check::AvailabilityReport availability =
        check::MeasureAvailability(report_.history, 0, safety_end, 1'000'000'000);
    report_.longest_gap = availability.all.longest;
    for (const check::Operation& op : report_.history.operations) {
      if (op.outcome == check::Operation::Outcome::kOk) ++report_.answered;
      if (op.outcome == check::Operation::Outcome::kFailed) ++report_.failed;
      if (op.outcome == check::Operation::Outcome::kUnknown) ++report_.unknown;
    }
    for (const check::Watch& watch : report_.watches) {
      for (const check::WatchAttempt& attempt : watch.attempts) {
        for (const check::WatchResponse& r : attempt.responses)
          report_.watch_events += r.events.size();
      }
    }
  }

  const Plan plan_;
  const RunOptions& options_;
  RunReport report_;
  std::int64_t must_reach_ = 0;
  WorkloadState state_;
  RedisState redis_;
  std::uint32_t redis_count_ = 0;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Nemesis> nemesis_;
  std::vector<runtime::NodeHandle> clients_;
  std::vector<runtime::NodeHandle> watchers_;
  std::vector<runtime::NodeHandle> redis_clients_;
  runtime::Simulation simulation_;
};

}  // namespace

RunReport RunPlan(const Plan& plan, const ClusterFactory& factory, const RunOptions& options) {
  COT_ASSERT(Validate(plan).has_value());
  Run run(plan, factory, options);
  return run.Play();
}

RunReport RunSeed(std::uint64_t seed, const ClusterFactory& factory, const PlanLimits& limits,
                  const RunOptions& options) {
  return RunPlan(DrawPlan(seed, limits), factory, options);
}

RunReport RunTwice(const Plan& plan, const ClusterFactory& factory, const RunOptions& options) {
  RunReport first = RunPlan(plan, factory, options);
  const RunReport second = RunPlan(plan, factory, options);
  const bool same_history = check::ToJsonLines(first.history) == check::ToJsonLines(second.history);
  if (first.trace_hash == second.trace_hash && same_history) return first;
  first.answer = check::Answer::kViolation;
  first.judge = "determinism";
  first.explanation = fmt::format(
      "determinism: two runs of one plan differ: trace {:016x} of {} events and {:016x} of {}",
      first.trace_hash, first.events, second.trace_hash, second.events);
  return first;
}

std::string Summary(const Plan& plan, const RunReport& report) {
  return fmt::format(
      "seed {:#x} {}{}{}: {} answered, {} failed, {} unknown; Redis: {} answered, {} "
      "failed; {} watch events, {} renewals, "
      "compacted to {}; {} faults, {} "
      "crashes; longest "
      "gap {}; {:.1f} s in {} events; trace {:016x}",
      plan.seed, check::NameOf(report.answer), report.judge.empty() ? "" : " by ", report.judge,
      report.answered, report.failed, report.unknown, report.redis_answered, report.redis_failed,
      report.watch_events, report.renewals, report.compacted, report.faults, report.crashes,
      check::TimeText(report.longest_gap.length_ns()),
      static_cast<double>(report.simulated.count()) / 1e9, report.events, report.trace_hash);
}

std::string ReproCommand(const Plan& plan) {
  return fmt::format("coterie sim --seed {:#x}", plan.seed);
}

}  // namespace coterie::sim

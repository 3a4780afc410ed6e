#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/output_format.h"
#include "cli/process.h"
#include "sim/etcd_cluster.h"
#include "sim/runner.h"
#include "sim/shrink.h"

namespace coterie::cli {
namespace {

constexpr std::uint64_t kFirstSeed = 1;
constexpr std::uint64_t kTwiceEvery = 20;  // that one in so many seeds is run twice

struct SimSettings {
  std::string seed;
  std::uint64_t seeds = 0;
  std::uint64_t first = kFirstSeed;
  std::string plan_file;
  bool print_plan = false;
  bool trace = false;
  bool log = false;
  bool shrink = false;
  bool speed = false;
  OutputFormat format = OutputFormat::kText;
};

struct Counts {
  std::uint64_t runs = 0;
  std::uint64_t failed = 0;
  std::uint64_t answered = 0;
  Duration simulated{};
  Json failures = Json::Array();
};

sim::RunOptions OptionsOf(const SimSettings& settings) {
  const auto to_stderr = [](std::string_view line) { fmt::print(stderr, "{}\n", line); };
  sim::RunOptions options;
  if (settings.log) {
    options.log = to_stderr;
    options.log_minimum = LogLevel::kDebug;
  }
  if (settings.trace) options.trace = to_stderr;
  return options;
}

Json JsonOf(const sim::Plan& plan, const sim::RunReport& report) {
  Json out = Json::Object();
  out.Set("seed", fmt::format("{:#x}", plan.seed))
      .Set("verdict", check::NameOf(report.answer))
      .Set("judge", report.judge)
      .Set("explanation", report.explanation)
      .Set("trace_hash", fmt::format("{:016x}", report.trace_hash))
      .Set("events", report.events)
      .Set("simulated_seconds", static_cast<double>(report.simulated.count()) / 1e9)
      .Set("answered", report.answered)
      .Set("failed", report.failed)
      .Set("unknown", report.unknown)
      .Set("watch_events", report.watch_events)
      .Set("faults", report.faults)
      .Set("crashes", report.crashes);
  if (!report.ok()) out.Set("repeat", sim::ReproCommand(plan));
  return out;
}

/// A smaller plan that fails before the same judge, to stdout.
void PrintShrunk(const sim::Plan& plan, const sim::RunReport& report) {
  const sim::ClusterFactory factory = sim::EtcdClusterFactory();
  const auto fails = [&](const sim::Plan& smaller) {
    const sim::RunReport again = report.judge == "determinism" ? sim::RunTwice(smaller, factory)
                                                               : sim::RunPlan(smaller, factory);
    return again.answer == report.answer && again.judge == report.judge;
  };
  const sim::ShrinkResult small = sim::Shrink(plan, fails, 400);
  const sim::RunReport last = sim::RunPlan(small.plan, factory);
  fmt::print(stderr, "after {} runs, {} faults and {} operations are left: {}\n", small.runs,
             small.plan.faults.size(), small.plan.ops.size(), last.explanation);
  fmt::print("{}", sim::ToJson(small.plan));
}

void Play(const sim::Plan& plan, const SimSettings& settings, bool single, Counts& counts) {
  const sim::ClusterFactory factory = sim::EtcdClusterFactory();
  const sim::RunOptions options = OptionsOf(settings);
  const bool twice = single ? !settings.trace && !settings.log : plan.seed % kTwiceEvery == 0;
  const sim::RunReport report =
      twice ? sim::RunTwice(plan, factory, options) : sim::RunPlan(plan, factory, options);
  ++counts.runs;
  counts.answered += report.answered;
  counts.simulated += report.simulated * (twice ? 2 : 1);
  if (!report.ok()) ++counts.failed;
  if (settings.format == OutputFormat::kJson) {
    if (single) fmt::print("{}\n", JsonOf(plan, report).ToText(false));
    if (!single && !report.ok()) counts.failures.Push(JsonOf(plan, report));
  } else if (single) {
    fmt::print("{}\n", sim::Summary(plan, report));
    if (!report.ok()) fmt::print("{}\n", report.explanation);
  } else if (!report.ok()) {
    fmt::print("{}; again: {}\n", sim::Summary(plan, report), sim::ReproCommand(plan));
  }
  std::fflush(stdout);
  if (!report.ok() && settings.shrink) PrintShrunk(plan, report);
}

Result<sim::Plan> ReadPlan(const std::string& path) {
  COT_ASSIGN(const std::string text, ReadTextFile(path));
  return sim::PlanFromJson(text);
}

/// The one plan that was asked for, or nullopt: a series of seeds.
Result<std::optional<sim::Plan>> SinglePlan(const SimSettings& settings) {
  if (!settings.plan_file.empty()) {
    COT_ASSIGN(sim::Plan plan, ReadPlan(settings.plan_file));
    return std::optional(std::move(plan));
  }
  if (settings.seed.empty()) return std::nullopt;
  try {
    std::size_t used = 0;
    const std::uint64_t seed = std::stoull(settings.seed, &used, 0);
    if (used == settings.seed.size()) return std::optional(sim::DrawPlan(seed));
  } catch (const std::exception&) {  // the library's way to say "not a number"
  }
  return Fail(ErrorCode::kInvalidArgument, "--seed takes a decimal or 0x number");
}

int Finish(const SimSettings& settings, const Counts& counts, Duration cpu) {
  const double simulated = static_cast<double>(counts.simulated.count()) / 1e9;
  const double seconds = static_cast<double>(cpu.count()) / 1e9;
  if (settings.format == OutputFormat::kJson) {
    Json out = Json::Object();
    out.Set("runs", counts.runs)
        .Set("failed", counts.failed)
        .Set("answered", counts.answered)
        .Set("simulated_seconds", simulated)
        .Set("cpu_seconds", seconds)
        .Set("failures", counts.failures);
    fmt::print("{}\n", out.ToText(false));
  } else {
    fmt::print(
        "{} runs, {} failed; {} operations answered; {:.0f} simulated seconds in {:.1f} s "
        "of CPU: {:.0f} a second\n",
        counts.runs, counts.failed, counts.answered, simulated, seconds,
        seconds > 0 ? simulated / seconds : 0.0);
  }
  return counts.failed == 0 ? kExitOk : kExitCheckFailed;
}

int RunSim(const SimSettings& settings) {
  Result<std::optional<sim::Plan>> single = SinglePlan(settings);
  if (!single) {
    (void)Complain(single.error());
    return kExitUsage;
  }
  Counts counts;
  if (*single) {
    if (settings.print_plan) {
      fmt::print("{}", sim::ToJson(**single));
      return kExitOk;
    }
    Play(**single, settings, /*single=*/true, counts);
    return counts.failed == 0 ? kExitOk : kExitCheckFailed;
  }
  sim::PlanLimits limits;
  if (settings.speed) {
    limits = {.safety_max = 60s, .replicas = 5, .ops_per_second = 50};
  }
  const std::uint64_t seeds = settings.seeds > 0 ? settings.seeds : settings.speed ? 20 : 200;
  const Duration before = CpuTimeOf(::getpid());
  for (std::uint64_t seed = settings.first; seed - settings.first < seeds; ++seed) {
    Play(sim::DrawPlan(seed, limits), settings, /*single=*/false, counts);
  }
  return Finish(settings, counts, CpuTimeOf(::getpid()) - before);
}

}  // namespace

void AddSim(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "sim", "Run whole clusters on virtual time under drawn faults, and judge what clients saw.");
  command->footer("Exit code 8: a run broke a promise, or could not be judged.");
  const auto settings = std::make_shared<SimSettings>();
  auto* seed = command->add_option("--seed", settings->seed, "run this one, decimal or 0x");
  auto* plan = command->add_option("--plan", settings->plan_file, "run the plan in this file");
  seed->excludes(plan);
  command->add_option("--seeds", settings->seeds, "run so many seeds (default 200)")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32))
      ->excludes(seed)
      ->excludes(plan);
  command->add_option("--first", settings->first, "the first of --seeds");
  command->add_flag("--print-plan", settings->print_plan, "print the plan instead of running it");
  command->add_flag("--trace", settings->trace, "every event to stderr");
  command->add_flag("--log", settings->log, "the nodes' logs to stderr");
  command->add_flag("--shrink", settings->shrink, "print a smaller plan of what fails");
  command->add_flag("--speed", settings->speed,
                    "five replicas at 50 operations a second: how fast");
  AddOutput(*command, settings->format);
  command->callback([&run, settings] { run = [settings] { return RunSim(*settings); }; });
}

}  // namespace coterie::cli

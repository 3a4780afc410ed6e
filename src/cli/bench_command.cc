#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/etcd_load.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/output_format.h"
#include "cli/process.h"
#include "runtime/real/real_world.h"

namespace coterie::cli {
namespace {

struct BenchOptions {
  std::vector<std::string> endpoints = {"127.0.0.1:2379", "127.0.0.2:2379", "127.0.0.3:2379"};
  LoadSpec load;
  int seconds = 10;
  std::vector<int> cpu_of;  // processes whose processor time is reported
  OutputFormat format = OutputFormat::kText;
};

double Microseconds(Duration duration) { return static_cast<double>(duration.count()) / 1000; }

Duration CpuTimeOfAll(const std::vector<int>& pids) {
  Duration sum{};
  for (const int pid : pids) sum += CpuTimeOf(pid);
  return sum;
}

Json ToJson(const BenchOptions& options, const LoadResult& result, Duration cpu) {
  Json used = Json::Array();
  for (const runtime::Address& address : result.used) used.Push(ToText(address));
  Json reasons = Json::Object();
  for (const auto& [reason, count] : result.errors_by_reason) reasons.Set(reason, count);
  const double seconds = Microseconds(result.measured) / 1e6;
  Json document = Json::Object();
  document.Set("op", options.load.op == LoadSpec::Op::kPut ? "put" : "range")
      .Set("endpoints", std::move(used))
      .Set("clients", options.load.connections)
      .Set("inflight", options.load.inflight)
      .Set("keys", options.load.keys)
      .Set("key_bytes", options.load.key_bytes)
      .Set("value_bytes", options.load.value_bytes)
      .Set("seconds", seconds)
      .Set("calls", result.calls)
      .Set("per_second", static_cast<std::int64_t>(static_cast<double>(result.calls) / seconds))
      .Set("mean_us", Microseconds(result.latency.mean()))
      .Set("p50_us", Microseconds(result.latency.Quantile(0.5)))
      .Set("p99_us", Microseconds(result.latency.Quantile(0.99)))
      .Set("p999_us", Microseconds(result.latency.Quantile(0.999)))
      .Set("max_us", Microseconds(result.latency.max()))
      .Set("errors", result.errors)
      .Set("errors_by_reason", std::move(reasons))
      .Set("reconnects", result.reconnects);
  if (!options.cpu_of.empty() && result.calls > 0) {
    document.Set("cpu_us_per_call", Microseconds(cpu) / static_cast<double>(result.calls));
  }
  return document;
}

void PrintText(const Json& report) {
  fmt::print("{} {} calls in {} s: {} per second, {} errors, {} reconnects\n",
             report["calls"].Int(), report["op"].Text(), report["seconds"].Double(),
             report["per_second"].Int(), report["errors"].Int(), report["reconnects"].Int());
  fmt::print("latency us: mean {:.0f}  p50 {:.0f}  p99 {:.0f}  p99.9 {:.0f}  max {:.0f}\n",
             report["mean_us"].Double(), report["p50_us"].Double(), report["p99_us"].Double(),
             report["p999_us"].Double(), report["max_us"].Double());
  if (report["cpu_us_per_call"].IsNull()) return;
  fmt::print("processor time of the servers: {:.1f} us per call\n",
             report["cpu_us_per_call"].Double());
}

int Bench(BenchOptions options) {
  for (const std::string& endpoint : options.endpoints) {
    Result<runtime::Address> address = runtime::ParseAddress(endpoint);
    if (!address) return Complain(address.error());
    options.load.endpoints.push_back(std::move(*address));
  }
  options.load.duration = std::chrono::seconds(options.seconds);
  Duration cpu{};
  options.load.at_begin = [&cpu, &options] { cpu = CpuTimeOfAll(options.cpu_of); };
  options.load.at_end = [&cpu, &options] { cpu = CpuTimeOfAll(options.cpu_of) - cpu; };
  Result<std::unique_ptr<runtime::RealWorld>> world =
      runtime::RealWorld::Create({.log_minimum = LogLevel::kError});
  if (!world) return Complain(world.error());
  const Result<LoadResult> result =
      runtime::BlockOn(**world, RunEtcdLoad(world->get(), options.load));
  if (!result) return Complain(result.error());
  const Json report = ToJson(options, *result, cpu);
  if (options.format == OutputFormat::kJson) {
    fmt::print("{}\n", report.ToText(/*indented=*/true));
  } else {
    PrintText(report);
  }
  return result->calls > 0 ? kExitOk : kExitPromise;
}

}  // namespace

void AddBench(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("bench", "Measure a cluster.");
  command->require_subcommand(1);
  CLI::App* etcd = command->add_subcommand("etcd", "Load anything that speaks etcd v3.");
  const auto options = std::make_shared<BenchOptions>();
  LoadSpec& load = options->load;
  static const std::map<std::string, LoadSpec::Op> kOps = {{"put", LoadSpec::Op::kPut},
                                                           {"range", LoadSpec::Op::kRange}};
  etcd->add_option("--endpoints", options->endpoints, "etcd addresses")
      ->delimiter(',')
      ->capture_default_str();
  etcd->add_option("--op", load.op, "put, or range: a linearizable read of one key")
      ->transform(CLI::CheckedTransformer(kOps));
  etcd->add_flag("--leader", load.leader_only, "connect to the leader only");
  etcd->add_option("--clients", load.connections, "connections")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  etcd->add_option("--inflight", load.inflight, "calls under way at once, over all connections")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  etcd->add_option("--seconds", options->seconds, "measured time, after one second of warm-up")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400));
  etcd->add_option("--keys", load.keys, "how many different keys")->capture_default_str();
  etcd->add_flag("--loaded", load.loaded, "the keys are there: do not write them before a range");
  etcd->add_option("--key-bytes", load.key_bytes)
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  etcd->add_option("--value-bytes", load.value_bytes)
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  etcd->add_option("--cpu-of", options->cpu_of, "process ids whose processor time is reported")
      ->delimiter(',');
  AddOutput(*etcd, options->format);
  etcd->callback([&run, options] { run = [options] { return Bench(*options); }; });
}

}  // namespace coterie::cli

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/cluster_nodes.h"
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/exit_code.h"
#include "cli/node_view.h"
#include "cli/output_format.h"
#include "cli/settings.h"

namespace coterie::cli {
namespace {

constexpr Duration kReadPatience = 2s;
constexpr Duration kChangePatience = 15s;

struct NodeOptions {
  ClusterChoice cluster;
  OutputFormat format = OutputFormat::kText;
  std::string name;
  bool wait = false;
  std::string patience = "2m";
};

void Print(const NodeOptions& options, const Json& document, const std::string& text) {
  fmt::print("{}\n", options.format == OutputFormat::kJson ? document.ToText() : text);
}

/// The running demo, if the command is about one.
Result<DemoState> DemoOf(const ClusterChoice& choice) {
  if (!choice.endpoints.empty()) return Fail(ErrorCode::kNoDemo);
  return FindDemo(choice.dir.empty() ? std::nullopt : std::optional(choice.dir));
}

int AddCommand(const NodeOptions& options) {
  SignalWatch signals;
  Result<DemoState> demo = DemoOf(options.cluster);
  if (!demo) return Complain(demo.error());
  const Result<Duration> patience = ParseDuration(options.patience);
  if (!patience) return Complain(patience.error());
  const Result<DemoNode> node = AddDemoNode(
      *demo, *patience, [&signals] { return signals.Wait(Duration::zero()).has_value(); });
  if (!node) return Complain(node.error());
  Json document = Json::Object();
  document.Set("name", node->name)
      .Set("id", node->id)
      .Set("address", node->host)
      .Set("pid", node->process.pid);
  Print(options, document,
        fmt::format("Added {} at {}, pid {}. Shards move to it by themselves: `coterie node list`.",
                    node->name, node->host, node->process.pid));
  return kExitOk;
}

int ListCommand(const NodeOptions& options) {
  const Result<Json> map = NewestMap(options.cluster, "/nodes", kReadPatience);
  if (!map) return Complain(map.error());
  const Json& nodes = (*map)["nodes"];
  fmt::print("{}",
             options.format == OutputFormat::kJson ? nodes.ToText() + "\n" : NodeTable(nodes));
  return kExitOk;
}

/// Answers when the map has no node of that name any more, or when `patience` has passed. Errors:
/// kTimedOut (unknown: the drain goes on), and those of NewestMap.
Status WaitForgotten(const NodeOptions& options, Duration patience) {
  constexpr Duration kPause = 200ms;
  const Instant deadline = MonotonicNow() + patience;
  std::int64_t left = 0;
  for (Duration time = patience; time > Duration::zero(); time = deadline - MonotonicNow()) {
    COT_ASSIGN(const Json map,
               NewestMap(options.cluster, "/nodes", std::min<Duration>(time, kReadPatience)));
    const auto& nodes = map["nodes"].items();
    const auto node = std::ranges::find_if(
        nodes, [&](const Json& each) { return each["name"].Text() == options.name; });
    if (node == nodes.end()) return Ok();
    left = (*node)["replicas"].Int();
    SleepFor(std::min(time, kPause));
  }
  return FailUnknown(
      ErrorCode::kTimedOut,
      fmt::format("{} still holds {} replicas; the drain goes on.", options.name, left));
}

/// A demo's process that is out of the cluster has nothing left to do.
void RetireInDemo(const NodeOptions& options) {
  const Result<DemoState> demo = DemoOf(options.cluster);
  if (!demo || demo->Find(options.name) == nullptr) return;
  const Status retired = RetireDemoNode(demo->dir, options.name);
  if (!retired) fmt::print(stderr, "coterie: {}\n", Describe(retired.error()));
}

int DrainCommand(const NodeOptions& options) {
  const Result<Duration> patience = ParseDuration(options.patience);
  if (!patience) return Complain(patience.error());
  AdminRequest request{.method = "POST", .path = fmt::format("/nodes/{}/drain", options.name)};
  const Result<Json> draining = AskCluster(options.cluster, std::move(request), kChangePatience);
  if (!draining) return Complain(draining.error());
  if (!options.wait) {
    Print(options, *draining,
          fmt::format("{} drains: `coterie node list` shows what is left on it.", options.name));
    return kExitOk;
  }
  const Status forgotten = WaitForgotten(options, *patience);
  if (!forgotten) return Complain(forgotten.error());
  RetireInDemo(options);
  Json document = Json::Object();
  document.Set("drained", options.name);
  Print(options, document,
        fmt::format("{} is drained, and no longer in the cluster.", options.name));
  return kExitOk;
}

int RemoveCommand(const NodeOptions& options) {
  AdminRequest request{.method = "DELETE", .path = "/nodes/" + options.name};
  const Result<Json> removed = AskCluster(options.cluster, std::move(request), kChangePatience);
  if (!removed) {
    // One that the demo started and the cluster never took in is ended all the same.
    if (removed.error().code == ErrorCode::kNoNode) RetireInDemo(options);
    return Complain(removed.error());
  }
  RetireInDemo(options);
  Print(options, *removed,
        fmt::format(
            "{} is no longer in the cluster; its replicas are made anew from the others. What "
            "may fail meanwhile: `coterie status`.",
            options.name));
  return kExitOk;
}

using Perform = int (*)(const NodeOptions& options);
using Take = void (*)(CLI::App& command, NodeOptions& options);

void Add(CLI::App& parent, Run& run, const std::string& name, const std::string& help,
         Perform perform, Take take) {
  CLI::App* command = parent.add_subcommand(name, help);
  const auto options = std::make_shared<NodeOptions>();
  take(*command, *options);
  AddClusterChoice(*command, options->cluster);
  AddOutput(*command, options->format);
  command->callback(
      [&run, options, perform] { run = [options, perform] { return perform(*options); }; });
}

/// Names stand in paths of the admin door.
std::string NameComplaint(const std::string& name) {
  node::NodeConfig config;
  return FindSetting("name")->set(name, config) ? "" : fmt::format("'{}' is no node's name", name);
}

void TakeName(CLI::App& command, NodeOptions& options) {
  command.add_option("name", options.name, "such as n4")
      ->required()
      ->check(CLI::Validator(NameComplaint, ""));
}

}  // namespace

void AddNode(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("node", "Show, add, drain and remove machines.");
  command->require_subcommand(1);
  command->footer("A node of a cluster that is no demo joins it with `coterie start --join`.");
  Add(*command, run, "list", "Show the machines of the cluster.", ListCommand,
      [](CLI::App&, NodeOptions&) {});
  Add(*command, run, "add", "Start one more node of the running demo; answer when it serves.",
      AddCommand, [](CLI::App& c, NodeOptions& o) {
        c.add_option("--patience", o.patience, "how long to wait for it")->capture_default_str();
      });
  Add(*command, run, "drain", "Move everything off a machine, then forget it.", DrainCommand,
      [](CLI::App& c, NodeOptions& o) {
        TakeName(c, o);
        c.add_flag("--wait", o.wait,
                   "answer when it is forgotten; a demo's process is stopped then");
        c.add_option("--patience", o.patience, "with --wait, how long")->capture_default_str();
      });
  Add(*command, run, "remove",
      "Give a machine up that will not come back; its replicas are made anew from the others.",
      RemoveCommand, TakeName);
}

}  // namespace coterie::cli

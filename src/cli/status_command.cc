#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/cluster_nodes.h"
#include "cli/cluster_view.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/output_format.h"

namespace coterie::cli {
namespace {

struct StatusOptions {
  ClusterChoice cluster;
  OutputFormat format = OutputFormat::kText;
};

int ShowStatus(const StatusOptions& options) {
  // A node answers from what it knows by itself, so silence means trouble, not a slow majority.
  constexpr Duration kPatience = 800ms;
  Result<std::vector<NodeView>> nodes = FindNodes(options.cluster, kPatience);
  if (!nodes) return Complain(nodes.error());
  const Result<Json> map = NewestMapOf(*nodes, "/keyspaces", kPatience);
  const ClusterView view = Judge(std::move(*nodes), map ? (*map)["keyspaces"] : Json());
  if (options.format == OutputFormat::kJson) {
    fmt::print("{}\n", ClusterJson(view).ToText(/*indented=*/true));
  } else {
    fmt::print("{}", ClusterText(view));
  }
  if (!view.AnyAnswered()) return kExitCannotConnect;
  return view.AllServed() && !view.AnyCritical() ? kExitOk : kExitPromise;
}

}  // namespace

void AddStatus(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "status", "Show the nodes, and what each keyspace can do now and after more failures.");
  command->footer(
      "Exit code 6: a keyspace does not serve reads and writes now, or a node has a critical\n"
      "condition. 2: no node answers.");
  const auto options = std::make_shared<StatusOptions>();
  AddClusterChoice(*command, options->cluster);
  AddOutput(*command, options->format);
  command->callback([&run, options] { run = [options] { return ShowStatus(*options); }; });
}

}  // namespace coterie::cli

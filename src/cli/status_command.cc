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
  Result<std::vector<NodeView>> nodes = NodesOf(options.cluster);
  if (!nodes) return Complain(nodes.error());
  std::vector<runtime::Address> admins;
  for (const NodeView& node : *nodes) admins.push_back(node.admin);
  // A node answers from what it knows by itself, so silence means trouble, not a slow majority.
  std::vector<Result<NodeReport>> reports = AskStatus(admins, 800ms);
  for (std::size_t i = 0; i < nodes->size(); ++i) {
    NodeView& node = (*nodes)[i];
    node.report = std::move(reports[i]);
    if (node.report) node.name = node.report->name;
  }
  const Result<Json> map = NewestMap(options.cluster, "/keyspaces", 800ms);
  const ClusterView view = Judge(std::move(*nodes), map ? (*map)["keyspaces"] : Json());
  if (options.format == OutputFormat::kJson) {
    fmt::print("{}\n", ClusterJson(view).ToText(/*indented=*/true));
  } else {
    fmt::print("{}", ClusterText(view));
  }
  if (!view.AnyAnswered()) return kExitCannotConnect;
  return view.AllServed() ? kExitOk : kExitPromise;
}

}  // namespace

void AddStatus(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "status", "Show the nodes, and what each keyspace can do now and after more failures.");
  command->footer("Exit code 6: a keyspace does not serve writes now. 2: no node answers.");
  const auto options = std::make_shared<StatusOptions>();
  AddClusterChoice(*command, options->cluster);
  command->add_option("--output", options->format, "text or json")
      ->transform(CLI::CheckedTransformer(kOutputFormats));
  command->callback([&run, options] { run = [options] { return ShowStatus(*options); }; });
}

}  // namespace coterie::cli

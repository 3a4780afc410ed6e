#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/cluster_view.h"
#include "cli/command.h"
#include "cli/demo_state.h"
#include "cli/exit_code.h"
#include "cli/output_format.h"

namespace coterie::cli {
namespace {

struct StatusOptions {
  std::string dir;
  std::vector<std::string> endpoints;
  OutputFormat format = OutputFormat::kText;
};

/// The nodes to ask: of the endpoints named, else of the demo.
Result<std::vector<NodeView>> NodesToAsk(const StatusOptions& options) {
  std::vector<NodeView> nodes;
  for (const std::string& endpoint : options.endpoints) {
    COT_ASSIGN(runtime::Address admin, runtime::ParseAddress(endpoint));
    nodes.push_back({.name = endpoint, .admin = std::move(admin)});
  }
  if (!nodes.empty()) return nodes;
  COT_ASSIGN(const DemoState demo,
             FindDemo(options.dir.empty() ? std::nullopt : std::optional(options.dir)));
  for (const DemoNode& node : demo.nodes) {
    NodeView view{.name = node.name, .admin = node.admin(), .process = StateOf(node.process)};
    if (view.process != ProcessState::kGone) view.rss_bytes = ResidentBytesOf(node.process.pid);
    nodes.push_back(std::move(view));
  }
  return nodes;
}

int ShowStatus(const StatusOptions& options) {
  Result<std::vector<NodeView>> nodes = NodesToAsk(options);
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
  const ClusterView view = Judge(std::move(*nodes));
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
  command->add_option("--dir", options->dir, "the demo of that directory");
  command->add_option("--endpoints", options->endpoints, "admin addresses, instead of the demo's")
      ->delimiter(',')
      ->excludes("--dir");
  command->add_option("--output", options->format, "text or json")
      ->transform(CLI::CheckedTransformer(kOutputFormats));
  command->callback([&run, options] { run = [options] { return ShowStatus(*options); }; });
}

}  // namespace coterie::cli

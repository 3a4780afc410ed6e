#include "cli/cluster_nodes.h"

#include <CLI/CLI.hpp>
#include <optional>
#include <utility>

#include "cli/demo_state.h"

namespace coterie::cli {

void AddClusterChoice(CLI::App& command, ClusterChoice& choice) {
  command.add_option("--dir", choice.dir, "the demo of that directory");
  command.add_option("--endpoints", choice.endpoints, "admin addresses, instead of the demo's")
      ->delimiter(',')
      ->excludes("--dir");
}

Result<std::vector<NodeView>> NodesOf(const ClusterChoice& choice) {
  std::vector<NodeView> nodes;
  for (const std::string& endpoint : choice.endpoints) {
    COT_ASSIGN(runtime::Address admin, runtime::ParseAddress(endpoint));
    nodes.push_back({.name = endpoint, .admin = std::move(admin)});
  }
  if (!nodes.empty()) return nodes;
  COT_ASSIGN(const DemoState demo,
             FindDemo(choice.dir.empty() ? std::nullopt : std::optional(choice.dir)));
  for (const DemoNode& node : demo.nodes) {
    NodeView view{.name = node.name, .admin = node.admin(), .process = StateOf(node.process)};
    if (view.process != ProcessState::kGone) view.rss_bytes = ResidentBytesOf(node.process.pid);
    nodes.push_back(std::move(view));
  }
  return nodes;
}

Result<Json> AskCluster(const ClusterChoice& choice, AdminRequest request, Duration timeout) {
  COT_ASSIGN(const std::vector<NodeView> nodes, NodesOf(choice));
  Result<Json> answer = Fail(ErrorCode::kConnectFailed);
  for (const NodeView& node : nodes) {
    // A paused process would take the request and keep silent.
    if (node.process == ProcessState::kPaused) continue;
    request.node = node.admin;
    std::vector<Result<Json>> answers = CallAdmin({request}, timeout);
    answer = std::move(answers.front());
    if (answer) return answer;
    // Cut off from the others it cannot speak for the cluster.
    const ErrorCode code = answer.error().code;
    const bool elsewhere = code == ErrorCode::kConnectFailed || code == ErrorCode::kNoLeader;
    if (!elsewhere || answer.error().outcome == Outcome::kUnknown) return answer;
  }
  return answer;
}

Result<Json> NewestMap(const ClusterChoice& choice, const std::string& path, Duration timeout) {
  COT_ASSIGN(const std::vector<NodeView> nodes, NodesOf(choice));
  std::vector<AdminRequest> requests;
  for (const NodeView& node : nodes) requests.push_back({node.admin, "GET", path, "", ""});
  Result<Json> newest = Fail(ErrorCode::kConnectFailed);
  for (Result<Json>& answer : CallAdmin(std::move(requests), timeout)) {
    const bool newer =
        answer && (!newest || (*answer)["version"].Int() > (*newest)["version"].Int());
    if (newer || (!answer && !newest)) newest = std::move(answer);
  }
  return newest;
}

}  // namespace coterie::cli

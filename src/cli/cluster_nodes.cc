#include "cli/cluster_nodes.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <utility>

#include "cli/demo_state.h"

namespace coterie::cli {
namespace {

constexpr Duration kFindPatience = 800ms;

/// The view of the machine that the map calls `id`, at `admin`.
NodeView* ViewOf(std::vector<NodeView>& nodes, std::uint64_t id, const std::string& name,
                 const runtime::Address& admin) {
  for (NodeView& node : nodes) {
    if (node.report ? node.report->id == id : node.admin == admin) return &node;
  }
  for (NodeView& node : nodes) {
    if (!node.report && node.process && node.name == name) return &node;
  }
  return nullptr;
}

/// Takes the map's word on who is a member. True: it named somebody who was not asked yet.
bool TakeMap(const Json& map, std::vector<NodeView>& nodes) {
  for (NodeView& node : nodes) node.standing = Standing::kOutside;
  bool more = false;
  for (const Json& member : map["nodes"].items()) {
    const auto id = static_cast<std::uint64_t>(member["id"].Int());
    const std::string name = member["name"].Text();
    const runtime::Address admin =
        runtime::ParseAddress(member["admin"].Text()).value_or(runtime::Address{});
    NodeView* node = ViewOf(nodes, id, name, admin);
    if (node == nullptr) {
      nodes.push_back({.name = name, .admin = admin});
      node = &nodes.back();
      more = true;
    }
    node->name = name;
    node->id = id;
    node->standing = member["draining"].Bool() ? Standing::kDraining : Standing::kMember;
  }
  return more;
}

/// Asks nodes [from, end) for their reports, and everybody's map; the newest stays in `map`.
void AskRound(std::vector<NodeView>& nodes, std::size_t from, Duration patience, Json& map) {
  std::vector<AdminRequest> requests;
  for (std::size_t i = from; i < nodes.size(); ++i) {
    requests.push_back({nodes[i].admin, "GET", "/status", "", ""});
    requests.push_back({nodes[i].admin, "GET", "/nodes", "", ""});
  }
  std::vector<Result<Json>> answers = CallAdmin(std::move(requests), patience);
  for (std::size_t i = from; i < nodes.size(); ++i) {
    Result<Json>& status = answers[2 * (i - from)];
    const Result<Json>& known = answers[2 * (i - from) + 1];
    NodeView& node = nodes[i];
    if (!status) {
      node.report = std::unexpected(std::move(status.error()));
    } else if ((*status)["node"].Text().empty()) {
      node.report = Fail(ErrorCode::kMalformed, "the answer is not a node's status");
    } else {
      node.report = ParseNodeReport(std::move(*status));
      node.name = node.report->name;
      node.id = node.report->id;
    }
    if (known && (*known)["version"].Int() > map["version"].Int()) map = *known;
  }
}

/// Members first, those that answered before the others; no paused process, which would take a
/// request and keep silent, and nobody who is not a member, unless no map is known.
std::vector<NodeView> AskedInOrder(const std::vector<NodeView>& nodes) {
  std::vector<NodeView> ordered;
  for (const bool answered : {true, false}) {
    for (const NodeView& node : nodes) {
      if (node.standing == Standing::kOutside || node.process == ProcessState::kPaused) continue;
      if (node.report.has_value() == answered) ordered.push_back(node);
    }
  }
  return ordered;
}

}  // namespace

void AddClusterChoice(CLI::App& command, ClusterChoice& choice) {
  command.add_option("--dir", choice.dir, "the demo of that directory")->type_name("DIR");
  command
      .add_option("--endpoints", choice.endpoints,
                  "admin addresses, instead of the demo's; one that answers is enough")
      ->type_name("HOST:PORT,...")
      ->delimiter(',')
      ->excludes("--dir");
}

Result<std::vector<NodeView>> NodesOf(const ClusterChoice& choice) {
  std::vector<NodeView> nodes;
  for (const std::string& endpoint : choice.endpoints) {
    COT_ASSIGN(runtime::Address admin, ResolveEndpoint(endpoint));
    nodes.push_back({.name = endpoint, .admin = std::move(admin)});
  }
  if (!nodes.empty()) return nodes;
  COT_ASSIGN(const DemoState demo,
             FindDemo(choice.dir.empty() ? std::nullopt : std::optional(choice.dir)));
  for (const DemoNode& node : demo.nodes) {
    NodeView view{
        .name = node.name, .id = node.id, .admin = node.admin(), .process = StateOf(node.process)};
    if (view.process != ProcessState::kGone) view.rss_bytes = ResidentBytesOf(node.process.pid);
    nodes.push_back(std::move(view));
  }
  return nodes;
}

Result<std::vector<NodeView>> FindNodes(const ClusterChoice& choice, Duration patience) {
  constexpr int kRoundsMax = 3;
  COT_ASSIGN(std::vector<NodeView> nodes, NodesOf(choice));
  Json map;
  std::size_t asked = 0;
  for (int round = 0; round < kRoundsMax && asked < nodes.size(); ++round) {
    const std::size_t from = std::exchange(asked, nodes.size());
    AskRound(nodes, from, patience, map);
    if (map.IsNull() || !TakeMap(map, nodes)) break;
  }
  std::ranges::sort(nodes, {}, &NodeView::id);
  return nodes;
}

Result<Json> AskCluster(const ClusterChoice& choice, AdminRequest request, Duration timeout) {
  COT_ASSIGN(const std::vector<NodeView> found, FindNodes(choice, kFindPatience));
  const std::vector<NodeView> nodes = AskedInOrder(found);
  Result<Json> answer = Fail(ErrorCode::kConnectFailed, "No node answers.");
  for (const NodeView& node : nodes) {
    request.node = node.admin;
    std::vector<Result<Json>> answers = CallAdmin({request}, timeout);
    Result<Json>& one = answers.front();
    if (one) return std::move(one);
    const bool unreached = one.error().code == ErrorCode::kConnectFailed;
    // Cut off from the others it cannot speak for the cluster.
    const bool elsewhere = unreached || one.error().code == ErrorCode::kNoLeader;
    if (!elsewhere || one.error().outcome == Outcome::kUnknown) return std::move(one);
    if (!unreached || answer.error().code == ErrorCode::kConnectFailed) answer = std::move(one);
  }
  return answer;
}

Result<Json> NewestMapOf(const std::vector<NodeView>& nodes, const std::string& path,
                         Duration timeout) {
  std::vector<AdminRequest> requests;
  for (const NodeView& node : nodes) requests.push_back({node.admin, "GET", path, "", ""});
  Result<Json> newest = Fail(ErrorCode::kConnectFailed, "No node answers.");
  for (Result<Json>& answer : CallAdmin(std::move(requests), timeout)) {
    const bool newer =
        answer && (!newest || (*answer)["version"].Int() > (*newest)["version"].Int());
    if (newer || (!answer && !newest)) newest = std::move(answer);
  }
  return newest;
}

Result<Json> NewestMap(const ClusterChoice& choice, const std::string& path, Duration timeout) {
  COT_ASSIGN(const std::vector<NodeView> found, FindNodes(choice, kFindPatience));
  return NewestMapOf(AskedInOrder(found), path, timeout);
}

}  // namespace coterie::cli

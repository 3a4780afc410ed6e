#include <fmt/format.h>

#include <algorithm>

#include "cli/cluster_view.h"
#include "cli/listed.h"
#include "cli/node_view.h"

namespace coterie::cli {
namespace {

std::string Nodes(int count) { return fmt::format("{} {}", count, count == 1 ? "node" : "nodes"); }

std::string StateText(const NodeView& node) {
  if (node.report) {
    return node.report->ready ? node.report->role : node.report->role + ", not ready";
  }
  if (node.process == ProcessState::kGone) return "ended";
  if (node.process == ProcessState::kPaused) return "paused";
  return node.report.error().code == ErrorCode::kTimedOut ? "no answer" : "unreachable";
}

/// Names of the nodes that suspect node `position`, by the reports there are.
std::vector<std::string> SuspectedBy(const ClusterView& view, std::size_t position) {
  const NodeView& node = view.nodes[position];
  std::vector<std::string> names;
  for (const NodeView& other : view.nodes) {
    if (!other.report) continue;
    for (const PeerReport& peer : other.report->peers) {
      if (peer.name == node.name && Suspects(*other.report, peer)) names.push_back(other.name);
    }
  }
  return names;
}

/// What gossip believes of a node, by the report that has believed it the longest; else who of the
/// nodes has lost its link.
std::string BelievedText(const ClusterView& view, std::size_t position) {
  const HealthReport* worst = nullptr;
  for (const NodeView& other : view.nodes) {
    if (!other.report) continue;
    for (const HealthReport& health : other.report->health) {
      if (health.name != view.nodes[position].name || health.state == "alive") continue;
      if (worst == nullptr || health.since_ms > worst->since_ms) worst = &health;
    }
  }
  if (worst != nullptr) return HealthText(worst->state, worst->since_ms, worst->by);
  const std::string suspects = Listed(SuspectedBy(view, position));
  return suspects.empty() ? "-" : "not heard by " + suspects;
}

/// How far off the node's clock may be; '?' if nothing keeps it right.
std::string ClockText(const NodeReport& report) {
  return fmt::format("{}{:.1f} ms", report.clock_synchronized ? "+-" : "?", report.clock_bound_ms);
}

std::uint64_t HighestCommit(const ClusterView& view) {
  std::uint64_t commit = 0;
  for (const NodeView& node : view.nodes) {
    if (node.report) commit = std::max(commit, node.report->commit);
  }
  return commit;
}

std::string FaultsText(const ClusterView& view) {
  std::string text;
  for (const NodeView& node : view.nodes) {
    if (!node.report) continue;
    for (const PeerReport& peer : node.report->peers) {
      if (peer.faults.empty()) continue;
      text += fmt::format("  {} -> {}: {}\n", node.name, peer.name, Listed(peer.faults));
    }
  }
  return text.empty() ? "" : "\nInjected faults:\n" + text;
}

Json TextArray(const std::vector<std::string>& words) {
  Json array = Json::Array();
  for (const std::string& word : words) array.Push(word);
  return array;
}

}  // namespace

std::string ClusterText(const ClusterView& view) {
  std::string text =
      fmt::format("cluster {}: {}, {}\n\n", view.cluster.empty() ? "?" : view.cluster,
                  Nodes(static_cast<int>(view.nodes.size())),
                  view.leader.empty() ? "no leader" : "led by " + view.leader);
  text += fmt::format("{:<8} {:<18} {:>5} {:>9} {:>6} {:>8} {:>10}  {:<16} {:<16} {}\n", "node",
                      "state", "term", "applied", "lag", "memory", "clock", "redis", "admin",
                      "believed");
  const std::uint64_t commit = HighestCommit(view);
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    const NodeView& node = view.nodes[i];
    const std::string memory =
        node.rss_bytes == 0 ? "-" : fmt::format("{} MiB", node.rss_bytes >> 20);
    std::string numbers = fmt::format("{:>5} {:>9} {:>6} {:>8} {:>10}", "-", "-", "-", memory, "-");
    std::string redis = "-";
    if (node.report) {
      const NodeReport& report = *node.report;
      const std::uint64_t lag = commit > report.applied ? commit - report.applied : 0;
      numbers = fmt::format("{:>5} {:>9} {:>6} {:>8} {:>10}", report.term, report.applied, lag,
                            memory, ClockText(report));
      if (!report.redis.empty()) redis = report.redis;
    }
    text += fmt::format("{:<8} {:<18} {}  {:<16} {:<16} {}\n", node.name, StateText(node), numbers,
                        redis, ToText(node.admin), BelievedText(view, i));
  }
  text += "\n";
  for (const KeyspaceView& keyspace : view.keyspaces) text += keyspace.sentence + "\n";
  if (view.keyspaces.empty()) text += "No node answers: nothing is known of what is served.\n";
  return text + FaultsText(view);
}

Json ClusterJson(const ClusterView& view) {
  Json nodes = Json::Array();
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    const NodeView& node = view.nodes[i];
    Json item = Json::Object();
    item.Set("name", node.name)
        .Set("admin", ToText(node.admin))
        .Set("state", StateText(node))
        .Set("suspected_by", TextArray(SuspectedBy(view, i)))
        .Set("believed", BelievedText(view, i))
        .Set("redis",
             node.report && !node.report->redis.empty() ? Json(node.report->redis) : Json())
        .Set("rss_bytes", node.rss_bytes == 0 ? Json() : Json(node.rss_bytes))
        .Set("status", node.report ? node.report->raw : Json())
        .Set("error", node.report ? Json() : Json(CodeText(node.report.error().code)));
    nodes.Push(std::move(item));
  }
  Json keyspaces = Json::Array();
  for (const KeyspaceView& keyspace : view.keyspaces) {
    Json item = Json::Object();
    item.Set("name", keyspace.name)
        .Set("replication", keyspace.replication)
        .Set("replicas", keyspace.replicas)
        .Set("reachable", keyspace.reachable)
        .Set("majority", keyspace.majority)
        .Set("served", keyspace.served)
        .Set("can_lose", keyspace.can_lose)
        .Set("stale_reads_at", TextArray(keyspace.stale_readers))
        .Set("cut_off", TextArray(keyspace.cut_off))
        .Set("reads_at", TextArray(keyspace.reads_at))
        .Set("writes_at", TextArray(keyspace.writes_at))
        .Set("sentence", keyspace.sentence);
    keyspaces.Push(std::move(item));
  }
  Json document = Json::Object();
  document.Set("cluster", view.cluster)
      .Set("leader", view.leader.empty() ? Json() : Json(view.leader))
      .Set("nodes", std::move(nodes))
      .Set("keyspaces", std::move(keyspaces));
  return document;
}

}  // namespace coterie::cli

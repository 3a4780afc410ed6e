#include <fmt/format.h>

#include <algorithm>

#include "cli/cluster_view.h"
#include "cli/listed.h"
#include "cli/node_view.h"

namespace coterie::cli {
namespace {

std::string Nodes(int count) { return fmt::format("{} {}", count, count == 1 ? "node" : "nodes"); }

/// By its own word where it answers; a node that is no member is that first of all.
std::string StateText(const NodeView& node) {
  std::string state;
  if (node.report) {
    state = node.report->ready ? node.report->role : node.report->role + ", not ready";
    if (node.standing == Standing::kOutside) state = "still runs";
  } else if (node.process == ProcessState::kGone) {
    state = "ended";
  } else if (node.process == ProcessState::kPaused) {
    state = "paused";
  } else {
    state = node.report.error().code == ErrorCode::kTimedOut ? "no answer" : "unreachable";
  }
  if (node.standing == Standing::kOutside) return "no member, " + state;
  if (node.standing == Standing::kDraining) return "drains, " + state;
  return state;
}

/// Names of the members that suspect node `position`, by the reports there are.
std::vector<std::string> SuspectedBy(const ClusterView& view, std::size_t position) {
  const NodeView& node = view.nodes[position];
  std::vector<std::string> names;
  if (node.standing == Standing::kOutside) return names;
  for (const NodeView& other : view.nodes) {
    if (!other.report || other.standing == Standing::kOutside) continue;
    for (const PeerReport& peer : other.report->peers) {
      if (peer.name == node.name && Suspects(peer)) names.push_back(other.name);
    }
  }
  return names;
}

/// What gossip believes of a member, by the report that has believed it the longest; else who of
/// the nodes has lost its link. "": nothing bad.
std::string BelievedText(const ClusterView& view, std::size_t position) {
  if (view.nodes[position].standing == Standing::kOutside) return "";
  const HealthReport* worst = nullptr;
  for (const NodeView& other : view.nodes) {
    if (!other.report || other.standing == Standing::kOutside) continue;
    for (const HealthReport& health : other.report->health) {
      if (health.name != view.nodes[position].name || health.state == "alive") continue;
      if (worst == nullptr || health.since_ms > worst->since_ms) worst = &health;
    }
  }
  if (worst != nullptr) return HealthText(worst->state, worst->since_ms, worst->by);
  const std::string suspects = Listed(SuspectedBy(view, position));
  return suspects.empty() ? "" : "not heard by " + suspects;
}

std::string ClockText(const NodeReport& report) {
  const char* const sign = report.clock_synchronized ? "+-" : "?";
  const double ms = report.clock_bound_ms;
  if (ms < 1000) return fmt::format("{}{:.1f} ms", sign, ms);
  if (ms < 60'000) return fmt::format("{}{:.1f} s", sign, ms / 1000);
  return fmt::format("{}{:.0f} min", sign, ms / 60'000);
}

std::uint64_t HighestCommit(const ClusterView& view) {
  std::uint64_t commit = 0;
  for (const NodeView& node : view.nodes) {
    if (node.report && node.standing != Standing::kOutside)
      commit = std::max(commit, node.report->commit);
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

/// The conditions that hold, the worst first, each with what it means and what helps.
std::string ConditionsText(const ClusterView& view) {
  std::string text;
  for (const std::string severity : {"critical", "warning", "notice"}) {
    for (const NodeView& node : view.nodes) {
      if (!node.report) continue;
      for (const ConditionReport& one : node.report->conditions) {
        if (one.severity != severity) continue;
        const std::string subject = one.subject.empty() ? "" : " (" + one.subject + ")";
        const std::string particulars = one.text.empty() ? "" : " " + one.text;
        text += "  " +
                Wrapped(fmt::format("{}: {} {}{}: {}{} {}", node.name, one.severity, one.name,
                                    subject, one.meaning, particulars, one.hint),
                        6, 98) +
                "\n";
      }
    }
  }
  return text.empty() ? "" : "\nConditions:\n" + text;
}

Json ConditionsJson(const ClusterView& view) {
  Json list = Json::Array();
  for (const NodeView& node : view.nodes) {
    if (!node.report) continue;
    for (const ConditionReport& one : node.report->conditions) {
      Json item = Json::Object();
      item.Set("node", node.name)
          .Set("name", one.name)
          .Set("severity", one.severity)
          .Set("subject", one.subject)
          .Set("since_ms", one.since_ms)
          .Set("text", one.text)
          .Set("meaning", one.meaning)
          .Set("hint", one.hint);
      list.Push(std::move(item));
    }
  }
  return list;
}

std::string NodeLine(const NodeView& node, std::uint64_t commit) {
  const std::string memory =
      node.rss_bytes == 0 ? "-" : fmt::format("{} MiB", node.rss_bytes >> 20);
  std::string numbers = fmt::format("{:>6} {:>10} {:>7} {:>9} {:>11}", "-", "-", "-", memory, "-");
  if (node.report) {
    const NodeReport& report = *node.report;
    const std::uint64_t lag = commit > report.applied ? commit - report.applied : 0;
    numbers = fmt::format("{:>6} {:>10} {:>7} {:>9} {:>11}", report.term, report.applied, lag,
                          memory, ClockText(report));
  }
  return fmt::format("{:<8} {:<21} {}  {}\n", node.name, StateText(node), numbers,
                     ToText(node.admin));
}

Json TextArray(const std::vector<std::string>& words) {
  Json array = Json::Array();
  for (const std::string& word : words) array.Push(word);
  return array;
}

}  // namespace

std::string ClusterText(const ClusterView& view) {
  const auto outside = std::ranges::count(view.nodes, Standing::kOutside, &NodeView::standing);
  const int members = static_cast<int>(view.nodes.size()) - static_cast<int>(outside);
  std::string text =
      fmt::format("cluster {}: {}, {}\n\n", view.cluster.empty() ? "?" : view.cluster,
                  Nodes(members), view.leader.empty() ? "no leader" : "led by " + view.leader);
  text += fmt::format("{:<8} {:<21} {:>6} {:>10} {:>7} {:>9} {:>11}  {}\n", "node", "state", "term",
                      "applied", "lag", "memory", "clock", "admin address");
  const std::uint64_t commit = HighestCommit(view);
  std::string believed;
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    text += NodeLine(view.nodes[i], commit);
    const std::string belief = BelievedText(view, i);
    if (!belief.empty()) believed += fmt::format("  {}: {}\n", view.nodes[i].name, belief);
  }
  text +=
      "term, applied, lag: of main's log, and entries still to apply; clock: how far off it may "
      "be,\n"
      "'?' where the system does not say that it is synchronised\n";
  if (!believed.empty()) text += "\nBelieved by the members:\n" + believed;
  text += "\n";
  for (const KeyspaceView& keyspace : view.keyspaces) text += Wrapped(keyspace.sentence, 4) + "\n";
  if (view.keyspaces.empty()) {
    text += view.AnyAnswered() ? "No member answers: nothing is known of what is served.\n"
                               : "No node answers: nothing is known of what is served.\n";
  }
  return text + ConditionsText(view) + FaultsText(view);
}

Json ClusterJson(const ClusterView& view) {
  Json nodes = Json::Array();
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    const NodeView& node = view.nodes[i];
    Json item = Json::Object();
    item.Set("name", node.name)
        .Set("admin", ToText(node.admin))
        .Set("state", StateText(node))
        .Set("member", node.standing == Standing::kUnknown
                           ? Json()
                           : Json(node.standing != Standing::kOutside))
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
        .Set("joining", keyspace.joining)
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
      .Set("keyspaces", std::move(keyspaces))
      .Set("conditions", ConditionsJson(view))
      .Set("critical", view.AnyCritical());
  return document;
}

}  // namespace coterie::cli

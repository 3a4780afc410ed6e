#include "cli/cluster_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace coterie::cli {
namespace {

/// Whether `from` hears the node with `id`, by its own report.
bool Hears(const NodeReport& from, std::uint64_t id) {
  const auto peer = std::ranges::find(from.peers, id, &PeerReport::id);
  return peer != from.peers.end() && !Suspects(from, *peer);
}

/// Whether what `from` sends to the node with `id` is thrown away, by an injected fault.
bool CutsTo(const NodeReport& from, std::uint64_t id) {
  const auto peer = std::ranges::find(from.peers, id, &PeerReport::id);
  return peer != from.peers.end() && std::ranges::find(peer->faults, "cut") != peer->faults.end();
}

/// The one that leads in the highest term. A leader that was cut off keeps saying so until it steps
/// down; its term is older.
const NodeReport* LeaderOf(const std::vector<const NodeReport*>& reports) {
  const NodeReport* leader = nullptr;
  for (const NodeReport* report : reports) {
    if (report->role != "leader") continue;
    if (leader == nullptr || report->term > leader->term) leader = report;
  }
  return leader;
}

/// Whether `center` and the peer hear each other. A node that did not answer us may still be heard
/// by `center`: then `center`'s word counts.
bool Joined(const NodeReport& center, const PeerReport& peer,
            const std::vector<const NodeReport*>& reports) {
  if (Suspects(center, peer) || CutsTo(center, peer.id)) return false;
  const auto other = std::ranges::find(reports, peer.id, &NodeReport::id);
  if (other == reports.end()) return true;
  return Hears(**other, center.id) && !CutsTo(**other, center.id);
}

/// How many nodes `center` hears that hear it, itself included.
int GroupOf(const NodeReport& center, const std::vector<const NodeReport*>& reports) {
  const auto joined = [&](const PeerReport& peer) { return Joined(center, peer, reports); };
  return 1 + static_cast<int>(std::ranges::count_if(center.peers, joined));
}

/// Names of the nodes that answered us but that `center` is not joined with.
std::vector<std::string> CutOffFrom(const NodeReport& center,
                                    const std::vector<const NodeReport*>& reports) {
  std::vector<std::string> names;
  for (const NodeReport* report : reports) {
    const auto peer = std::ranges::find(center.peers, report->id, &PeerReport::id);
    if (peer != center.peers.end() && !Joined(center, *peer, reports)) {
      names.push_back(report->name);
    }
  }
  return names;
}

std::string Nodes(int count) { return fmt::format("{} {}", count, count == 1 ? "node" : "nodes"); }

std::string Listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string SentenceOf(const KeyspaceView& keyspace, bool leader_known) {
  const std::string head = fmt::format("{} ({}): ", keyspace.name, keyspace.replication);
  if (keyspace.served) {
    const std::string loss =
        keyspace.can_lose > 0    ? fmt::format("can lose {} more {}", keyspace.can_lose,
                                            keyspace.can_lose == 1 ? "node" : "nodes")
        : keyspace.replicas == 1 ? "has one replica and survives no failure"
                                 : "can lose no more nodes: one more stops writes and "
                                   "linearizable reads";
    const std::string cut_off =
        keyspace.cut_off.empty()
            ? ""
            : fmt::format("; {} {} cut off: only possibly stale (serializable) reads there",
                          Listed(keyspace.cut_off), keyspace.cut_off.size() == 1 ? "is" : "are");
    return fmt::format("{}{}; {} of {} replicas up{}", head, loss, keyspace.reachable,
                       keyspace.replicas, cut_off);
  }
  const std::string why =
      keyspace.reachable < keyspace.majority
          ? fmt::format("{} of {} replicas reach one another, a majority is {}", keyspace.reachable,
                        keyspace.replicas, keyspace.majority)
          : std::string(leader_known ? "the leader has not caught up" : "no leader is elected yet");
  return fmt::format("{}no writes and no linearizable reads: {}{}", head, why,
                     keyspace.stale_readers.empty() ? ""
                                                    : "; possibly stale (serializable) reads at " +
                                                          Listed(keyspace.stale_readers));
}

KeyspaceView JudgeKeyspace(const KeyspaceReport& known,
                           const std::vector<const NodeReport*>& reports) {
  KeyspaceView view{
      .name = known.name, .replication = known.replication, .replicas = known.replicas};
  view.majority = known.replicas / 2 + 1;
  const NodeReport* leader = LeaderOf(reports);
  for (const NodeReport* report : reports) {
    view.stale_readers.push_back(report->name);
    if (leader == nullptr) view.reachable = std::max(view.reachable, GroupOf(*report, reports));
  }
  if (leader != nullptr) view.reachable = GroupOf(*leader, reports);
  view.served = leader != nullptr && leader->ready && view.reachable >= view.majority;
  if (view.served) view.cut_off = CutOffFrom(*leader, reports);
  view.can_lose = view.served ? view.reachable - view.majority : 0;
  view.sentence = SentenceOf(view, leader != nullptr);
  return view;
}

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

}  // namespace

bool ClusterView::AllServed() const {
  return !keyspaces.empty() && std::ranges::all_of(keyspaces, &KeyspaceView::served);
}

bool ClusterView::AnyAnswered() const {
  return std::ranges::any_of(nodes, [](const NodeView& node) { return node.report.has_value(); });
}

bool Suspects(const NodeReport& reporter, const PeerReport& peer) {
  if (!peer.connected) return true;
  if (reporter.role != "leader" && reporter.leader != peer.id) return false;
  return !peer.last_heard_ms || *peer.last_heard_ms > kSuspectAfterMs;
}

ClusterView Judge(std::vector<NodeView> nodes) {
  ClusterView view{.nodes = std::move(nodes)};
  std::vector<const NodeReport*> reports;
  std::map<std::string, KeyspaceReport> keyspaces;
  for (const NodeView& node : view.nodes) {
    if (!node.report) continue;
    reports.push_back(&*node.report);
    view.cluster = node.report->cluster;
    for (const KeyspaceReport& keyspace : node.report->keyspaces) {
      keyspaces.emplace(keyspace.name, keyspace);
    }
  }
  if (const NodeReport* leader = LeaderOf(reports)) view.leader = leader->name;
  for (const auto& [name, keyspace] : keyspaces) {
    view.keyspaces.push_back(JudgeKeyspace(keyspace, reports));
  }
  return view;
}

std::string ClusterText(const ClusterView& view) {
  std::string text =
      fmt::format("cluster {}: {}, {}\n\n", view.cluster.empty() ? "?" : view.cluster,
                  Nodes(static_cast<int>(view.nodes.size())),
                  view.leader.empty() ? "no leader" : "led by " + view.leader);
  text += fmt::format("{:<10} {:<20} {:>6} {:>10} {:>8} {:>9}  {:<22} {}\n", "node", "state",
                      "term", "applied", "lag", "memory", "admin", "suspected by");
  const std::uint64_t commit = HighestCommit(view);
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    const NodeView& node = view.nodes[i];
    const std::string memory =
        node.rss_bytes == 0 ? "-" : fmt::format("{} MiB", node.rss_bytes >> 20);
    std::string numbers = fmt::format("{:>6} {:>10} {:>8} {:>9}", "-", "-", "-", memory);
    if (node.report) {
      const NodeReport& report = *node.report;
      const std::uint64_t lag = commit > report.applied ? commit - report.applied : 0;
      numbers = fmt::format("{:>6} {:>10} {:>8} {:>9}", report.term, report.applied, lag, memory);
    }
    const std::string suspects = Listed(SuspectedBy(view, i));
    text += fmt::format("{:<10} {:<20} {}  {:<22} {}\n", node.name, StateText(node), numbers,
                        ToText(node.admin), suspects.empty() ? "-" : suspects);
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
    Json suspects = Json::Array();
    for (std::string& name : SuspectedBy(view, i)) suspects.Push(std::move(name));
    Json item = Json::Object();
    item.Set("name", node.name)
        .Set("admin", ToText(node.admin))
        .Set("state", StateText(node))
        .Set("suspected_by", std::move(suspects))
        .Set("rss_bytes", node.rss_bytes == 0 ? Json() : Json(node.rss_bytes))
        .Set("status", node.report ? node.report->raw : Json())
        .Set("error", node.report ? Json() : Json(CodeText(node.report.error().code)));
    nodes.Push(std::move(item));
  }
  Json keyspaces = Json::Array();
  for (const KeyspaceView& keyspace : view.keyspaces) {
    Json stale = Json::Array();
    for (const std::string& name : keyspace.stale_readers) stale.Push(name);
    Json cut_off = Json::Array();
    for (const std::string& name : keyspace.cut_off) cut_off.Push(name);
    Json item = Json::Object();
    item.Set("name", keyspace.name)
        .Set("replication", keyspace.replication)
        .Set("replicas", keyspace.replicas)
        .Set("reachable", keyspace.reachable)
        .Set("majority", keyspace.majority)
        .Set("served", keyspace.served)
        .Set("can_lose", keyspace.can_lose)
        .Set("stale_reads_at", std::move(stale))
        .Set("cut_off", std::move(cut_off))
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

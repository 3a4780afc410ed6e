#include "cli/cluster_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/keyspace_judge.h"
#include "cli/raft_judge.h"

namespace coterie::cli {
namespace {

/// Whether `from` hears the node with `id`, by its own report.
bool Hears(const NodeReport& from, std::uint64_t id) {
  const auto peer = std::ranges::find(from.peers, id, &PeerReport::id);
  return peer != from.peers.end() && !Suspects(*peer);
}

/// Whether what `from` sends to the node with `id` is thrown away, by an injected fault.
bool CutsTo(const NodeReport& from, std::uint64_t id) {
  const auto peer = std::ranges::find(from.peers, id, &PeerReport::id);
  return peer != from.peers.end() && std::ranges::find(peer->faults, "cut") != peer->faults.end();
}

}  // namespace

bool ClusterView::AllServed() const {
  return !keyspaces.empty() && std::ranges::all_of(keyspaces, &KeyspaceView::served);
}

bool ClusterView::AnyAnswered() const {
  return std::ranges::any_of(nodes, [](const NodeView& node) { return node.report.has_value(); });
}

bool ClusterView::AnyCritical() const {
  return std::ranges::any_of(nodes, [](const NodeView& node) {
    if (!node.report || node.standing == Standing::kOutside) return false;
    return std::ranges::find(node.report->conditions, "critical", &ConditionReport::severity) !=
           node.report->conditions.end();
  });
}

Evidence EvidenceOf(const std::vector<NodeView>& nodes) {
  Evidence evidence;
  for (const NodeView& node : nodes) {
    const bool stands_still =
        node.process == ProcessState::kGone || node.process == ProcessState::kPaused;
    const bool outside = node.standing == Standing::kOutside;
    if (outside || (stands_still && !node.report)) evidence.down.insert(node.id);
    if (node.report && !outside) evidence.reports.push_back(&*node.report);
  }
  return evidence;
}

bool Suspects(const PeerReport& peer) {
  return !peer.connected || !peer.last_heard_ms || *peer.last_heard_ms > kSuspectAfterMs;
}

bool Joined(const NodeReport& center, const PeerReport& peer, const Evidence& evidence) {
  if (Suspects(peer) || CutsTo(center, peer.id) || evidence.down.contains(peer.id)) return false;
  const auto other = std::ranges::find(evidence.reports, peer.id, &NodeReport::id);
  if (other == evidence.reports.end()) return true;
  return Hears(**other, center.id) && !CutsTo(**other, center.id);
}

bool Joined(const NodeReport& center, std::uint64_t id, const Evidence& evidence) {
  if (center.id == id) return true;
  const auto peer = std::ranges::find(center.peers, id, &PeerReport::id);
  return peer != center.peers.end() && Joined(center, *peer, evidence);
}

ClusterView Judge(std::vector<NodeView> nodes, const Json& keyspaces) {
  ClusterView view{.nodes = std::move(nodes)};
  const Evidence evidence = EvidenceOf(view.nodes);
  std::map<std::string, KeyspaceReport> known;
  for (const NodeReport* report : evidence.reports) {
    view.cluster = report->cluster;
    for (const KeyspaceReport& keyspace : report->keyspaces) known.emplace(keyspace.name, keyspace);
  }
  std::map<std::string, PlacedKeyspace> placed;
  if (!keyspaces.items().empty()) known.clear();  // the newest map knows better than old reports
  for (const Json& keyspace : keyspaces.items()) {
    PlacedKeyspace one = ParsePlacedKeyspace(keyspace);
    known.emplace(one.name, KeyspaceReport{one.name, one.replication, one.replicas});
    placed.emplace(one.name, std::move(one));
  }
  view.leader = RaftLeader("main", evidence);
  for (const auto& [name, keyspace] : known) {
    const auto where = placed.find(name);
    if (keyspace.replication == "raft") {
      view.keyspaces.push_back(JudgeRaft(keyspace, evidence));
    } else if (where != placed.end()) {
      view.keyspaces.push_back(JudgePlaced(where->second, evidence));
    } else {
      view.keyspaces.push_back(
          {.name = name,
           .replication = keyspace.replication,
           .replicas = keyspace.replicas,
           .sentence = fmt::format("{} ({}): where its replicas are is not known", name,
                                   keyspace.replication)});
    }
  }
  return view;
}

}  // namespace coterie::cli

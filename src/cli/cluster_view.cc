#include "cli/cluster_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/keyspace_judge.h"
#include "cli/listed.h"

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

/// How many of the voters `center` hears that hear it, itself included. No voters named: all vote.
int GroupOf(const NodeReport& center, const std::vector<const NodeReport*>& reports,
            const std::vector<std::string>& voters) {
  const auto votes = [&](const std::string& name) {
    return voters.empty() || std::ranges::find(voters, name) != voters.end();
  };
  const auto joined = [&](const PeerReport& peer) {
    return votes(peer.name) && Joined(center, peer, reports);
  };
  return (votes(center.name) ? 1 : 0) +
         static_cast<int>(std::ranges::count_if(center.peers, joined));
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

KeyspaceView JudgeMain(const KeyspaceReport& known, const std::vector<const NodeReport*>& reports,
                       const std::vector<std::string>& voters) {
  KeyspaceView view{
      .name = known.name, .replication = known.replication, .replicas = known.replicas};
  view.majority = known.replicas / 2 + 1;
  const NodeReport* leader = LeaderOf(reports);
  for (const NodeReport* report : reports) {
    view.stale_readers.push_back(report->name);
    if (leader == nullptr)
      view.reachable = std::max(view.reachable, GroupOf(*report, reports, voters));
  }
  if (leader != nullptr) view.reachable = GroupOf(*leader, reports, voters);
  view.served = leader != nullptr && leader->ready && view.reachable >= view.majority;
  if (view.served) view.cut_off = CutOffFrom(*leader, reports);
  view.can_lose = view.served ? view.reachable - view.majority : 0;
  view.sentence = SentenceOf(view, leader != nullptr);
  return view;
}

}  // namespace

bool ClusterView::AllServed() const {
  return !keyspaces.empty() && std::ranges::all_of(keyspaces, &KeyspaceView::served);
}

bool ClusterView::AnyAnswered() const {
  return std::ranges::any_of(nodes, [](const NodeView& node) { return node.report.has_value(); });
}

bool Joined(const NodeReport& center, const PeerReport& peer,
            const std::vector<const NodeReport*>& reports) {
  if (Suspects(center, peer) || CutsTo(center, peer.id)) return false;
  const auto other = std::ranges::find(reports, peer.id, &NodeReport::id);
  if (other == reports.end()) return true;
  return Hears(**other, center.id) && !CutsTo(**other, center.id);
}

bool Suspects(const NodeReport& reporter, const PeerReport& peer) {
  if (!peer.connected) return true;
  if (reporter.role != "leader" && reporter.leader != peer.id) return false;
  return !peer.last_heard_ms || *peer.last_heard_ms > kSuspectAfterMs;
}

ClusterView Judge(std::vector<NodeView> nodes, const Json& keyspaces) {
  ClusterView view{.nodes = std::move(nodes)};
  std::vector<const NodeReport*> reports;
  std::map<std::string, KeyspaceReport> known;
  for (const NodeView& node : view.nodes) {
    if (!node.report) continue;
    reports.push_back(&*node.report);
    view.cluster = node.report->cluster;
    for (const KeyspaceReport& keyspace : node.report->keyspaces) {
      known.emplace(keyspace.name, keyspace);
    }
  }
  if (const NodeReport* leader = LeaderOf(reports)) view.leader = leader->name;
  std::map<std::string, PlacedKeyspace> placed;
  for (const Json& keyspace : keyspaces.items()) {
    PlacedKeyspace one = ParsePlacedKeyspace(keyspace);
    known.emplace(one.name, KeyspaceReport{one.name, one.replication, one.replicas});
    placed.emplace(one.name, std::move(one));
  }
  for (const auto& [name, keyspace] : known) {
    const auto where = placed.find(name);
    // Only main's leader is told by the nodes' status.
    if (name == "main" || (where == placed.end() && keyspace.replication == "raft")) {
      const bool told = where != placed.end() && where->second.shards.size() == 1;
      view.keyspaces.push_back(JudgeMain(
          keyspace, reports, told ? where->second.shards.front() : std::vector<std::string>()));
    } else if (where != placed.end()) {
      view.keyspaces.push_back(JudgePlaced(where->second, reports));
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

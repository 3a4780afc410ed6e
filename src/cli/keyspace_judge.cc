#include "cli/keyspace_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "cli/listed.h"

namespace coterie::cli {
namespace {

/// What one node can count on for one shard, or at worst for all of them.
struct Reach {
  int reads = 0;   ///< replicas that answer it
  int writes = 0;  ///< the same, counted as an acknowledgement counts them

  void Worsen(const Reach& other) {
    reads = std::min(reads, other.reads);
    writes = std::min(writes, other.writes);
  }
};

class Judgement {
 public:
  Judgement(const PlacedKeyspace& keyspace, const Evidence& evidence)
      : keyspace_(keyspace), evidence_(evidence) {
    for (const NodeReport* report : evidence.reports) reports_by_name_[report->name] = report;
  }

  Reach Worst(const NodeReport& node) const {
    constexpr int kAny = std::numeric_limits<int>::max();
    Reach worst{kAny, kAny};
    for (const auto& replicas : keyspace_.shards) worst.Worsen(Through(node, replicas));
    return keyspace_.shards.empty() ? Reach{} : worst;
  }

 private:
  bool Reaches(const NodeReport& node, const std::string& name) const {
    if (node.name == name) return true;
    const auto peer = std::ranges::find(node.peers, name, &PeerReport::name);
    return peer != node.peers.end() && Joined(node, *peer, evidence_);
  }

  std::string DomainOf(const std::string& name) const {
    const auto report = reports_by_name_.find(name);
    if (report == reports_by_name_.end() || report->second->failure_domain.empty()) {
      return "node " + name;
    }
    return "domain " + report->second->failure_domain;
  }

  /// Of a shard's replicas, those that answer `node` itself.
  Reach Own(const NodeReport& node, const std::vector<std::string>& replicas) const {
    int count = 0;
    std::set<std::string> domains;
    for (const std::string& name : replicas) {
      if (!Reaches(node, name)) continue;
      ++count;
      domains.insert(DomainOf(name));
    }
    const bool by_domain = keyspace_.replication == "leaderless";
    return {count, by_domain ? static_cast<int>(domains.size()) : count};
  }

  /// A node without a replica passes requests on to the replica that can do the most.
  Reach Through(const NodeReport& node, const std::vector<std::string>& replicas) const {
    if (std::ranges::find(replicas, node.name) != replicas.end()) return Own(node, replicas);
    Reach best;
    for (const std::string& name : replicas) {
      if (!Reaches(node, name)) continue;
      const auto report = reports_by_name_.find(name);
      const Reach reach = Own(report == reports_by_name_.end() ? node : *report->second, replicas);
      best = {std::max(best.reads, reach.reads), std::max(best.writes, reach.writes)};
    }
    return best;
  }

  const PlacedKeyspace& keyspace_;
  const Evidence& evidence_;
  std::map<std::string, const NodeReport*> reports_by_name_;
};

std::string Losses(int count) {
  return count == 0 ? "no more nodes" : fmt::format("{} more node{}", count, count == 1 ? "" : "s");
}

/// "; n3: no writes": the nodes that answered us and do less than the best.
std::string Exceptions(const KeyspaceView& view, const std::vector<const NodeReport*>& reports) {
  std::map<std::string, std::vector<std::string>> by_lack;
  for (const NodeReport* report : reports) {
    const bool reads = std::ranges::find(view.reads_at, report->name) != view.reads_at.end();
    const bool writes = std::ranges::find(view.writes_at, report->name) != view.writes_at.end();
    if (reads && writes) continue;
    const char* lack = reads ? "no writes" : writes ? "no reads" : "neither reads nor writes";
    by_lack[lack].push_back(report->name);
  }
  std::string text;
  for (const auto& [lack, names] : by_lack) text += fmt::format("; {} at {}", lack, Listed(names));
  return text;
}

std::string SentenceOf(const KeyspaceView& view, const PlacedKeyspace& keyspace, const Reach& best,
                       const std::vector<const NodeReport*>& reports) {
  const std::string head = fmt::format("{} ({}): ", view.name, view.replication);
  std::string up = fmt::format("{} of {} replicas up", view.reachable, view.replicas);
  if (view.joining > 0) up += ", shards are moving";
  if (view.served) {
    const int reads = best.reads - keyspace.read;
    const int writes = best.writes - keyspace.write;
    const std::string loss = reads == writes ? fmt::format("can lose {}", Losses(reads))
                                             : fmt::format("reads can lose {}, writes {}",
                                                           Losses(reads), Losses(writes));
    return head + loss + "; " + up + Exceptions(view, reports);
  }
  std::string lack;
  if (best.writes < keyspace.write) {
    lack = fmt::format("no writes: {} of {} replicas reach one another, a write waits for {}",
                       best.writes, view.replicas, keyspace.write);
  }
  if (best.reads < keyspace.read) {
    lack += fmt::format("{}no reads: {} of {} are reached, a read waits for {}",
                        lack.empty() ? "" : "; ", best.reads, view.replicas, keyspace.read);
  }
  if (lack.empty()) lack = "no node serves both reads and writes";
  if (!view.reads_at.empty()) lack += "; reads at " + Listed(view.reads_at);
  if (!view.writes_at.empty()) lack += "; writes at " + Listed(view.writes_at);
  return head + lack;
}

}  // namespace

PlacedKeyspace ParsePlacedKeyspace(const Json& document) {
  const auto number = [](const Json& value) { return static_cast<int>(value.Int()); };
  const Json& promise = document["promise"];
  PlacedKeyspace keyspace{.name = document["name"].Text(),
                          .replication = document["replication"].Text(),
                          .replicas = number(promise["replicas"]),
                          .read = number(promise["read"]),
                          .write = number(promise["write"])};
  for (const Json& shard : document["shards"].items()) {
    std::vector<std::string> active;
    for (const Json& replica : shard["replicas"].items()) {
      if (replica["phase"].Text() == "active") active.push_back(replica["name"].Text());
      if (replica["phase"].Text() == "joining") ++keyspace.joining;
    }
    keyspace.shards.push_back(std::move(active));
  }
  return keyspace;
}

KeyspaceView JudgePlaced(const PlacedKeyspace& keyspace, const Evidence& evidence) {
  KeyspaceView view{.name = keyspace.name,
                    .replication = keyspace.replication,
                    .replicas = keyspace.replicas,
                    .majority = keyspace.replicas / 2 + 1,
                    .joining = keyspace.joining};
  const Judgement judgement(keyspace, evidence);
  Reach best;
  bool both = false;
  for (const NodeReport* report : evidence.reports) {
    const Reach reach = judgement.Worst(*report);
    const bool reads = reach.reads >= keyspace.read && reach.reads > 0;
    const bool writes = reach.writes >= keyspace.write && reach.writes > 0;
    if (reads) view.reads_at.push_back(report->name);
    if (writes) view.writes_at.push_back(report->name);
    both = both || (reads && writes);
    best = {std::max(best.reads, reach.reads), std::max(best.writes, reach.writes)};
  }
  view.reachable = std::min(best.reads, keyspace.replicas);
  view.served = both;
  if (both) view.can_lose = std::min(best.reads - keyspace.read, best.writes - keyspace.write);
  view.sentence = SentenceOf(view, keyspace, best, evidence.reports);
  return view;
}

}  // namespace coterie::cli

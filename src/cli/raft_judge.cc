#include "cli/raft_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "cli/listed.h"

namespace coterie::cli {
namespace {

const GroupReport* GroupOf(const NodeReport& report, const std::string& keyspace) {
  const auto group = std::ranges::find(report.groups, keyspace, &GroupReport::keyspace);
  return group == report.groups.end() ? nullptr : &*group;
}

/// One node's word about the group.
struct Witness {
  const NodeReport* report = nullptr;
  const GroupReport* group = nullptr;
  std::uint64_t leader = 0;  ///< itself, or one that it hears and that did not answer us; 0: none
};

Witness WitnessOf(const NodeReport& report, const GroupReport& group, const Evidence& evidence) {
  Witness witness{.report = &report, .group = &group};
  if (group.role == "leader") {
    witness.leader = report.id;
  } else if (group.leader != 0 && group.leader != report.id) {
    // One that answered speaks for itself.
    const bool answered = std::ranges::find(evidence.reports, group.leader, &NodeReport::id) !=
                          evidence.reports.end();
    if (!answered && Joined(report, group.leader, evidence)) witness.leader = group.leader;
  }
  return witness;
}

/// The leader's word, in the highest term: one that was cut off keeps saying that it leads until it
/// steps down. If no leader answered, that of one who hears it; else of who knows the newest term.
Witness BestWitness(const std::string& keyspace, const Evidence& evidence) {
  const auto rank = [](const Witness& w) {
    return std::tuple(w.leader != 0, w.leader != 0 && w.leader == w.report->id, w.group->term);
  };
  Witness best;
  for (const NodeReport* report : evidence.reports) {
    const GroupReport* group = GroupOf(*report, keyspace);
    if (group == nullptr) continue;
    const Witness witness = WitnessOf(*report, *group, evidence);
    if (best.report == nullptr || rank(witness) > rank(best)) best = witness;
  }
  return best;
}

int CountJoined(const NodeReport& center, const std::vector<std::uint64_t>& voters,
                const Evidence& evidence) {
  return static_cast<int>(std::ranges::count_if(
      voters, [&](std::uint64_t id) { return Joined(center, id, evidence); }));
}

int MajorityOf(const std::vector<std::uint64_t>& voters) {
  return static_cast<int>(voters.size()) / 2 + 1;
}

/// How many may go missing from `center`'s side while each set of voters keeps a majority; below
/// zero, it has none now.
int MarginOf(const NodeReport& center, const GroupReport& group, const Evidence& evidence) {
  const int margin = CountJoined(center, group.voters, evidence) - MajorityOf(group.voters);
  if (group.outgoing.empty()) return margin;
  return std::min(margin,
                  CountJoined(center, group.outgoing, evidence) - MajorityOf(group.outgoing));
}

std::string HeadOf(const KeyspaceView& view) {
  return fmt::format("{} ({}): ", view.name, view.replication);
}

std::string ServedSentence(const KeyspaceView& view) {
  const std::string loss =
      view.can_lose > 0
          ? fmt::format("can lose {} more {}", view.can_lose, view.can_lose == 1 ? "node" : "nodes")
      : view.replicas == 1 ? "has one replica and survives no failure"
                           : "can lose no more nodes: one more stops writes and linearizable reads";
  std::string text =
      fmt::format("{}{}; {} of {} replicas up", HeadOf(view), loss, view.reachable, view.replicas);
  if (view.joining > 0) {
    text += fmt::format(", {} more {} catching up", view.joining, view.joining == 1 ? "is" : "are");
  }
  if (view.cut_off.empty()) return text;
  const char* const are = view.cut_off.size() == 1 ? "is" : "are";
  return text + fmt::format("; {} {} cut off: {} there", Listed(view.cut_off), are,
                            view.name == "main" ? "only possibly stale (serializable) reads"
                                                : "neither reads nor writes");
}

std::string UnservedSentence(const KeyspaceView& view, bool leader_known, bool any_witness) {
  const std::string why =
      !any_witness ? std::string("no node with a replica answers here")
      : view.reachable < view.majority
          ? fmt::format("{} of {} replicas reach one another, a majority is {}", view.reachable,
                        view.replicas, view.majority)
          : std::string(leader_known ? "the leader has not caught up" : "no leader is elected yet");
  const bool stale = view.name == "main" && !view.stale_readers.empty();
  return fmt::format(
      "{}no writes and no linearizable reads: {}{}", HeadOf(view), why,
      stale ? "; possibly stale (serializable) reads at " + Listed(view.stale_readers) : "");
}

}  // namespace

KeyspaceView JudgeRaft(const KeyspaceReport& keyspace, const Evidence& evidence) {
  KeyspaceView view{.name = keyspace.name,
                    .replication = keyspace.replication,
                    .replicas = keyspace.replicas,
                    .majority = keyspace.replicas / 2 + 1};
  const Witness witness = BestWitness(keyspace.name, evidence);
  if (witness.report == nullptr) {
    view.sentence = UnservedSentence(view, false, false);
    return view;
  }
  const GroupReport& group = *witness.group;
  const bool leader_known = witness.leader != 0;
  view.replicas = static_cast<int>(group.voters.size());
  view.majority = MajorityOf(group.voters);
  view.joining = static_cast<int>(group.learners.size());
  int margin = MarginOf(*witness.report, group, evidence);
  view.reachable = CountJoined(*witness.report, group.voters, evidence);
  for (const NodeReport* report : evidence.reports) {
    if (GroupOf(*report, keyspace.name) != nullptr) view.stale_readers.push_back(report->name);
    if (leader_known) continue;  // its side is the one that counts
    view.reachable = std::max(view.reachable, CountJoined(*report, group.voters, evidence));
    margin = std::max(margin, MarginOf(*report, group, evidence));
  }
  view.served = leader_known && group.ready && margin >= 0;
  view.can_lose = view.served ? margin : 0;
  for (const NodeReport* report : evidence.reports) {
    if (!view.served) break;
    // A node without a replica passes requests on to one that has one.
    const bool holds = GroupOf(*report, keyspace.name) != nullptr;
    const bool answers = holds
                             ? Joined(*report, witness.leader, evidence)
                             : std::ranges::any_of(evidence.reports, [&](const NodeReport* other) {
                                 return GroupOf(*other, keyspace.name) != nullptr &&
                                        Joined(*report, other->id, evidence) &&
                                        Joined(*other, witness.leader, evidence);
                               });
    if (answers) {
      view.reads_at.push_back(report->name);
      view.writes_at.push_back(report->name);
    } else {
      view.cut_off.push_back(report->name);
    }
  }
  view.sentence = view.served ? ServedSentence(view) : UnservedSentence(view, leader_known, true);
  return view;
}

std::string RaftLeader(const std::string& keyspace, const Evidence& evidence) {
  const Witness witness = BestWitness(keyspace, evidence);
  if (witness.leader == 0) return "";
  if (witness.leader == witness.report->id) return witness.report->name;
  const auto peer = std::ranges::find(witness.report->peers, witness.leader, &PeerReport::id);
  return peer == witness.report->peers.end() ? "" : peer->name;
}

}  // namespace coterie::cli

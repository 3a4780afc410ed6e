#include "node/leaderless/testing/chaos.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace coterie::node::testing {

namespace {

using runtime::Death;

constexpr int kCounters = 4;
constexpr int kSets = 3;

struct Counted {
  std::int64_t sure = 0;
  std::int64_t perhaps = 0;  // acknowledged and not
};
enum class Fate { kNot, kPerhaps, kSure };
struct Member {
  std::string set;
  Fate added = Fate::kNot;
  Fate removed = Fate::kNot;
};

class Chaos {
 public:
  Chaos(std::uint64_t seed, const ChaosOptions& options)
      : options_(options), random_(seed * 2654435761), cluster_(seed, 3) {
    cluster_.options.history_bytes_max = options.history_bytes_max;
    cluster_.options.write_back_interval = 1s;
    cluster_.options.journal_bytes_max = 8u << 10;
    cluster_.options.scrub_interval = 5s;
    cluster_.reuse_actors = options.reuse_actors;
    cluster_.AddKeyspace(
        ReplicaCluster::Promise("ks", 1, 2, keyspace::Conflict::kCrdt, options.durability),
        cluster_.Nodes());
    for (const NodeId node : cluster_.Nodes())
      cluster_.sim().SetDisk(cluster_.handle(node), {.sync_min = 200us, .sync_max = 8ms});
    cluster_.StartAll();
  }

  ChaosReport Run() {
    for (int round = 0; round < options_.rounds; ++round) {
      for (std::uint64_t steps = 1 + random_.Below(4); steps > 0; --steps) {
        Work();
        cluster_.sim().RunFor(Duration(random_.Below(3'000'000)));  // in the middle of it
      }
      Disturb();
      if (random_.Chance(0.5)) Work();
      cluster_.sim().RunFor(
          Duration(random_.Below(random_.Chance(0.2) ? 3'000'000'000 : 200'000'000)));
    }
    Heal();
    Judge();
    report_.trace_hash = cluster_.sim().trace_hash();
    return std::move(report_);
  }

 private:
  struct Asked {
    ReplicaCluster::Answer answer;
    std::function<void(Fate)> settle;
  };

  void Violation(std::string what) { report_.violations.push_back(std::move(what)); }

  NodeId AnyNode() { return NodeId(1 + random_.Below(3)); }

  void Disturb() {
    const NodeId node = AnyNode();
    const auto death = random_.Chance(0.5) ? Death::kMachine : Death::kProcess;
    switch (random_.Below(options_.kills ? 8 : 3)) {
      case 0:
      case 1:
        cluster_.Isolate(node);
        break;
      case 2:
        cluster_.sim().HealAll();
        break;
      case 3:
      case 4:
        if (options_.all_at_once || AllUp()) cluster_.Kill(node, death);
        break;
      case 5:
        if (!options_.all_at_once) break;
        for (const NodeId each : cluster_.Nodes()) cluster_.Kill(each, Death::kMachine);
        break;
      default:
        StartAll();
        break;
    }
  }

  bool AllUp() {
    for (const NodeId node : cluster_.Nodes()) {
      if (!cluster_.up(node)) return false;
    }
    cluster_.sim().HealAll();
    return cluster_.RunUntil([&] { return cluster_.Converged("ks"); }, 30s);
  }

  void StartAll() {
    for (const NodeId node : cluster_.Nodes()) {
      if (!cluster_.sim().running(cluster_.handle(node))) cluster_.Start(node);
    }
  }

  void Ask(NodeId node, const std::string& key, std::function<void(cells::Edit&)> make,
           std::function<void(Fate)> settle) {
    asked_.push_back(
        {cluster_.WriteLater(node, "ks", key, std::move(make), 1s), std::move(settle)});
  }

  void Work() {
    const NodeId node = AnyNode();
    if (!cluster_.up(node)) return;
    for (std::uint64_t n = 1 + random_.Below(8); n > 0; --n) {
      if (random_.Chance(0.5)) {
        const std::string key = fmt::format("counter{}", random_.Below(kCounters));
        const auto amount = random_.Between(1, 100);
        Ask(
            node, key, [key, amount](cells::Edit& edit) { (void)edit.Increment(key, amount); },
            [this, key, amount](Fate fate) {
              counters_[key].perhaps += fate != Fate::kNot ? amount : 0;
              counters_[key].sure += fate == Fate::kSure ? amount : 0;
            });
      } else if (random_.Chance(0.6)) {
        AddMember(node);
      } else {
        RemoveMember(node);
      }
    }
  }

  void AddMember(NodeId node) {
    const std::string name = fmt::format("m{}", members_.size());
    const std::string key = fmt::format("set{}", random_.Below(kSets));
    members_[name].set = key;
    Ask(
        node, key, [key, name](cells::Edit& edit) { edit.SetAdd(key, name); },
        [this, name](Fate fate) { members_[name].added = fate; });
  }

  void RemoveMember(NodeId node) {
    if (members_.empty()) return;
    const auto at = std::next(members_.begin(), static_cast<long>(random_.Below(members_.size())));
    const std::string name = at->first;
    const std::string key = at->second.set;
    const auto found = std::make_shared<bool>(false);
    Ask(
        node, key, [key, name, found](cells::Edit& edit) { *found = edit.SetRemove(key, name); },
        [this, name, found](Fate fate) {
          Member& member = members_[name];
          if (*found) member.removed = std::max(member.removed, fate);
        });
  }

  void Heal() {
    cluster_.sim().HealAll();
    StartAll();
    cluster_.sim().RunFor(3s);
    for (const Asked& asked : asked_) {
      Fate fate = Fate::kPerhaps;
      if (*asked.answer && (*asked.answer)->has_value()) fate = Fate::kSure;
      if (*asked.answer && !(*asked.answer)->has_value() &&
          (*asked.answer)->error().outcome == Outcome::kNotApplied)
        fate = Fate::kNot;
      ++(fate == Fate::kSure ? report_.acknowledged : report_.unknown);
      asked.settle(fate);
    }
    for (const NodeId node : cluster_.Nodes()) {
      if (!cluster_.crash(node).empty())
        Violation(fmt::format("node {} crashed: {}", node.value, cluster_.crash(node)));
      if (cluster_.failure(node))
        Violation(fmt::format("node {}: {}", node.value, Describe(*cluster_.failure(node))));
    }
  }

  void Judge() {
    if (!report_.violations.empty()) return;
    if (!cluster_.RunUntil([&] { return cluster_.Converged("ks"); }, 60s)) {
      Violation("does not converge");
    }
    for (const bool later : {false, true}) {
      for (const NodeId node : cluster_.Nodes()) Judge(node, later ? "later" : "");
      if (later) break;
      cluster_.sim().RunFor(20s);  // purges and scrubs
    }
    for (const NodeId node : cluster_.Nodes()) {
      report_.reconciled += cluster_.at(node).stats().reconciled;
      const std::uint64_t left = cluster_.at(node).stats().tombstones;
      if (left > 0) Violation(fmt::format("node {} keeps {} tombstones", node.value, left));
    }
    if (!cluster_.Converged("ks")) Violation("has diverged");
  }

  void Judge(NodeId node, std::string_view when) {
    for (const auto& [key, counted] : counters_) {
      const std::int64_t value = std::stoll(cluster_.Get(node, "ks", key).value_or("0"));
      if (value < counted.sure || value > counted.perhaps) {
        Violation(fmt::format("{} node {}: {} is {}, not in [{}, {}]", when, node.value, key, value,
                              counted.sure, counted.perhaps));
      }
    }
    for (const auto& [name, member] : members_) {
      const bool there = cluster_.at(node).store().SetContains(
          cluster_.keyspace("ks").ShardOf(member.set).id, member.set, name);
      if (there && (member.removed == Fate::kSure || member.added == Fate::kNot)) {
        Violation(fmt::format("{} node {}: {} is back", when, node.value, name));
      }
      if (!there && member.added == Fate::kSure && member.removed == Fate::kNot)
        Violation(fmt::format("{} node {}: {} is lost", when, node.value, name));
    }
  }

  const ChaosOptions options_;
  Random random_;
  ReplicaCluster cluster_;
  std::map<std::string, Counted> counters_;
  std::map<std::string, Member> members_;
  std::vector<Asked> asked_;
  ChaosReport report_;
};

}  // namespace

ChaosReport RunChaos(std::uint64_t seed, const ChaosOptions& options) {
  Chaos chaos(seed, options);
  return chaos.Run();
}

}  // namespace coterie::node::testing

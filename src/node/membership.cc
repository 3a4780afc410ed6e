#include "node/membership.h"

#include <algorithm>

namespace coterie::node {

namespace {

// A learner this close behind has what an election or a commit will ask of it.
constexpr std::uint64_t kCaughtUpEntries = 256;
constexpr Duration kPause = 200ms;
constexpr Duration kIdle = 1s;
constexpr Duration kPatience = 10s;

bool Has(const std::vector<NodeId>& nodes, NodeId node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

std::vector<NodeId> Sorted(std::vector<NodeId> nodes) {
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

}  // namespace

std::optional<raft::Configuration> NextConfiguration(const raft::Configuration& current,
                                                     const GroupPlan& plan,
                                                     const std::function<bool(NodeId)>& caught_up) {
  raft::Configuration next;
  bool complete = true;
  for (const NodeId node : plan.voters) {
    const bool votes = Has(current.voters, node);
    if (votes || (Has(current.learners, node) && caught_up(node))) {
      next.voters.push_back(node);
    } else {
      complete = false;
    }
  }
  if (!complete) {
    for (const NodeId node : current.voters) {
      const bool may_stay = Has(plan.learners, node) || Has(plan.leaving, node);
      if (may_stay && !Has(plan.voters, node)) next.voters.push_back(node);
    }
  }
  for (const std::vector<NodeId>* all : {&plan.voters, &plan.learners}) {
    for (const NodeId node : *all) {
      if (!Has(next.voters, node) && !Has(next.learners, node)) next.learners.push_back(node);
    }
  }
  if (next.voters.empty()) return std::nullopt;
  next.voters = Sorted(std::move(next.voters));
  next.learners = Sorted(std::move(next.learners));
  const bool there =
      next.voters == Sorted(current.voters) && next.learners == Sorted(current.learners);
  if (there) return std::nullopt;
  return next;
}

Membership::Membership(runtime::World& world, RaftGroup& group, runtime::Notification& map_changed,
                       Wanted wanted)
    : world_(world), group_(group), map_changed_(map_changed), wanted_(std::move(wanted)) {}

bool Membership::CaughtUp(NodeId node) const {
  const raft::Raft& core = group_.replica().core();
  return core.IsReplicating(node) && core.MatchIndex(node) > LogIndex() &&
         core.MatchIndex(node).value + kCaughtUpEntries >= core.last_index().value;
}

runtime::Task<bool> Membership::Step() {
  RaftReplica& replica = group_.replica();
  if (!replica.ConfigurationSettled()) co_return true;
  const auto plan = wanted_();
  if (!plan) co_return false;
  const raft::Configuration current = replica.core().configuration();
  auto next = NextConfiguration(current, *plan, [this](NodeId node) { return CaughtUp(node); });
  if (!next)
    co_return !std::equal(current.voters.begin(), current.voters.end(), plan->voters.begin(),
                          plan->voters.end());
  const NodeId self = replica.core().self();
  const Instant deadline = world_.Now() + kPatience;
  if (Has(current.voters, self) && !Has(next->voters, self)) {
    co_await group_.HandOver(next->voters, deadline);
    co_return true;
  }
  auto changed = co_await replica.ChangeMembership(next->voters, next->learners, deadline);
  if (changed) {
    world_.log().Info("raft", "shard {}: {} voters, {} learners", group_.shard().value,
                      next->voters.size(), next->learners.size());
  } else if (changed.error().code != ErrorCode::kProposalDropped) {
    world_.log().Warn("raft", "shard {}: membership: {}", group_.shard().value,
                      Describe(changed.error()));
  }
  co_return true;
}

runtime::Task<void> Membership::Loop() {
  for (;;) {
    if (!group_.replica().status().leading) {
      co_await group_.replica().leadership_changed().Wait();
      continue;
    }
    const bool soon = co_await Step();
    const Instant next = world_.Now() + (soon ? kPause : kIdle);
    co_await map_changed_.WaitUntil(next);
  }
}

}  // namespace coterie::node

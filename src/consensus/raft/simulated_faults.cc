// The random half of SimulatedGroup: which event comes next, and the calm phase at the end.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/coding.h"
#include "consensus/raft/simulated_group.h"

namespace coterie::raft {

void SimulatedGroup::Propose(Node& node) {
  const std::string value(1 + random_.Below(200), static_cast<char>('a' + next_value_ % 26));
  const bool elsewhere = random_.Chance(0.5);
  const Result<LogIndex> index =
      node.raft->Propose(value + std::to_string(next_value_++), elsewhere);
  if (index) Note(fmt::format("{} proposes {}", node.id.value, index->value));
  Observe(node);
}

void SimulatedGroup::Read(Node& node) {
  const ReadId id(next_read_++);
  // Whatever anybody knows to be committed at this moment, the read has to see.
  if (!node.raft->Read(id, now_)) return;
  node.reads[id] = invariants_.committed();
  Observe(node);
}

void SimulatedGroup::Reconfigure(Node& node) {
  std::vector<NodeId> voters;
  std::vector<NodeId> learners;
  const std::uint64_t wanted = 1 + random_.Below(5);
  for (std::uint64_t i = 0; i < wanted; ++i) {
    const NodeId candidate = Pick().id;
    const bool named = std::find(voters.begin(), voters.end(), candidate) != voters.end();
    if (!named) voters.push_back(candidate);
  }
  const NodeId learner = Pick().id;
  if (std::find(voters.begin(), voters.end(), learner) == voters.end()) learners.push_back(learner);
  std::sort(voters.begin(), voters.end());
  const Result<LogIndex> index = node.raft->ProposeConfiguration(voters, learners);
  if (index) {
    ++coverage_.changes;
    Note(fmt::format("{} changes membership at {}", node.id.value, index->value));
  }
  Observe(node);
}

void SimulatedGroup::CutRandomly() {
  cut_.clear();
  if (random_.Chance(0.2)) {
    // One link, one way.
    cut_.insert({Pick().id, Pick().id});
    return;
  }
  Node* leader = PickLeader();
  if (leader != nullptr && random_.Chance(0.6)) {
    // The leader keeps at most one follower: tails grow that no majority has [Raft fig. 8].
    const NodeId kept = Pick().id;
    for (auto& node : nodes_) {
      if (node->id == kept || node->id == leader->id) continue;
      cut_.insert({leader->id, node->id});
      cut_.insert({node->id, leader->id});
    }
    return;
  }
  const std::uint64_t side = random_.Next();
  for (auto& a : nodes_) {
    for (auto& b : nodes_) {
      if (((side >> a->id.value) & 1) != ((side >> b->id.value) & 1)) cut_.insert({a->id, b->id});
    }
  }
}

void SimulatedGroup::DeliverOne(Fate fate) {
  if (flights_.empty()) return;
  // Mostly in order: pure shuffling would never let a long exchange finish.
  const std::size_t window = random_.Chance(0.8) ? 1 : flights_.size();
  const std::size_t at = random_.Below(window);
  Flight flight = flights_[at];
  if (fate != Fate::kDuplicate) flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(at));
  if (fate != Fate::kDrop) Deliver(std::move(flight));
}

// A message may have been anywhere for any time, so it may also arrive while its link is cut.
void SimulatedGroup::Replay() {
  if (old_flights_.empty()) return;
  const Flight flight = old_flights_[random_.Below(old_flights_.size())];
  Node* node = Find(flight.to);
  if (!node->raft) return;
  Note(fmt::format("{} -> {} again, kind {}", flight.from.value, flight.to.value,
                   flight.message.index()));
  node->raft->Step(flight.from, flight.message, now_);
  Observe(*node);
}

// The state machine's own snapshot is durable first; then the log, and what is on disk of it, may
// forget.
void SimulatedGroup::Compact(Node& node) {
  if (!node.writes.empty() || node.applied.value < 3) return;
  const LogIndex to(node.applied.value - random_.Below(3));
  if (to <= node.raft->compacted_index()) return;
  if (to > node.disk.compacted + node.disk.entries.size())
    return Fail("applied what is not on disk");
  const std::size_t gone = to - node.disk.compacted;
  node.disk.configuration = node.raft->ConfigurationAt(to);
  node.disk.compacted_term = *node.raft->TermAt(to);
  node.disk.entries.erase(node.disk.entries.begin(),
                          node.disk.entries.begin() + static_cast<std::ptrdiff_t>(gone));
  node.disk.compacted = to;
  node.disk.applied = std::max(node.disk.applied, to);
  node.raft->Compact(to);
  Observe(node);
}

void SimulatedGroup::RandomEvent() {
  Node& node = Pick();
  Node* leader = PickLeader();
  const bool alive = node.raft != nullptr;
  std::uint64_t draw = 0;
  const auto is = [&](std::uint64_t weight) {
    if (draw < weight) return true;
    draw -= weight;
    return false;
  };
  Weights w = weights_;
  // A backlog drains faster, or messages would be older than an election timeout and nobody
  // elected.
  w.deliver += 25 * flights_.size();
  draw = random_.Below(w.deliver + w.duplicate + w.drop + w.replay + w.disk + w.take + w.time +
                       w.propose + w.read + w.transfer + w.reconfigure + w.compact + w.snapshot +
                       w.crash + w.restart + w.cut + w.heal + w.unreachable);
  if (is(w.deliver)) return DeliverOne(Fate::kDeliver);
  if (is(w.duplicate)) return DeliverOne(Fate::kDuplicate);
  if (is(w.drop)) return DeliverOne(Fate::kDrop);
  if (is(w.replay)) return Replay();
  const std::size_t start = random_.Below(nodes_.size());
  if (is(w.disk)) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node& busy = *nodes_[(start + i) % nodes_.size()];
      if (busy.raft && !busy.writes.empty()) return CompleteWrite(busy);
    }
    return;
  }
  if (is(w.take)) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node& busy = *nodes_[(start + i) % nodes_.size()];
      if (busy.raft && busy.raft->HasOutput()) return Take(busy);
    }
    return;
  }
  if (is(w.time)) {
    now_ += Duration(random_.Below(random_.Chance(0.1) ? 60'000'000 : 8'000'000));
    return TickAll();
  }
  if (is(w.propose)) return leader ? Propose(*leader) : void();
  if (is(w.read)) return leader ? Read(*leader) : void();
  if (is(w.transfer)) {
    if (leader && leader->raft->TransferLeadership(node.id, now_)) ++coverage_.transfers;
    return leader ? Observe(*leader) : void();
  }
  if (is(w.reconfigure)) return leader ? Reconfigure(*leader) : void();
  if (is(w.compact)) return alive ? Compact(node) : void();
  if (is(w.snapshot)) {
    if (!streams_.empty()) return FinishStream(random_.Below(streams_.size()), random_.Chance(0.8));
    // A stream may also be an old one that its receiver no longer needs.
    return leader && node.id != leader->id && random_.Chance(0.3) ? BeginStream(*leader, node.id)
                                                                  : void();
  }
  if (is(w.crash)) {
    Node& victim = leader && random_.Chance(0.4) ? *leader : node;
    return victim.raft ? Crash(victim) : void();
  }
  if (is(w.restart)) return alive ? void() : Start(node);
  if (is(w.cut)) return CutRandomly();
  if (is(w.heal)) return cut_.clear();
  if (alive) {
    node.raft->OnUnreachable(Pick().id);
    Observe(node);
  }
}

// All faults end. Time moves only when nothing else is left to do, so a working group needs few
// steps.
void SimulatedGroup::SettleOnce() {
  for (auto& node : nodes_) {
    if (!node->raft) Start(*node);
    Take(*node);
    while (node->raft && !node->writes.empty() && failure_.empty()) CompleteWrite(*node);
    Take(*node);
  }
  while (!streams_.empty() && failure_.empty()) FinishStream(0, true);
  std::vector<Flight> flights = std::exchange(flights_, {});
  for (Flight& flight : flights) {
    if (failure_.empty()) Deliver(std::move(flight));
  }
  if (!flights_.empty() || !failure_.empty()) return;
  Instant next = Instant::max();
  for (auto& node : nodes_) {
    if (node->raft->HasOutput() || !node->writes.empty()) return;
    next = std::min(next, node->raft->NextDeadline());
  }
  if (next == Instant::max()) return;
  now_ = std::max(now_, next);
  TickAll();
}

bool SimulatedGroup::Agreed() {
  Node* leader = PickLeader();
  if (leader == nullptr) return false;
  const Raft& raft = *leader->raft;
  if (raft.commit_index() != raft.last_index() || !raft.configuration().outgoing.empty())
    return false;
  std::vector<NodeId> members = raft.configuration().voters;
  members.insert(members.end(), raft.configuration().learners.begin(),
                 raft.configuration().learners.end());
  for (NodeId member : members) {
    const Node* node = Find(member);
    if (node->applied != raft.commit_index() || node->raft->term() != raft.term()) return false;
  }
  return leader->reads.empty();
}

std::string SimulatedGroup::Settle() {
  cut_.clear();
  bool proposed = false;
  LogIndex goal;
  for (int round = 0; round < 4000 && failure_.empty(); ++round) {
    SettleOnce();
    if (!Agreed()) continue;
    Node* leader = PickLeader();
    if (proposed && leader->raft->commit_index() >= goal) return {};
    const Result<LogIndex> index = leader->raft->Propose("calm");
    if (!index) continue;
    Read(*leader);
    proposed = true;
    goal = *index;
  }
  for (auto& node : nodes_) {
    const Raft& raft = *node->raft;
    Note(fmt::format(
        "{}: role {} term {} leader {} log ({}, {}] last term {} commit {} voters {} deadline {}",
        node->id.value, static_cast<int>(raft.role()), raft.term().value, raft.leader().value,
        raft.compacted_index().value, raft.last_index().value,
        raft.TermAt(raft.last_index())->value, raft.commit_index().value,
        Hex(Encode(raft.configuration())),
        raft.NextDeadline().time_since_epoch().count() / 1000000));
  }
  return "the group does not come to rest after the faults end";
}

}  // namespace coterie::raft

#include "consensus/raft/simulated_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/coding.h"
#include "consensus/raft/configuration.h"

namespace coterie::raft {
namespace {

constexpr std::size_t kNodes = 6;

std::uint64_t IdentityOf(const Entry& entry) {
  return (entry.term.value << 40) ^ (std::uint64_t{Crc32c(entry.payload)} << 2) ^
         static_cast<std::uint64_t>(entry.kind);
}

std::vector<NodeId> Some(Random& random, std::size_t count) {
  std::vector<NodeId> all;
  for (std::size_t i = 1; i <= kNodes; ++i) all.push_back(NodeId(i));
  for (std::size_t i = 0; i < kNodes; ++i) std::swap(all[i], all[i + random.Below(kNodes - i)]);
  all.resize(count);
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

SimulatedGroup::SimulatedGroup(std::uint64_t seed) : random_(seed) {
  config_.election_timeout = 100ms;
  config_.heartbeat_interval = 20ms;
  config_.append_bytes_max = 1 + random_.Below(400);
  config_.inflight_messages_max = 1 + random_.Below(6);
  config_.inflight_bytes_max = 1 + random_.Below(2000);
  eager_ = random_.Chance(0.5);
  // Swarm: each fault is absent, usual or frequent for a whole run.
  for (std::uint64_t* weight :
       {&weights_.duplicate, &weights_.drop, &weights_.replay, &weights_.transfer,
        &weights_.reconfigure, &weights_.compact, &weights_.crash, &weights_.cut,
        &weights_.unreachable, &weights_.read}) {
    static constexpr std::uint64_t kFactor[] = {0, 1, 1, 4};
    *weight *= kFactor[random_.Below(4)];
  }
  if (random_.Chance(0.5)) config_.commit_notice_delay = config_.heartbeat_interval / 4;
  if (random_.Chance(0.3)) weights_.disk = 15;
  if (random_.Chance(0.3)) weights_.deliver = 80;
  if (random_.Chance(0.2)) weights_.time = 50;
  Configuration first;
  static constexpr std::size_t kSizes[] = {1, 2, 3, 3, 3, 4, 4, 5, 5};
  first.voters = Some(random_, kSizes[random_.Below(9)]);
  if (random_.Chance(0.3)) {
    // Churn: leaders lose most of their followers again and again, as in [Raft fig. 8].
    first.voters = Some(random_, 5);
    weights_.reconfigure = weights_.compact = weights_.snapshot = 0;
    weights_.cut = 12;
    weights_.heal = 4;
    weights_.time = 90;
    weights_.crash = random_.Below(4);
    config_.append_bytes_max = 1;
    config_.inflight_messages_max = 1 + random_.Below(2);
  }
  if (random_.Chance(0.3)) {
    for (NodeId node : Some(random_, 2)) {
      if (!IsVoter(first, node)) first.learners.push_back(node);
    }
  }
  for (std::size_t i = 1; i <= kNodes; ++i) {
    nodes_.push_back(std::make_unique<Node>(NodeId(i), random_.Next()));
    nodes_.back()->disk.configuration = first;
    Start(*nodes_.back());
  }
}

SimulatedGroup::~SimulatedGroup() = default;

void SimulatedGroup::Note(const std::string& line) {
  digest_ = digest_ * 31 + Crc32c(line);
  if (!trace) return;
  const double ms = std::chrono::duration<double, std::milli>(now_.time_since_epoch()).count();
  std::fprintf(stderr, "%8.1f %s\n", ms, line.c_str());
}

void SimulatedGroup::Fail(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

SimulatedGroup::Node* SimulatedGroup::Find(NodeId id) {
  return id.value >= 1 && id.value <= kNodes ? nodes_[id.value - 1].get() : nullptr;
}

SimulatedGroup::Node& SimulatedGroup::Pick() { return *nodes_[random_.Below(kNodes)]; }

SimulatedGroup::Node* SimulatedGroup::PickLeader() {
  std::vector<Node*> leaders;
  for (auto& node : nodes_) {
    if (node->raft && node->raft->role() == Role::kLeader) leaders.push_back(node.get());
  }
  return leaders.empty() ? nullptr : leaders[random_.Below(leaders.size())];
}

void SimulatedGroup::Start(Node& node) {
  const Disk& disk = node.disk;
  Restored restored{.hard_state = disk.hard,
                    .compacted = disk.compacted,
                    .compacted_term = disk.compacted_term,
                    .configuration = disk.configuration,
                    .entries = disk.entries,
                    .applied = disk.applied};
  Config config = config_;
  config.self = node.id;
  node.raft = std::make_unique<Raft>(config, std::move(restored), node.random, now_);
  node.applied = disk.applied;
  invariants_.OnRestart(node.id);
  Observe(node);
}

// Of the writes under way, any prefix may have reached the disk, acknowledged or not.
void SimulatedGroup::Crash(Node& node) {
  Note(fmt::format("{} crashes", node.id.value));
  ++coverage_.crashes;
  const std::uint64_t kept = random_.Below(node.writes.size() + 1);
  for (std::uint64_t i = 0; i < kept; ++i) ApplyWrite(node.disk, node.writes[i]);
  node.writes.clear();
  node.reads.clear();
  node.raft.reset();
}

void SimulatedGroup::ApplyWrite(Disk& disk, const Write& write) {
  if (write.install) {
    disk.compacted = write.install->last_index;
    disk.compacted_term = write.install->last_term;
    disk.configuration = write.install->configuration;
    disk.entries.clear();
    disk.applied = std::max(disk.applied, disk.compacted);
  }
  if (!write.entries.empty()) {
    const LogIndex first = write.entries.front()->index;
    if (first <= disk.compacted || first - disk.compacted - 1 > disk.entries.size()) {
      return Fail(fmt::format("a gap is written before {}", first.value));
    }
    disk.entries.resize(first - disk.compacted - 1);
    disk.entries.insert(disk.entries.end(), write.entries.begin(), write.entries.end());
  }
  if (write.hard) disk.hard = *write.hard;
}

void SimulatedGroup::CompleteWrite(Node& node) {
  if (!node.raft || node.writes.empty()) return;
  // Group commit: one sync may cover several writes.
  const std::uint64_t count = 1 + random_.Below(node.writes.size());
  std::uint64_t id = 0;
  std::vector<Envelope> after;
  for (std::uint64_t i = 0; i < count; ++i) {
    Write write = std::move(node.writes.front());
    node.writes.pop_front();
    ApplyWrite(node.disk, write);
    id = write.persist_id;
    std::move(write.after.begin(), write.after.end(), std::back_inserter(after));
  }
  Note(fmt::format("{} persisted {}", node.id.value, id));
  node.raft->OnPersisted(id, now_);
  Send(node.id, after);
  Observe(node);
}

void SimulatedGroup::Observe(Node& node) {
  if (std::string broken = CheckInvariants(*node.raft); !broken.empty()) {
    Fail(fmt::format("node {}: invariant {}", node.id.value, broken));
  }
  invariants_.Observe(*node.raft);
  if (!invariants_.Check().empty()) Fail(invariants_.Check());
  if (node.raft->role() == Role::kLeader) CheckMatches(node);
  if (eager_) Take(node);
}

// What a leader counts on must be on the member's disk, however that member ends up.
void SimulatedGroup::CheckMatches(Node& leader) {
  const Raft& raft = *leader.raft;
  for (auto& member : nodes_) {
    const LogIndex match = raft.MatchIndex(member->id);
    const Disk& disk = member->disk;
    const Term seen = member->raft ? member->raft->term() : disk.hard.term;
    // A member that follows a later leader may have dropped what this one counted; that one is
    // deposed.
    if (match <= disk.compacted || match < raft.compacted_index() || seen > raft.term()) continue;
    const std::size_t at = match - disk.compacted - 1;
    const bool held = at < disk.entries.size() && disk.entries[at]->term == raft.TermAt(match);
    if (!held) {
      return Fail(fmt::format("leader {} counts entry {} of node {}, whose disk does not hold it",
                              leader.id.value, match.value, member->id.value));
    }
  }
}

// A vote may be counted as soon as it is sent, so it must be past a crash by then.
void SimulatedGroup::CheckPromises(const Node& node, const std::vector<Envelope>& envelopes) {
  for (const Envelope& envelope : envelopes) {
    const auto* reply = std::get_if<RequestVoteReply>(&envelope.message);
    if (reply == nullptr || reply->pre_vote || !reply->granted) continue;
    const HardState& hard = node.disk.hard;
    if (hard.term > reply->term || (hard.term == reply->term && hard.vote == envelope.to)) continue;
    return Fail(fmt::format("node {} gives a vote that a crash would take back", node.id.value));
  }
}

void SimulatedGroup::Send(NodeId from, std::vector<Envelope>& envelopes) {
  CheckPromises(*Find(from), envelopes);
  for (Envelope& envelope : envelopes) {
    if (IsCut(from, envelope.to) || !Find(envelope.to)->raft) continue;
    flights_.push_back({from, envelope.to, std::move(envelope.message)});
  }
}

void SimulatedGroup::Take(Node& node) {
  for (int i = 0; node.raft && node.raft->HasOutput(); ++i) {
    if (i > 100) return Fail(fmt::format("node {} never runs out of output", node.id.value));
    Output output = node.raft->TakeOutput();
    if (output.leadership_changed && node.raft->role() == Role::kLeader) {
      ++coverage_.elections;
      Note(fmt::format("{} leads term {}", node.id.value, node.raft->term().value));
    }
    Send(node.id, output.messages);
    Apply(node, output);
    for (NodeId to : output.snapshot_wanted) BeginStream(node, to);
    if (!output.forgetful.empty()) return Fail("a sound disk is taken for one that forgets");
    if (output.persist_id == 0) continue;
    node.writes.push_back({output.persist_id, output.hard_state, std::move(output.entries),
                           std::move(output.install_snapshot),
                           std::move(output.messages_after_persist)});
  }
  if (!failure_.empty()) return;
  invariants_.Observe(*node.raft);
}

void SimulatedGroup::Apply(Node& node, const Output& output) {
  if (output.install_snapshot) node.applied = output.install_snapshot->last_index;
  for (const EntryPtr& entry : output.committed) {
    if (entry->index != node.applied + 1) {
      return Fail(fmt::format("node {} is to apply {} after {}", node.id.value, entry->index.value,
                              node.applied.value));
    }
    node.applied = entry->index;
    if (applied_.size() <= entry->index.value) {
      applied_.resize(entry->index.value + 1);
      ++coverage_.committed;
    }
    std::uint64_t& identity = applied_[entry->index.value];
    if (identity == 0) identity = IdentityOf(*entry);
    if (identity != IdentityOf(*entry)) {
      return Fail(
          fmt::format("node {} applies another entry {}", node.id.value, entry->index.value));
    }
  }
  for (const ReadReady& read : output.reads) {
    const auto at = node.reads.find(read.id);
    if (at == node.reads.end()) return Fail("a read is answered twice");
    if (read.index < at->second) {
      return Fail(fmt::format("stale read: node {} reads at {}, {} was committed before",
                              node.id.value, read.index.value, at->second.value));
    }
    node.reads.erase(at);
    ++coverage_.reads;
  }
  for (ReadId id : output.reads_failed) {
    if (node.reads.erase(id) == 0) return Fail("a read fails twice");
  }
}

void SimulatedGroup::Deliver(Flight flight) {
  if (old_flights_.size() < 200) {
    old_flights_.push_back(flight);
  } else {
    old_flights_[random_.Below(200)] = flight;
  }
  Node* node = Find(flight.to);
  if (!node->raft || IsCut(flight.from, flight.to)) return;
  Note(fmt::format("{} -> {} message kind {}", flight.from.value, flight.to.value,
                   flight.message.index()));
  node->raft->Step(flight.from, std::move(flight.message), now_);
  Observe(*node);
}

void SimulatedGroup::BeginStream(Node& leader, NodeId to) {
  InstallSnapshot snapshot;
  snapshot.term = leader.raft->term();
  snapshot.last_index = leader.applied;
  const std::optional<Term> term = leader.raft->TermAt(leader.applied);
  if (!term) return Fail("the applied entry's term is unknown");
  snapshot.last_term = *term;
  snapshot.configuration = leader.raft->ConfigurationAt(leader.applied);
  streams_.push_back({leader.id, to, std::move(snapshot)});
}

void SimulatedGroup::FinishStream(std::size_t at, bool ok) {
  const Stream stream = streams_[at];
  streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(at));
  Node* to = Find(stream.to);
  Node* from = Find(stream.from);
  if (ok && to->raft && !IsCut(stream.from, stream.to)) {
    Note(fmt::format("{} offered the state at {}", stream.to.value,
                     stream.snapshot.last_index.value));
    ++coverage_.snapshots;
    Deliver({stream.from, stream.to, stream.snapshot});
  } else {
    ok = false;
  }
  if (!from->raft) return;
  from->raft->OnSnapshotSent(stream.to, stream.snapshot.last_index, ok, now_);
  Observe(*from);
}

void SimulatedGroup::TickAll() {
  for (auto& node : nodes_) {
    if (!node->raft || node->raft->NextDeadline() > now_) continue;
    node->raft->Tick(now_);
    if (node->raft->NextDeadline() <= now_) Fail("a deadline is not consumed by Tick");
    Observe(*node);
  }
}

std::string SimulatedGroup::Run(int steps) {
  for (int i = 0; i < steps && failure_.empty(); ++i) RandomEvent();
  if (failure_.empty()) Fail(Settle());
  return failure_;
}

}  // namespace coterie::raft

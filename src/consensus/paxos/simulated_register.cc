#include "consensus/paxos/simulated_register.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/coding.h"
#include "consensus/paxos/mutants.h"
#include "consensus/paxos/text.h"

namespace coterie::paxos {
namespace {

constexpr std::size_t kNodes = 5;

bool ListExtends(const Value& later, const Value& earlier) {
  return later.bytes.value_or("").starts_with(earlier.bytes.value_or(""));
}

std::size_t Count(const std::string& list, const std::string& id) {
  std::size_t count = 0;
  for (std::size_t at = list.find(id); at != std::string::npos; at = list.find(id, at + 1)) ++count;
  return count;
}

}  // namespace

SimulatedRegister::SimulatedRegister(std::uint64_t seed) : random_(seed), invariants_(ListExtends) {
  for (std::uint64_t* weight : {&weights_.duplicate, &weights_.drop, &weights_.replay,
                                &weights_.crash, &weights_.move, &weights_.give_up}) {
    static constexpr std::uint64_t kFactor[] = {0, 1, 1, 4};
    *weight *= kFactor[random_.Below(4)];
  }
  if (random_.Chance(0.3)) weights_.disk = 30;
  if (random_.Chance(0.3)) weights_.deliver = 80;
  if (random_.Chance(0.3)) weights_.begin = 8;
  map_.epoch = Epoch(1);
  static constexpr std::size_t kSizes[] = {1, 2, 3, 3, 3, 3, 4};
  const std::size_t size = kSizes[random_.Below(7)];
  for (std::size_t i = 1; i <= size; ++i) map_.voters.push_back(NodeId(i));
  invariants_.Configure(map_);
  for (std::size_t i = 1; i <= kNodes; ++i) {
    nodes_.push_back(std::make_unique<Node>(NodeId(i), random_.Next()));
    Start(*nodes_.back());
  }
}

SimulatedRegister::~SimulatedRegister() = default;

void SimulatedRegister::Note(const std::string& line) {
  digest_ = digest_ * 31 + Crc32c(line);
  if (trace) std::fprintf(stderr, "%s\n", line.c_str());
}

void SimulatedRegister::Fail(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

void SimulatedRegister::Start(Node& node) {
  node.up = true;
  node.memory = node.disk;
  node.ballots = std::make_unique<BallotSource>(clock::MakeActor(node.id, ++node.incarnation));
  Config config;
  config.tries_max = 6;
  node.proposer = std::make_unique<Proposer>(config, *node.ballots, node.random);
  LearnMap(node);
}

void SimulatedRegister::Crash(Node& node) {
  Note(fmt::format("{} crashes", node.id.value));
  ++coverage_.crashes;
  // Of the writes under way, any prefix may have reached the disk, acknowledged or not.
  const std::uint64_t kept = random_.Below(node.writes.size() + 1);
  for (std::uint64_t i = 0; i < kept; ++i) {
    if (node.writes[i].changed) node.disk = node.writes[i].state;
  }
  invariants_.Observe(node.id, Acceptor(node.epoch), node.disk);
  node.writes.clear();
  node.up = false;
  node.proposer.reset();
  node.changing.reset();
  node.reading.reset();
  node.learner.reset();
}

void SimulatedRegister::LearnMap(Node& node) {
  if (!node.up) return;
  node.epoch = std::max(node.epoch, map_.epoch);
  node.proposer->SetReplicas(map_, now_);
  if (node.reading) AskOrPropose(node);
  Take(node);
}

// One replica in or out at a time, each step after the registers have followed [Raft-thesis §4.1].
void SimulatedRegister::Move() {
  const auto is_voter = [&](NodeId id) { return std::ranges::count(map_.voters, id) > 0; };
  Replicas next = map_;
  ++next.epoch;
  if (joining_ != NodeId() && (swept_ || COT_PAXOS_MUTANT(kNoSweep))) {
    next.learners.clear();
    next.voters.push_back(std::exchange(joining_, NodeId()));
    leaving_ = next.voters[random_.Below(next.voters.size())];
  } else if (leaving_ != NodeId() && (swept_ || COT_PAXOS_MUTANT(kNoSweep))) {
    std::erase(next.voters, std::exchange(leaving_, NodeId()));
    ++coverage_.moves;
  } else if (joining_ == NodeId() && leaving_ == NodeId()) {
    const NodeId candidate = Pick().id;
    if (is_voter(candidate)) return;
    joining_ = candidate;
    next.learners = {candidate};
  } else {
    Node& mover = At(joining_ != NodeId() ? joining_ : leaving_);
    if (mover.up && mover.epoch == map_.epoch && !mover.changing) BeginChange(mover, Kind::kSweep);
    return;
  }
  swept_ = false;
  map_ = next;
  invariants_.Configure(map_);
  Note(fmt::format("epoch {}: {} voters, joining {}, leaving {}", map_.epoch.value,
                   map_.voters.size(), joining_.value, leaving_.value));
}

void SimulatedRegister::Begin(Node& node) {
  if (!node.up) return;
  if (random_.Chance(0.4)) return BeginRead(node);
  BeginChange(node, random_.Chance(0.7) ? Kind::kAppend : Kind::kAppendIfEven);
}

void SimulatedRegister::BeginChange(Node& node, Kind kind) {
  if (node.changing) return;
  node.changing = Operation{kind, fmt::format("<{}>", next_id_++), longest_, {}};
  Note(fmt::format("{} begins {}", node.id.value, node.changing->id));
  if (node.proposer->prepared()) ++coverage_.one_trip;
  Operation* operation = &*node.changing;
  node.proposer->Change(
      [operation](const std::optional<std::string>& current, std::uint64_t number) {
        const std::string list = current.value_or("");
        const bool even = std::ranges::count(list, '<') % 2 == 0;
        const bool write =
            operation->kind == Kind::kAppend || (operation->kind == Kind::kAppendIfEven && even);
        operation->results[number] = write ? list + operation->id : list;
        if (operation->kind == Kind::kSweep) return Decision{true, current};
        return Decision{write, operation->results[number]};
      },
      now_);
  Take(node);
}

void SimulatedRegister::BeginRead(Node& node) {
  if (node.reading) return;
  node.reading = Operation{Kind::kRead, "read", longest_, {}};
  AskOrPropose(node);
}

void SimulatedRegister::AskOrPropose(Node& node) {
  if (node.learner && node.learner->split()) AdvanceRead(node);
  if (!node.reading) return Take(node);
  node.learner.emplace(node.proposer->replicas(), next_query_++);
  for (NodeId voter : node.proposer->replicas().voters) {
    flights_.push_back({node.id, voter, Request(node.learner->question()), std::nullopt});
  }
}

void SimulatedRegister::Take(Node& node) {
  Output output = node.proposer->TakeOutput();
  for (Envelope& envelope : output.messages) {
    Note(fmt::format("{} -> {} {}", node.id.value, envelope.to.value, ToText(envelope.request)));
    flights_.push_back({node.id, envelope.to, std::move(envelope.request), std::nullopt});
  }
  if (!output.finished) return;
  Operation operation = std::move(*node.changing);
  node.changing.reset();
  if (!output.finished->decided) {
    Note(fmt::format("{} fails{}", operation.id, output.finished->maybe_applied ? "?" : ""));
    ++(output.finished->maybe_applied ? coverage_.unknown : coverage_.refused);
    if (!output.finished->maybe_applied) never_.insert(operation.id);
    return;
  }
  ++coverage_.decided;
  const auto result = operation.results.find(output.finished->number);
  if (result == operation.results.end()) return Fail("no call of the change function counts");
  if (!output.finished->value.bytes.value_or("").starts_with(result->second)) {
    return Fail(fmt::format("{} is not part of what was decided", operation.id));
  }
  const std::string list = result->second;
  if (operation.kind == Kind::kSweep) swept_ = node.proposer->replicas().epoch == map_.epoch;
  if (operation.kind == Kind::kAppend && !list.ends_with(operation.id)) {
    return Fail(operation.id + " was not folded in");
  }
  if (operation.kind == Kind::kAppendIfEven && !list.ends_with(operation.id)) ++coverage_.kept;
  Complete(node, std::move(operation), list);
}

void SimulatedRegister::Complete(Node& node, Operation operation, const std::string& result) {
  Note(fmt::format("{} answers {} with {}", node.id.value, operation.id, result));
  if (!result.starts_with(operation.floor)) {
    Fail(fmt::format("{} answers {}, though {} was decided before", operation.id, result,
                     operation.floor));
  }
  if (!result.starts_with(longest_) && !longest_.starts_with(result)) {
    Fail(fmt::format("two histories: {} and {}", result, longest_));
  }
  if (operation.kind != Kind::kRead && Count(result, operation.id) > 1) {
    Fail(operation.id + " was applied twice");
  }
  for (const std::string& id : never_) {
    if (Count(result, id) > 0) Fail(id + " was said not to be applied");
  }
  if (result.size() > longest_.size()) longest_ = result;
}

void SimulatedRegister::Deliver(Flight flight) {
  Node& to = At(flight.to);
  if (!to.up) return;
  if (flight.request) return Answer(to, flight.from, *flight.request);
  OnReply(to, flight.from, *flight.reply);
}

void SimulatedRegister::Answer(Node& node, NodeId from, const Request& request) {
  Acceptor::Answer answer = Acceptor(node.epoch).Step(node.memory, request);
  // A reply that tells of nothing new still waits for what it tells.
  if (!answer.changed && node.writes.empty()) {
    flights_.push_back({node.id, from, std::nullopt, std::move(answer.reply)});
    return;
  }
  node.writes.push_back({node.memory, from, std::move(answer.reply), answer.changed});
}

void SimulatedRegister::Sync(Node& node) {
  if (!node.up || node.writes.empty()) return;
  const std::uint64_t count = 1 + random_.Below(node.writes.size());
  for (std::uint64_t i = 0; i < count; ++i) {
    Write write = std::move(node.writes.front());
    node.writes.pop_front();
    if (write.changed) node.disk = std::move(write.state);
    invariants_.Observe(node.id, Acceptor(node.epoch), node.disk);
    flights_.push_back({node.id, write.to, std::nullopt, std::move(write.reply)});
  }
}

void SimulatedRegister::OnReply(Node& node, NodeId from, const Reply& reply) {
  Note(fmt::format("{} gets from {}: {}", node.id.value, from.value, ToText(reply)));
  if (const auto* report = std::get_if<Report>(&reply); report != nullptr && node.learner) {
    node.learner->Step(from, *report);
    AdvanceRead(node);
  }
  node.proposer->Step(from, reply, now_);
  Take(node);
}

void SimulatedRegister::AdvanceRead(Node& node) {
  Operation reading = *node.reading;
  if (const std::optional<Value> learned = node.learner->learned()) {
    ++coverage_.quick_reads;
    node.learner.reset();
    node.reading.reset();
    return Complete(node, std::move(reading), learned->bytes.value_or(""));
  }
  if (!node.learner->split() || node.changing) return;
  ++coverage_.slow_reads;
  node.learner.reset();
  node.reading.reset();
  node.changing = std::move(reading);
  Operation* operation = &*node.changing;
  node.proposer->Change(
      [operation](const std::optional<std::string>& current, std::uint64_t number) {
        operation->results[number] = current.value_or("");
        return Decision{};
      },
      now_);
}

void SimulatedRegister::DeliverOne(int copies) {
  if (flights_.empty()) return;
  // One of the oldest often, so that rounds finish; any other, so that they do not.
  const std::size_t window = random_.Chance(0.8) ? 6 : flights_.size();
  const std::size_t at = random_.Below(std::min(window, flights_.size()));
  const Flight flight = flights_[at];
  if (copies < 2) {
    flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(at));
    if (old_flights_.size() < 200) old_flights_.push_back(flight);
  }
  if (copies > 0) Deliver(flight);
}

void SimulatedRegister::Tick() {
  Instant next = Instant::max();
  for (auto& node : nodes_) {
    if (node->up) next = std::min(next, node->proposer->NextDeadline());
  }
  if (next != Instant::max()) now_ = std::max(now_, next);
  for (auto& node : nodes_) {
    if (!node->up) continue;
    node->proposer->Tick(now_);
    Take(*node);
    if (node->reading && (flights_.size() < 30 || random_.Chance(0.05))) AskOrPropose(*node);
  }
}

void SimulatedRegister::RandomEvent() {
  const Weights& w = weights_;
  std::uint64_t draw =
      random_.Below(w.deliver + w.duplicate + w.drop + w.replay + w.disk + w.time + w.begin +
                    w.crash + w.restart + w.learn_map + w.move + w.give_up);
  const auto is = [&draw](std::uint64_t weight) {
    if (draw < weight) return true;
    draw -= weight;
    return false;
  };
  Node& node = Pick();
  if (is(w.deliver)) return DeliverOne(1);
  if (is(w.duplicate)) return DeliverOne(2);
  if (is(w.drop)) return DeliverOne(0);
  if (is(w.replay)) {
    if (!old_flights_.empty()) Deliver(old_flights_[random_.Below(old_flights_.size())]);
    return;
  }
  if (is(w.disk)) return Sync(node);
  if (is(w.time)) {
    if (flights_.size() < 25) Tick();  // timeouts are rarer than answers
    return;
  }
  if (is(w.begin)) return Begin(node);
  if (is(w.crash)) {
    if (node.up) Crash(node);
    return;
  }
  if (is(w.restart)) {
    if (!node.up) Start(node);
    return;
  }
  if (is(w.learn_map)) return LearnMap(node);
  if (is(w.move)) return Move();
  if (node.up && node.changing) {
    Operation operation = std::move(*node.changing);
    node.changing.reset();
    if (!node.proposer->Abandon().maybe_applied) never_.insert(operation.id);
  }
}

std::string SimulatedRegister::Run(int steps) {
  for (int i = 0; i < steps && failure_.empty(); ++i) {
    RandomEvent();
    if (!invariants_.Check().empty()) Fail(invariants_.Check());
  }
  return failure_.empty() ? Settle() : failure_;
}

std::string SimulatedRegister::Settle() {
  flights_.clear();
  for (auto& node : nodes_) {
    if (!node->up) Start(*node);
    LearnMap(*node);
  }
  const auto busy = [](const auto& node) { return node->changing || node->reading; };
  for (int i = 0; i < 20000 && failure_.empty() && std::ranges::any_of(nodes_, busy); ++i) {
    if (!flights_.empty() && i % 200 != 0) {
      DeliverOne(1);
    } else {
      Tick();
    }
    for (auto& node : nodes_) Sync(*node);
  }
  if (std::ranges::any_of(nodes_, busy)) Fail("an operation never ends");
  for (auto& node : nodes_) {
    if (!failure_.empty()) break;
    BeginRead(*node);
    for (int i = 0; i < 5000 && busy(node); ++i) {
      if (flights_.empty()) Tick();
      DeliverOne(1);
      for (auto& other : nodes_) Sync(*other);
    }
    if (busy(node)) Fail("the last read never ends");
  }
  if (failure_.empty()) failure_ = invariants_.Check();
  return failure_;
}

}  // namespace coterie::paxos

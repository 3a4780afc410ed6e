#include "consensus/paxos/scenario.h"

#include <fmt/format.h>

#include <sstream>
#include <utility>

#include "base/assert.h"
#include "consensus/paxos/text.h"

namespace coterie::paxos {
namespace {

NodeId IdOf(const std::string& word) { return NodeId(std::stoull(word)); }

bool TextExtends(const Value& later, const Value& earlier) {
  // Scenarios that compare and set replace the text; a plain append extends it.
  return later.bytes.has_value() || !earlier.bytes.has_value();
}

}  // namespace

Scenario::Scenario() : invariants_(TextExtends) {}
Scenario::~Scenario() = default;

std::string Scenario::Play(const std::string& script) {
  std::istringstream in(script);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("  ")) continue;
    out_ += line + "\n";
    std::vector<std::string> words;
    std::istringstream split(line);
    for (std::string word; split >> word;) words.push_back(word);
    if (words.empty() || words[0].starts_with("#")) continue;
    Command(words);
  }
  return out_;
}

void Scenario::Start(NodeId id) {
  Node& node = nodes_[id];
  node.random = std::make_unique<Random>(id.value);
  node.ballots = std::make_unique<BallotSource>(clock::MakeActor(id, node.incarnation));
  node.proposer = std::make_unique<Proposer>(Config{}, *node.ballots, *node.random);
  node.proposer->SetReplicas(map_, now_);
  node.up = true;
}

void Scenario::Command(const std::vector<std::string>& words) {
  const std::string& verb = words[0];
  if (verb == "nodes" || verb == "epoch") {
    map_.epoch = verb == "nodes" ? Epoch(1) : Epoch(std::stoull(words[1]));
    map_.voters.clear();
    for (std::size_t i = verb == "nodes" ? 1 : 2; i < words.size(); ++i) {
      map_.voters.push_back(IdOf(words[i]));
    }
    for (const NodeId voter : map_.voters) {
      if (!nodes_.contains(voter)) Start(voter);
    }
    invariants_.Configure(map_);
  } else if (verb == "tell") {
    for (std::size_t i = 1; i < words.size(); ++i) {
      Node& node = nodes_.at(IdOf(words[i]));
      node.epoch = map_.epoch;
      node.proposer->SetReplicas(map_, now_);
      Take(IdOf(words[i]));
    }
  } else if (verb == "change") {
    const std::string text = words[2];
    Change(IdOf(words[1]), [text](const std::optional<std::string>& current, std::uint64_t) {
      return Decision{true, current.value_or("") + text};
    });
  } else if (verb == "cas") {
    const std::string expected = words[2];
    const std::string value = words[3];
    Change(IdOf(words[1]),
           [expected, value](const std::optional<std::string>& current, std::uint64_t) {
             return Decision{current == expected, value};
           });
  } else if (verb == "read") {
    Node& node = nodes_.at(IdOf(words[1]));
    node.learner.emplace(map_, next_query_++);
    for (const NodeId voter : map_.voters) {
      flights_.push_back({IdOf(words[1]), voter, Request(node.learner->question()), std::nullopt});
    }
  } else if (verb == "lose" || verb == "deliver") {
    OnLink(IdOf(words[1]), IdOf(words[2]), verb == "deliver");
  } else if (verb == "run") {
    while (!flights_.empty()) {
      const Flight flight = flights_.front();
      flights_.pop_front();
      Deliver(flight);
    }
  } else if (verb == "crash") {
    nodes_.at(IdOf(words[1])).up = false;
  } else if (verb == "start") {
    ++nodes_.at(IdOf(words[1])).incarnation;
    Start(IdOf(words[1]));
  } else if (verb == "time") {
    now_ += 10s;
    for (auto& [id, node] : nodes_) {
      if (node.up) node.proposer->Tick(now_);
      Take(id);
    }
  } else {
    COT_ASSERT(verb == "state");
    for (const auto& [id, node] : nodes_) {
      Say(fmt::format("{}{} promised {} accepted {} \"{}\"", id.value, node.up ? "" : " (down)",
                      ToText(node.state.promised), ToText(node.state.accepted),
                      ToText(node.state.value)));
    }
  }
}

void Scenario::OnLink(NodeId from, NodeId to, bool arrives) {
  std::deque<Flight> kept;
  const std::deque<Flight> before = std::exchange(flights_, {});
  for (const Flight& flight : before) {
    const bool meant = flight.from == from && flight.to == to;
    if (!meant) kept.push_back(flight);
    if (meant && arrives) Deliver(flight);
  }
  flights_.insert(flights_.begin(), kept.begin(), kept.end());
}

void Scenario::Change(NodeId id, ChangeFunction change) {
  if (!nodes_.at(id).proposer->idle()) return Say(fmt::format("{} is busy", id.value));
  nodes_.at(id).proposer->Change(std::move(change), now_);
  Take(id);
}

void Scenario::Deliver(const Flight& flight) {
  Node& to = nodes_.at(flight.to);
  if (!to.up) return;
  if (flight.request) {
    const Acceptor acceptor(to.epoch);
    const Acceptor::Answer answer = acceptor.Step(to.state, *flight.request);
    invariants_.Observe(flight.to, acceptor, to.state);
    Say(fmt::format("{} -> {} {}", flight.from.value, flight.to.value, ToText(*flight.request)));
    flights_.push_back({flight.to, flight.from, std::nullopt, answer.reply});
    return;
  }
  Say(fmt::format("{} -> {} {}", flight.from.value, flight.to.value, ToText(*flight.reply)));
  const auto* report = std::get_if<Report>(&*flight.reply);
  if (report != nullptr && to.learner) {
    to.learner->Step(flight.from, *report);
    const std::optional<Value> learned = to.learner->learned();
    if (learned) Say(fmt::format("{} reads \"{}\"", flight.to.value, ToText(*learned)));
    if (to.learner->split()) Say(fmt::format("{} cannot tell: a round is needed", flight.to.value));
    if (learned || to.learner->split()) to.learner.reset();
    return;
  }
  to.proposer->Step(flight.from, *flight.reply, now_);
  Take(flight.to);
}

void Scenario::Take(NodeId id) {
  Output output = nodes_.at(id).proposer->TakeOutput();
  for (Envelope& envelope : output.messages) {
    flights_.push_back({id, envelope.to, std::move(envelope.request), std::nullopt});
  }
  if (output.later_epoch) {
    Say(fmt::format("{} hears of epoch {}", id.value, output.later_epoch->value));
  }
  if (!output.finished) return;
  const Finished& finished = *output.finished;
  if (finished.decided) Say(fmt::format("{} decided \"{}\"", id.value, ToText(finished.value)));
  if (!finished.decided) {
    Say(fmt::format("{} gave up{}", id.value, finished.maybe_applied ? ", unknown" : ""));
  }
}

}  // namespace coterie::paxos

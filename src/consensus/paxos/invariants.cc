#include "consensus/paxos/invariants.h"

#include <fmt/format.h>

#include <algorithm>

#include "consensus/paxos/text.h"

namespace coterie::paxos {

void RegisterInvariants::Configure(Replicas replicas) {
  const Epoch epoch = replicas.epoch;
  configurations_.emplace(epoch, std::move(replicas));
}

void RegisterInvariants::Break(NodeId node, std::string_view what) {
  if (broken_.empty()) broken_ = fmt::format("node {}: {}", node.value, what);
}

void RegisterInvariants::Observe(NodeId node, const Acceptor& acceptor, const Register& durable) {
  Register& last = last_[node];
  Epoch& epoch = epochs_[node];
  if (durable.accepted > durable.promised) Break(node, "1: accepted more than it promised");
  if (durable.promised < last.promised) Break(node, "2: a promise was forgotten");
  if (durable.accepted < last.accepted) Break(node, "2: an acceptance was forgotten");
  if (acceptor.epoch() < epoch) Break(node, "2: went back to an earlier epoch");
  if (durable.accepted.epoch > acceptor.epoch()) Break(node, "4: accepted in a later epoch");
  epoch = acceptor.epoch();
  const bool fresh = durable.accepted != last.accepted;
  last = durable;
  if (durable.accepted == Ballot{} || !fresh) return;
  Seen& seen = seen_[durable.accepted];
  if (seen.accepted_by.empty()) seen.value = durable.value;
  if (seen.value != durable.value) Break(node, "3: one ballot, two values");
  if (acceptor.epoch() == durable.accepted.epoch) seen.accepted_by.insert(node);
  for (const Ballot& ballot : chosen_) {
    if (ballot < durable.accepted && !extends_(durable.value, seen_[ballot].value)) {
      Break(node, fmt::format("5: {} leaves out what {} decided", ToText(durable.accepted),
                              ToText(ballot)));
    }
  }
  CheckChosen(durable.accepted);
}

void RegisterInvariants::CheckChosen(const Ballot& ballot) {
  const auto configuration = configurations_.find(ballot.epoch);
  if (configuration == configurations_.end() || chosen_.contains(ballot)) return;
  const Replicas& replicas = configuration->second;
  const Seen& seen = seen_[ballot];
  const auto votes = std::ranges::count_if(
      replicas.voters, [&](NodeId voter) { return seen.accepted_by.contains(voter); });
  if (static_cast<std::size_t>(votes) < replicas.majority()) return;
  chosen_.insert(ballot);
  for (const auto& [later, other] : seen_) {
    if (later > ballot && !extends_(other.value, seen.value)) {
      broken_ = fmt::format("5: {} leaves out what {} decided", ToText(later), ToText(ballot));
    }
  }
}

}  // namespace coterie::paxos

#include "consensus/paxos/learner.h"

#include <algorithm>

#include "consensus/paxos/mutants.h"

namespace coterie::paxos {

void Learner::Step(NodeId from, const Report& report) {
  const bool voter = std::ranges::find(replicas_.voters, from) != replicas_.voters.end();
  if (!voter || report.number != number_) return;
  reports_.emplace(from, report);  // the first of several: it was true then
}

std::pair<Ballot, std::size_t> Learner::Leading() const {
  std::map<Ballot, std::size_t> votes;
  for (const auto& [from, report] : reports_) ++votes[report.accepted];
  std::pair<Ballot, std::size_t> leading;
  for (const auto& [ballot, count] : votes) {
    if (count >= leading.second) leading = {ballot, count};
  }
  return leading;
}

std::optional<Value> Learner::learned() const {
  const auto [ballot, count] = Leading();
  std::optional<Value> value;
  if (COT_PAXOS_MUTANT(kReadOfMinority) && heard_majority()) {
    Ballot greatest;
    for (const auto& [from, report] : reports_) {
      if (value && report.accepted <= greatest) continue;
      value = report.value;
      greatest = report.accepted;
    }
    return value;
  }
  if (count < replicas_.majority()) return value;
  for (const auto& [from, report] : reports_) {
    if (report.accepted == ballot) value = report.value;
  }
  return value;
}

bool Learner::split() const {
  const std::size_t missing = replicas_.voters.size() - reports_.size();
  return Leading().second + missing < replicas_.majority();
}

}  // namespace coterie::paxos

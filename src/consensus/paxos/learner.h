#pragma once

#include <map>
#include <optional>

#include "consensus/paxos/messages.h"

namespace coterie::paxos {

/// Reads a register without a ballot: one question to the voters, decided when a majority reports
/// the same accepted ballot. A value; lives for one read.
class Learner {
 public:
  Learner(Replicas replicas, std::uint64_t number)
      : replicas_(std::move(replicas)), number_(number) {}

  Query question() const { return {replicas_.epoch, number_}; }
  void Step(NodeId from, const Report& report);

  /// The value that a majority holds: a linearizable answer.
  std::optional<Value> learned() const;
  /// A majority has answered: the register can be read by a round of ballots now.
  bool heard_majority() const { return reports_.size() >= replicas_.majority(); }
  /// No further report can agree with a majority: only a round of ballots can tell.
  bool split() const;

 private:
  /// The ballot reported most often, and how often.
  std::pair<Ballot, std::size_t> Leading() const;

  Replicas replicas_;
  std::uint64_t number_;
  std::map<NodeId, Report> reports_;
};

}  // namespace coterie::paxos

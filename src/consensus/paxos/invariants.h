#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "consensus/paxos/acceptor.h"

namespace coterie::paxos {

/// Watches all acceptors of one register from outside and checks the numbered invariants of
/// README.md over everything it has ever seen. For tests and simulation: it sees what no node can.
class RegisterInvariants {
 public:
  /// Whether a value may come after `earlier` was decided: it folds in all that `earlier` does.
  using Extends = std::function<bool(const Value& later, const Value& earlier)>;
  explicit RegisterInvariants(Extends extends) : extends_(std::move(extends)) {}

  /// A configuration that is, or will be, in force.
  void Configure(Replicas replicas);
  /// `node`'s durable state after an event on it.
  void Observe(NodeId node, const Acceptor& acceptor, const Register& durable);
  /// "" or a sentence on the first invariant broken so far.
  const std::string& Check() const { return broken_; }
  /// Ballots that a majority of their epoch's voters accepted.
  std::size_t chosen() const { return chosen_.size(); }

 private:
  struct Seen {
    Value value;
    std::set<NodeId> accepted_by;
  };
  void CheckChosen(const Ballot& ballot);
  void Break(NodeId node, std::string_view what);

  Extends extends_;
  std::map<Epoch, Replicas> configurations_;
  std::map<NodeId, Register> last_;
  std::map<NodeId, Epoch> epochs_;
  std::map<Ballot, Seen> seen_;
  std::set<Ballot> chosen_;
  std::string broken_;
};

}  // namespace coterie::paxos

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "consensus/paxos/acceptor.h"
#include "consensus/paxos/invariants.h"
#include "consensus/paxos/learner.h"
#include "consensus/paxos/proposer.h"

namespace coterie::paxos {

/// Plays a text of commands on one register, and writes under each what happened:
///   nodes 1 2 3        these vote in epoch 1
///   epoch 2 1 2 4      from now on these do; every node that is told learns it
///   tell 1 4           nodes that learn the newest epoch
///   change 1 text      node 1 appends text to the value
///   cas 1 a b          node 1 writes b if the value is a
///   read 1             node 1 asks without a ballot
///   lose 1 2           what is under way from 1 to 2 is lost
///   deliver 1 2        what is under way from 1 to 2 arrives, answers do not
///   run                everything under way arrives, with answers, until nothing is
///   crash 1 / start 1  a node stops / comes back with what was durable
///   time               every proposer that waits tries again
///   state              what every acceptor holds
class Scenario {
 public:
  Scenario();
  ~Scenario();
  std::string Play(const std::string& script);
  const std::string& broken() const { return invariants_.Check(); }

 private:
  struct Node {
    Register state;
    Epoch epoch{1};
    bool up = true;
    std::uint16_t incarnation = 1;
    std::unique_ptr<Random> random;
    std::unique_ptr<BallotSource> ballots;
    std::unique_ptr<Proposer> proposer;
    std::optional<Learner> learner;
    std::map<std::uint64_t, std::string> results;
  };
  struct Flight {
    NodeId from, to;
    std::optional<Request> request;
    std::optional<Reply> reply;
  };
  void Start(NodeId id);
  void Command(const std::vector<std::string>& words);
  void Change(NodeId id, ChangeFunction change);
  void OnLink(NodeId from, NodeId to, bool arrives);
  void Deliver(const Flight& flight);
  void Take(NodeId id);
  void Say(const std::string& line) { out_ += "  " + line + "\n"; }

  std::map<NodeId, Node> nodes_;
  std::deque<Flight> flights_;
  Replicas map_;
  Instant now_{};
  std::uint64_t next_query_ = 1;
  RegisterInvariants invariants_;
  std::string out_;
};

}  // namespace coterie::paxos

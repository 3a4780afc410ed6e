#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "consensus/paxos/acceptor.h"
#include "consensus/paxos/invariants.h"
#include "consensus/paxos/learner.h"
#include "consensus/paxos/proposer.h"

namespace coterie::paxos {

/// How likely each kind of event is, relative to the others; drawn anew for each seed so that some
/// runs have many crashes, some none (swarm testing).
struct Weights {
  std::uint64_t deliver = 600, duplicate = 8, drop = 12, replay = 8, disk = 250, time = 70;
  std::uint64_t begin = 30, crash = 1, restart = 10, learn_map = 60, move = 25, give_up = 1;
};

/// One register on bare cores over a network that loses, repeats, delays and reorders, on disks
/// that keep only what was synced. Its value is the list of all changes ever decided, so an answer
/// tells the whole history it rests on: lists must extend one another in real-time order. One seed
/// is one run.
class SimulatedRegister {
 public:
  explicit SimulatedRegister(std::uint64_t seed);
  ~SimulatedRegister();

  /// `steps` random events, then faults end and every node must read the same. "" or what went
  /// wrong.
  std::string Run(int steps);

  bool trace = false;
  struct Coverage {
    std::uint64_t decided = 0, one_trip = 0, kept = 0, quick_reads = 0, slow_reads = 0, unknown = 0,
                  refused = 0, crashes = 0, moves = 0;
  };
  const Coverage& coverage() const { return coverage_; }
  std::uint64_t digest() const { return digest_; }

 private:
  enum class Kind { kAppend, kAppendIfEven, kRead, kSweep };
  struct Operation {
    Kind kind;
    std::string id;
    std::string floor;  ///< decided before it began
    std::map<std::uint64_t, std::string> results;
  };
  struct Write {
    Register state;
    NodeId to;
    Reply reply;
    bool changed;
  };
  struct Node {
    Node(NodeId node, std::uint64_t seed) : id(node), random(seed) {}
    NodeId id;
    Random random;
    std::uint16_t incarnation = 0;
    bool up = false;
    Register disk, memory;
    Epoch epoch;  ///< durable
    std::deque<Write> writes;
    std::unique_ptr<BallotSource> ballots;
    std::unique_ptr<Proposer> proposer;
    std::optional<Operation> changing;
    std::optional<Operation> reading;
    std::optional<Learner> learner;
  };
  struct Flight {
    NodeId from, to;
    std::optional<Request> request;
    std::optional<Reply> reply;
  };

  void Start(Node& node);
  void Crash(Node& node);
  void LearnMap(Node& node);
  void Begin(Node& node);
  void BeginChange(Node& node, Kind kind);
  void BeginRead(Node& node);
  void AskOrPropose(Node& node);
  void AdvanceRead(Node& node);
  void Take(Node& node);
  void Complete(Node& node, Operation operation, const std::string& result);
  void Deliver(Flight flight);
  void Answer(Node& node, NodeId from, const Request& request);
  void OnReply(Node& node, NodeId from, const Reply& reply);
  void Sync(Node& node);
  void Move();
  void RandomEvent();
  void DeliverOne(int copies);
  void Tick();
  std::string Settle();
  Node& Pick() { return *nodes_[random_.Below(nodes_.size())]; }
  Node& At(NodeId id) { return *nodes_[id.value - 1]; }
  void Fail(std::string what);
  void Note(const std::string& line);

  Random random_;
  Weights weights_;
  Instant now_{};
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Flight> flights_;
  std::vector<Flight> old_flights_;
  Replicas map_;
  NodeId joining_, leaving_;  ///< a move under way
  bool swept_ = false;
  std::string longest_;  ///< the longest list any operation was answered with
  std::set<std::string> never_;
  std::uint64_t next_id_ = 1;
  std::uint64_t next_query_ = 1;
  RegisterInvariants invariants_;
  Coverage coverage_;
  std::string failure_;
  std::uint64_t digest_ = 0;
};

}  // namespace coterie::paxos

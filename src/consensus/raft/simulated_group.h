#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "consensus/raft/invariants.h"
#include "consensus/raft/raft.h"

namespace coterie::raft {

/// How likely each kind of event is, relative to the others; drawn anew for each seed so that some
/// runs have many crashes, some none (swarm testing).
struct Weights {
  std::uint64_t deliver = 200, duplicate = 4, drop = 4, replay = 3;
  std::uint64_t disk = 80, take = 80, time = 35;
  std::uint64_t propose = 16, read = 8, transfer = 1, reconfigure = 2, compact = 4, snapshot = 8;
  std::uint64_t crash = 1, restart = 8, cut = 1, heal = 3, unreachable = 1;
};

/// A group of bare cores over a network that loses, repeats, delays and reorders, on disks that
/// keep only what was synced and some of what was not. One seed is one run; everything checks
/// itself after each event.
class SimulatedGroup {
 public:
  explicit SimulatedGroup(std::uint64_t seed);
  ~SimulatedGroup();

  /// `steps` random events, then all faults end and the group must commit, answer and agree again.
  /// "" or what went wrong.
  std::string Run(int steps);

  /// Turned on to print every event of a failing seed.
  bool trace = false;
  /// What a run covered, to prove that it is not idle.
  struct Coverage {
    std::uint64_t elections = 0, committed = 0, reads = 0, snapshots = 0, changes = 0, crashes = 0,
                  transfers = 0;
  };
  const Coverage& coverage() const { return coverage_; }
  /// Depends on every event of the run.
  std::uint64_t digest() const { return digest_; }

 private:
  /// What survives a crash.
  struct Disk {
    HardState hard;
    LogIndex compacted;
    Term compacted_term;
    Configuration configuration;
    std::vector<EntryPtr> entries;
    LogIndex applied;
  };
  struct Write {
    std::uint64_t persist_id;
    std::optional<HardState> hard;
    std::vector<EntryPtr> entries;
    std::optional<InstallSnapshot> install;
    std::vector<Envelope> after;
  };
  struct Node {
    Node(NodeId node, std::uint64_t seed) : id(node), random(seed) {}
    NodeId id;
    Random random;
    Disk disk;
    std::unique_ptr<Raft> raft;  ///< null: crashed
    std::deque<Write> writes;
    LogIndex applied;
    std::map<ReadId, LogIndex> reads;  ///< floor of each read under way
  };
  struct Flight {
    NodeId from, to;
    Message message;
  };
  struct Stream {
    NodeId from, to;
    InstallSnapshot snapshot;
  };

  void Start(Node& node);
  void Crash(Node& node);
  void ApplyWrite(Disk& disk, const Write& write);
  void CompleteWrite(Node& node);
  void Take(Node& node);
  void Apply(Node& node, const Output& output);
  void Observe(Node& node);
  void Send(NodeId from, std::vector<Envelope>& envelopes);
  void Deliver(Flight flight);
  void BeginStream(Node& leader, NodeId to);
  void FinishStream(std::size_t at, bool ok);
  void TickAll();
  void RandomEvent();
  enum class Fate { kDeliver, kDuplicate, kDrop };
  void DeliverOne(Fate fate);
  void Compact(Node& node);
  void Replay();
  void CheckMatches(Node& leader);
  void CheckPromises(const Node& node, const std::vector<Envelope>& envelopes);
  void Reconfigure(Node& node);
  void Read(Node& node);
  void Propose(Node& node);
  void CutRandomly();
  bool IsCut(NodeId from, NodeId to) const { return cut_.contains({from, to}); }
  Node& Pick();
  Node* PickLeader();
  Node* Find(NodeId id);
  void SettleOnce();
  std::string Settle();
  bool Agreed();
  void Fail(std::string what);
  void Note(const std::string& line);

  Random random_;
  Weights weights_;
  Config config_;
  Instant now_{};
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Flight> flights_;
  std::vector<Flight> old_flights_;  ///< delivered or lost once, may come again much later
  std::vector<Stream> streams_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  bool eager_ = false;                  ///< outputs are taken at once
  std::vector<std::uint64_t> applied_;  ///< what each index was applied as, by whoever was first
  std::uint64_t next_read_ = 1;
  std::uint64_t next_value_ = 1;
  ClusterInvariants invariants_;
  Coverage coverage_;
  std::string failure_;
  std::uint64_t digest_ = 0;
};

}  // namespace coterie::raft

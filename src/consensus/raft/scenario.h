#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "consensus/raft/invariants.h"
#include "consensus/raft/raft.h"

namespace coterie::raft {

/// Plays a text scenario over bare cores and answers what happened, a line per visible event.
/// Commands, one a line (`#` starts a comment that is kept):
///
///     group 1 2 3 [learners 4] [spare 5]   new replicas; spares know the group but are not in it
///     narrow               (before group) one entry a message, one message under way
///     notices MS           (before group) how long a commit index waits for entries to go with
///     timeout N            N's election deadline passes
///     heartbeat N          N's heartbeat is due; `notice N`: its word of what is committed
///     pass MS              time moves; only due ticks run
///     propose N TEXT [elsewhere]     (its client waits at another replica)
///     change N VOTERS [learners L] | transfer N TO | read N ID | compact N INDEX
///     deliver FROM TO [COUNT]   the oldest messages on a link; `drop` loses them, `repeat` copies
///     the
///                          oldest one and delivers the copy, `last FROM TO` overtakes with the
///                          newest one
///     persist N [ID]       N's disk finishes its writes (up to ID); `hold N` stops automatic
///     finishing free N               N's disk finishes by itself again snapshot FROM TO     the
///     wanted state arrives; `snapshot_lost FROM TO` cut A B ... | heal   the named nodes against
///     the rest crash N | restart N | forget N (it is down, and its log is gone) | unreachable N
///     PEER run                  deliver and persist
///     until nothing is left state                one line per replica quiet / loud         whether
///     messages are printed
class Scenario {
 public:
  Scenario();
  ~Scenario();
  /// The commands with what each one caused, indented under it.
  std::string Play(std::string_view script);
  /// "" or the first broken promise.
  const std::string& broken() const { return broken_; }

 private:
  struct Disk {
    HardState hard;
    LogIndex compacted;
    Term compacted_term;
    Configuration configuration;
    std::vector<EntryPtr> entries;
    LogIndex applied;
  };
  struct Node {
    explicit Node(NodeId node) : id(node), random(node.value) {}
    NodeId id;
    Random random;
    Disk disk;
    std::unique_ptr<Raft> raft;
    std::deque<Output> writes;
    bool held = false;
    LogIndex applied;
    std::set<NodeId> wanted;
  };
  using Words = std::vector<std::string>;
  using Link = std::pair<NodeId, NodeId>;

  void Command(const Words& words);
  bool GroupCommand(const Words& words);
  bool ClientCommand(const Words& words);
  bool NetworkCommand(const Words& words);
  bool MachineCommand(const Words& words);
  void Start(Node& node);
  void Settle(Node& node);
  void Take(Node& node);
  void Persist(Node& node, std::uint64_t up_to);
  void Send(NodeId from, const std::vector<Envelope>& envelopes);
  void Hand(NodeId from, NodeId to, const Message& message);
  void RunAll();
  void Snapshot(Node& from, Node& to, bool ok);
  void State();
  void Say(const std::string& line);
  Node& At(const std::string& word);

  Instant now_{};
  std::map<NodeId, std::unique_ptr<Node>> nodes_;
  std::map<Link, std::deque<Message>> links_;
  std::set<Link> cut_;
  bool loud_ = true;
  Config config_;
  std::string out_;
  ClusterInvariants invariants_;
  std::string broken_;
};

/// "AppendEntries t2 prev 3/1 entries 4..5 commit 3".
std::string Describe(const Message& message);

}  // namespace coterie::raft

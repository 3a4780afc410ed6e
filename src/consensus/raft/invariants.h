#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "consensus/raft/raft.h"

namespace coterie::raft {

/// Watches all replicas of one group from outside and checks the five promises of [Raft fig. 3]
/// over everything it has ever seen: Election Safety, Leader Append-Only, Log Matching, Leader
/// Completeness and State Machine Safety. For tests and simulation: it sees what no replica can.
///
/// Call Observe for a replica after each event on it. An event costs the length of that replica's
/// uncommitted tail; memory grows with the log ever written.
class ClusterInvariants {
 public:
  void Observe(const Raft& raft);
  /// `node` came back from a crash: it may have forgotten what was not durable.
  void OnRestart(NodeId node);
  /// "" or a sentence on the first promise broken so far.
  const std::string& Check() const { return broken_; }

  /// The highest index any replica has committed; a linearizable read must not be older.
  LogIndex committed() const {
    return committed_.empty() ? LogIndex(0) : committed_.rbegin()->first;
  }

 private:
  struct Seen {
    Term previous_term;
    std::uint64_t fingerprint;
  };
  struct Committed {
    Term term;
    Term committed_in;  ///< the term in which it was first seen committed
  };
  struct Watched {
    Term term;
    LogIndex commit;
    Term leading_in;          ///< 0: it does not lead
    std::size_t checked = 0;  ///< position in order_ up to which leader completeness is checked
    LogIndex last;            ///< while leading
  };
  void CheckElection(const Raft& raft, Watched& watched);
  void CheckEntries(const Raft& raft, LogIndex first);
  void CheckCommitted(const Raft& raft, LogIndex first);
  void CheckLeader(const Raft& raft, Watched& watched);
  void Break(const Raft& raft, std::string_view promise, LogIndex index);

  std::map<Term, NodeId> leaders_;
  std::map<std::pair<LogIndex, Term>, Seen> entries_;
  std::map<LogIndex, Committed> committed_;
  std::vector<LogIndex> order_;  ///< committed_'s keys as they were added
  std::map<NodeId, Watched> replicas_;
  std::string broken_;
};

}  // namespace coterie::raft

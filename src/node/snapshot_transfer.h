#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "consensus/raft/messages.h"
#include "node/transport.h"
#include "runtime/scope.h"
#include "storage/engine.h"
#include "storage/snapshot_stream.h"

namespace coterie::node {

class RaftReplica;

/// Where a state came from, kept inside the engine it was installed into: a restart between the
/// switch of engines and the reset of the log finds it there [Raft §7].
struct SnapshotMark {
  LogIndex index;
  Term term;
  raft::Configuration configuration;
};
/// The engine key of the mark. Keys that begin with '\0' are the node's, not the model's.
std::string_view SnapshotMarkKey();
std::string EncodeMark(const SnapshotMark& mark);
std::optional<SnapshotMark> DecodeMark(std::string_view bytes);

/// Moves whole states to replicas that are too far behind for entries, and takes them over.
///
/// Sender: a ReadView of the engine, cut into chunks, one under way at a time; the receiver answers
/// the chunk it wants next, so a transfer goes on where it broke as long as the sender keeps its
/// view. Receiver: builds the state in an engine of its own beside the one that serves; when it is
/// whole and durable the replica stands still, switches engines, and tells its core.
class SnapshotTransfer {
 public:
  explicit SnapshotTransfer(RaftReplica& replica);
  ~SnapshotTransfer();
  void Start();
  /// Gives up what is under way.
  void Stop();
  /// Begins to bring `to` up to date, unless that is under way.
  void Send(NodeId to);
  std::uint64_t sent() const { return sent_; }
  std::uint64_t installed() const { return installed_; }
  std::uint64_t chunks_taken() const { return chunks_taken_; }

 private:
  struct Incoming;

  runtime::Task<void> Stream(NodeId to);
  runtime::Task<Result<LogIndex>> StreamOnce(NodeId to);
  runtime::Task<Result<std::string>> OnChunk(NodeId from, std::string body, Instant deadline);
  runtime::Task<Status> Install(NodeId from, Term term);

  RaftReplica& replica_;
  std::set<NodeId> sending_;
  std::unique_ptr<Incoming> incoming_;
  bool busy_ = false;  // a chunk is being worked on
  std::uint64_t sent_ = 0;
  std::uint64_t installed_ = 0;
  std::uint64_t chunks_taken_ = 0;
  runtime::Scope scope_;
};

}  // namespace coterie::node

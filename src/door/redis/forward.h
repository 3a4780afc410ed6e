#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "door/redis/command.h"
#include "node/control.h"
#include "node/failure_detector.h"
#include "node/leaderless/leaderless.h"
#include "node/transport.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::door::redis {

/// Passes a command to a node that can run it.
class Forwarder {
 public:
  virtual ~Forwarder() = default;
  /// Answers the encoded reply of one of the shard's replicas. With `whole_keyspace` the command is
  /// about all keys of the shard. Errors: kTooFewReplicas, kStaleEpoch, kNotReplica (not applied);
  /// kTimedOut, kConnectionClosed (unknown, for commands that write).
  virtual runtime::Task<Result<std::string>> Forward(placement::Shard shard, Context context,
                                                     OwnedWords words, bool whole_keyspace) = 0;
};

/// A command on its way to another node, as Method::kRedisCommand carries it.
struct ForwardedCommand {
  std::string keyspace;
  ShardId shard;
  Epoch epoch;
  int protocol = 2;
  std::uint32_t read = 0, write = 0;
  bool fresh = false;
  bool whole_keyspace = false;
  std::string operation;
  OwnedWords words;
};
std::string Encode(const ForwardedCommand& command);
/// Error kMalformed. Total on any input; makes nothing larger than the input.
Result<ForwardedCommand> DecodeForwarded(std::string_view body);

/// Both ends of forwarding on one node.
class Router final : public Forwarder {
 public:
  using FindExecutor = std::function<Executor*(const Command&, std::uint8_t kind, Words words)>;
  /// `transport` may be null: a node alone. Registers for Method::kRedisCommand.
  Router(runtime::World& world, NodeId self, node::Control& control, node::Leaderless* leaderless,
         node::Transport* transport, node::FailureDetector* detector, FindExecutor find);

  runtime::Task<Result<std::string>> Forward(placement::Shard shard, Context context,
                                             OwnedWords words, bool whole_keyspace) override;
  /// The same for a command on a raft or paxos keyspace without a replica here; answers the encoded
  /// reply, errors included.
  runtime::Task<std::string> PassOn(Context context, OwnedWords words);
  std::uint64_t forwarded() const { return forwarded_; }

  /// Runs here what another node passed on. Errors: kMalformed, kStaleEpoch, kNoKeyspace.
  runtime::Task<Result<std::string>> Serve(std::string body, Instant deadline);

 private:
  /// A command on its way: of whom it was asked, and what came.
  struct Asking {
    explicit Asking(runtime::Executor& executor) : changed(executor) {}
    ShardId shard;
    std::string body;
    std::vector<NodeId> replicas;
    bool writes = false;
    Duration patience{};
    Instant deadline{};
    std::set<NodeId> waiting;
    std::optional<std::string> answer;
    std::optional<Error> last;
    runtime::Notification changed;
  };
  runtime::Task<Result<std::string>> AskOneOf(Asking* asking);
  runtime::Task<void> AskFor(Asking* asking, NodeId node);
  bool IsSuspected(NodeId node) const;
  runtime::Task<Result<std::string>> Ask(NodeId to, std::string body, Instant deadline);
  /// Active replicas elsewhere, the best to ask first.
  std::vector<NodeId> OthersOf(const placement::Keyspace& keyspace,
                               const placement::Shard& shard) const;

  runtime::World& world_;
  const NodeId self_;
  node::Control& control_;
  node::Leaderless* leaderless_;
  node::Transport* transport_;
  node::FailureDetector* detector_;
  FindExecutor find_;
  std::uint64_t forwarded_ = 0;
  /// Who answered last for a shard: asked first as long as it is not suspected.
  std::map<ShardId, NodeId> preferred_;
};

}  // namespace coterie::door::redis

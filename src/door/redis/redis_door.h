#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/time.h"
#include "door/redis/command.h"
#include "runtime/network.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::node {
class Control;
class FailureDetector;
class Leaderless;
class Transport;
}  // namespace coterie::node

namespace coterie::door::redis {

/// Bounds and times of the door.
struct RedisDoorLimits {
  std::size_t connections_max = 10000;  ///< over it: "-ERR max number of clients reached"
  std::size_t bulk_bytes_max = 64u << 20;
  std::size_t input_bytes_max = 1u << 30;    ///< unparsed, of all connections
  std::size_t batch_bytes_max = 256u << 10;  ///< of replies before they are written
  std::size_t batch_commands_max = 4096;     ///< begun before others have their turn
  std::size_t push_bytes_max = 64u << 20;    ///< unwritten messages of a subscriber
  /// Replies that a client has not taken: over it, it is not read.
  std::size_t output_bytes_max = 64u << 20;
  /// The same of all connections: over it, each may have batch_bytes_max.
  std::size_t all_output_bytes_max = 1u << 30;
  /// A client that is not read and takes nothing for so long is disconnected.
  Duration output_patience = 60s;
  Duration request_timeout = 5s;
};

/// What the door stands on. All outlive it.
struct RedisDoorOptions {
  NodeId self;
  node::Control* control = nullptr;        ///< never null
  node::Leaderless* leaderless = nullptr;  ///< null: this node has no leaderless keyspaces
  node::Transport* transport = nullptr;    ///< null: a node alone
  Executor* ordered = nullptr;             ///< raft and paxos keyspaces; null: refused
  /// Conditional commands (SET NX, GETSET, ...) on lww keyspaces, in an order that their writers
  /// agree on; null: refused.
  Executor* conditional = nullptr;
  node::FailureDetector* detector = nullptr;  ///< null: replicas are asked in the order given
  RedisDoorLimits limits;
  std::string version = "7.0.15";  ///< of Redis, as INFO and HELLO tell it: clients switch by it
};

/// Figures for /metrics.
struct RedisDoorStats {
  std::size_t connections = 0;
  std::uint64_t connections_total = 0;
  std::uint64_t refused = 0;  ///< connections over the bound
  std::uint64_t untaken = 0;  ///< connections ended because their output was not taken
  std::uint64_t commands = 0;
  std::uint64_t errors = 0;  ///< error replies
  std::uint64_t input_bytes = 0;
  std::uint64_t output_bytes = 0;
  std::uint64_t messages = 0;   ///< PUBLISH, here and from other nodes
  std::uint64_t forwarded = 0;  ///< commands passed to other nodes
};

/// Serves the Redis protocol (RESP2 and RESP3) for every keyspace that has a database number.
/// README.md lists what is served where. Registers its handlers with `transport`: make it before
/// Transport::Start, and destroy it after Transport::Stop.
class RedisDoor {
 public:
  RedisDoor(runtime::World& world, RedisDoorOptions options);
  ~RedisDoor();
  RedisDoor(const RedisDoor&) = delete;

  /// Accepts from `listener` until destroyed or drained. May be called for several.
  void Serve(std::unique_ptr<runtime::Listener> listener);
  /// Accepts no more and ends each connection when its commands under way are answered; at
  /// `deadline` all that are left.
  runtime::Task<void> Drain(Instant deadline);
  /// Has a node with a replica of the keyspace run the command: OrderedCommands::Parts::pass_on.
  runtime::Task<std::string> PassOn(Context context, OwnedWords words);
  RedisDoorStats stats() const;

 private:
  std::unique_ptr<struct DoorState> state_;
};

}  // namespace coterie::door::redis

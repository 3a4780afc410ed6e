#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "door/redis/cell_commands.h"
#include "door/redis/cluster_subscribers.h"
#include "door/redis/connection.h"
#include "door/redis/forward.h"
#include "door/redis/publish.h"
#include "door/redis/redis_door.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::door::redis {

/// What the connections of one door share.
struct DoorState {
  DoorState(runtime::World& the_world, RedisDoorOptions the_options);

  runtime::Task<void> Accept(std::shared_ptr<runtime::Listener> listener);
  runtime::Task<void> ServeConnection(std::unique_ptr<runtime::Stream> stream);
  runtime::Task<void> Refuse(std::unique_ptr<runtime::Stream> stream);
  runtime::Task<void> Drain(Instant deadline);

  /// Who runs `command` on a keyspace of `kind`; null: it is refused.
  Executor* ExecutorOf(const Command& command, std::uint8_t kind, Words words) const;
  /// "use a raft keyspace, e.g. `main` (SELECT 0)", for a command that the keyspace refuses; "" if
  /// no keyspace of the cluster serves it.
  std::string HintFor(const Command& command, const placement::ClusterMap& map) const;

  runtime::World& world;
  const RedisDoorOptions options;
  const Instant started;
  RedisDoorStats stats;
  std::size_t input_bytes = 0;   // capacity of large input buffers
  std::size_t output_bytes = 0;  // of large outputs that are not taken
  std::optional<Instant> http_told_at;  // when the log was last told of a browser
  std::uint64_t next_client = 1;
  std::map<std::string, std::string, std::less<>> config;  // as CONFIG GET answers
  std::map<std::uint64_t, Connection*> connections;
  bool draining = false;
  Publisher publisher;
  ClusterSubscribers subscribers;
  Router router;
  std::unique_ptr<CellCommands> cells;
  std::unique_ptr<Executor> conditional;  // options.conditional, where the key has a replica
  runtime::Notification ended;
  runtime::Scope acceptors;
  runtime::Scope serving;  // last: its tasks use everything above
};

/// Answers a command of the connection itself. False: it is for the keyspace's executor.
bool RunDoorCommand(DoorState& door, Connection& connection, Words words, Reply& reply);

// One file each (client_commands.cc, server_commands.cc, coterie_commands.cc, publish.cc).
void RunHello(DoorState& door, Connection& connection, Words words, Reply& reply);
void RunClient(DoorState& door, Connection& connection, Words words, Reply& reply);
void RunConfig(DoorState& door, Words words, Reply& reply);
void RunServerCommand(DoorState& door, Words words, Reply& reply, CommandId id);
void RunInfo(DoorState& door, Words words, Reply& reply);
void RunCommandCommand(Words words, Reply& reply);
bool RunCoterie(DoorState& door, Connection& connection, Words words, Reply& reply);
void RunPubSubCommand(DoorState& door, Connection& connection, Words words, Reply& reply);

/// The settings that CONFIG GET tells, as this node stands.
std::map<std::string, std::string, std::less<>> InitialConfig(const RedisDoorOptions& options);
/// "unknown subcommand ..." as Redis words it.
void UnknownSubcommand(Words words, Reply& reply);
void WrongArguments(std::string_view command, Reply& reply);

}  // namespace coterie::door::redis

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "keyspace/promise.h"

namespace coterie::door::redis {

/// Every command the door knows by name, served or refused (commands.inc).
enum class CommandId : std::uint8_t {
#define COT_COMMAND(id, ...) id,
#include "door/redis/commands.inc"
#undef COT_COMMAND
};

// What a command is, as COMMAND INFO tells it.
enum CommandFlags : std::uint32_t {
  kRead = 1,    ///< "readonly"
  kWrite = 2,   ///< "write"
  kOom = 4,     ///< "denyoom"
  kFast = 8,    ///< "fast"
  kAdmin = 16,  ///< "admin"
  kPubSub = 32,
  kBlocking = 64,
  kNoScript = 128,
  kMovable = 256,      ///< "movablekeys": the keys' places depend on an argument
  kSubscribed = 4096,  ///< allowed to a RESP2 connection that has subscriptions
};

// Who serves a command.
enum CommandKinds : std::uint8_t {
  kNobody = 0,
  kDoor = 1,  ///< the connection itself, whatever the keyspace
  kCrdt = 2,
  kLww = 4,
  kSiblings = 8,
  kRaft = 16,
  kPaxos = 32,
  kLeaderless = kCrdt | kLww | kSiblings,
  kOrdered = kRaft | kPaxos,
  kAll = kLeaderless | kOrdered,
};
std::uint8_t KindOf(const keyspace::Promise& promise);
/// "crdt", "lww", "siblings", "raft" or "paxos".
std::string_view KindText(std::uint8_t kind);

/// Why leaderless keyspaces do not serve a command.
enum class Refusal : std::uint8_t {
  kPlain,        ///< they do, or there is nothing to say but that the kind does not
  kDecides,      ///< conditional writes
  kGivesOut,     ///< pops
  kComputes,     ///< a write computed from what is read
  kOneOrder,     ///< lists
  kOneConsumer,  ///< consumer groups
  kOneStep,      ///< transactions, scripts
  kSerialized,   ///< DUMP
  kRedisOnly,    ///< administration of a Redis server; nobody serves it
  kNotServed,    ///< nobody serves it in this version
};

struct Command {
  CommandId id;
  std::string_view name;   ///< lower case
  int arity;               ///< words, the name included; negative: at least so many
  std::uint32_t flags;     ///< CommandFlags
  int first, last, step;   ///< where its keys are, as in COMMAND INFO; first 0: none
  std::string_view group;  ///< as COMMAND DOCS names it
  std::uint8_t kinds;      ///< CommandKinds that serve it
  Refusal refusal;
  bool AcceptsWords(std::size_t n) const {
    return arity >= 0 ? n == static_cast<std::size_t>(arity)
                      : n >= static_cast<std::size_t>(-arity);
  }
};

/// In the order of commands.inc: the row of an id is at its number.
std::span<const Command> AllCommands();
/// The row named `name`, in any case; nullptr: no such command. Allocates nothing.
const Command* FindCommand(std::string_view name);
inline const Command& RowOf(CommandId id) { return AllCommands()[static_cast<std::size_t>(id)]; }

struct Subcommand {
  CommandId command;
  std::string_view name;  ///< lower case
  int arity;              ///< words, both names included; negative: at least so many
};
/// Those of a command, in order; empty: it has none, or checks them itself.
std::span<const Subcommand> SubcommandsOf(CommandId command);
/// Redis's error, without its leading '-', if the words behind a command's name are none of its
/// subcommands, or too few or many for it; "": they are, or the command has none.
std::string SubcommandError(const Command& command, std::span<const std::string_view> words);

/// Why a keyspace of `kind` does not serve `command`, as an error reply without its leading '-'.
/// `hint` says where it is served ("use a raft keyspace, e.g. SELECT 1"); may be "".
std::string RefusalOf(const Command& command, std::uint8_t kind, std::string_view hint);

}  // namespace coterie::door::redis

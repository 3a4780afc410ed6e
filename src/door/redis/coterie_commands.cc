#include <fmt/format.h>

#include <algorithm>

#include "door/redis/door_state.h"
#include "door/redis/text.h"
#include "keyspace/explain.h"
#include "node/control.h"

namespace coterie::door::redis {
namespace {

constexpr std::string_view kHelp[] = {
    "COTERIE <subcommand> [<arg> ...]. Subcommands are:",
    "USE <keyspace>",
    "    Make it this connection's keyspace, as SELECT does by number.",
    "KEYSPACE",
    "    This connection's keyspace and its promise.",
    "EXPLAIN",
    "    What may be observed in it, and under which faults it stops answering.",
    "READ <n> | WRITE <n>",
    "    Replicas that this connection's reads (writes) wait for; 0: as the keyspace declares.",
    "FRESH ON|OFF",
    "    Read streams up to the newest entry here, though older ones may still arrive.",
    "ID <operation> INCR|DECR|INCRBY|DECRBY <key> [<amount>]",
    "    Add once, however often it is sent under that name (1 to 64 bytes).",
    "SIBLINGS <key>",
    "    All concurrent values of a key, and the context to supersede them with.",
    "RESOLVE <key> <context> <value>",
    "    Replace the values that the context has seen.",
    "CONFLICTS",
    "    Acknowledged values that lost a last-writer-wins race, newest first.",
    "DELIF <key> <value>",
    "    Remove the key if it holds that string: 1, else 0. How a lock is released.",
    "PEXPIREIF <key> <value> <milliseconds>",
    "    Set its time to live if it holds that string: 1, else 0. How a lock is prolonged.",
    "HELP",
    "    This text.",
};

/// The connection's keyspace as it is now; null, and an error in `reply`, if there is none.
const placement::Keyspace* Current(Connection& connection, Reply& reply) {
  connection.RefreshKeyspace();
  if (connection.context().keyspace == nullptr)
    reply.Error(Error{ErrorCode::kNoKeyspace, Outcome::kNotApplied,
                      fmt::format("No keyspace has database {}.", connection.database)});
  return connection.context().keyspace;
}

bool IsLeaderless(const placement::Keyspace& keyspace) {
  return keyspace.promise.replication == keyspace::Replication::kLeaderless;
}

void NeedsLeaderless(std::string_view what, const placement::Keyspace& keyspace, Reply& reply) {
  reply.Error(fmt::format("ERR COTERIE {} is for leaderless keyspaces; `{}` is {}", ToUpper(what),
                          keyspace.promise.name, keyspace::Summary(keyspace.promise)));
}

void Quorum(Connection& connection, Words words, Reply& reply) {
  const placement::Keyspace* keyspace = Current(connection, reply);
  if (keyspace == nullptr) return;
  if (!IsLeaderless(*keyspace)) return NeedsLeaderless(words[1], *keyspace, reply);
  const auto n = ParseInteger(words[2]);
  if (!n || *n < 0 || *n > keyspace->promise.replicas)
    return reply.Error(fmt::format("ERR {} is a number of replicas, 0 to {}", ToUpper(words[1]),
                                   keyspace->promise.replicas));
  const auto value = static_cast<std::uint32_t>(*n);
  Context& context = connection.context();
  if (IsWord(words[1], "read")) {
    connection.SetQuorums(value, context.write);
  } else {
    connection.SetQuorums(context.read, value);
  }
  reply.Ok();
}

void Conflicts(const DoorState& door, const placement::Keyspace& keyspace, Reply& reply) {
  const auto conflicts = door.options.leaderless->conflicts(keyspace);
  reply.Map(2);
  reply.Bulk("count");
  reply.Integer(static_cast<std::int64_t>(conflicts.count));
  reply.Bulk("newest");
  reply.Array(conflicts.newest.size());
  for (const cells::Conflict& lost : conflicts.newest) {
    reply.Map(6);
    reply.Bulk("key");
    reply.Bulk(lost.key);
    reply.Bulk("element");
    reply.Bulk(lost.element);
    reply.Bulk("value");
    reply.Bulk(lost.value);
    reply.Bulk("dot");
    reply.Bulk(clock::ToText(lost.dot));
    reply.Bulk("unix_ms");
    reply.Integer(static_cast<std::int64_t>(clock::PhysicalMs(lost.time)));
    reply.Bulk("winner");
    reply.Bulk(clock::ToText(lost.winner));
  }
}

void TellKeyspace(Connection& connection, Reply& reply) {
  const placement::Keyspace* keyspace = Current(connection, reply);
  if (keyspace == nullptr) return;
  const Context& context = connection.context();
  reply.Map(7);
  reply.Bulk("name");
  reply.Bulk(keyspace->promise.name);
  reply.Bulk("database");
  reply.Integer(keyspace->promise.redis_database);
  reply.Bulk("promise");
  reply.Bulk(keyspace::Summary(keyspace->promise));
  reply.Bulk("shards");
  reply.Integer(static_cast<std::int64_t>(keyspace->shards.size()));
  reply.Bulk("read");
  reply.Integer(context.read);
  reply.Bulk("write");
  reply.Integer(context.write);
  reply.Bulk("fresh");
  reply.Boolean(context.fresh);
}

/// COTERIE ID: names the addition that the rest of the words are. False: run them.
bool Identify(Connection& connection, Words words, Reply& reply) {
  const placement::Keyspace* keyspace = Current(connection, reply);
  if (keyspace == nullptr) return true;
  const Command* row = FindCommand(words[3]);
  const bool addition =
      row != nullptr && (row->id == CommandId::kIncr || row->id == CommandId::kDecr ||
                         row->id == CommandId::kIncrby || row->id == CommandId::kDecrby);
  if (!addition || KindOf(keyspace->promise) != kCrdt) {
    reply.Error("ERR COTERIE ID is for INCR, DECR, INCRBY and DECRBY in crdt keyspaces");
  } else if (words[2].empty() || words[2].size() > 64) {
    reply.Error("ERR an operation's name has 1 to 64 bytes");
  } else {
    connection.context().operation = words[2];
    return false;
  }
  return true;
}

void Fresh(Connection& connection, std::string_view word, Reply& reply) {
  if (!IsWord(word, "on") && !IsWord(word, "off"))
    return reply.Error("ERR syntax error: COTERIE FRESH ON|OFF");
  connection.context().fresh = IsWord(word, "on");
  reply.Ok();
}

}  // namespace

bool RunCoterie(DoorState& door, Connection& connection, Words words, Reply& reply) {
  const auto is = [&](std::string_view name, std::size_t size) {
    return words.size() == size && IsWord(words[1], name);
  };
  if (IsWord(words[1], "delif") || IsWord(words[1], "pexpireif")) return false;
  if (IsWord(words[1], "id") && words.size() >= 5) return Identify(connection, words, reply);
  if (is("siblings", 3) || is("resolve", 5)) {
    const placement::Keyspace* keyspace = Current(connection, reply);
    if (keyspace == nullptr) return true;
    if (IsLeaderless(*keyspace) && door.cells != nullptr) return false;
    NeedsLeaderless(words[1], *keyspace, reply);
  } else if (is("use", 3)) {
    if (connection.UseKeyspace(words[2])) {
      reply.Ok();
    } else {
      reply.Error(Error{ErrorCode::kNoKeyspace, Outcome::kNotApplied, std::string(words[2])});
    }
  } else if (is("keyspace", 2)) {
    TellKeyspace(connection, reply);
  } else if (is("explain", 2)) {
    if (const placement::Keyspace* keyspace = Current(connection, reply))
      reply.Verbatim(keyspace::ToText(keyspace::Explain(keyspace->promise)));
  } else if (is("read", 3) || is("write", 3)) {
    Quorum(connection, words, reply);
  } else if (is("fresh", 3)) {
    Fresh(connection, words[2], reply);
  } else if (is("conflicts", 2)) {
    const placement::Keyspace* keyspace = Current(connection, reply);
    if (keyspace == nullptr) return true;
    if (IsLeaderless(*keyspace) && door.cells != nullptr) {
      Conflicts(door, *keyspace, reply);
    } else {
      NeedsLeaderless(words[1], *keyspace, reply);
    }
  } else if (is("help", 2)) {
    reply.Array(std::size(kHelp));
    for (const std::string_view line : kHelp) reply.Simple(line);
  } else {
    UnknownSubcommand(words, reply);
  }
  return true;
}

}  // namespace coterie::door::redis

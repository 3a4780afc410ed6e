#include <fmt/format.h>

#include <algorithm>

#include "door/redis/door_state.h"
#include "door/redis/text.h"
#include "node/control.h"

namespace coterie::door::redis {
namespace {

std::string Number(auto n) { return fmt::format("{}", n); }

void Memory(Words words, Reply& reply) {
  if (IsWord(words[1], "doctor")) {
    return reply.Bulk("Memory is bounded by the node's configuration: see `coterie status`.");
  }
  if (IsWord(words[1], "usage"))
    return reply.Error(
        "ERR MEMORY USAGE is not served: a key's cells are kept on disk, and in a "
        "cache that all keys share");
  reply.Error(fmt::format("ERR MEMORY {} is not served", ToUpper(words[1])));
}

void SlowLog(Words words, Reply& reply) {
  if (IsWord(words[1], "len")) return reply.Integer(0);
  if (IsWord(words[1], "reset")) return reply.Ok();
  const auto count = words.size() > 2 ? ParseInteger(words[2]) : 10;
  if (!count || *count < -1) return reply.Error("ERR count should be greater than or equal to -1");
  reply.Array(0);
}

void Latency(Words words, Reply& reply) {
  if (IsWord(words[1], "latest") || IsWord(words[1], "history")) return reply.Array(0);
  if (IsWord(words[1], "reset")) return reply.Integer(0);
  reply.Error(fmt::format("ERR LATENCY {} is not served", ToUpper(words[1])));
}

/// There are no functions and scripts: what is asked of all of them is answered.
void Scripts(Words words, Reply& reply) {
  if (IsWord(words[1], "flush")) {
    const bool fits =
        words.size() == 2 ||
        (words.size() == 3 && (IsWord(words[2], "async") || IsWord(words[2], "sync")));
    if (fits) return reply.Ok();
    return reply.Error(
        fmt::format("ERR {} FLUSH only supports SYNC|ASYNC option", ToUpper(words[0])));
  }
  if (IsWord(words[1], "kill")) return reply.Error("NOTBUSY No scripts in execution right now.");
  if (IsWord(words[1], "exists")) {
    reply.Array(words.size() - 2);
    for (std::size_t i = 2; i < words.size(); ++i) reply.Integer(0);
    return;
  }
  if (IsWord(words[1], "list")) return reply.Array(0);
  reply.Error(fmt::format("ERR {} {} is not served: no keyspace runs scripts", ToUpper(words[0]),
                          ToUpper(words[1])));
}

/// HELP of a command with subcommands.
void Help(const Command& command, Reply& reply) {
  const auto all = SubcommandsOf(command.id);
  reply.Array(all.size() + 1);
  reply.Simple(fmt::format("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                           ToUpper(command.name)));
  for (const Subcommand& one : all) reply.Simple(ToUpper(one.name));
}

void Time(DoorState& door, Reply& reply) {
  const WallInterval now = door.world.WallNow();
  const std::int64_t us = (now.earliest_ns / 2 + now.latest_ns / 2) / 1000;
  reply.Array(2);
  reply.Bulk(Number(us / 1000000));
  reply.Bulk(Number(us % 1000000));
}

std::uint64_t KeysHere(const DoorState& door, const placement::Keyspace& keyspace) {
  std::uint64_t keys = 0;
  if (door.options.leaderless == nullptr) return 0;
  for (const placement::Shard& shard : keyspace.shards)
    if (door.options.leaderless->Serves(shard))
      keys += door.options.leaderless->store().KeyCount(shard.id);
  return keys;
}

std::string InfoSection(const DoorState& door, std::string_view section) {
  const RedisDoorStats& stats = door.stats;
  const auto uptime =
      std::chrono::duration_cast<std::chrono::seconds>(door.world.Now() - door.started).count();
  if (section == "server") {
    return fmt::format(
        "# Server\r\nredis_version:{}\r\nredis_mode:standalone\r\nserver_name:coterie\r\n"
        "node_id:{}\r\narch_bits:64\r\nuptime_in_seconds:{}\r\nuptime_in_days:{}\r\n",
        door.options.version, door.options.self.value, uptime, uptime / 86400);
  }
  if (section == "clients") {
    const auto subscribed =
        std::ranges::count_if(door.connections, [](auto& c) { return c.second->subscribed(); });
    return fmt::format(
        "# Clients\r\nconnected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\n"
        "pubsub_clients:{}\r\n",
        door.connections.size(), door.options.limits.connections_max, subscribed);
  }
  if (section == "memory") {
    std::size_t buffers = 0;
    for (const auto& [id, client] : door.connections)
      buffers += client->input_capacity() + client->output_bytes();
    return fmt::format(
        "# Memory\r\nclient_buffers_bytes:{}\r\nmaxmemory:0\r\n"
        "maxmemory_policy:noeviction\r\n",
        buffers);
  }
  if (section == "persistence") return "# Persistence\r\nloading:0\r\nasync_loading:0\r\n";
  if (section == "stats") {
    return fmt::format(
        "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\n"
        "total_net_input_bytes:{}\r\ntotal_net_output_bytes:{}\r\nrejected_connections:{}\r\n"
        "total_error_replies:{}\r\nforwarded_commands:{}\r\npubsub_patterns:{}\r\n"
        "published_messages:{}\r\n",
        stats.connections_total, stats.commands, stats.input_bytes, stats.output_bytes,
        stats.refused, stats.errors, door.router.forwarded(), door.publisher.patterns(),
        door.publisher.messages());
  }
  if (section == "replication") {
    return "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n";
  }
  if (section == "cluster") return "# Cluster\r\ncluster_enabled:0\r\n";
  if (section == "keyspace") {
    std::string text = "# Keyspace\r\n";
    std::map<std::uint32_t, std::string> lines;
    for (const auto& [name, keyspace] : door.options.control->map()->keyspaces) {
      const std::uint64_t keys = KeysHere(door, keyspace);
      if (keys > 0)
        lines[keyspace.promise.redis_database] = fmt::format("db{}:keys={},expires=0,avg_ttl=0\r\n",
                                                             keyspace.promise.redis_database, keys);
    }
    for (const auto& [database, line] : lines) text += line;
    return text;
  }
  return "";
}

}  // namespace

void RunInfo(DoorState& door, Words words, Reply& reply) {
  constexpr std::string_view kSections[] = {"server", "clients",     "memory",  "persistence",
                                            "stats",  "replication", "cluster", "keyspace"};
  std::string text;
  for (const std::string_view section : kSections) {
    const bool wanted =
        words.size() == 1 || std::ranges::any_of(words.subspan(1), [&](std::string_view word) {
          return IsWord(word, section) || IsWord(word, "all") || IsWord(word, "everything") ||
                 IsWord(word, "default");
        });
    if (!wanted) continue;
    if (!text.empty()) text += "\r\n";
    text += InfoSection(door, section);
  }
  reply.Verbatim(text);
}

void RunServerCommand(DoorState& door, Words words, Reply& reply, CommandId id) {
  if (words.size() == 2 && IsWord(words[1], "help")) return Help(RowOf(id), reply);
  switch (id) {
    case CommandId::kConfig:
      return RunConfig(door, words, reply);
    case CommandId::kInfo:
      return RunInfo(door, words, reply);
    case CommandId::kCommand:
      return RunCommandCommand(words, reply);
    case CommandId::kTime:
      return Time(door, reply);
    case CommandId::kMemory:
      return Memory(words, reply);
    case CommandId::kSlowlog:
      return SlowLog(words, reply);
    case CommandId::kLatency:
      return Latency(words, reply);
    case CommandId::kRole:
      reply.Array(3);
      reply.Bulk("master");
      reply.Integer(0);
      return reply.Array(0);
    case CommandId::kAcl:
      if (IsWord(words[1], "whoami")) return reply.Bulk("default");
      return reply.Error("ERR ACL is refused: this node has no users");
    case CommandId::kFunction:
    case CommandId::kScript:
      return Scripts(words, reply);
    case CommandId::kAsking:
    case CommandId::kReadonly:
    case CommandId::kReadwrite:
    case CommandId::kCluster:
      return reply.Error("ERR This instance has cluster support disabled");
    case CommandId::kDebug:
      return reply.Error("ERR DEBUG command not allowed.");
    default:
      return reply.Error(fmt::format("ERR {} is not served here", ToUpper(words[0])));
  }
}

}  // namespace coterie::door::redis

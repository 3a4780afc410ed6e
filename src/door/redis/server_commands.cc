#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "door/redis/command_keys.h"
#include "clock/wall_interval.h"
#include "door/redis/door_state.h"
#include "door/redis/text.h"
#include "node/control.h"

namespace coterie::door::redis {
namespace {

std::string Number(auto n) { return fmt::format("{}", n); }

void ConfigGet(const DoorState& door, Words words, Reply& reply) {
  std::vector<std::pair<std::string_view, std::string_view>> found;
  for (const auto& [name, value] : door.config) {
    const bool wanted = std::ranges::any_of(words.subspan(2), [&](std::string_view pattern) {
      return GlobMatch(ToLower(pattern), name);
    });
    if (wanted) found.emplace_back(name, value);
  }
  reply.Map(found.size());
  for (const auto& [name, value] : found) {
    reply.Bulk(name);
    reply.Bulk(value);
  }
}

/// A node's settings are its configuration file's: what is set to what it is already is fine.
void ConfigSet(const DoorState& door, Words words, Reply& reply) {
  for (std::size_t i = 2; i + 1 < words.size(); i += 2) {
    const auto found = door.config.find(ToLower(words[i]));
    if (found == door.config.end())
      return reply.Error(
          fmt::format("ERR Unknown option or number of arguments for CONFIG SET - '{}'", words[i]));
    if (found->second != words[i + 1])
      return reply.Error(
          fmt::format("ERR CONFIG SET failed (possibly related to argument '{}') - "
                      "it is fixed by the node's own configuration",
                      words[i]));
  }
  reply.Ok();
}

std::vector<std::string_view> FlagNames(const Command& row) {
  std::vector<std::string_view> names;
  constexpr std::pair<std::uint32_t, std::string_view> kNames[] = {
      {kRead, "readonly"},     {kWrite, "write"},   {kOom, "denyoom"},
      {kAdmin, "admin"},       {kPubSub, "pubsub"}, {kNoScript, "noscript"},
      {kBlocking, "blocking"}, {kFast, "fast"},     {kMovable, "movablekeys"}};
  for (const auto& [flag, name] : kNames)
    if ((row.flags & flag) != 0) names.push_back(name);
  return names;
}

void CommandInfo(const Command* row, Reply& reply) {
  if (row == nullptr) return reply.NullArray();
  reply.Array(10);
  reply.Bulk(row->name);
  reply.Integer(row->arity);
  const auto flags = FlagNames(*row);
  reply.Set(flags.size());
  for (const std::string_view flag : flags) reply.Simple(flag);
  reply.Integer(row->first);
  reply.Integer(row->last);
  reply.Integer(row->step);
  reply.Set(2);
  reply.Simple((row->flags & kWrite) != 0 ? "@write" : "@read");
  reply.Simple((row->flags & kFast) != 0 ? "@fast" : "@slow");
  reply.Array(0);
  reply.Array(0);
  reply.Array(0);
}

void CommandDocs(const Command& row, Reply& reply) {
  reply.Bulk(row.name);
  reply.Map(3);
  reply.Bulk("summary");
  std::string served;
  for (const std::uint8_t kind : {kRaft, kPaxos, kCrdt, kLww, kSiblings}) {
    if ((row.kinds & (kind | kDoor)) == 0) continue;
    served += (row.kinds & kDoor) != 0 ? "" : (served.empty() ? "in " : ", ");
    if ((row.kinds & kDoor) == 0) served += KindText(kind);
  }
  reply.Bulk((row.kinds & kDoor) != 0 ? "Served by the connection"
                                      : fmt::format("Served {} keyspaces", served));
  reply.Bulk("since");
  reply.Bulk("7.0.0");
  reply.Bulk("group");
  reply.Bulk(row.group);
}

bool Served(const Command& row) { return row.kinds != kNobody; }

void GetKeys(Words words, Reply& reply) {
  const Words of = words.subspan(2);
  const Command* row = FindCommand(of[0]);
  if (row == nullptr) return reply.Error("ERR Invalid command specified");
  if (row->first == 0 && (row->flags & kMovable) == 0)
    return reply.Error("ERR The command has no key arguments");
  if (!row->AcceptsWords(of.size()))
    return reply.Error("ERR Invalid number of arguments specified for command");
  const auto keys = KeyPositions(*row, of);
  if (!keys || keys->empty()) return reply.Error("ERR Invalid arguments specified for command");
  reply.Array(keys->size());
  for (const std::size_t key : *keys) reply.Bulk(of[key]);
}

void Memory(Words words, Reply& reply) {
  if (IsWord(words[1], "doctor") && words.size() == 2) {
    return reply.Bulk("Memory is bounded by the node's configuration: see `coterie status`.");
  }
  if (IsWord(words[1], "usage"))
    return reply.Error(
        "ERR MEMORY USAGE is not served: a key's cells are kept on disk, and in a "
        "cache that all keys share");
  UnknownSubcommand(words, reply);
}

void SlowLog(Words words, Reply& reply) {
  if (IsWord(words[1], "get")) return reply.Array(0);
  if (IsWord(words[1], "len")) return reply.Integer(0);
  if (IsWord(words[1], "reset")) return reply.Ok();
  UnknownSubcommand(words, reply);
}

void Latency(Words words, Reply& reply) {
  if (IsWord(words[1], "latest") || IsWord(words[1], "history")) return reply.Array(0);
  if (IsWord(words[1], "reset")) return reply.Integer(0);
  UnknownSubcommand(words, reply);
}

void Time(DoorState& door, Reply& reply) {
  const std::int64_t us = clock::MiddleUs(door.world.WallNow());
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

std::map<std::string, std::string, std::less<>> InitialConfig(const RedisDoorOptions& options) {
  const RedisDoorLimits& limits = options.limits;
  return {{"appendonly", "yes"},
          {"save", ""},
          {"databases", "16384"},
          {"maxclients", Number(limits.connections_max)},
          {"maxmemory", "0"},
          {"maxmemory-policy", "noeviction"},
          {"proto-max-bulk-len", Number(limits.bulk_bytes_max)},
          {"client-query-buffer-limit", Number(4 * limits.bulk_bytes_max)},
          {"timeout", "0"},
          {"tcp-keepalive", "0"},
          {"cluster-enabled", "no"},
          {"notify-keyspace-events", ""},
          {"requirepass", ""},
          {"slowlog-max-len", "0"},
          {"io-threads", "1"}};
}

void RunConfig(DoorState& door, Words words, Reply& reply) {
  if (IsWord(words[1], "get") && words.size() >= 3) return ConfigGet(door, words, reply);
  if (IsWord(words[1], "set") && words.size() >= 4 && words.size() % 2 == 0)
    return ConfigSet(door, words, reply);
  if (IsWord(words[1], "get") || IsWord(words[1], "set"))
    return WrongArguments("config|" + ToLower(words[1]), reply);
  if (IsWord(words[1], "resetstat") && words.size() == 2) {
    door.stats = RedisDoorStats{};
    return reply.Ok();
  }
  if (IsWord(words[1], "rewrite"))
    return reply.Error("ERR The server is running without a config file");
  UnknownSubcommand(words, reply);
}

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

void RunCommandCommand(Words words, Reply& reply) {
  const auto all = AllCommands();
  const auto served = static_cast<std::size_t>(std::ranges::count_if(all, Served));
  if (words.size() == 1 || (IsWord(words[1], "info") && words.size() == 2)) {
    reply.Array(served);
    for (const Command& row : all)
      if (Served(row)) CommandInfo(&row, reply);
  } else if (IsWord(words[1], "count")) {
    reply.Integer(static_cast<std::int64_t>(served));
  } else if (IsWord(words[1], "info")) {
    reply.Array(words.size() - 2);
    for (const std::string_view name : words.subspan(2)) CommandInfo(FindCommand(name), reply);
  } else if (IsWord(words[1], "docs")) {
    std::vector<const Command*> rows;
    for (const Command& row : all)
      if (words.size() == 2 && Served(row)) rows.push_back(&row);
    for (const std::string_view name : words.subspan(2))
      if (const Command* row = FindCommand(name)) rows.push_back(row);
    reply.Map(rows.size());
    for (const Command* row : rows) CommandDocs(*row, reply);
  } else if (IsWord(words[1], "list") && words.size() == 2) {
    reply.Array(served);
    for (const Command& row : all)
      if (Served(row)) reply.Bulk(row.name);
  } else if (IsWord(words[1], "getkeys")) {
    if (words.size() < 4) return WrongArguments("command|getkeys", reply);
    GetKeys(words, reply);
  } else {
    UnknownSubcommand(words, reply);
  }
}

void RunServerCommand(DoorState& door, Words words, Reply& reply, CommandId id) {
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
    case CommandId::kCluster:
      return reply.Error("ERR This instance has cluster support disabled");
    case CommandId::kDebug:
      return reply.Error("ERR DEBUG command not allowed.");
    default:
      return reply.Error(fmt::format("ERR {} is not served here", ToUpper(words[0])));
  }
}

}  // namespace coterie::door::redis

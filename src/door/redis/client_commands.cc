#include <fmt/format.h>

#include <algorithm>

#include "door/redis/door_state.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

constexpr std::string_view kSyntax = "ERR syntax error";
constexpr std::string_view kNoUsers =
    "ERR AUTH is refused: this node has no users and listens to its own machine only; connect "
    "without a password";

bool IsPlainName(std::string_view name) {
  return std::ranges::all_of(name, [](char c) { return c >= '!' && c <= '~'; });
}

bool IsClientType(std::string_view word) {
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"normal", "pubsub", "master", "replica", "slave"},
      [&](std::string_view type) { return IsWord(word, type); });
}

bool SetName(Connection& connection, std::string_view name, Reply& reply) {
  if (!IsPlainName(name)) {
    reply.Error("ERR Client names cannot contain spaces, newlines or special characters.");
    return false;
  }
  connection.name = name;
  return true;
}

std::int64_t Seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

/// One line of CLIENT LIST.
std::string Describe(const DoorState& door, Connection& client) {
  const Instant now = door.world.Now();
  return fmt::format(
      "id={} addr={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub=0 multi=-1 qbuf={} "
      "qbuf-free={} omem={} tot-mem={} events=r cmd={} user=default redir=-1 resp={} lib-name={} "
      "lib-ver={}\n",
      client.id, client.peer, client.name, Seconds(now - client.since),
      Seconds(now - client.last_command_at), client.subscribed() ? "P" : "N", client.database,
      client.channels.size(), client.patterns.size(), client.input_bytes(),
      client.input_capacity() - client.input_bytes(), client.output_bytes(),
      sizeof(Connection) + client.input_capacity() + client.output_bytes(),
      client.last_command == nullptr ? "NULL" : client.last_command->name,
      client.context().protocol, client.library_name, client.library_version);
}

void List(DoorState& door, Words words, Reply& reply) {
  std::string text;
  if (words.size() >= 4 && IsWord(words[2], "id")) {
    for (const std::string_view word : words.subspan(3)) {
      const auto id = ParseInteger(word);
      if (!id || *id < 1) return reply.Error("ERR Invalid client ID");
      const auto found = door.connections.find(static_cast<std::uint64_t>(*id));
      if (found != door.connections.end()) text += Describe(door, *found->second);
    }
  } else if (words.size() == 4 && IsWord(words[2], "type")) {
    const bool subscribers = IsWord(words[3], "pubsub");
    if (!IsClientType(words[3]))
      return reply.Error(fmt::format("ERR Unknown client type '{:.128}'", words[3]));
    for (const auto& [id, client] : door.connections) {
      const bool listed =
          subscribers ? client->subscribed() : IsWord(words[3], "normal") && !client->subscribed();
      if (listed) text += Describe(door, *client);
    }
  } else if (words.size() == 2) {
    for (const auto& [id, client] : door.connections) text += Describe(door, *client);
  } else {
    return reply.Error(kSyntax);
  }
  reply.Verbatim(text);
}

void End(Connection& self, Connection& client) {
  if (&client == &self) {
    client.CloseAfterReply();
  } else {
    client.Close();
  }
}

/// CLIENT KILL address, and CLIENT KILL <filter> <value> ...
void Kill(DoorState& door, Connection& self, Words words, Reply& reply) {
  if (words.size() == 3) {
    for (const auto& [id, client] : door.connections) {
      if (client->peer != words[2]) continue;
      End(self, *client);
      return reply.Ok();
    }
    return reply.Error("ERR No such client");
  }
  std::optional<std::uint64_t> id;
  std::optional<std::string> address;
  std::optional<bool> subscribers;
  bool skip_me = true;
  bool nobody = false;
  if (words.size() % 2 != 0) return reply.Error(kSyntax);
  for (std::size_t i = 2; i + 1 < words.size(); i += 2) {
    const std::string_view value = words[i + 1];
    if (IsWord(words[i], "id")) {
      const auto number = ParseInteger(value);
      if (!number || *number < 1) return reply.Error("ERR client-id should be greater than 0");
      id = static_cast<std::uint64_t>(*number);
    } else if (IsWord(words[i], "addr")) {
      address = value;
    } else if (IsWord(words[i], "type")) {
      if (!IsClientType(value))
        return reply.Error(fmt::format("ERR Unknown client type '{:.128}'", value));
      const bool served = IsWord(value, "normal") || IsWord(value, "pubsub");
      if (!served) nobody = true;
      subscribers = IsWord(value, "pubsub");
    } else if (IsWord(words[i], "laddr")) {
      nobody = true;  // addresses of ours are not kept
    } else if (IsWord(words[i], "user")) {
      if (value != "default") return reply.Error(fmt::format("ERR No such user '{:.128}'", value));
    } else if (IsWord(words[i], "skipme") && (IsWord(value, "yes") || IsWord(value, "no"))) {
      skip_me = IsWord(value, "yes");
    } else {
      return reply.Error(kSyntax);
    }
  }
  std::int64_t killed = 0;
  for (const auto& [number, client] : door.connections) {
    if (nobody || (id && number != *id)) continue;
    if (address && client->peer != *address) continue;
    if (subscribers && client->subscribed() != *subscribers) continue;
    if (client == &self && skip_me) continue;
    End(self, *client);
    ++killed;
  }
  reply.Integer(killed);
}

void ReplyModeCommand(Connection& connection, std::string_view mode, Reply& reply) {
  if (IsWord(mode, "on")) {
    connection.reply_mode = Connection::ReplyMode::kOn;
    return reply.Ok();
  }
  if (IsWord(mode, "off")) {
    connection.reply_mode = Connection::ReplyMode::kOff;
  } else if (IsWord(mode, "skip")) {
    if (connection.reply_mode != Connection::ReplyMode::kOff)
      connection.reply_mode = Connection::ReplyMode::kSkipNext;
  } else {
    return reply.Error(kSyntax);
  }
}

void SetInfo(Connection& connection, Words words, Reply& reply) {
  if (!IsPlainName(words[3]))
    return reply.Error(fmt::format("ERR {} cannot contain spaces, newlines or special characters.",
                                   ToLower(words[2])));
  if (IsWord(words[2], "lib-name")) {
    connection.library_name = words[3];
  } else if (IsWord(words[2], "lib-ver")) {
    connection.library_version = words[3];
  } else {
    return reply.Error(fmt::format("ERR Unrecognized option '{}'", words[2]));
  }
  reply.Ok();
}

void TrackingInfo(Reply& reply) {
  reply.Map(3);
  reply.Bulk("flags");
  reply.Set(1);
  reply.Bulk("off");
  reply.Bulk("redirect");
  reply.Integer(-1);
  reply.Bulk("prefixes");
  reply.Array(0);
}

/// Nobody is blocked here.
void Unblock(Words words, Reply& reply) {
  const bool known =
      words.size() == 3 ||
      (words.size() == 4 && (IsWord(words[3], "timeout") || IsWord(words[3], "error")));
  if (!known) return reply.Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
  if (!ParseInteger(words[2])) return reply.Error("ERR value is not an integer or out of range");
  reply.Integer(0);
}

void Switch(std::string_view word, Reply& reply) {
  if (!IsWord(word, "on") && !IsWord(word, "off")) return reply.Error(kSyntax);
  reply.Ok();
}

void Select(Connection& connection, std::string_view word, Reply& reply) {
  const auto number = ParseInteger(word);
  if (!number) return reply.Error("ERR value is not an integer or out of range");
  if (*number < INT32_MIN || *number > INT32_MAX)
    return reply.Error(fmt::format("ERR value is out of range, value must between {} and {}",
                                   INT32_MIN, INT32_MAX));
  if (*number < 0 || !connection.SelectDatabase(static_cast<std::uint32_t>(*number)))
    return reply.Error("ERR DB index is out of range");
  reply.Ok();
}

void Ping(Connection& connection, Words words, Reply& reply) {
  if (words.size() > 2) return WrongArguments("ping", reply);
  if (connection.subscribed() && reply.protocol() == 2) {
    reply.Array(2);
    reply.Bulk("pong");
    return reply.Bulk(words.size() == 2 ? words[1] : std::string_view());
  }
  if (words.size() == 2) return reply.Bulk(words[1]);
  reply.Simple("PONG");
}

}  // namespace

void WrongArguments(std::string_view command, Reply& reply) {
  reply.Error(fmt::format("ERR wrong number of arguments for '{}' command", command));
}

void UnknownSubcommand(Words words, Reply& reply) {
  reply.Error(
      fmt::format("ERR unknown subcommand '{:.128}'. Try {} HELP.", words[1], ToUpper(words[0])));
}

void RunHello(DoorState& door, Connection& connection, Words words, Reply& reply) {
  int protocol = connection.context().protocol;
  if (words.size() > 1) {
    const auto version = ParseInteger(words[1]);
    if (!version) return reply.Error("ERR Protocol version is not an integer or out of range");
    if (*version != 2 && *version != 3) return reply.Error("NOPROTO unsupported protocol version");
    protocol = static_cast<int>(*version);
  }
  for (std::size_t i = 2; i < words.size();) {
    if (IsWord(words[i], "auth") && i + 2 < words.size()) return reply.Error(kNoUsers);
    if (!IsWord(words[i], "setname") || i + 1 >= words.size())
      return reply.Error(fmt::format("ERR Syntax error in HELLO option '{}'", words[i]));
    if (!SetName(connection, words[i + 1], reply)) return;
    i += 2;
  }
  connection.context().protocol = protocol;
  Reply answer(reply.out(), protocol);
  answer.Map(7);
  answer.Bulk("server");
  answer.Bulk("redis");
  answer.Bulk("version");
  answer.Bulk(door.options.version);
  answer.Bulk("proto");
  answer.Integer(protocol);
  answer.Bulk("id");
  answer.Integer(static_cast<std::int64_t>(connection.id));
  answer.Bulk("mode");
  answer.Bulk("standalone");
  answer.Bulk("role");
  answer.Bulk("master");
  answer.Bulk("modules");
  answer.Array(0);
}

void RunClient(DoorState& door, Connection& connection, Words words, Reply& reply) {
  const std::size_t n = words.size();
  const std::string_view what = words[1];
  const auto is = [&](std::string_view name, std::size_t size) {
    return n == size && IsWord(what, name);
  };
  if (is("id", 2)) return reply.Integer(static_cast<std::int64_t>(connection.id));
  if (is("getname", 2)) {
    return connection.name.empty() ? reply.Null() : reply.Bulk(connection.name);
  }
  if (is("setname", 3)) {
    if (SetName(connection, words[2], reply)) reply.Ok();
    return;
  }
  if (is("setinfo", 4)) return SetInfo(connection, words, reply);
  if (is("info", 2)) return reply.Verbatim(Describe(door, connection));
  if (IsWord(what, "list")) return List(door, words, reply);
  if (IsWord(what, "kill") && n >= 3) return Kill(door, connection, words, reply);
  if (is("reply", 3)) return ReplyModeCommand(connection, words[2], reply);
  if (is("no-evict", 3) || is("no-touch", 3)) return Switch(words[2], reply);
  if (is("getredir", 2)) return reply.Integer(-1);
  if (is("trackinginfo", 2)) return TrackingInfo(reply);
  if (IsWord(what, "unblock")) return Unblock(words, reply);
  if (IsWord(what, "caching"))
    return reply.Error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
        "OPTOUT mode enabled");
  if (IsWord(what, "pause"))
    return reply.Error("ERR CLIENT PAUSE is refused: a node of a cluster cannot stop its writers");
  if (is("unpause", 2)) return reply.Ok();
  if (IsWord(what, "tracking") && n >= 3) {
    if (IsWord(words[2], "off")) return reply.Ok();
    if (!IsWord(words[2], "on")) return reply.Error(kSyntax);
    return reply.Error(
        "ERR CLIENT TRACKING is refused: this server does not tell clients what to "
        "drop from their caches");
  }
  RunServerCommand(door, words, reply, CommandId::kClient);  // HELP
}

bool RunDoorCommand(DoorState& door, Connection& connection, Words words, Reply& reply) {
  switch (connection.last_command->id) {
    case CommandId::kPing:
      Ping(connection, words, reply);
      return true;
    case CommandId::kEcho:
      reply.Bulk(words[1]);
      return true;
    case CommandId::kSelect:
      Select(connection, words[1], reply);
      return true;
    case CommandId::kHello:
      RunHello(door, connection, words, reply);
      return true;
    case CommandId::kAuth:
      reply.Error(kNoUsers);
      return true;
    case CommandId::kQuit:
      connection.CloseAfterReply();
      reply.Ok();
      return true;
    case CommandId::kReset:
      connection.Reset();
      Reply(reply.out(), 2).Simple("RESET");
      return true;
    case CommandId::kClient:
      RunClient(door, connection, words, reply);
      return true;
    case CommandId::kSubscribe:
    case CommandId::kPsubscribe:
    case CommandId::kUnsubscribe:
    case CommandId::kPunsubscribe:
    case CommandId::kPubsub:
      RunPubSubCommand(door, connection, words, reply);
      return true;
    case CommandId::kCoterie:
      return RunCoterie(door, connection, words, reply);
    default:
      RunServerCommand(door, words, reply, connection.last_command->id);
      return true;
  }
}

}  // namespace coterie::door::redis

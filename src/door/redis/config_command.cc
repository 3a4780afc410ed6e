// CONFIG: a node's settings are its configuration file's. Redis has more than a hundred; clients
// and test suites set some of them by habit.
#include <fmt/format.h>

#include <algorithm>

#include "door/redis/door_state.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

std::string Number(auto n) { return fmt::format("{}", n); }

/// How Redis keeps values and watches itself: nothing here is answered otherwise because of them.
/// They may be set to any value, which this node tells until it ends.
constexpr std::pair<std::string_view, std::string_view> kHints[] = {
    {"active-defrag-threshold-lower", "10"},
    {"active-expire-effort", "1"},
    {"activedefrag", "no"},
    {"activerehashing", "yes"},
    {"appendfsync", "always"},
    {"auto-aof-rewrite-percentage", "100"},
    {"dynamic-hz", "yes"},
    {"hash-max-listpack-entries", "512"},
    {"hash-max-listpack-value", "64"},
    {"hash-max-ziplist-entries", "512"},
    {"hash-max-ziplist-value", "64"},
    {"hll-sparse-max-bytes", "3000"},
    {"hz", "10"},
    {"key-load-delay", "0"},
    {"latency-monitor-threshold", "0"},
    {"latency-tracking", "no"},
    {"lazyfree-lazy-expire", "no"},
    {"lazyfree-lazy-server-del", "no"},
    {"lazyfree-lazy-user-del", "no"},
    {"lazyfree-lazy-user-flush", "no"},
    {"list-compress-depth", "0"},
    {"list-max-listpack-size", "-2"},
    {"list-max-ziplist-size", "-2"},
    {"loglevel", "notice"},
    {"lua-time-limit", "5000"},
    {"rdb-key-save-delay", "0"},
    {"rdbcompression", "yes"},
    {"sanitize-dump-payload", "no"},
    {"set-max-intset-entries", "512"},
    {"slowlog-log-slower-than", "-1"},
    {"slowlog-max-len", "0"},
    {"stream-node-max-bytes", "4096"},
    {"stream-node-max-entries", "100"},
    {"zset-max-listpack-entries", "128"},
    {"zset-max-listpack-value", "64"},
    {"zset-max-ziplist-entries", "128"},
    {"zset-max-ziplist-value", "64"},
};
constexpr std::size_t kHintBytesMax = 256;

bool IsHint(std::string_view name) {
  return std::ranges::any_of(kHints, [&](const auto& hint) { return hint.first == name; });
}

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

/// All of them or none. What is set to what it is already is fine.
void ConfigSet(DoorState& door, Words words, Reply& reply) {
  if (words.size() % 2 != 0) return WrongArguments("config|set", reply);
  for (std::size_t i = 2; i + 1 < words.size(); i += 2) {
    const std::string name = ToLower(words[i]);
    const auto found = door.config.find(name);
    if (found == door.config.end())
      return reply.Error(fmt::format(
          "ERR Unknown option or number of arguments for CONFIG SET - '{:.128}'", words[i]));
    const bool settable = IsHint(name) && words[i + 1].size() <= kHintBytesMax;
    if (!settable && found->second != words[i + 1])
      return reply.Error(
          fmt::format("ERR CONFIG SET failed (possibly related to argument '{:.128}') - "
                      "it is fixed by the node's own configuration",
                      words[i]));
  }
  for (std::size_t i = 2; i + 1 < words.size(); i += 2)
    door.config[ToLower(words[i])] = words[i + 1];
  reply.Ok();
}

}  // namespace

std::map<std::string, std::string, std::less<>> InitialConfig(const RedisDoorOptions& options) {
  const RedisDoorLimits& limits = options.limits;
  std::map<std::string, std::string, std::less<>> config = {
      {"appendonly", "yes"},
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
      {"io-threads", "1"}};
  for (const auto& [name, value] : kHints) config.emplace(name, value);
  return config;
}

void RunConfig(DoorState& door, Words words, Reply& reply) {
  if (IsWord(words[1], "get")) return ConfigGet(door, words, reply);
  if (IsWord(words[1], "set")) return ConfigSet(door, words, reply);
  if (IsWord(words[1], "resetstat")) {
    door.stats = RedisDoorStats{};
    return reply.Ok();
  }
  reply.Error("ERR The server is running without a config file");  // REWRITE
}

}  // namespace coterie::door::redis

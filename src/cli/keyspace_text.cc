#include "cli/keyspace_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace coterie::cli {
namespace {

/// What stands before the next `separator`, taken off `rest` together with it.
std::string_view Next(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

Result<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) return number;
  return Fail(ErrorCode::kInvalidConfig, fmt::format("'{}' is not a whole number", text));
}

Status SetPart(std::string name, std::string_view value, keyspace::Promise& promise) {
  std::ranges::replace(name, '-', '_');
  if (name == "replication") {
    COT_ASSIGN(promise.replication, keyspace::ParseReplication(value));
  } else if (name == "conflict") {
    COT_ASSIGN(promise.conflict, keyspace::ParseConflict(value));
  } else if (name == "durability") {
    COT_ASSIGN(promise.durability, keyspace::ParseDurability(value));
  } else if (name == "replicas") {
    COT_ASSIGN(promise.replicas, ParseNumber(value));
  } else if (name == "read") {
    COT_ASSIGN(promise.read, ParseNumber(value));
  } else if (name == "write") {
    COT_ASSIGN(promise.write, ParseNumber(value));
  } else if (name == "shards") {
    COT_ASSIGN(promise.shards, ParseNumber(value));
  } else if (name == "redis_database") {
    COT_ASSIGN(promise.redis_database, ParseNumber(value));
  } else {
    return Fail(ErrorCode::kInvalidConfig, fmt::format("a keyspace has no '{}'", name));
  }
  return Ok();
}

}  // namespace

Result<keyspace::Promise> ParseKeyspace(std::string_view text) {
  keyspace::Promise promise;
  promise.name = Next(text, ':');
  while (!text.empty()) {
    std::string_view part = Next(text, ':');
    const std::string_view name = Next(part, '=');
    COT_TRY(SetPart(std::string(name), part, promise));
  }
  return keyspace::Complete(std::move(promise));
}

std::string KeyspaceText(const keyspace::Promise& promise) {
  std::string text = fmt::format("{}:replication={}:replicas={}", promise.name,
                                 ToText(promise.replication), promise.replicas);
  if (promise.replication == keyspace::Replication::kLeaderless) {
    text += fmt::format(":read={}:write={}:conflict={}:durability={}", promise.read, promise.write,
                        ToText(promise.conflict), ToText(promise.durability));
  }
  return text + fmt::format(":shards={}:redis-database={}", promise.shards, promise.redis_database);
}

}  // namespace coterie::cli

// The one place in this door that knows the JSON library.
#include <fmt/format.h>
#include <simdjson.h>

#include <cstdint>
#include <limits>

#include "door/admin/cluster_json.h"

namespace coterie::door::admin {
namespace {

using simdjson::dom::element;

constexpr std::size_t kBodyBytesMax = 64u << 10;

std::unexpected<Error> Bad(std::string message) {
  return Fail(ErrorCode::kInvalidArgument, std::move(message));
}

Result<std::string_view> TextOf(const element& value, std::string_view name) {
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return text;
  return Bad(fmt::format("'{}' must be a text.", name));
}

Status SetNumber(const element& value, std::string_view name, std::uint32_t& field) {
  std::uint64_t number = 0;
  if (value.get(number) != simdjson::SUCCESS ||
      number > std::numeric_limits<std::uint32_t>::max()) {
    return Bad(fmt::format("'{}' must be a whole number from 0.", name));
  }
  field = static_cast<std::uint32_t>(number);
  return Ok();
}

Status SetMember(std::string_view name, const element& value, keyspace::Promise& promise) {
  if (name == "replicas") return SetNumber(value, name, promise.replicas);
  if (name == "read") return SetNumber(value, name, promise.read);
  if (name == "write") return SetNumber(value, name, promise.write);
  if (name == "shards") return SetNumber(value, name, promise.shards);
  if (name == "redis_database") return SetNumber(value, name, promise.redis_database);
  if (name == "name" || name == "replication" || name == "conflict" || name == "durability") {
    COT_ASSIGN(const std::string_view text, TextOf(value, name));
    if (name == "name") promise.name = text;
    if (name == "replication") {
      COT_ASSIGN(promise.replication, keyspace::ParseReplication(text));
    }
    if (name == "conflict") {
      COT_ASSIGN(promise.conflict, keyspace::ParseConflict(text));
    }
    if (name == "durability") {
      COT_ASSIGN(promise.durability, keyspace::ParseDurability(text));
    }
    return Ok();
  }
  return Bad(fmt::format("A keyspace has no '{}'.", name.substr(0, 64)));
}

}  // namespace

Result<keyspace::Promise> ParsePromise(std::string_view body, bool* names_database) {
  if (body.size() > kBodyBytesMax) return Bad("The declaration is too long.");
  simdjson::dom::parser parser;
  simdjson::dom::object members;
  if (parser.parse(body.data(), body.size()).get(members) != simdjson::SUCCESS) {
    return Bad("The body must be a JSON object.");
  }
  keyspace::Promise promise;
  for (const auto& [name, value] : members) {
    if (names_database != nullptr && name == "redis_database") *names_database = true;
    COT_TRY(SetMember(name, value, promise));
  }
  if (promise.name.empty()) return Bad("'name' is missing.");
  return promise;
}

}  // namespace coterie::door::admin

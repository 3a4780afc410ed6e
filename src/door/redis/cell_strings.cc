#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/coding.h"
#include "door/redis/cell_call.h"
#include "door/redis/expiry.h"
#include "door/redis/text.h"

namespace coterie::door::redis::cell_strings {
namespace {

using cells::ObjectType;

constexpr std::string_view kConditional =
    "decides by what is there, and another replica may decide otherwise at the same time";

bool KeepsSiblings(const CellCall& call) {
  return call.context.keyspace->promise.conflict == keyspace::Conflict::kSiblings;
}

/// Appends the value of `key` as a bulk string; false, and nothing appended, if there is none.
bool AppendValue(CellCall& call, ShardId shard, std::string_view key) {
  std::string& out = call.reply.out();
  const std::size_t at = out.size();
  if (!call.store.AppendString(shard, key, out)) return false;
  // The length comes first and is known last.
  const std::string header = fmt::format("${}\r\n", out.size() - at);
  out.insert(at, header);
  out += "\r\n";
  return true;
}

/// True, and an error in the reply, if `key` has several values at once.
bool RefusesSiblings(CellCall& call, ShardId shard, std::string_view key) {
  if (!KeepsSiblings(call)) return false;
  const std::size_t values = call.store.GetSiblings(shard, key).values.size();
  if (values < 2) return false;
  call.reply.Error(
      fmt::format("SIBLINGS the key has {} concurrent values: COTERIE SIBLINGS <key> "
                  "shows them, COTERIE RESOLVE <key> <context> <value> replaces them",
                  values));
  return true;
}

std::optional<std::string> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    int byte = 0;
    for (const char c : hex.substr(i, 2)) {
      const bool digit = c >= '0' && c <= '9';
      const bool letter = c >= 'a' && c <= 'f';
      if (!digit && !letter) return std::nullopt;
      byte = byte * 16 + (digit ? c - '0' : c - 'a' + 10);
    }
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

void Siblings(CellCall& call) {
  const ShardId shard = call.IdOf(call[2]);
  if (!call.Expect(shard, call[2], ObjectType::kString)) return;
  const cells::Store::Siblings siblings = call.store.GetSiblings(shard, call[2]);
  std::string context;
  clock::Put(context, siblings.context);
  call.reply.Map(2);
  call.reply.Bulk("context");
  call.reply.Bulk(Hex(context));
  call.reply.Bulk("values");
  call.reply.Array(siblings.values.size());
  for (const std::string& value : siblings.values) call.reply.Bulk(value);
}

void Resolve(CellCall& call) {
  const ShardId shard = call.IdOf(call[2]);
  if (!call.Expect(shard, call[2], ObjectType::kString)) return;
  const auto bytes = FromHex(call[3]);
  clock::VersionVector context;
  std::string_view rest = bytes ? std::string_view(*bytes) : std::string_view();
  if (!bytes || !clock::Get(rest, context) || !rest.empty())
    return call.reply.Error("ERR the context is not one that COTERIE SIBLINGS gave");
  Status status;
  const auto make = [&](cells::Edit& edit) {
    status = edit.SetStringOver(call[2], context, call[4]);
  };
  if (!call.Write(call[2], make)) return;
  if (!status) return call.reply.Error(status.error());
  call.reply.Ok();
}

struct SetOptions {
  bool keep_expiry = false;
  std::optional<std::int64_t> expires_at_ms;
};

/// The options of SET behind its value. nullopt: an error is in the reply.
std::optional<SetOptions> ParseSet(CellCall& call) {
  SetOptions options;
  for (std::size_t i = 3; i < call.size(); ++i) {
    const std::string_view word = call[i];
    if (IsWord(word, "nx") || IsWord(word, "xx") || IsWord(word, "get")) {
      call.RefuseOption(word, kConditional);
      return std::nullopt;
    }
    const auto unit = ExpiryUnitOf(word);
    const bool chosen = options.keep_expiry || options.expires_at_ms;
    if (IsWord(word, "keepttl") && !chosen) {
      options.keep_expiry = true;
    } else if (unit && !chosen && i + 1 < call.size()) {
      options.expires_at_ms = ParseExpiry(call, ++i, *unit, "set");
      if (!options.expires_at_ms) return std::nullopt;
    } else {
      call.SyntaxError();
      return std::nullopt;
    }
  }
  return options;
}

void Assign(CellCall& call, std::string_view key, std::string_view value,
            const SetOptions& options) {
  const std::uint64_t now = call.store.wall_ms();
  Status removable;
  const auto make = [&](cells::Edit& edit) {
    removable = edit.CheckRemoval(key);
    if (!removable) return;
    edit.SetString(key, value, options.keep_expiry);
    if (options.expires_at_ms) cell_keys::ExpireIn(edit, key, *options.expires_at_ms, now);
  };
  if (!call.Write(key, make)) return;
  if (!removable) return call.reply.Error(removable.error());
  call.reply.Ok();
}

}  // namespace

void Get(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (RefusesSiblings(call, shard, call[1])) return;
  if (AppendValue(call, shard, call[1])) return;
  if (call.Expect(shard, call[1], ObjectType::kNone)) call.reply.Null();
}

void Set(CellCall& call) {
  const auto options = ParseSet(call);
  if (options) Assign(call, call[1], call[2], *options);
}

void SetEx(CellCall& call) {
  const bool milliseconds = call.context.command->id == CommandId::kPsetex;
  SetOptions options;
  options.expires_at_ms =
      ParseExpiry(call, 2, milliseconds ? ExpiryUnit::kMilliseconds : ExpiryUnit::kSeconds,
                  call.context.command->name);
  if (options.expires_at_ms) Assign(call, call[1], call[3], options);
}

void MGet(CellCall& call) {
  for (const std::string_view key : call.words.subspan(1))
    if (RefusesSiblings(call, call.IdOf(key), key)) return;
  call.reply.Array(call.size() - 1);
  for (const std::string_view key : call.words.subspan(1))
    if (!AppendValue(call, call.IdOf(key), key)) call.reply.Null();
}

void MSet(CellCall& call) {
  if (call.size() % 2 == 0)
    return call.reply.Error("ERR wrong number of arguments for 'mset' command");
  // All of one shard: the caller splits by shard.
  Status removable;
  const auto make = [&](cells::Edit& edit) {
    for (std::size_t i = 1; i + 1 < call.size() && removable; i += 2)
      removable = edit.CheckRemoval(call[i]);
    if (!removable) return;
    for (std::size_t i = 1; i + 1 < call.size(); i += 2) edit.SetString(call[i], call[i + 1]);
  };
  if (!call.Write(call[1], make)) return;
  if (!removable) return call.reply.Error(removable.error());
  call.reply.Ok();
}

void StrLen(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], ObjectType::kString)) return;
  if (RefusesSiblings(call, shard, call[1])) return;
  const auto value = call.store.GetString(shard, call[1]);
  call.reply.Integer(value ? static_cast<std::int64_t>(value->size()) : 0);
}

void GetRange(CellCall& call) {
  const auto from = call.Integer(2);
  if (!from) return;
  const auto to = call.Integer(3);
  if (!to) return;
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], ObjectType::kString)) return;
  if (RefusesSiblings(call, shard, call[1])) return;
  const std::string value = call.store.GetString(shard, call[1]).value_or(std::string());
  const auto size = static_cast<std::int64_t>(value.size());
  if (*from < 0 && *to < 0 && *from > *to) return call.reply.Bulk("");
  const std::int64_t first = *from < 0 ? std::max<std::int64_t>(*from + size, 0) : *from;
  const std::int64_t behind = *to < 0 ? std::max<std::int64_t>(*to + size, 0) : *to;
  const std::int64_t last = std::min(behind, size - 1);
  if (first > last || size == 0) return call.reply.Bulk("");
  call.reply.Bulk(std::string_view(value).substr(static_cast<std::size_t>(first),
                                                 static_cast<std::size_t>(last - first + 1)));
}

void GetEx(CellCall& call) {
  const bool persist = call.size() == 3 && IsWord(call[2], "persist");
  const auto unit = call.size() == 4 ? ExpiryUnitOf(call[2]) : std::nullopt;
  if (call.size() != 2 && !persist && !unit) {
    return call.SyntaxError();
  }
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], ObjectType::kString)) return;
  if (RefusesSiblings(call, shard, call[1])) return;
  const auto value = call.store.GetString(shard, call[1]);
  if (!value) return call.reply.Null();
  std::optional<std::int64_t> at;
  if (unit) {
    at = ParseExpiry(call, 3, *unit, "getex");
    if (!at) return;
  }
  const std::uint64_t now = call.store.wall_ms();
  const auto make = [&](cells::Edit& edit) {
    if (at) cell_keys::ExpireIn(edit, call[1], *at, now);
    if (persist) edit.SetExpiry(call[1], std::nullopt);
  };
  if ((at || persist) && !call.Write(call[1], make)) return;
  call.reply.Bulk(*value);
}

void Add(CellCall& call) {
  const CommandId id = call.context.command->id;
  const bool with_amount = id == CommandId::kIncrby || id == CommandId::kDecrby;
  std::int64_t amount = 1;
  if (with_amount) {
    const auto given = call.Integer(2);
    if (!given) return;
    amount = *given;
  }
  if (id == CommandId::kDecr || id == CommandId::kDecrby) {
    if (amount == std::numeric_limits<std::int64_t>::min())
      return call.reply.Error("ERR decrement would overflow");
    amount = -amount;
  }
  if (!call.Expect(call.IdOf(call[1]), call[1], ObjectType::kString)) return;
  Result<std::int64_t> sum = 0;
  const auto make = [&](cells::Edit& edit) {
    sum = edit.Increment(call[1], amount, call.context.operation);
  };
  if (!call.Write(call[1], make)) return;
  if (!sum) return call.reply.Error(sum.error());
  call.reply.Integer(*sum);
}

void Coterie(CellCall& call) {
  if (IsWord(call[1], "siblings")) return Siblings(call);
  Resolve(call);
}

}  // namespace coterie::door::redis::cell_strings

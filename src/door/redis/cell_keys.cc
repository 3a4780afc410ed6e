#include <fmt/format.h>

#include <algorithm>

#include "door/redis/cell_call.h"
#include "door/redis/expiry.h"
#include "door/redis/text.h"

namespace coterie::door::redis {

std::optional<ExpiryUnit> ExpiryUnitOf(std::string_view word) {
  if (IsWord(word, "ex")) return ExpiryUnit::kSeconds;
  if (IsWord(word, "px")) return ExpiryUnit::kMilliseconds;
  if (IsWord(word, "exat")) return ExpiryUnit::kUnixSeconds;
  if (IsWord(word, "pxat")) return ExpiryUnit::kUnixMilliseconds;
  return std::nullopt;
}

std::optional<std::int64_t> ParseExpiry(CellCall& call, std::size_t i, ExpiryUnit unit,
                                        std::string_view command, bool positive) {
  const auto given = call.Integer(i);
  if (!given) return std::nullopt;
  const bool seconds = unit == ExpiryUnit::kSeconds || unit == ExpiryUnit::kUnixSeconds;
  const bool relative = unit == ExpiryUnit::kSeconds || unit == ExpiryUnit::kMilliseconds;
  std::int64_t at = *given;
  bool fits = !positive || at > 0;
  if (seconds) fits = fits && !__builtin_mul_overflow(at, std::int64_t{1000}, &at);
  if (relative) {
    const auto now = static_cast<std::int64_t>(call.store.wall_ms());
    fits = fits && !__builtin_add_overflow(at, now, &at);
  }
  if (fits) return at;
  call.reply.Error(fmt::format("ERR invalid expire time in '{}' command", command));
  return std::nullopt;
}

namespace cell_keys {
namespace {

struct ExpireOptions {
  bool nx = false, xx = false, gt = false, lt = false;
};

std::optional<ExpireOptions> ParseOptions(CellCall& call) {
  ExpireOptions options;
  for (std::size_t i = 3; i < call.size(); ++i) {
    if (IsWord(call[i], "nx")) {
      options.nx = true;
    } else if (IsWord(call[i], "xx")) {
      options.xx = true;
    } else if (IsWord(call[i], "gt")) {
      options.gt = true;
    } else if (IsWord(call[i], "lt")) {
      options.lt = true;
    } else {
      call.reply.Error(fmt::format("ERR Unsupported option {}", call[i]));
      return std::nullopt;
    }
  }
  if (options.nx && (options.xx || options.gt || options.lt)) {
    call.reply.Error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return std::nullopt;
  }
  if (options.gt && options.lt) {
    call.reply.Error("ERR GT and LT options at the same time are not compatible");
    return std::nullopt;
  }
  return options;
}

/// Whether a deadline of `at` may replace `present` (nullopt: none).
bool Allows(const ExpireOptions& options, std::optional<std::uint64_t> present, std::int64_t at) {
  if (options.nx && present) return false;
  if (options.xx && !present) return false;
  // No deadline is later than any.
  if (options.gt && (!present || at <= static_cast<std::int64_t>(*present))) return false;
  return !(options.lt && present && at >= static_cast<std::int64_t>(*present));
}

}  // namespace

void ExpireIn(cells::Edit& edit, std::string_view key, std::int64_t at_ms, std::uint64_t now_ms) {
  if (at_ms <= static_cast<std::int64_t>(now_ms)) {
    edit.RemoveKey(key);
  } else {
    edit.SetExpiry(key, static_cast<std::uint64_t>(at_ms));
  }
}

void Del(CellCall& call) {
  // All of one shard: the caller splits by shard.
  std::int64_t removed = 0;
  Status removable;
  const auto make = [&](cells::Edit& edit) {
    for (const std::string_view key : call.words.subspan(1)) {
      removable = edit.CheckRemoval(key);
      if (!removable) return;
    }
    for (const std::string_view key : call.words.subspan(1)) removed += edit.RemoveKey(key);
  };
  if (!call.Write(call[1], make)) return;
  if (!removable) return call.reply.Error(removable.error());
  call.reply.Integer(removed);
}

void Exists(CellCall& call) {
  std::int64_t there = 0;
  for (const std::string_view key : call.words.subspan(1))
    there += call.store.TypeOf(call.IdOf(key), key) != cells::ObjectType::kNone;
  call.reply.Integer(there);
}

void Type(CellCall& call) {
  call.reply.Simple(cells::ToText(call.store.TypeOf(call.IdOf(call[1]), call[1])));
}

void Expire(CellCall& call) {
  const CommandId id = call.context.command->id;
  const ExpiryUnit unit = id == CommandId::kExpire     ? ExpiryUnit::kSeconds
                          : id == CommandId::kPexpire  ? ExpiryUnit::kMilliseconds
                          : id == CommandId::kExpireat ? ExpiryUnit::kUnixSeconds
                                                       : ExpiryUnit::kUnixMilliseconds;
  const auto options = ParseOptions(call);
  if (!options) return;
  const auto at = ParseExpiry(call, 2, unit, call.context.command->name, false);
  if (!at) return;
  const ShardId shard = call.IdOf(call[1]);
  const bool there = call.store.TypeOf(shard, call[1]) != cells::ObjectType::kNone;
  if (!there || !Allows(*options, call.store.ExpiresAt(shard, call[1]), *at))
    return call.reply.Integer(0);
  const std::uint64_t now = call.store.wall_ms();
  Status removable;
  const auto make = [&](cells::Edit& edit) {
    removable = edit.CheckRemoval(call[1]);
    if (removable) ExpireIn(edit, call[1], *at, now);
  };
  if (!call.Write(call[1], make)) return;
  if (!removable) return call.reply.Error(removable.error());
  call.reply.Integer(1);
}

void TimeToLive(CellCall& call) {
  const CommandId id = call.context.command->id;
  const bool seconds = id == CommandId::kTtl || id == CommandId::kExpiretime;
  const bool absolute = id == CommandId::kExpiretime || id == CommandId::kPexpiretime;
  const ShardId shard = call.IdOf(call[1]);
  if (call.store.TypeOf(shard, call[1]) == cells::ObjectType::kNone) return call.reply.Integer(-2);
  const auto at = call.store.ExpiresAt(shard, call[1]);
  if (!at) return call.reply.Integer(-1);
  const auto now = static_cast<std::int64_t>(call.store.wall_ms());
  const std::int64_t until = static_cast<std::int64_t>(*at) - (absolute ? 0 : now);
  const std::int64_t ms = std::max<std::int64_t>(until, 0);
  const std::int64_t rounded_up = !absolute && ms % 1000 >= 500 ? 1 : 0;
  call.reply.Integer(seconds ? ms / 1000 + rounded_up : ms);
}

void Persist(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  const bool there = call.store.TypeOf(shard, call[1]) != cells::ObjectType::kNone;
  if (!there || !call.store.ExpiresAt(shard, call[1])) return call.reply.Integer(0);
  const auto make = [&](cells::Edit& edit) { edit.SetExpiry(call[1], std::nullopt); };
  if (call.Write(call[1], make)) call.reply.Integer(1);
}

namespace {

/// What Redis would call the way such a value is kept; clients read it as a hint of its size.
std::string_view EncodingOf(CellCall& call, ShardId shard, cells::ObjectType type) {
  switch (type) {
    case cells::ObjectType::kHash:
    case cells::ObjectType::kSet:
      return "hashtable";
    case cells::ObjectType::kSortedSet:
      return "skiplist";
    case cells::ObjectType::kStream:
      return "stream";
    default:
      break;
  }
  const std::string value = call.store.GetString(shard, call[2]).value_or(std::string());
  if (ParseInteger(value)) return "int";
  return value.size() <= 44 ? "embstr" : "raw";
}

}  // namespace

void Object(CellCall& call) {
  if (IsWord(call[1], "help")) {
    call.reply.Array(2);
    call.reply.Simple("OBJECT <subcommand> <key>. Subcommands are:");
    return call.reply.Simple("ENCODING REFCOUNT");
  }
  const ShardId shard = call.IdOf(call[2]);
  const cells::ObjectType type = call.store.TypeOf(shard, call[2]);
  if (type == cells::ObjectType::kNone) return call.reply.Null();
  if (IsWord(call[1], "encoding")) return call.reply.Bulk(EncodingOf(call, shard, type));
  if (IsWord(call[1], "refcount")) return call.reply.Integer(1);
  call.reply.Error("ERR access times are not tracked here");
}

}  // namespace cell_keys
}  // namespace coterie::door::redis

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/status.h"
#include "door/redis/ordered_kv.h"
#include "door/redis/ordered_numbers.h"
#include "door/redis/ordered_view.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

using Object = View::Object;

bool Is(const Object& object, ObjectType type) { return object.type == type; }

/// The string under `key`, or a missing one; nullptr with the error written.
const Object* FindString(const Call& call, std::string_view key) {
  const Object& object = call.view.Find(key);
  return call.Accepts(object, ObjectType::kString) ? &object : nullptr;
}

void BulkOrNull(const Call& call, const Object& object) {
  if (Is(object, ObjectType::kString)) return call.reply.Bulk(object.value);
  call.reply.Null();
}

void Get(const Call& call) {
  const Object* object = FindString(call, call[1]);
  if (object != nullptr) BulkOrNull(call, *object);
}

void Set(const Call& call) {
  const auto options = ParseSetOptions(call, 3);
  if (!options) return;
  const Object& old = call.view.Find(call[1]);
  if (options->get && !call.Accepts(old, ObjectType::kString)) return;
  const bool exists = !Is(old, ObjectType::kNone);
  const bool refused = (options->nx && exists) || (options->xx && !exists);
  if (options->get) {
    BulkOrNull(call, old);
  } else if (refused) {
    call.reply.Null();
  } else {
    call.reply.Ok();
  }
  if (refused) return;
  const std::uint64_t kept = options->keep_ttl ? old.expires_at_ms : 0;
  call.view.PutString(call[1], std::string(call[2]),
                      options->expires ? static_cast<std::uint64_t>(options->expires_at_ms) : kept);
}

void SetNx(const Call& call) {
  const bool exists = !Is(call.view.Find(call[1]), ObjectType::kNone);
  if (!exists) call.view.PutString(call[1], std::string(call[2]), 0);
  call.reply.Integer(exists ? 0 : 1);
}

void SetEx(const Call& call) {
  const bool seconds = call.command.id == CommandId::kSetex;
  const auto at = ParseInstant(
      call, call[2], seconds ? TimeUnit::kSeconds : TimeUnit::kMilliseconds, TimeBase::kNow);
  if (!at) return;
  call.view.PutString(call[1], std::string(call[3]), static_cast<std::uint64_t>(*at));
  call.reply.Ok();
}

void GetSet(const Call& call) {
  const Object* object = FindString(call, call[1]);
  if (object == nullptr) return;
  BulkOrNull(call, *object);
  call.view.PutString(call[1], std::string(call[2]), 0);
}

void GetDel(const Call& call) {
  const Object* object = FindString(call, call[1]);
  if (object == nullptr) return;
  BulkOrNull(call, *object);
  call.view.Remove(call[1]);
}

/// Whether `key` holds the string `value`; nullopt with the error written.
std::optional<bool> Holds(const Call& call, std::string_view key, std::string_view value) {
  const Object* object = FindString(call, key);
  if (object == nullptr) return std::nullopt;
  return Is(*object, ObjectType::kString) && object->value == value;
}

// DELIF key value: a lock is released by who holds it.
void DelIf(const Call& call) {
  const auto holds = Holds(call, call[1], call[2]);
  if (!holds) return;
  call.reply.Integer(*holds ? 1 : 0);
  if (*holds) call.view.Remove(call[1]);
}

// PEXPIREIF key value milliseconds: a lock is prolonged by who holds it.
void PExpireIf(const Call& call) {
  const auto at = ParseInstant(call, call[3], TimeUnit::kMilliseconds, TimeBase::kNow, true);
  if (!at) return;
  const auto holds = Holds(call, call[1], call[2]);
  if (!holds) return;
  call.reply.Integer(*holds ? 1 : 0);
  if (!*holds) return;
  if (*at <= call.view.now_ms()) {
    call.view.Remove(call[1]);
  } else {
    call.view.SetExpiry(call[1], static_cast<std::uint64_t>(*at));
  }
}

void GetEx(const Call& call) {
  const auto options = ParseGetExOptions(call, 2);
  if (!options) return;
  const Object* object = FindString(call, call[1]);
  if (object == nullptr) return;
  BulkOrNull(call, *object);
  if (Is(*object, ObjectType::kNone)) return;
  if (options->expires) {
    call.view.SetExpiry(call[1], static_cast<std::uint64_t>(options->expires_at_ms));
  } else if (options->persist && object->expires_at_ms != 0) {
    call.view.SetExpiry(call[1], 0);
  }
}

void Strlen(const Call& call) {
  const Object* object = FindString(call, call[1]);
  if (object != nullptr) call.reply.Integer(static_cast<std::int64_t>(object->value.size()));
}

void GetRange(const Call& call) {
  const auto first = ParseInteger(call[2]);
  const auto last = ParseInteger(call[3]);
  if (!first || !last) return call.NotInteger();
  const Object* object = FindString(call, call[1]);
  if (object == nullptr) return;
  const auto size = static_cast<std::int64_t>(object->value.size());
  std::int64_t begin = *first, end = *last;
  if (begin < 0 && end < 0 && begin > end) return call.reply.Bulk("");
  if (begin < 0) begin = std::max<std::int64_t>(begin + size, 0);
  if (end < 0) end = std::max<std::int64_t>(end + size, 0);
  end = std::min(end, size - 1);
  if (begin > end || size == 0) return call.reply.Bulk("");
  call.reply.Bulk(
      std::string_view(object->value)
          .substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin + 1)));
}

void SetRange(const Call& call) {
  const auto offset = ParseInteger(call[2]);
  if (!offset) return call.NotInteger();
  if (*offset < 0) return call.reply.Error("ERR offset is out of range");
  const Object* object = FindString(call, call[1]);
  if (object == nullptr) return;
  if (call[3].empty()) return call.reply.Integer(static_cast<std::int64_t>(object->value.size()));
  const auto at = static_cast<std::size_t>(*offset);
  if (at > kTransactionBytesMax || at + call[3].size() > kTransactionBytesMax) {
    return call.reply.Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  }
  std::string value = object->value;
  value.resize(std::max(value.size(), at + call[3].size()));
  value.replace(at, call[3].size(), call[3]);
  call.reply.Integer(static_cast<std::int64_t>(value.size()));
  call.view.PutString(call[1], std::move(value), object->expires_at_ms);
}

void Append(const Call& call) {
  const Object* object = FindString(call, call[1]);
  if (object == nullptr) return;
  std::string value = object->value;
  value += call[2];
  call.reply.Integer(static_cast<std::int64_t>(value.size()));
  call.view.PutString(call[1], std::move(value), object->expires_at_ms);
}

void Add(const Call& call, std::int64_t amount) {
  const Object* object = FindString(call, call[1]);
  if (object == nullptr) return;
  const bool missing = Is(*object, ObjectType::kNone);
  const auto old = missing ? std::optional<std::int64_t>(0) : ParseInteger(object->value);
  if (!old) return call.NotInteger();
  const auto sum = Sum(*old, amount);
  if (!sum) return call.reply.Error("ERR increment or decrement would overflow");
  call.view.PutString(call[1], std::to_string(*sum), object->expires_at_ms);
  call.reply.Integer(*sum);
}

void Incr(const Call& call) { Add(call, 1); }
void Decr(const Call& call) { Add(call, -1); }

void IncrBy(const Call& call) {
  const auto amount = ParseInteger(call[2]);
  if (!amount) return call.NotInteger();
  Add(call, *amount);
}

void DecrBy(const Call& call) {
  const auto amount = ParseInteger(call[2]);
  if (!amount) return call.NotInteger();
  if (*amount == std::numeric_limits<std::int64_t>::min()) {
    return call.reply.Error("ERR decrement would overflow");
  }
  Add(call, -*amount);
}

void IncrByFloat(const Call& call) {
  const Object* object = FindString(call, call[1]);
  if (object == nullptr) return;
  const bool missing = Is(*object, ObjectType::kNone);
  const auto old = missing ? std::optional<long double>(0) : ParseLongDouble(object->value);
  const auto amount = ParseLongDouble(call[2]);
  if (!old || !amount) return call.NotFloat();
  const long double sum = *old + *amount;
  if (std::isnan(sum) || std::isinf(sum)) {
    return call.reply.Error("ERR increment would produce NaN or Infinity");
  }
  std::string text = FormatLongDouble(sum);
  call.reply.Bulk(text);
  call.view.PutString(call[1], std::move(text), object->expires_at_ms);
}

void MGet(const Call& call) {
  call.reply.Array(call.size() - 1);
  for (std::size_t i = 1; i < call.size(); ++i) BulkOrNull(call, call.view.Find(call[i]));
}

void MSet(const Call& call) {
  if (call.size() % 2 == 0) return call.WrongArity();
  const bool nx = call.command.id == CommandId::kMsetnx;
  for (std::size_t i = 1; nx && i < call.size(); i += 2) {
    if (!Is(call.view.Find(call[i]), ObjectType::kNone)) return call.reply.Integer(0);
  }
  for (std::size_t i = 1; i < call.size(); i += 2) {
    call.view.PutString(call[i], std::string(call[i + 1]), 0);
  }
  if (nx) return call.reply.Integer(1);
  call.reply.Ok();
}

}  // namespace

Handler StringHandler(CommandId id) {
  switch (id) {
    case CommandId::kGet:
      return Get;
    case CommandId::kSet:
      return Set;
    case CommandId::kSetnx:
      return SetNx;
    case CommandId::kSetex:
    case CommandId::kPsetex:
      return SetEx;
    case CommandId::kGetset:
      return GetSet;
    case CommandId::kGetdel:
      return GetDel;
    case CommandId::kDelif:
      return DelIf;
    case CommandId::kPexpireif:
      return PExpireIf;
    case CommandId::kGetex:
      return GetEx;
    case CommandId::kStrlen:
      return Strlen;
    case CommandId::kGetrange:
    case CommandId::kSubstr:
      return GetRange;
    case CommandId::kSetrange:
      return SetRange;
    case CommandId::kAppend:
      return Append;
    case CommandId::kIncr:
      return Incr;
    case CommandId::kDecr:
      return Decr;
    case CommandId::kIncrby:
      return IncrBy;
    case CommandId::kDecrby:
      return DecrBy;
    case CommandId::kIncrbyfloat:
      return IncrByFloat;
    case CommandId::kMget:
      return MGet;
    case CommandId::kMset:
    case CommandId::kMsetnx:
      return MSet;
    default:
      return nullptr;
  }
}

}  // namespace coterie::door::redis::ordered

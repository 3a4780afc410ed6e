#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "door/redis/ordered_numbers.h"
#include "door/redis/ordered_objects.h"
#include "door/redis/ordered_pick.h"
#include "door/redis/ordered_scan.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

bool IsHash(const Call& call, std::string_view key) {
  return call.Accepts(call.view.Find(key), ObjectType::kHash);
}

void BulkOrNull(const Call& call, const std::optional<std::string>& value) {
  if (value) return call.reply.Bulk(*value);
  call.reply.Null();
}

void HSet(const Call& call) {
  if (call.size() % 2 != 0) return call.WrongArity();
  if (!IsHash(call, call[1])) return;
  std::int64_t added = 0;
  for (std::size_t i = 2; i < call.size(); i += 2) {
    const bool fresh =
        call.objects().Put(call[1], ObjectType::kHash, call[i], std::string(call[i + 1]));
    added += fresh ? 1 : 0;
  }
  if (call.command.id == CommandId::kHmset) return call.reply.Ok();
  call.reply.Integer(added);
}

void HSetNx(const Call& call) {
  if (!IsHash(call, call[1])) return;
  if (call.objects().Get(call[1], call[2])) return call.reply.Integer(0);
  call.objects().Put(call[1], ObjectType::kHash, call[2], std::string(call[3]));
  call.reply.Integer(1);
}

void HGet(const Call& call) {
  if (IsHash(call, call[1])) BulkOrNull(call, call.objects().Get(call[1], call[2]));
}

void HMGet(const Call& call) {
  if (!IsHash(call, call[1])) return;
  call.reply.Array(call.size() - 2);
  for (std::size_t i = 2; i < call.size(); ++i) {
    BulkOrNull(call, call.objects().Get(call[1], call[i]));
  }
}

void HDel(const Call& call) {
  if (!IsHash(call, call[1])) return;
  std::int64_t removed = 0;
  for (std::size_t i = 2; i < call.size(); ++i) {
    removed += call.objects().Remove(call[1], call[i]) ? 1 : 0;
  }
  call.reply.Integer(removed);
}

void HGetAll(const Call& call) {
  if (!IsHash(call, call[1])) return;
  const CommandId id = call.command.id;
  const auto elements = call.objects().Elements(call[1]);
  if (id == CommandId::kHgetall) {
    call.reply.Map(elements.size());
  } else {
    call.reply.Array(elements.size());
  }
  for (const auto& [field, value] : elements) {
    if (id != CommandId::kHvals) call.reply.Bulk(field);
    if (id != CommandId::kHkeys) call.reply.Bulk(value);
  }
}

void HLen(const Call& call) {
  if (IsHash(call, call[1])) call.reply.Integer(call.view.Find(call[1]).count);
}

void HExists(const Call& call) {
  if (IsHash(call, call[1])) call.reply.Integer(call.objects().Get(call[1], call[2]) ? 1 : 0);
}

void HStrlen(const Call& call) {
  if (!IsHash(call, call[1])) return;
  const auto value = call.objects().Get(call[1], call[2]);
  call.reply.Integer(value ? static_cast<std::int64_t>(value->size()) : 0);
}

void HIncrBy(const Call& call) {
  const auto amount = ParseInteger(call[3]);
  if (!amount) return call.NotInteger();
  if (!IsHash(call, call[1])) return;
  const auto value = call.objects().Get(call[1], call[2]);
  const auto old = value ? ParseInteger(*value) : 0;
  if (!old) return call.reply.Error("ERR hash value is not an integer");
  const auto sum = Sum(*old, *amount);
  if (!sum) return call.reply.Error("ERR increment or decrement would overflow");
  call.objects().Put(call[1], ObjectType::kHash, call[2], std::to_string(*sum));
  call.reply.Integer(*sum);
}

void HIncrByFloat(const Call& call) {
  const auto amount = ParseLongDouble(call[3]);
  if (!amount) return call.NotFloat();
  if (std::isinf(*amount)) return call.reply.Error("ERR value is NaN or Infinity");
  if (!IsHash(call, call[1])) return;
  const auto value = call.objects().Get(call[1], call[2]);
  const auto old = value ? ParseLongDouble(*value) : 0;
  if (!old) return call.reply.Error("ERR hash value is not a float");
  const long double sum = *old + *amount;
  if (std::isnan(sum) || std::isinf(sum)) {
    return call.reply.Error("ERR increment would produce NaN or Infinity");
  }
  std::string text = FormatLongDouble(sum);
  call.reply.Bulk(text);
  call.objects().Put(call[1], ObjectType::kHash, call[2], std::move(text));
}

void HScan(const Call& call) {
  ScanElements(call, ObjectType::kHash, 2, [&](const Objects::Element& element) {
    call.reply.Bulk(element.first);
    call.reply.Bulk(element.second);
  });
}

void HRandField(const Call& call) {
  ReplyPicks(call, ObjectType::kHash, "withvalues",
             [&](const std::string& value) { call.reply.Bulk(value); });
}

}  // namespace

Handler HashHandler(CommandId id) {
  switch (id) {
    case CommandId::kHset:
    case CommandId::kHmset:
      return HSet;
    case CommandId::kHsetnx:
      return HSetNx;
    case CommandId::kHget:
      return HGet;
    case CommandId::kHmget:
      return HMGet;
    case CommandId::kHdel:
      return HDel;
    case CommandId::kHgetall:
    case CommandId::kHkeys:
    case CommandId::kHvals:
      return HGetAll;
    case CommandId::kHlen:
      return HLen;
    case CommandId::kHexists:
      return HExists;
    case CommandId::kHstrlen:
      return HStrlen;
    case CommandId::kHincrby:
      return HIncrBy;
    case CommandId::kHincrbyfloat:
      return HIncrByFloat;
    case CommandId::kHscan:
      return HScan;
    case CommandId::kHrandfield:
      return HRandField;
    default:
      return nullptr;
  }
}

}  // namespace coterie::door::redis::ordered

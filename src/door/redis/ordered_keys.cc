#include <fmt/format.h>

#include <optional>

#include "door/redis/ordered_numbers.h"
#include "door/redis/ordered_objects.h"
#include "door/redis/ordered_view.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

using Object = View::Object;

bool Exists(const Object& object) { return object.type != ObjectType::kNone; }

void Del(const Call& call) {
  std::int64_t removed = 0;
  for (std::size_t i = 1; i < call.size(); ++i) {
    if (!Exists(call.view.Find(call[i]))) continue;
    call.view.Remove(call[i]);
    ++removed;
  }
  call.reply.Integer(removed);
}

void CountExisting(const Call& call) {
  std::int64_t found = 0;
  for (std::size_t i = 1; i < call.size(); ++i) found += Exists(call.view.Find(call[i])) ? 1 : 0;
  call.reply.Integer(found);
}

void Type(const Call& call) { call.reply.Simple(ToText(call.view.Find(call[1]).type)); }

/// The last words of the EXPIRE family.
struct ExpireFlags {
  bool nx = false, xx = false, gt = false, lt = false;
};

std::optional<ExpireFlags> ParseExpireFlags(const Call& call) {
  ExpireFlags flags;
  for (std::size_t i = 3; i < call.size(); ++i) {
    if (IsWord(call[i], "nx")) {
      flags.nx = true;
    } else if (IsWord(call[i], "xx")) {
      flags.xx = true;
    } else if (IsWord(call[i], "gt")) {
      flags.gt = true;
    } else if (IsWord(call[i], "lt")) {
      flags.lt = true;
    } else {
      call.reply.Error(fmt::format("ERR Unsupported option {}", call[i]));
      return std::nullopt;
    }
  }
  if (flags.nx && (flags.xx || flags.gt || flags.lt)) {
    call.reply.Error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return std::nullopt;
  }
  if (flags.gt && flags.lt) {
    call.reply.Error("ERR GT and LT options at the same time are not compatible");
    return std::nullopt;
  }
  return flags;
}

// A key that never expires counts as one that expires after all others.
bool Permitted(const ExpireFlags& flags, std::uint64_t old, std::int64_t at_ms) {
  const bool later = old != 0 && at_ms > static_cast<std::int64_t>(old);
  const bool sooner = old == 0 || at_ms < static_cast<std::int64_t>(old);
  if (flags.nx && old != 0) return false;
  if (flags.xx && old == 0) return false;
  if (flags.gt && !later) return false;
  return !flags.lt || sooner;
}

void Expire(const Call& call) {
  const CommandId id = call.command.id;
  const bool seconds = id == CommandId::kExpire || id == CommandId::kExpireat;
  const bool relative = id == CommandId::kExpire || id == CommandId::kPexpire;
  const auto flags = ParseExpireFlags(call);
  if (!flags) return;
  const auto at =
      ParseInstant(call, call[2], seconds ? TimeUnit::kSeconds : TimeUnit::kMilliseconds,
                   relative ? TimeBase::kNow : TimeBase::kEpoch, true);
  if (!at) return;
  const Object& object = call.view.Find(call[1]);
  if (!Exists(object) || !Permitted(*flags, object.expires_at_ms, *at)) {
    return call.reply.Integer(0);
  }
  if (*at <= call.view.now_ms()) {
    call.view.Remove(call[1]);
  } else {
    call.view.SetExpiry(call[1], static_cast<std::uint64_t>(*at));
  }
  call.reply.Integer(1);
}

void Persist(const Call& call) {
  const Object& object = call.view.Find(call[1]);
  if (!Exists(object) || object.expires_at_ms == 0) return call.reply.Integer(0);
  call.view.SetExpiry(call[1], 0);
  call.reply.Integer(1);
}

void Ttl(const Call& call) {
  const CommandId id = call.command.id;
  const Object& object = call.view.Find(call[1]);
  if (!Exists(object)) return call.reply.Integer(-2);
  if (object.expires_at_ms == 0) return call.reply.Integer(-1);
  std::int64_t ms = static_cast<std::int64_t>(object.expires_at_ms);
  if (id == CommandId::kTtl || id == CommandId::kPttl) ms -= call.view.now_ms();
  const bool seconds = id == CommandId::kTtl || id == CommandId::kExpiretime;
  call.reply.Integer(seconds ? ms / 1000 + (ms % 1000 >= 500 ? 1 : 0) : ms);
}

void CopyCollection(Objects& objects, ObjectType type, std::string_view from, std::string_view to) {
  for (auto& [element, value] : objects.Elements(from)) {
    if (type == ObjectType::kSortedSet) {
      objects.PutScore(to, element, DecodeScore(value));
    } else {
      objects.Put(to, type, element, std::move(value));
    }
  }
}

void Copy(View& view, std::string_view from, std::string_view to) {
  const Object object = view.Find(from);
  if (object.type == ObjectType::kString) {
    return view.PutString(to, object.value, object.expires_at_ms);
  }
  view.Remove(to);
  CopyCollection(*view.objects(), object.type, from, to);
  if (object.expires_at_ms != 0) view.SetExpiry(to, object.expires_at_ms);
}

void Rename(const Call& call) {
  const bool nx = call.command.id == CommandId::kRenamenx;
  if (!Exists(call.view.Find(call[1]))) return call.reply.Error("ERR no such key");
  if (!call.IsOurs(call.view.Find(call[1]))) return;
  const bool refused = nx && Exists(call.view.Find(call[2]));
  if (nx) {
    call.reply.Integer(refused ? 0 : 1);
  } else {
    call.reply.Ok();
  }
  if (refused || call[1] == call[2]) return;
  Copy(call.view, call[1], call[2]);
  call.view.Remove(call[1]);
}

void CopyKey(const Call& call) {
  bool replace = false;
  std::optional<std::int64_t> database;
  for (std::size_t i = 3; i < call.size(); ++i) {
    if (IsWord(call[i], "replace")) {
      replace = true;
    } else if (IsWord(call[i], "db") && i + 1 < call.size()) {
      database = ParseInteger(call[++i]);
      if (!database) return call.NotInteger();
      if (*database < 0) return call.reply.Error("ERR DB index is out of range");
    } else {
      return call.SyntaxError();
    }
  }
  if (database && *database != call.view.database()) {
    return call.reply.Error("ERR COPY to another database is not served: it is another keyspace");
  }
  if (call[1] == call[2]) {
    return call.reply.Error("ERR source and destination objects are the same");
  }
  if (!call.IsOurs(call.view.Find(call[1]))) return;
  const bool refused =
      !Exists(call.view.Find(call[1])) || (!replace && Exists(call.view.Find(call[2])));
  call.reply.Integer(refused ? 0 : 1);
  if (!refused) Copy(call.view, call[1], call[2]);
}

std::string_view EncodingOf(const Object& object) {
  if (object.type == ObjectType::kHash) return "hashtable";
  if (object.type == ObjectType::kSet) return "hashtable";
  if (object.type == ObjectType::kSortedSet) return "skiplist";
  if (ParseInteger(object.value)) return "int";
  return object.value.size() <= 44 ? "embstr" : "raw";
}

void ObjectCommand(const Call& call) {
  if (call.size() == 2 && IsWord(call[1], "help")) {
    call.reply.Array(2);
    call.reply.Simple("OBJECT ENCODING <key>");
    return call.reply.Simple("    Return the encoding that Redis would use for the value.");
  }
  const bool encoding = IsWord(call[1], "encoding");
  const bool references = IsWord(call[1], "refcount");
  if (call.size() != 3 || (!encoding && !references && !IsWord(call[1], "idletime"))) {
    return call.reply.Error(fmt::format(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try OBJECT HELP.", call[1]));
  }
  const Object& object = call.view.Find(call[2]);
  if (!Exists(object)) return call.reply.Null();
  if (!call.IsOurs(object)) return;
  if (encoding) return call.reply.Bulk(EncodingOf(object));
  call.reply.Integer(references ? 1 : 0);
}

}  // namespace

Handler KeyHandler(CommandId id) {
  switch (id) {
    case CommandId::kDel:
    case CommandId::kUnlink:
      return Del;
    case CommandId::kExists:
    case CommandId::kTouch:
      return CountExisting;
    case CommandId::kType:
      return Type;
    case CommandId::kExpire:
    case CommandId::kPexpire:
    case CommandId::kExpireat:
    case CommandId::kPexpireat:
      return Expire;
    case CommandId::kPersist:
      return Persist;
    case CommandId::kTtl:
    case CommandId::kPttl:
    case CommandId::kExpiretime:
    case CommandId::kPexpiretime:
      return Ttl;
    case CommandId::kRename:
    case CommandId::kRenamenx:
      return Rename;
    case CommandId::kCopy:
      return CopyKey;
    case CommandId::kObject:
      return ObjectCommand;
    default:
      return nullptr;
  }
}

}  // namespace coterie::door::redis::ordered

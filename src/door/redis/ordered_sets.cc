#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "door/redis/ordered_objects.h"
#include "door/redis/ordered_pick.h"
#include "door/redis/ordered_scan.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

using Members = std::set<std::string>;

bool IsSet(const Call& call, std::string_view key) {
  return call.Accepts(call.view.Find(key), ObjectType::kSet);
}

void SAdd(const Call& call) {
  if (!IsSet(call, call[1])) return;
  std::int64_t added = 0;
  for (std::size_t i = 2; i < call.size(); ++i) {
    if (call.objects().Get(call[1], call[i])) continue;
    call.objects().Put(call[1], ObjectType::kSet, call[i], "");
    ++added;
  }
  call.reply.Integer(added);
}

void SRem(const Call& call) {
  if (!IsSet(call, call[1])) return;
  std::int64_t removed = 0;
  for (std::size_t i = 2; i < call.size(); ++i) {
    removed += call.objects().Remove(call[1], call[i]) ? 1 : 0;
  }
  call.reply.Integer(removed);
}

void SMembers(const Call& call) {
  if (!IsSet(call, call[1])) return;
  const auto elements = call.objects().Elements(call[1]);
  call.reply.Set(elements.size());
  for (const auto& element : elements) call.reply.Bulk(element.first);
}

void SIsMember(const Call& call) {
  if (!IsSet(call, call[1])) return;
  const bool single = call.command.id == CommandId::kSismember;
  if (!single) call.reply.Array(call.size() - 2);
  for (std::size_t i = 2; i < call.size(); ++i) {
    call.reply.Integer(call.objects().Get(call[1], call[i]) ? 1 : 0);
  }
}

void SCard(const Call& call) {
  if (IsSet(call, call[1])) call.reply.Integer(call.view.Find(call[1]).count);
}

void SPop(const Call& call) {
  if (call.size() > 3) return call.SyntaxError();
  const bool one = call.size() == 2;
  const auto count = one ? 1 : ParseInteger(call[2]);
  if (!count || *count < 0) {
    return call.reply.Error("ERR value is out of range, must be positive");
  }
  if (!IsSet(call, call[1])) return;
  const auto picks = PickElements(call.objects(), call[1], *count);
  if (!one) call.reply.Set(picks.size());
  if (one && picks.empty()) return call.reply.Null();
  for (const auto& pick : picks) {
    call.reply.Bulk(pick.first);
    call.objects().Remove(call[1], pick.first);
  }
}

void SRandMember(const Call& call) {
  if (call.size() > 3) return call.SyntaxError();
  const bool one = call.size() == 2;
  const auto count = one ? 1 : ParsePickCount(call, call[2]);
  if (!count || !IsSet(call, call[1])) return;
  const auto picks = PickElements(call.objects(), call[1], *count);
  if (!one) call.reply.Array(picks.size());
  if (one && picks.empty()) return call.reply.Null();
  for (const auto& pick : picks) call.reply.Bulk(pick.first);
}

void SMove(const Call& call) {
  const bool there = call.view.Find(call[1]).type != ObjectType::kNone;
  if (!there) return call.reply.Integer(0);
  if (!IsSet(call, call[1]) || !IsSet(call, call[2])) return;
  const bool member = call.objects().Get(call[1], call[3]).has_value();
  call.reply.Integer(member ? 1 : 0);
  if (!member || call[1] == call[2]) return;
  call.objects().Remove(call[1], call[3]);
  if (call.objects().Get(call[2], call[3])) return;
  call.objects().Put(call[2], ObjectType::kSet, call[3], "");
}

void SScan(const Call& call) {
  ScanElements(call, ObjectType::kSet, 1,
               [&](const Objects::Element& element) { call.reply.Bulk(element.first); });
}

enum class Operation : std::uint8_t { kUnion, kIntersection, kDifference };

Operation OperationOf(CommandId id) {
  switch (id) {
    case CommandId::kSunion:
    case CommandId::kSunionstore:
      return Operation::kUnion;
    case CommandId::kSdiff:
    case CommandId::kSdiffstore:
      return Operation::kDifference;
    default:
      return Operation::kIntersection;
  }
}

Members MembersOf(const Call& call, std::string_view key) {
  Members out;
  for (auto& element : call.objects().Elements(key)) out.insert(std::move(element.first));
  return out;
}

/// Of the sets in words[first, end); nullopt with the error written.
std::optional<Members> Combine(const Call& call, Operation operation, std::size_t first,
                               std::size_t end) {
  for (std::size_t i = first; i < end; ++i) {
    if (!IsSet(call, call[i])) return std::nullopt;
  }
  Members out = MembersOf(call, call[first]);
  for (std::size_t i = first + 1; i < end; ++i) {
    if (operation == Operation::kUnion) {
      out.merge(MembersOf(call, call[i]));
      continue;
    }
    const bool keep = operation == Operation::kIntersection;
    std::erase_if(out, [&](const std::string& member) {
      return call.objects().Get(call[i], member).has_value() != keep;
    });
  }
  return out;
}

void SCombine(const Call& call) {
  const auto members = Combine(call, OperationOf(call.command.id), 1, call.size());
  if (!members) return;
  call.reply.Set(members->size());
  for (const auto& member : *members) call.reply.Bulk(member);
}

void SCombineStore(const Call& call) {
  const auto members = Combine(call, OperationOf(call.command.id), 2, call.size());
  if (!members) return;
  call.view.Remove(call[1]);
  for (const auto& member : *members) call.objects().Put(call[1], ObjectType::kSet, member, "");
  call.reply.Integer(static_cast<std::int64_t>(members->size()));
}

void SInterCard(const Call& call) {
  const auto keys = ParseInteger(call[1]);
  if (!keys || *keys <= 0) return call.reply.Error("ERR numkeys should be greater than 0");
  if (*keys > static_cast<std::int64_t>(call.size()) - 2) {
    return call.reply.Error("ERR Number of keys can't be greater than number of args");
  }
  const std::size_t end = 2 + static_cast<std::size_t>(*keys);
  std::int64_t limit = 0;
  for (std::size_t i = end; i < call.size(); i += 2) {
    if (!IsWord(call[i], "limit") || i + 1 == call.size()) return call.SyntaxError();
    const auto number = ParseInteger(call[i + 1]);
    if (!number || *number < 0) return call.reply.Error("ERR LIMIT can't be negative");
    limit = *number;
  }
  const auto members = Combine(call, Operation::kIntersection, 2, end);
  if (!members) return;
  const auto found = static_cast<std::int64_t>(members->size());
  call.reply.Integer(limit == 0 ? found : std::min(found, limit));
}

}  // namespace

Handler SetHandler(CommandId id) {
  switch (id) {
    case CommandId::kSadd:
      return SAdd;
    case CommandId::kSrem:
      return SRem;
    case CommandId::kSmembers:
      return SMembers;
    case CommandId::kSismember:
    case CommandId::kSmismember:
      return SIsMember;
    case CommandId::kScard:
      return SCard;
    case CommandId::kSpop:
      return SPop;
    case CommandId::kSrandmember:
      return SRandMember;
    case CommandId::kSmove:
      return SMove;
    case CommandId::kSscan:
      return SScan;
    case CommandId::kSunion:
    case CommandId::kSinter:
    case CommandId::kSdiff:
      return SCombine;
    case CommandId::kSunionstore:
    case CommandId::kSinterstore:
    case CommandId::kSdiffstore:
      return SCombineStore;
    case CommandId::kSintercard:
      return SInterCard;
    default:
      return nullptr;
  }
}

}  // namespace coterie::door::redis::ordered

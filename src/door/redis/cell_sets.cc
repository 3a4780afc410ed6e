#include <algorithm>
#include <set>

#include "door/redis/cell_call.h"
#include "door/redis/sampling.h"
#include "door/redis/text.h"

namespace coterie::door::redis::cell_sets {
namespace {

constexpr cells::ObjectType kType = cells::ObjectType::kSet;

std::vector<std::string> MembersOf(CellCall& call, std::string_view key) {
  std::vector<std::string> members;
  call.store.VisitSet(call.IdOf(key), key, {}, [&](std::string_view member) {
    members.emplace_back(member);
    return true;
  });
  return members;
}

/// Ascending members of the intersection of sets, at most `max` (0: all).
std::vector<std::string> Intersection(CellCall& call, Words keys, std::size_t max) {
  const auto size = [&](std::string_view key) {
    return call.store.Size(call.IdOf(key), key, kType);
  };
  const std::string_view smallest = *std::ranges::min_element(keys, {}, size);
  std::vector<std::string> found;
  call.store.VisitSet(call.IdOf(smallest), smallest, {}, [&](std::string_view member) {
    const bool everywhere = std::ranges::all_of(keys, [&](std::string_view key) {
      return key == smallest || call.store.SetContains(call.IdOf(key), key, member);
    });
    if (everywhere) found.emplace_back(member);
    return max == 0 || found.size() < max;
  });
  return found;
}

std::vector<std::string> Union(CellCall& call, Words keys) {
  std::set<std::string> all;
  for (const std::string_view key : keys)
    for (std::string& member : MembersOf(call, key)) all.insert(std::move(member));
  return {all.begin(), all.end()};
}

std::vector<std::string> Difference(CellCall& call, Words keys) {
  std::vector<std::string> left = MembersOf(call, keys[0]);
  std::erase_if(left, [&](const std::string& member) {
    return std::ranges::any_of(keys.subspan(1), [&](std::string_view key) {
      return call.store.SetContains(call.IdOf(key), key, member);
    });
  });
  return left;
}

bool ExpectSets(CellCall& call, Words keys) {
  return std::ranges::all_of(
      keys, [&](std::string_view key) { return call.Expect(call.IdOf(key), key, kType); });
}

}  // namespace

void SAdd(CellCall& call) {
  if (!call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  std::int64_t added = 0;
  const auto make = [&](cells::Edit& edit) {
    for (const std::string_view member : call.words.subspan(2))
      added += edit.SetAdd(call[1], member);
  };
  if (call.Write(call[1], make)) call.reply.Integer(added);
}

void SRem(CellCall& call) {
  if (!call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  std::int64_t removed = 0;
  const auto make = [&](cells::Edit& edit) {
    for (const std::string_view member : call.words.subspan(2))
      removed += edit.SetRemove(call[1], member);
  };
  if (call.Write(call[1], make)) call.reply.Integer(removed);
}

void SMembers(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  call.Counted(&Reply::Set, [&] {
    std::size_t n = 0;
    call.store.VisitSet(shard, call[1], {}, [&](std::string_view member) {
      call.reply.Bulk(member);
      ++n;
      return true;
    });
    return n;
  });
}

void SIsMember(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  call.reply.Integer(call.store.SetContains(shard, call[1], call[2]) ? 1 : 0);
}

void SMIsMember(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  call.reply.Array(call.size() - 2);
  for (const std::string_view member : call.words.subspan(2))
    call.reply.Integer(call.store.SetContains(shard, call[1], member) ? 1 : 0);
}

void SCard(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  call.reply.Integer(static_cast<std::int64_t>(call.store.Size(shard, call[1], kType)));
}

void SScan(CellCall& call) {
  const auto options = call.ElementScan(kType);
  if (!options) return;
  const ShardId shard = call.IdOf(call[1]);
  std::vector<std::string> found;
  call.ScanFrom(*options, [&](std::string_view after, auto&& visit) {
    call.store.VisitSet(shard, call[1], after, [&](std::string_view member) {
      return visit(member, [&] { found.emplace_back(member); });
    });
  });
  call.reply.Array(found.size());
  for (const std::string& member : found) call.reply.Bulk(member);
}

void SRandMember(CellCall& call) {
  if (call.size() > 3) return call.SyntaxError();
  std::optional<std::int64_t> count;
  if (call.size() == 3) {
    count = call.SampleCount(2);
    if (!count) return;
  }
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  const auto drawn = Sample(MembersOf(call, call[1]), count.value_or(1), call.world.random());
  if (!count) return drawn.empty() ? call.reply.Null() : call.reply.Bulk(drawn[0]);
  call.reply.Array(drawn.size());
  for (const std::string& member : drawn) call.reply.Bulk(member);
}

void Combine(CellCall& call) {
  const Words keys = call.words.subspan(1);
  if (!ExpectSets(call, keys)) return;
  std::vector<std::string> members;
  switch (call.context.command->id) {
    case CommandId::kSunion:
      members = Union(call, keys);
      break;
    case CommandId::kSinter:
      members = Intersection(call, keys, 0);
      break;
    default:
      members = Difference(call, keys);
  }
  call.reply.Set(members.size());
  for (const std::string& member : members) call.reply.Bulk(member);
}

void SInterCard(CellCall& call) {
  const auto count = ParseInteger(call[1]);
  if (!count || *count < 1) return call.reply.Error("ERR numkeys should be greater than 0");
  if (static_cast<std::uint64_t>(*count) > call.size() - 2)
    return call.reply.Error("ERR Number of keys can't be greater than number of args");
  const auto keys = static_cast<std::size_t>(*count);
  std::size_t limit = 0;
  if (call.size() > 2 + keys) {
    if (call.size() != 4 + keys || !IsWord(call[2 + keys], "limit")) return call.SyntaxError();
    const auto given = ParseInteger(call[3 + keys]);
    if (!given || *given < 0) return call.reply.Error("ERR LIMIT can't be negative");
    limit = static_cast<std::size_t>(*given);
  }
  const Words sets = call.words.subspan(2, keys);
  if (!ExpectSets(call, sets)) return;
  call.reply.Integer(static_cast<std::int64_t>(Intersection(call, sets, limit).size()));
}

}  // namespace coterie::door::redis::cell_sets

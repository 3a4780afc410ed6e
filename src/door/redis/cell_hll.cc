#include <algorithm>

#include "door/redis/cell_call.h"
#include "door/redis/hyperloglog.h"

namespace coterie::door::redis::cell_hll {
namespace {

/// False, and Redis's refusal in the reply, if `key` holds anything else.
bool ExpectHll(CellCall& call, std::string_view key) {
  const ShardId shard = call.IdOf(key);
  if (!call.Expect(shard, key, cells::ObjectType::kString)) return false;
  const bool there = call.store.TypeOf(shard, key) != cells::ObjectType::kNone;
  if (!there || call.store.IsHll(shard, key)) return true;
  call.reply.Error("WRONGTYPE Key is not a valid HyperLogLog string value.");
  return false;
}

bool ExpectAll(CellCall& call, Words keys) {
  return std::ranges::all_of(keys, [&](std::string_view key) { return ExpectHll(call, key); });
}

HllRanks Joined(CellCall& call, Words keys) {
  HllRanks ranks{};
  for (const std::string_view key : keys) call.store.HllRanks(call.IdOf(key), key, ranks);
  return ranks;
}

}  // namespace

void PfAdd(CellCall& call) {
  if (!ExpectHll(call, call[1])) return;
  bool changed = false;
  const bool there = call.store.IsHll(call.IdOf(call[1]), call[1]);
  const auto make = [&](cells::Edit& edit) {
    if (!there) edit.HllCreate(call[1]);
    for (const std::string_view element : call.words.subspan(2)) {
      const HllPlace place = HllPlaceOf(element);
      changed |= edit.HllRaise(call[1], place.index, place.rank);
    }
  };
  if (call.Write(call[1], make)) call.reply.Integer(changed || !there ? 1 : 0);
}

void PfCount(CellCall& call) {
  const Words keys = call.words.subspan(1);
  if (!ExpectAll(call, keys)) return;
  call.reply.Integer(static_cast<std::int64_t>(HllEstimate(Joined(call, keys))));
}

void PfMerge(CellCall& call) {
  if (!ExpectAll(call, call.words.subspan(1))) return;
  const HllRanks ranks = Joined(call, call.words.subspan(1));
  const bool there = call.store.IsHll(call.IdOf(call[1]), call[1]);
  const auto make = [&](cells::Edit& edit) {
    if (!there) edit.HllCreate(call[1]);
    for (std::size_t i = 0; i < ranks.size(); ++i)
      if (ranks[i] > 0) edit.HllRaise(call[1], static_cast<std::uint16_t>(i), ranks[i]);
  };
  if (call.Write(call[1], make)) call.reply.Ok();
}

}  // namespace coterie::door::redis::cell_hll

#include <fmt/format.h>

#include "door/redis/cell_call.h"
#include "door/redis/sampling.h"
#include "door/redis/text.h"

namespace coterie::door::redis::cell_hashes {
namespace {

constexpr cells::ObjectType kType = cells::ObjectType::kHash;

struct Field {
  std::string name, value;
};

std::vector<Field> FieldsOf(CellCall& call, ShardId shard, std::string_view key) {
  std::vector<Field> fields;
  call.store.VisitHash(shard, key, {}, [&](std::string_view name, std::string_view value) {
    fields.push_back({std::string(name), std::string(value)});
    return true;
  });
  return fields;
}

}  // namespace

void HSet(CellCall& call) {
  if (call.size() % 2 != 0) {
    return call.reply.Error(
        fmt::format("ERR wrong number of arguments for '{}' command", call.context.command->name));
  }
  if (!call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  std::int64_t made = 0;
  const auto make = [&](cells::Edit& edit) {
    for (std::size_t i = 2; i + 1 < call.size(); i += 2)
      made += edit.HashSet(call[1], call[i], call[i + 1]);
  };
  if (!call.Write(call[1], make)) return;
  if (call.context.command->id == CommandId::kHmset) return call.reply.Ok();
  call.reply.Integer(made);
}

void HGet(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  const auto value = call.store.HashGet(shard, call[1], call[2]);
  if (value) return call.reply.Bulk(*value);
  call.reply.Null();
}

void HMGet(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  call.reply.Array(call.size() - 2);
  for (const std::string_view field : call.words.subspan(2)) {
    const auto value = call.store.HashGet(shard, call[1], field);
    if (value) {
      call.reply.Bulk(*value);
    } else {
      call.reply.Null();
    }
  }
}

void HDel(CellCall& call) {
  if (!call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  std::int64_t removed = 0;
  const auto make = [&](cells::Edit& edit) {
    for (const std::string_view field : call.words.subspan(2))
      removed += edit.HashRemove(call[1], field);
  };
  if (call.Write(call[1], make)) call.reply.Integer(removed);
}

void HGetAll(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  const CommandId id = call.context.command->id;
  const bool names = id != CommandId::kHvals;
  const bool values = id != CommandId::kHkeys;
  const auto fill = [&] {
    std::size_t n = 0;
    call.store.VisitHash(shard, call[1], {}, [&](std::string_view name, std::string_view value) {
      if (names) call.reply.Bulk(name);
      if (values) call.reply.Bulk(value);
      ++n;
      return true;
    });
    return n;
  };
  if (names && values) return call.Counted(&Reply::Map, fill);
  call.Counted(&Reply::Array, fill);
}

void HLen(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  call.reply.Integer(static_cast<std::int64_t>(call.store.Size(shard, call[1], kType)));
}

void HExists(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  call.reply.Integer(call.store.HashGet(shard, call[1], call[2]) ? 1 : 0);
}

void HStrLen(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  const auto value = call.store.HashGet(shard, call[1], call[2]);
  call.reply.Integer(value ? static_cast<std::int64_t>(value->size()) : 0);
}

void HIncrBy(CellCall& call) {
  const auto amount = call.Integer(3);
  if (!amount) return;
  if (!call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  Result<std::int64_t> sum = 0;
  const auto make = [&](cells::Edit& edit) { sum = edit.HashIncrement(call[1], call[2], *amount); };
  if (!call.Write(call[1], make)) return;
  if (sum) return call.reply.Integer(*sum);
  if (sum.error().code == ErrorCode::kNotAnInteger)
    return call.reply.Error("ERR hash value is not an integer");
  call.reply.Error(sum.error());
}

void HScan(CellCall& call) {
  const auto options = call.ElementScan(kType);
  if (!options) return;
  const ShardId shard = call.IdOf(call[1]);
  std::vector<Field> found;
  call.ScanFrom(*options, [&](std::string_view after, auto&& visit) {
    call.store.VisitHash(shard, call[1], after, [&](std::string_view name, std::string_view value) {
      return visit(name, [&] { found.push_back({std::string(name), std::string(value)}); });
    });
  });
  call.reply.Array(2 * found.size());
  for (const Field& field : found) {
    call.reply.Bulk(field.name);
    call.reply.Bulk(field.value);
  }
}

void HRandField(CellCall& call) {
  const bool with_values = call.size() == 4 && IsWord(call[3], "withvalues");
  if (call.size() > 4 || (call.size() == 4 && !with_values)) return call.SyntaxError();
  std::optional<std::int64_t> count;
  if (call.size() > 2) {
    count = call.SampleCount(2);
    if (!count) return;
  }
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  const auto drawn = Sample(FieldsOf(call, shard, call[1]), count.value_or(1), call.world.random());
  if (!count) return drawn.empty() ? call.reply.Null() : call.reply.Bulk(drawn[0].name);
  const bool pairs = with_values && call.reply.protocol() >= 3;
  call.reply.Array(with_values && !pairs ? 2 * drawn.size() : drawn.size());
  for (const Field& field : drawn) {
    if (pairs) call.reply.Array(2);
    call.reply.Bulk(field.name);
    if (with_values) call.reply.Bulk(field.value);
  }
}

}  // namespace coterie::door::redis::cell_hashes

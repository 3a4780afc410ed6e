// The commands that are about all keys of a keyspace: each shard answers its part, here or on
// another node.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "door/redis/cell_call.h"
#include "door/redis/cell_commands.h"
#include "door/redis/gather.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

constexpr std::size_t kKeysAtOnce = 1024;  // looked at before others have their turn
constexpr std::size_t kRemovedAtOnce = 128;
constexpr std::size_t kFlushTurns = 32;  // of a shard's FLUSHDB, a mutation each, in one call
constexpr std::size_t kRandomStep = 64;
constexpr std::size_t kScanMax = 10000;  // keys looked at by one SCAN
/// Another node's part of a SCAN goes on behind this key: a word of ours behind Redis's own.
constexpr std::string_view kAfter = "after";

std::string Encoded(const Context& context, const Error& error) {
  std::string out;
  Reply(out, context.protocol).Error(error);
  return out;
}

std::uint64_t CellsOf(cells::Store& store, ShardId shard, std::string_view key) {
  const cells::ObjectType type = store.TypeOf(shard, key);
  return type == cells::ObjectType::kString ? 1 : store.Size(shard, key, type);
}

/// Removes as many of `keys`, from the first on, as one mutation may; answers how many.
std::size_t RemoveKeys(cells::Edit& edit, cells::Store& store, ShardId shard,
                       const std::vector<std::string>& keys) {
  std::uint64_t used = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::uint64_t cells = CellsOf(store, shard, keys[i]);
    if (i > 0 && used + cells > cells::Edit::kRemovedMax) return i;
    edit.RemoveKey(keys[i]);
    used += cells;
  }
  return keys.size();
}

void Strings(const std::vector<std::string>& values, Reply& reply) {
  reply.Array(values.size());
  for (const std::string& value : values) reply.Bulk(value);
}

}  // namespace

runtime::Task<std::string> CellCommands::RunOnKeyspace(Context context, OwnedWords words) {
  if (context.only != nullptr) {
    const ShardId shard = context.only->id;
    co_return co_await OnShardHere(context, std::move(words), shard);
  }
  switch (context.command->id) {
    case CommandId::kKeys:
      co_return co_await Keys(context, std::move(words));
    case CommandId::kDbsize:
      co_return co_await Size(context);
    case CommandId::kScan:
      co_return co_await Scan(context, std::move(words));
    case CommandId::kRandomkey:
      co_return co_await RandomKey(context);
    default:
      co_return co_await Flush(context, std::move(words));
  }
}

runtime::Task<std::string> CellCommands::OnShard(Context context, OwnedWords words,
                                                 placement::Shard shard) {
  if (leaderless_.Serves(shard)) {
    co_return co_await OnShardHere(context, std::move(words), shard.id);
  }
  Result<std::string> answer = co_await forwarder_.Forward(shard, context, std::move(words), true);
  if (!answer) co_return Encoded(context, answer.error());
  co_return std::move(*answer);
}

runtime::Task<std::string> CellCommands::OnShardHere(Context context, OwnedWords words,
                                                     ShardId shard) {
  std::string out;
  switch (context.command->id) {
    case CommandId::kKeys:
      co_return co_await KeysHere(context, words[1], shard);
    case CommandId::kDbsize:
      Reply(out).Integer(static_cast<std::int64_t>(leaderless_.store().KeyCount(shard)));
      co_return out;
    case CommandId::kScan: {
      const std::vector<std::string_view> views(words.begin(), words.end());
      co_return ScanHere(context, views, shard);
    }
    case CommandId::kRandomkey:
      co_return RandomKeyHere(context, shard);
    default:
      co_return co_await FlushHere(context, shard);
  }
}

runtime::Task<std::string> CellCommands::KeysHere(Context context, std::string pattern,
                                                  ShardId shard) {
  std::vector<std::string> found;
  std::string after;
  for (;;) {
    if (!leaderless_.store().HasShard(shard)) break;
    std::vector<std::string> keys = leaderless_.store().Keys(shard, after, kKeysAtOnce);
    if (keys.empty()) break;
    after = keys.back();
    const bool last = keys.size() < kKeysAtOnce;
    for (std::string& key : keys)
      if (GlobMatch(pattern, key)) found.push_back(std::move(key));
    if (last) break;
    co_await runtime::Yield(world_.executor());
  }
  std::string out;
  Reply reply(out, context.protocol);
  Strings(found, reply);
  co_return out;
}

runtime::Task<std::string> CellCommands::Keys(Context context, OwnedWords words) {
  std::vector<runtime::Task<std::string>> tasks;
  for (const placement::Shard& shard : context.keyspace->shards)
    tasks.push_back(OnShard(context, words, shard));
  std::vector<std::string> replies = co_await All(world_.executor(), std::move(tasks));
  std::string body;
  std::size_t count = 0;
  for (const std::string& part : replies) {
    if (part.starts_with('-')) co_return part;
    const auto elements = ElementsOf(part);
    if (!elements) continue;
    count += elements->size();
    for (const std::string_view element : *elements) body += element;
  }
  std::string out;
  Reply(out, context.protocol).Array(count);
  co_return out + body;
}

runtime::Task<std::string> CellCommands::Size(Context context) {
  std::vector<runtime::Task<std::string>> tasks;
  for (const placement::Shard& shard : context.keyspace->shards)
    tasks.push_back(OnShard(context, {"dbsize"}, shard));
  std::vector<std::string> replies = co_await All(world_.executor(), std::move(tasks));
  std::int64_t sum = 0;
  for (const std::string& part : replies) {
    if (part.starts_with('-')) co_return part;
    sum += IntegerOf(part).value_or(0);
  }
  std::string out;
  Reply(out, context.protocol).Integer(sum);
  co_return out;
}

/// Answers the key to go on behind ("": the shard's end), then the keys found.
std::string CellCommands::ScanHere(const Context& context, Words words, ShardId shard) {
  std::string out;
  Reply reply(out, context.protocol);
  std::string after;
  if (words.size() >= 4 && words[words.size() - 2] == kAfter) {
    after = words.back();
    words = words.first(words.size() - 2);
  }
  const auto options = ParseScan(words, 1, true, reply);
  if (!options) return out;
  cells::Store& store = leaderless_.store();
  const std::size_t count = std::min(options->count, kScanMax);
  std::vector<std::string> keys = store.Keys(shard, after, count);
  after = keys.size() < count ? std::string() : keys.back();
  std::erase_if(keys, [&](const std::string& key) {
    if (!options->pattern.empty() && !GlobMatch(options->pattern, key)) return true;
    return !options->type.empty() && options->type != cells::ToText(store.TypeOf(shard, key));
  });
  reply.Array(keys.size() + 1);
  reply.Bulk(after);
  for (const std::string& key : keys) reply.Bulk(key);
  return out;
}

runtime::Task<std::string> CellCommands::Scan(Context context, OwnedWords words) {
  std::string out;
  Reply reply(out, context.protocol);
  const std::vector<std::string_view> views(words.begin(), words.end());
  const auto options = ParseScan(views, 1, true, reply);
  if (!options) co_return out;
  const auto& shards = context.keyspace->shards;
  ScanCursors::Position at = cursors_.Find(options->cursor);
  std::vector<std::string> found;
  std::size_t looked_at = 0;
  while (at.part < shards.size() && found.size() < options->count && looked_at < kScanMax) {
    OwnedWords part = words;
    part.emplace_back(kAfter);
    part.push_back(at.after);
    std::string answer = co_await OnShard(context, std::move(part), shards[at.part]);
    const auto elements = ElementsOf(answer);
    if (!elements || elements->empty()) co_return answer;  // an error
    for (std::size_t i = 1; i < elements->size(); ++i) found.emplace_back(BytesOf((*elements)[i]));
    looked_at += options->count;
    at.after = BytesOf(elements->front());
    if (at.after.empty()) ++at.part;
  }
  const std::uint64_t next = at.part < shards.size() ? cursors_.Make(std::move(at)) : 0;
  reply.Array(2);
  reply.Bulk(fmt::format("{}", next));
  Strings(found, reply);
  co_return out;
}

/// A walk through the shard's keys in short random steps: each key is met, none by its place.
std::string CellCommands::RandomKeyHere(const Context& context, ShardId shard) {
  std::string out;
  Reply reply(out, context.protocol);
  std::string& after = random_after_[shard];
  for (int round = 0; round < 2; ++round) {
    const std::vector<std::string> keys = leaderless_.store().Keys(shard, after, kRandomStep);
    if (!keys.empty()) {
      after = keys[world_.random().Below(keys.size())];
      reply.Bulk(after);
      return out;
    }
    after.clear();
  }
  reply.Null();
  return out;
}

runtime::Task<std::string> CellCommands::RandomKey(Context context) {
  std::vector<std::uint64_t> sizes;
  std::uint64_t total = 0;
  Context sized = context;
  sized.command = &RowOf(CommandId::kDbsize);
  for (const placement::Shard& shard : context.keyspace->shards) {
    std::string answer = co_await OnShard(sized, {"dbsize"}, shard);
    sizes.push_back(static_cast<std::uint64_t>(IntegerOf(answer).value_or(0)));
    total += sizes.back();
  }
  std::string out;
  if (total > 0) {
    std::uint64_t chosen = world_.random().Below(total);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (chosen < sizes[i])
        co_return co_await OnShard(context, {"randomkey"}, context.keyspace->shards[i]);
      chosen -= sizes[i];
    }
  }
  Reply(out, context.protocol).Null();
  co_return out;
}

/// Removes what is seen of a part of the shard; answers 1 if there may be more.
runtime::Task<std::string> CellCommands::FlushHere(Context context, ShardId shard) {
  std::string after;
  bool more = true;
  for (std::size_t turn = 0; more && turn < kFlushTurns; ++turn) {
    const auto& shards = context.keyspace->shards;
    const auto place = std::ranges::find(shards, shard, &placement::Shard::id);
    if (place == shards.end() || !leaderless_.Serves(*place)) break;
    const std::vector<std::string> keys = leaderless_.store().Keys(shard, after, kRemovedAtOnce);
    if (keys.empty()) {
      more = false;
      break;
    }
    std::size_t removed = 0;
    const auto remove = [&](cells::Edit& edit) {
      removed = RemoveKeys(edit, leaderless_.store(), shard, keys);
    };
    Result<node::WriteTicket> ticket =
        leaderless_.Write(*context.keyspace, *place, std::ref(remove));
    if (!ticket) co_return Encoded(context, ticket.error());
    if (removed > 0) after = keys[removed - 1];
    Status done = co_await leaderless_.Acknowledged(*ticket, context.deadline);
    if (!done) co_return Encoded(context, done.error());
    co_await runtime::Yield(world_.executor());
  }
  std::string out;
  Reply(out).Integer(more ? 1 : 0);
  co_return out;
}

runtime::Task<std::string> CellCommands::Flush(Context context, OwnedWords words) {
  std::string out;
  Reply reply(out, context.protocol);
  const bool plain = words.size() == 1 ||
                     (words.size() == 2 && (IsWord(words[1], "async") || IsWord(words[1], "sync")));
  if (!plain) {
    reply.Error("ERR syntax error");
    co_return out;
  }
  // A large keyspace takes longer than a request: each part has the time of one.
  const Duration patience = context.deadline - world_.Now();
  for (const placement::Shard& shard : context.keyspace->shards) {
    for (bool more = true; more;) {
      context.deadline = world_.Now() + patience;
      std::string answer = co_await OnShard(context, {words[0]}, shard);
      if (answer.starts_with('-')) co_return answer;
      more = IntegerOf(answer).value_or(0) == 1;
    }
  }
  reply.Ok();
  co_return out;
}

}  // namespace coterie::door::redis

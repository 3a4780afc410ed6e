#include "door/redis/conditional_commands.h"

#include <algorithm>
#include <utility>

#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

std::string Encoded(const Context& context, const Error& error) {
  std::string out;
  Reply(out, context.protocol).Error(error);
  return out;
}

}  // namespace

runtime::Task<std::string> ConditionalCommands::Run(Context context, OwnedWords words) {
  std::string key = words[1];
  return cells_.RunWhereServed(
      std::move(context), std::move(words), std::move(key),
      [this](Context with, OwnedWords all) { return RunHere(std::move(with), std::move(all)); });
}

runtime::Task<std::string> ConditionalCommands::RunHere(Context context, OwnedWords words) {
  const std::string key = words[1];
  const placement::Shard shard = context.keyspace->ShardOf(key);
  const auto active = std::ranges::count(shard.replicas, placement::Phase::kActive,
                                         &placement::ShardReplica::phase);
  const auto majority = static_cast<std::uint32_t>(active / 2 + 1);
  Status refreshed =
      co_await leaderless_.Refresh(*context.keyspace, shard, key, majority, context.deadline);
  if (!refreshed) co_return Encoded(context, refreshed.error());
  const bool here = leaderless_.Serves(shard);  // still
  const cells::ObjectType type =
      here ? leaderless_.store().TypeOf(shard.id, key) : cells::ObjectType::kNone;
  std::string reply;
  if (type == cells::ObjectType::kNone || type == cells::ObjectType::kString) {
    reply = co_await strings_.Run(std::move(context), std::move(words));
  } else {
    reply = co_await RunOnHash(std::move(context), std::move(words));
  }
  co_return reply;
}

runtime::Task<std::string> ConditionalCommands::RunOnHash(Context context, OwnedWords words) {
  std::string out;
  Reply reply(out, context.protocol);
  const CommandId id = context.command->id;
  const auto option = [&](std::string_view name) {
    return id == CommandId::kSet && words.size() > 3 &&
           std::any_of(words.begin() + 3, words.end(),
                       [&](const std::string& word) { return IsWord(word, name); });
  };
  if (id == CommandId::kSetnx || id == CommandId::kMsetnx) {
    reply.Integer(0);
  } else if (option("nx") && !option("get")) {
    reply.Null();
  } else if (option("xx") && !option("get")) {
    // There is something: whatever it is, it is replaced.
    words.erase(std::remove_if(words.begin() + 3, words.end(),
                               [](const std::string& word) { return IsWord(word, "xx"); }),
                words.end());
    out = co_await cells_.Run(std::move(context), std::move(words));
  } else {
    reply.Error("WRONGTYPE Operation against a key holding the wrong kind of value");
  }
  co_return out;
}

}  // namespace coterie::door::redis

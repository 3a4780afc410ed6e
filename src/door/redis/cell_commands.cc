#include "door/redis/cell_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "door/redis/cell_call.h"
#include "door/redis/command_keys.h"
#include "door/redis/gather.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

/// Between attempts at a shard that has just moved.
constexpr Duration kMapPatience = 50ms;
constexpr std::string_view kSpreadKeys =
    "CROSSSLOT The keys are of shards on different nodes: give them one {tag} to keep them "
    "together";

bool IsKeyspaceWide(CommandId id) {
  return id == CommandId::kKeys || id == CommandId::kDbsize || id == CommandId::kScan ||
         id == CommandId::kRandomkey || id == CommandId::kFlushdb || id == CommandId::kFlushall;
}

/// Commands that mean the same when they are sent in parts, each for some of the keys.
bool IsSplittable(CommandId id) {
  return id == CommandId::kMget || id == CommandId::kMset || id == CommandId::kDel ||
         id == CommandId::kUnlink || id == CommandId::kExists || id == CommandId::kTouch;
}

std::size_t BytesOf(Words words) {
  std::size_t bytes = 0;
  for (const std::string_view word : words) bytes += word.size();
  return bytes;
}

/// COTERIE comes here for RESOLVE, which writes.
bool Writes(const Command& command) {
  return (command.flags & kWrite) != 0 || command.id == CommandId::kCoterie;
}

bool IsOneKey(const Command& command) {
  return command.first == 1 && command.last == 1 && (command.flags & kMovable) == 0;
}

std::vector<std::string_view> ViewsOf(const OwnedWords& words) {
  return {words.begin(), words.end()};
}

std::string Encoded(const Context& context, const Error& error) {
  std::string out;
  Reply(out, context.protocol).Error(error);
  return out;
}

bool SameShard(const Context& context, Words words, const std::vector<std::size_t>& keys) {
  return std::ranges::all_of(keys, [&](std::size_t key) {
    return &context.keyspace->ShardOf(words[key]) == &context.keyspace->ShardOf(words[keys[0]]);
  });
}

bool IsMoved(const Error& error) {
  return error.outcome == Outcome::kNotApplied &&
         (error.code == ErrorCode::kStaleEpoch || error.code == ErrorCode::kNotReplica);
}

/// One reply out of those of the parts, in the order of the command's keys.
std::string Join(const Context& context, std::size_t keys,
                 const std::vector<std::vector<std::size_t>>& places,
                 const std::vector<std::string>& replies) {
  std::string out;
  Reply reply(out, context.protocol);
  for (const std::string& part : replies)
    if (part.starts_with('-')) return part;
  if (context.command->id == CommandId::kMset) {
    reply.Ok();
  } else if (context.command->id == CommandId::kMget) {
    std::vector<std::string_view> values(keys);
    for (std::size_t i = 0; i < replies.size(); ++i) {
      const auto elements = ElementsOf(replies[i]);
      if (!elements || elements->size() != places[i].size())
        return Encoded(context, {ErrorCode::kMalformed, Outcome::kNotApplied, "another node"});
      for (std::size_t k = 0; k < elements->size(); ++k) values[places[i][k]] = (*elements)[k];
    }
    reply.Array(keys);
    for (const std::string_view value : values) out += value;
  } else {
    std::int64_t sum = 0;
    for (const std::string& part : replies) sum += IntegerOf(part).value_or(0);
    reply.Integer(sum);
  }
  return out;
}

}  // namespace

CellCommands::CellCommands(runtime::World& world, node::Control& control,
                           node::Leaderless& leaderless, Forwarder& forwarder)
    : world_(world), control_(control), leaderless_(leaderless), forwarder_(forwarder) {}

bool CellCommands::Refreshes(const Context& context, Words words) {
  if (context.keyspace->promise.read <= 1) return false;
  if (context.command->id == CommandId::kCoterie) return IsWord(words[1], "siblings");
  return (context.command->flags & kRead) != 0;
}

bool CellCommands::AllHere(const Context& context, Words words,
                           const std::vector<std::size_t>& keys) const {
  return std::ranges::all_of(keys, [&](std::size_t key) {
    return leaderless_.Serves(context.keyspace->ShardOf(words[key]));
  });
}

Step CellCommands::Begin(const Context& context, Words words, std::string& out,
                         node::WriteTicket& ticket) {
  const Command& command = *context.command;
  if (const std::size_t bytes = BytesOf(words); bytes > kWriteBytesMax && Writes(command)) {
    Reply(out, context.protocol)
        .Error(Error{ErrorCode::kTooLarge, Outcome::kNotApplied,
                     fmt::format("{} has {} bytes; a command that writes a leaderless keyspace may "
                                 "have {}",
                                 ToUpper(command.name), bytes, kWriteBytesMax)});
    return Step::kDone;
  }
  if (IsKeyspaceWide(command.id) || Refreshes(context, words)) return Step::kSuspend;
  if (IsOneKey(command)) {
    if (!leaderless_.Serves(context.keyspace->ShardOf(words[1]))) return Step::kSuspend;
    return Execute(context, words, out, ticket);
  }
  const auto keys = KeyPositions(command, words);
  if (keys && !AllHere(context, words, *keys)) return Step::kSuspend;
  // A ticket is of one shard: the writes of several are waited for by Run.
  const bool many_tickets = (command.flags & kWrite) != 0 && IsSplittable(command.id);
  if (keys && many_tickets && !SameShard(context, words, *keys)) return Step::kSuspend;
  return Execute(context, words, out, ticket);
}

Step CellCommands::Execute(const Context& context, Words words, std::string& out,
                           node::WriteTicket& ticket) {
  const CellHandler handler = HandlerOf(context.command->id);
  COT_ASSERT(handler != nullptr);
  CellCall call{context,
                words,
                world_,
                leaderless_,
                leaderless_.store(),
                cursors_,
                Reply(out, context.protocol),
                ticket};
  handler(call);
  return ticket.number == 0 ? Step::kDone : Step::kAcked;
}

runtime::Task<std::string> CellCommands::ExecuteHere(Context context, OwnedWords words) {
  std::string out;
  node::WriteTicket ticket;
  const auto views = ViewsOf(words);
  const Step step = Execute(context, views, out, ticket);
  if (step == Step::kDone) co_return out;
  Status acknowledged = co_await leaderless_.Acknowledged(ticket, context.deadline);
  if (!acknowledged) co_return Encoded(context, acknowledged.error());
  co_return out;
}

runtime::Task<Status> CellCommands::Refresh(Context context, std::vector<std::string> keys) {
  std::vector<runtime::Task<Status>> tasks;
  for (std::string& key : keys) {
    const placement::Shard& shard = context.keyspace->ShardOf(key);
    tasks.push_back(leaderless_.Refresh(*context.keyspace, shard, std::move(key),
                                        context.keyspace->promise.read, context.deadline));
  }
  std::vector<Status> done = co_await All(world_.executor(), std::move(tasks));
  for (const Status& status : done)
    if (!status) co_return status;
  co_return Ok();
}

std::optional<std::vector<std::string>> CellCommands::KeysToRefresh(const Request& request) const {
  const Context& context = request.context;
  const auto views = ViewsOf(request.words);
  if (IsKeyspaceWide(context.command->id) || !Refreshes(context, views)) return std::nullopt;
  const auto positions = KeyPositions(*context.command, views);
  if (!positions || !AllHere(context, views, *positions)) return std::nullopt;
  std::vector<std::string> keys;
  for (const std::size_t position : *positions) keys.push_back(request.words[position]);
  return keys;
}

bool CellCommands::MayJoin(const Context& front, const Command& next) const {
  return (front.command->flags & kRead) != 0 && (next.flags & kRead) != 0;
}

runtime::Task<std::vector<std::string>> CellCommands::RunTogether(std::vector<Request> requests) {
  std::vector<runtime::Task<Status>> refreshes;
  std::vector<std::size_t> whose;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    auto keys = KeysToRefresh(requests[i]);
    if (!keys) continue;
    refreshes.push_back(Refresh(requests[i].context, std::move(*keys)));
    whose.push_back(i);
  }
  const std::vector<Status> refreshed = co_await All(world_.executor(), std::move(refreshes));
  std::vector<std::string> replies(requests.size());
  for (std::size_t i = 0, next = 0; i < requests.size(); ++i) {
    const Context& context = requests[i].context;
    const bool prepared = next < whose.size() && whose[next] == i;
    if (prepared && !refreshed[next]) {
      replies[i] = Encoded(context, refreshed[next].error());
    } else if (prepared && KeysToRefresh(requests[i])) {  // its shards are still here
      node::WriteTicket none;
      const auto views = ViewsOf(requests[i].words);
      Execute(context, views, replies[i], none);
    } else {
      replies[i] = co_await Run(context, requests[i].words);
    }
    if (prepared) ++next;
  }
  co_return replies;
}

runtime::Task<std::string> CellCommands::ExecuteFresh(Context context, OwnedWords words) {
  const auto views = ViewsOf(words);
  if (Refreshes(context, views)) {
    std::vector<std::string> keys;
    const auto positions = KeyPositions(*context.command, views);
    if (positions)
      for (const std::size_t position : *positions) keys.push_back(words[position]);
    Status refreshed = co_await Refresh(context, std::move(keys));
    if (!refreshed) co_return Encoded(context, refreshed.error());
  }
  co_return co_await ExecuteHere(context, std::move(words));
}

runtime::Task<std::string> CellCommands::RunOnShard(Context context, OwnedWords words,
                                                    std::string key) {
  Here here = [this](Context with, OwnedWords all) {
    return ExecuteFresh(std::move(with), std::move(all));
  };
  return RunWhereServed(std::move(context), std::move(words), std::move(key), std::move(here));
}

runtime::Task<std::string> CellCommands::RunWhereServed(Context context, OwnedWords words,
                                                        std::string key, Here here) {
  std::unique_ptr<placement::Keyspace> adjusted;  // of a map newer than the connection's
  for (;;) {
    const placement::Shard& shard = context.keyspace->ShardOf(key);
    if (leaderless_.Serves(shard)) {
      std::string reply = co_await here(context, std::move(words));
      co_return reply;
    }
    Result<std::string> answer = Fail(ErrorCode::kNotReplica, "The shard has just moved.");
    if (!context.forwarded) answer = co_await forwarder_.Forward(shard, context, words, false);
    if (answer) co_return std::move(*answer);
    const bool again = IsMoved(answer.error()) && !context.forwarded &&
                       world_.Now() + kMapPatience < context.deadline;
    if (!again) co_return Encoded(context, answer.error());
    co_await runtime::Sleep(world_.executor(), kMapPatience);
    const std::string name = context.keyspace->promise.name;
    context.map = control_.map();
    const placement::Keyspace* declared = context.map->Find(name);
    if (declared == nullptr)
      co_return Encoded(context, {ErrorCode::kNoKeyspace, Outcome::kNotApplied, name});
    auto newer = std::make_unique<placement::Keyspace>(*declared);
    if (context.read > 0) newer->promise.read = context.read;
    if (context.write > 0) newer->promise.write = context.write;
    adjusted = std::move(newer);
    context.keyspace = adjusted.get();
  }
}

std::vector<CellCommands::Part> CellCommands::Split(const Context& context, const OwnedWords& words,
                                                    const std::vector<std::size_t>& keys) {
  std::map<ShardId, Part> parts;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::string& key = words[keys[i]];
    Part& part = parts[context.keyspace->ShardOf(key).id];
    if (part.words.empty()) part.words.push_back(words[0]);
    part.key = key;
    part.places.push_back(i);
    for (int k = 0; k < context.command->step; ++k)
      part.words.push_back(words[keys[i] + static_cast<std::size_t>(k)]);
  }
  std::vector<Part> list;
  for (auto& [shard, part] : parts) list.push_back(std::move(part));
  return list;
}

runtime::Task<std::string> CellCommands::RunSplit(Context context, OwnedWords words,
                                                  std::vector<std::size_t> keys) {
  std::vector<Part> parts = Split(context, words, keys);
  std::vector<runtime::Task<std::string>> tasks;
  std::vector<std::vector<std::size_t>> places;
  for (Part& part : parts) {
    places.push_back(std::move(part.places));
    tasks.push_back(RunOnShard(context, std::move(part.words), std::move(part.key)));
  }
  std::vector<std::string> replies = co_await All(world_.executor(), std::move(tasks));
  co_return Join(context, keys.size(), places, replies);
}

runtime::Task<std::string> CellCommands::Run(Context context, OwnedWords words) {
  if (IsKeyspaceWide(context.command->id)) {
    co_return co_await RunOnKeyspace(context, std::move(words));
  }
  const auto views = ViewsOf(words);
  const auto keys = KeyPositions(*context.command, views);
  if (!keys || keys->empty()) co_return co_await ExecuteHere(context, std::move(words));
  if (SameShard(context, views, *keys)) {
    std::string key = words[keys->front()];
    co_return co_await RunOnShard(context, std::move(words), std::move(key));
  }
  const bool well_formed = context.command->id != CommandId::kMset || words.size() % 2 == 1;
  if (IsSplittable(context.command->id) && well_formed)
    co_return co_await RunSplit(context, std::move(words), *keys);
  if (!AllHere(context, views, *keys)) {
    std::string out;
    Reply(out, context.protocol).Error(kSpreadKeys);
    co_return out;
  }
  if (Refreshes(context, views)) {
    std::vector<std::string> all;
    for (const std::size_t key : *keys) all.push_back(words[key]);
    Status refreshed = co_await Refresh(context, std::move(all));
    if (!refreshed) co_return Encoded(context, refreshed.error());
  }
  co_return co_await ExecuteHere(context, std::move(words));
}

}  // namespace coterie::door::redis

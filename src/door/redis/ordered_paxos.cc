#include "door/redis/ordered_paxos.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "door/redis/command_keys.h"
#include "door/redis/gather.h"
#include "door/redis/ordered_raft.h"
#include "door/redis/ordered_register_view.h"
#include "door/redis/ordered_scan.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

using node::Registers;
using runtime::Task;
using Value = Registers::Value;

constexpr std::size_t kPage = 1000;

/// What the steps of one command share; lives in RunOnRegisters' frame.
struct Round {
  runtime::World& world;
  Cursors& cursors;
  Registers& registers;
  Context context;
  OwnedWords words;

  View::Surroundings surroundings() {
    return {WallMilliseconds(world), context.keyspace->promise.redis_database, world.random(),
            cursors};
  }
};

std::string Encoded(const Round& round, const Error& error) {
  std::string out;
  Reply(out, round.context.protocol).Error(error);
  return out;
}

/// Executes `words` on what `key` holds.
Registers::Change Execute(Round& round, const OwnedWords& words, std::string_view key,
                          const std::optional<Value>& current, std::string& out) {
  RegisterView view(key, current, round.surroundings());
  const std::vector<std::string_view> views(words.begin(), words.end());
  out.clear();
  Reply reply(out, round.context.protocol);
  HandlerOf(round.context.command->id)({view, *round.context.command, views, reply});
  return view.TakeChange();
}

/// One command on its one key.
Task<std::string> RunSingle(Round* round, OwnedWords words, std::string key) {
  std::string out;
  if ((round->context.command->flags & kWrite) == 0) {
    auto read = co_await round->registers.Read(key, round->context.deadline);
    if (!read) co_return Encoded(*round, read.error());
    const auto change = Execute(*round, words, key, *read, out);
    if (!change.write) co_return out;  // else it has expired: that is settled before it is told
  }
  auto update = co_await round->registers.Update(
      key,
      [round, &words, &key, &out](const std::optional<Value>& current) {
        return Execute(*round, words, key, current, out);
      },
      round->context.deadline);
  if (!update) co_return Encoded(*round, update.error());
  co_return out;
}

/// The same command on each of its keys, one after the other: the sum of the answers.
Task<std::string> RunCounting(Round* round) {
  std::int64_t sum = 0;
  for (std::size_t i = 1; i < round->words.size(); ++i) {
    OwnedWords one = {round->words[0], round->words[i]};
    std::string reply = co_await RunSingle(round, std::move(one), round->words[i]);
    if (!reply.starts_with(':')) co_return reply;
    sum += reply.starts_with(":1") ? 1 : 0;
  }
  std::string out;
  Reply(out, round->context.protocol).Integer(sum);
  co_return out;
}

Task<std::string> RunMGet(Round* round) {
  std::string out;
  Reply reply(out, round->context.protocol);
  reply.Array(round->words.size() - 1);
  for (std::size_t i = 1; i < round->words.size(); ++i) {
    auto read = co_await round->registers.Read(round->words[i], round->context.deadline);
    if (!read) co_return Encoded(*round, read.error());
    RegisterView view(round->words[i], *read, round->surroundings());
    const View::Object& object = view.Find(round->words[i]);
    if (object.type == ObjectType::kString) {
      reply.Bulk(object.value);
    } else {
      reply.Null();
    }
  }
  co_return out;
}

/// All keys; nullopt with the error in `error`.
Task<std::optional<std::vector<std::string>>> AllKeys(Round* round, std::string* error) {
  std::vector<std::string> all;
  std::string after;
  for (;;) {
    auto page = co_await round->registers.Keys(after, kPage, round->context.deadline);
    if (!page) {
      *error = Encoded(*round, page.error());
      co_return std::nullopt;
    }
    const bool last = page->size() < kPage;
    for (auto& key : *page) all.push_back(std::move(key));
    if (last || all.empty()) co_return all;
    after = all.back();
  }
}

Task<std::string> RunScan(Round* round) {
  std::string out;
  Reply reply(out, round->context.protocol);
  const std::vector<std::string_view> words(round->words.begin(), round->words.end());
  RegisterView nothing("", std::nullopt, round->surroundings());
  const Call call{nothing, *round->context.command, words, reply};
  const std::string scan = "p" + round->context.keyspace->promise.name;
  const auto request = ParseScan(call, 1, scan, true);
  if (!request) co_return out;
  const auto count = static_cast<std::size_t>(request->count);
  auto page =
      co_await round->registers.Keys(request->after.value_or(""), count, round->context.deadline);
  if (!page) co_return Encoded(*round, page.error());
  std::optional<std::string> next;
  if (page->size() == count) next = page->back();
  const bool strings = !request->type || *request->type == "string";
  std::erase_if(*page, [&](const std::string& key) { return !strings || !request->Matches(key); });
  ReplyCursor(call, scan, std::move(next));
  reply.Array(page->size());
  for (const auto& key : *page) reply.Bulk(key);
  co_return out;
}

Task<std::string> RunFlush(Round* round, std::vector<std::string> keys) {
  const auto remove = [](const std::optional<Value>& current) {
    return Registers::Change{current.has_value(), std::nullopt};
  };
  for (const std::string& key : keys) {
    auto removed = co_await round->registers.Update(key, remove, round->context.deadline);
    if (!removed) co_return Encoded(*round, removed.error());
  }
  std::string out;
  Reply(out, round->context.protocol).Ok();
  co_return out;
}

/// KEYS, DBSIZE, RANDOMKEY, FLUSHDB.
Task<std::string> RunOnAllKeys(Round* round) {
  std::string error;
  auto keys = co_await AllKeys(round, &error);
  if (!keys) co_return error;
  const CommandId id = round->context.command->id;
  if (id == CommandId::kFlushdb || id == CommandId::kFlushall) {
    std::string flushed = co_await RunFlush(round, std::move(*keys));
    co_return flushed;
  }
  std::string out;
  Reply reply(out, round->context.protocol);
  if (id == CommandId::kDbsize) {
    reply.Integer(static_cast<std::int64_t>(keys->size()));
  } else if (id == CommandId::kRandomkey) {
    if (keys->empty()) {
      reply.Null();
    } else {
      reply.Bulk((*keys)[round->world.random().Below(keys->size())]);
    }
  } else {
    const std::string& pattern = round->words[1];
    std::erase_if(*keys, [&](const std::string& key) { return !GlobMatch(pattern, key); });
    reply.Array(keys->size());
    for (const auto& key : *keys) reply.Bulk(key);
  }
  co_return out;
}

std::string Refused(const Round& round, std::string_view why) {
  std::string out;
  Reply(out, round.context.protocol)
      .Error(fmt::format("NOTPAXOS {} {}; use a raft keyspace",
                         ToUpper(round.context.command->name), why));
  return out;
}

/// Whether a register's view is all that the command's handler needs, given that it has one key.
bool IsOfStrings(CommandId id) {
  return StringHandler(id) != nullptr || KeyHandler(id) != nullptr || BitHandler(id) != nullptr;
}

Task<std::string> RunOnOneKey(Round* round) {
  const Command& command = *round->context.command;
  const std::vector<std::string_view> words(round->words.begin(), round->words.end());
  const auto keys = KeyPositions(command, words);
  std::string out;
  if (!IsOfStrings(command.id) || !keys || keys->size() > 1) {
    co_return Refused(*round, "is refused: a paxos keyspace holds strings, one register a key");
  }
  if (keys->empty()) {  // OBJECT HELP
    Execute(*round, round->words, "", std::nullopt, out);
    co_return out;
  }
  out = co_await RunSingle(round, round->words, round->words[keys->front()]);
  co_return out;
}

}  // namespace

Task<std::string> RunOnRegisters(runtime::World& world, Cursors& cursors, Registers& registers,
                                 Context context, OwnedWords words) {
  Round round{world, cursors, registers, std::move(context), std::move(words)};
  std::string out;
  switch (round.context.command->id) {
    case CommandId::kDel:
    case CommandId::kUnlink:
    case CommandId::kExists:
    case CommandId::kTouch:
      out = co_await RunCounting(&round);
      break;
    case CommandId::kMget:
      out = co_await RunMGet(&round);
      break;
    case CommandId::kMset:
    case CommandId::kMsetnx:
      if (round.words.size() > 3) {
        out = Refused(round, "of several keys is refused: each key agrees on its own");
      } else {
        out = co_await RunSingle(&round, round.words, round.words[1]);
      }
      break;
    case CommandId::kScan:
      out = co_await RunScan(&round);
      break;
    case CommandId::kKeys:
    case CommandId::kDbsize:
    case CommandId::kRandomkey:
    case CommandId::kFlushdb:
    case CommandId::kFlushall:
      out = co_await RunOnAllKeys(&round);
      break;
    default:
      out = co_await RunOnOneKey(&round);
  }
  co_return out;
}

namespace {

/// Commands of one connection that go on side by side: each is a chain of requests, by their
/// places.
struct Wave {
  std::map<std::string, std::vector<std::size_t>> of_one_key;
  std::vector<std::size_t> of_several;
  std::set<std::string> keys_of_several;
};

/// Adds a request; false: it depends on what is in the wave already.
bool Join(Wave& wave, const Request& request, std::size_t place) {
  const std::vector<std::string_view> words(request.words.begin(), request.words.end());
  const auto positions = KeyPositions(*request.context.command, words);
  if (positions && positions->size() == 1 && IsOfStrings(request.context.command->id)) {
    const std::string& key = request.words[positions->front()];
    if (wave.keys_of_several.contains(key)) return false;
    wave.of_one_key[key].push_back(place);
    return true;
  }
  std::set<std::string> keys;
  for (std::size_t i = 1; i < request.words.size(); ++i) keys.insert(request.words[i]);
  for (const std::string& key : keys) {
    if (wave.of_one_key.contains(key) || wave.keys_of_several.contains(key)) return false;
  }
  wave.of_several.push_back(place);
  wave.keys_of_several.merge(keys);
  return true;
}

/// What the chains of one wave share; lives in RunTogetherOnRegisters' frame.
struct Pipeline {
  runtime::World& world;
  Cursors& cursors;
  Registers& registers;
  std::vector<Request> requests;
  std::vector<std::string> replies;

  /// Executes the chain on what `key` holds.
  Registers::Change Execute(const std::vector<std::size_t>& chain, std::string_view key,
                            const std::optional<Value>& current) {
    RegisterView view(
        key, current,
        {WallMilliseconds(world), requests.front().context.keyspace->promise.redis_database,
         world.random(), cursors});
    for (const std::size_t place : chain) {
      const Request& request = requests[place];
      const std::vector<std::string_view> words(request.words.begin(), request.words.end());
      replies[place].clear();
      Reply reply(replies[place], request.context.protocol);
      HandlerOf(request.context.command->id)({view, *request.context.command, words, reply});
    }
    return view.TakeChange();
  }
};

Task<Status> RunChain(Pipeline* pipeline, std::string key, std::vector<std::size_t> chain) {
  Instant deadline{};
  bool changes = false;
  for (const std::size_t place : chain) {
    const Context& context = pipeline->requests[place].context;
    deadline = std::max(deadline, context.deadline);
    changes = changes || (context.command->flags & kWrite) != 0;
  }
  if (!changes) {
    auto read = co_await pipeline->registers.Read(key, deadline);
    if (!read) co_return std::unexpected(read.error());
    if (!pipeline->Execute(chain, key, *read).write) co_return Ok();
  }
  auto update = co_await pipeline->registers.Update(
      key,
      [pipeline, &chain, &key](const std::optional<Value>& current) {
        return pipeline->Execute(chain, key, current);
      },
      deadline);
  if (!update) co_return std::unexpected(update.error());
  co_return Ok();
}

Task<Status> AnswerChain(Pipeline* pipeline, std::string key, std::vector<std::size_t> chain) {
  const Status status = co_await RunChain(pipeline, std::move(key), chain);
  for (std::size_t i = 0; !status && i < chain.size(); ++i) {
    std::string& reply = pipeline->replies[chain[i]];
    reply.clear();
    Reply(reply, pipeline->requests[chain[i]].context.protocol).Error(status.error());
  }
  co_return Ok();
}

Task<Status> AnswerOfSeveral(Pipeline* pipeline, std::size_t place) {
  Request& request = pipeline->requests[place];
  pipeline->replies[place] =
      co_await RunOnRegisters(pipeline->world, pipeline->cursors, pipeline->registers,
                              std::move(request.context), std::move(request.words));
  co_return Ok();
}

}  // namespace

Task<std::vector<std::string>> RunTogetherOnRegisters(runtime::World& world, Cursors& cursors,
                                                      Registers& registers,
                                                      std::vector<Request> requests) {
  const std::size_t size = requests.size();
  Pipeline pipeline{world, cursors, registers, std::move(requests), {}};
  pipeline.replies.resize(size);
  for (std::size_t next = 0; next < size;) {
    Wave wave;
    while (next < size && Join(wave, pipeline.requests[next], next)) ++next;
    std::vector<Task<Status>> chains;
    for (auto& [key, chain] : wave.of_one_key) {
      chains.push_back(AnswerChain(&pipeline, key, std::move(chain)));
    }
    for (const std::size_t place : wave.of_several) {
      chains.push_back(AnswerOfSeveral(&pipeline, place));
    }
    static_cast<void>(co_await All(world.executor(), std::move(chains)));
  }
  co_return std::move(pipeline.replies);
}

}  // namespace coterie::door::redis::ordered

#include "door/redis/ordered_paxos.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

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
constexpr std::size_t kRemovedAtOnce = 100;

/// What the steps of one command share; lives in RunOnRegisters' frame.
struct Round {
  runtime::World& world;
  Cursors& cursors;
  Registers& registers;
  Context context;
  OwnedWords words;
  Duration patience{};  ///< of one page of a command on all keys

  View::Surroundings surroundings() { return {WallMilliseconds(world), world.random(), cursors}; }
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
Task<std::string> RunSingle(Round* round, OwnedWords words) {
  const std::string key = words[1];
  std::string out;
  if ((round->context.command->flags & kRead) != 0) {
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
    std::string reply = co_await RunSingle(round, std::move(one));
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

/// Calls `take` with all keys, page by page: each page has as long as a command has.
using TakePage = std::function<Task<std::optional<Error>>(std::vector<std::string> keys)>;
Task<std::optional<Error>> ForEachPage(Round* round, TakePage take) {
  std::string after;
  for (;;) {
    const Instant deadline = round->world.Now() + round->patience;
    auto page = co_await round->registers.Keys(after, kPage, deadline);
    if (!page) co_return std::move(page.error());
    const bool last = page->size() < kPage;
    if (!page->empty()) after = page->back();
    std::optional<Error> error = co_await take(std::move(*page));
    if (error) co_return error;
    if (last) co_return std::nullopt;
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

/// Removes `keys`, a number of them at a time.
Task<std::optional<Error>> RemoveAll(Round* round, std::vector<std::string> keys) {
  const auto remove = [](const std::optional<Value>& current) {
    return Registers::Change{current.has_value(), std::nullopt};
  };
  const Instant deadline = round->world.Now() + round->patience;
  for (std::size_t begin = 0; begin < keys.size(); begin += kRemovedAtOnce) {
    std::vector<Task<Result<std::optional<Value>>>> removals;
    for (std::size_t i = begin; i < std::min(keys.size(), begin + kRemovedAtOnce); ++i) {
      removals.push_back(round->registers.Update(std::move(keys[i]), remove, deadline));
    }
    auto removed = co_await All(round->world.executor(), std::move(removals));
    for (auto& one : removed) {
      if (!one) co_return std::move(one.error());
    }
  }
  co_return std::nullopt;
}

Task<std::string> RunFlush(Round* round) {
  std::string out;
  bool any = false;  // removed: what fails later has happened in part
  auto failed = co_await ForEachPage(round, [round, &any](std::vector<std::string> keys) {
    any = any || !keys.empty();
    return RemoveAll(round, std::move(keys));
  });
  if (failed && any) failed->outcome = Outcome::kUnknown;
  if (failed) co_return Encoded(*round, *failed);
  Reply(out, round->context.protocol).Ok();
  co_return out;
}

/// KEYS, DBSIZE, RANDOMKEY.
Task<std::string> RunOnAllKeys(Round* round) {
  const CommandId id = round->context.command->id;
  std::vector<std::string> found;
  std::size_t count = 0;
  auto failed =
      co_await ForEachPage(round, [&](std::vector<std::string> keys) -> Task<std::optional<Error>> {
        for (std::string& key : keys) {
          ++count;
          if (id == CommandId::kKeys && GlobMatch(round->words[1], key))
            found.push_back(std::move(key));
          // Each of all has the same chance to stay.
          if (id == CommandId::kRandomkey && round->world.random().Below(count) == 0)
            found.assign(1, std::move(key));
        }
        return []() -> Task<std::optional<Error>> { co_return std::nullopt; }();
      });
  if (failed) co_return Encoded(*round, *failed);
  std::string out;
  Reply reply(out, round->context.protocol);
  if (id == CommandId::kDbsize) {
    reply.Integer(static_cast<std::int64_t>(count));
  } else if (id == CommandId::kRandomkey) {
    if (found.empty()) {
      reply.Null();
    } else {
      reply.Bulk(found.front());
    }
  } else {
    reply.Array(found.size());
    for (const auto& key : found) reply.Bulk(key);
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

}  // namespace

Task<std::string> RunOnRegisters(runtime::World& world, Cursors& cursors, Registers& registers,
                                 Context context, OwnedWords words) {
  const Duration patience = context.deadline - world.Now();
  Round round{world, cursors, registers, std::move(context), std::move(words), patience};
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
        out = co_await RunSingle(&round, round.words);
      }
      break;
    case CommandId::kScan:
      out = co_await RunScan(&round);
      break;
    case CommandId::kKeys:
    case CommandId::kDbsize:
    case CommandId::kRandomkey:
      out = co_await RunOnAllKeys(&round);
      break;
    case CommandId::kFlushdb:
    case CommandId::kFlushall:
      out = co_await RunFlush(&round);
      break;
    default:
      if (round.words.size() < 2 ||
          (StringHandler(round.context.command->id) == nullptr &&
           KeyHandler(round.context.command->id) == nullptr &&
           BitHandler(round.context.command->id) == nullptr) ||
          round.context.command->id == CommandId::kRename ||
          round.context.command->id == CommandId::kRenamenx ||
          round.context.command->id == CommandId::kCopy) {
        out = Refused(round, "is refused: a paxos keyspace holds strings, one register a key");
        break;
      }
      out = co_await RunSingle(&round, round.words);
  }
  co_return out;
}

}  // namespace coterie::door::redis::ordered

// COMMAND: what the table says.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "door/redis/command_keys.h"
#include "door/redis/door_state.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

std::vector<std::string_view> FlagNames(const Command& row) {
  std::vector<std::string_view> names;
  constexpr std::pair<std::uint32_t, std::string_view> kNames[] = {
      {kRead, "readonly"},     {kWrite, "write"},   {kOom, "denyoom"},
      {kAdmin, "admin"},       {kPubSub, "pubsub"}, {kNoScript, "noscript"},
      {kBlocking, "blocking"}, {kFast, "fast"},     {kMovable, "movablekeys"}};
  for (const auto& [flag, name] : kNames)
    if ((row.flags & flag) != 0) names.push_back(name);
  return names;
}

/// Its categories of access, in the order in which Redis gives them.
std::vector<std::string> CategoriesOf(const Command& row) {
  std::vector<std::string> names;
  const auto add = [&](bool fits, std::string_view name) {
    if (fits) names.push_back(fmt::format("@{}", name));
  };
  const bool about_keys = row.group == "generic";
  add(about_keys, "keyspace");
  add((row.flags & kRead) != 0, "read");
  add((row.flags & kWrite) != 0, "write");
  for (const std::string_view type : {"set", "sorted-set", "list", "hash", "string", "bitmap",
                                      "hyperloglog", "geo", "stream", "pubsub"})
    add(row.group == type, type == "sorted-set" ? "sortedset" : type);
  add((row.flags & kAdmin) != 0, "admin");
  add((row.flags & kFast) != 0, "fast");
  add((row.flags & kFast) == 0, "slow");
  add((row.flags & kBlocking) != 0, "blocking");
  add((row.flags & kAdmin) != 0, "dangerous");
  add(row.group == "connection", "connection");
  add(row.group == "transactions", "transaction");
  add(row.group == "scripting", "scripting");
  return names;
}

void CommandInfo(const Command* row, Reply& reply) {
  if (row == nullptr) return reply.Null();
  reply.Array(10);
  reply.Bulk(row->name);
  reply.Integer(row->arity);
  const auto flags = FlagNames(*row);
  reply.Set(flags.size());
  for (const std::string_view flag : flags) reply.Simple(flag);
  reply.Integer(row->first);
  reply.Integer(row->last);
  reply.Integer(row->step);
  const auto categories = CategoriesOf(*row);
  reply.Set(categories.size());
  for (const std::string& category : categories) reply.Simple(category);
  reply.Array(0);
  reply.Array(0);
  reply.Array(0);
}

void CommandDocs(const Command& row, Reply& reply) {
  reply.Bulk(row.name);
  reply.Map(3);
  reply.Bulk("summary");
  std::string served;
  for (const std::uint8_t kind : {kRaft, kPaxos, kCrdt, kLww, kSiblings}) {
    if ((row.kinds & (kind | kDoor)) == 0) continue;
    served += (row.kinds & kDoor) != 0 ? "" : (served.empty() ? "in " : ", ");
    if ((row.kinds & kDoor) == 0) served += KindText(kind);
  }
  reply.Bulk((row.kinds & kDoor) != 0 ? "Served by the connection"
                                      : fmt::format("Served {} keyspaces", served));
  reply.Bulk("since");
  reply.Bulk("7.0.0");
  reply.Bulk("group");
  reply.Bulk(row.group);
}

bool Served(const Command& row) { return row.kinds != kNobody; }

void GetKeys(Words words, Reply& reply) {
  const Words of = words.subspan(2);
  const Command* row = FindCommand(of[0]);
  if (row == nullptr) return reply.Error("ERR Invalid command specified");
  if (row->first == 0 && (row->flags & kMovable) == 0)
    return reply.Error("ERR The command has no key arguments");
  if (!row->AcceptsWords(of.size()))
    return reply.Error("ERR Invalid number of arguments specified for command");
  const auto keys = KeyPositions(*row, of);
  if (!keys || keys->empty()) return reply.Error("ERR Invalid arguments specified for command");
  reply.Array(keys->size());
  for (const std::size_t key : *keys) reply.Bulk(of[key]);
}

void List(Words words, Reply& reply) {
  const bool filtered = words.size() == 5 && IsWord(words[2], "filterby");
  const bool by_module = filtered && IsWord(words[3], "module");
  const bool by_category = filtered && IsWord(words[3], "aclcat");
  const bool by_pattern = filtered && IsWord(words[3], "pattern");
  if (words.size() != 2 && !by_module && !by_category && !by_pattern)
    return reply.Error("ERR syntax error");
  std::vector<std::string_view> names;
  for (const Command& row : AllCommands()) {
    if (!Served(row) || by_module) continue;
    if (by_pattern && !GlobMatch(ToLower(words[4]), row.name)) continue;
    const auto categories = by_category ? CategoriesOf(row) : std::vector<std::string>();
    if (by_category && std::ranges::find(categories, "@" + ToLower(words[4])) == categories.end())
      continue;
    names.push_back(row.name);
  }
  reply.Array(names.size());
  for (const std::string_view name : names) reply.Bulk(name);
}

}  // namespace

void RunCommandCommand(Words words, Reply& reply) {
  const auto all = AllCommands();
  const auto served = static_cast<std::size_t>(std::ranges::count_if(all, Served));
  if (words.size() == 1 || (IsWord(words[1], "info") && words.size() == 2)) {
    reply.Array(served);
    for (const Command& row : all)
      if (Served(row)) CommandInfo(&row, reply);
  } else if (IsWord(words[1], "count")) {
    reply.Integer(static_cast<std::int64_t>(served));
  } else if (IsWord(words[1], "info")) {
    reply.Array(words.size() - 2);
    for (const std::string_view name : words.subspan(2)) CommandInfo(FindCommand(name), reply);
  } else if (IsWord(words[1], "docs")) {
    std::vector<const Command*> rows;
    for (const Command& row : all)
      if (words.size() == 2 && Served(row)) rows.push_back(&row);
    for (const std::string_view name : words.subspan(2))
      if (const Command* row = FindCommand(name)) rows.push_back(row);
    reply.Map(rows.size());
    for (const Command* row : rows) CommandDocs(*row, reply);
  } else if (IsWord(words[1], "list")) {
    List(words, reply);
  } else if (IsWord(words[1], "getkeys")) {
    GetKeys(words, reply);
  } else {
    reply.Error(fmt::format("ERR COMMAND {} is not served", ToUpper(words[1])));
  }
}

}  // namespace coterie::door::redis

#include "door/redis/command_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace coterie::door::redis {
namespace {

using enum Refusal;

constexpr std::array kTable = {
#define COT_COMMAND(id, name, arity, flags, first, last, step, group, kinds, refusal) \
  Command{CommandId::id, name, arity, flags, first, last, step, group, kinds, refusal},
#include "door/redis/commands.inc"
#undef COT_COMMAND
};

constexpr std::array kSubcommands = {
#define COT_SUBCOMMAND(command, name, arity) Subcommand{CommandId::command, name, arity},
#include "door/redis/subcommands.inc"
#undef COT_SUBCOMMAND
};

constexpr auto kHasSubcommands = [] {
  std::array<bool, kTable.size()> has{};
  for (const Subcommand& one : kSubcommands) has[static_cast<std::size_t>(one.command)] = true;
  return has;
}();

constexpr char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// Rows by the hash of their names: twice as many places as rows at least, linear probing.
constexpr std::size_t kPlaces = 1024;
static_assert(kTable.size() * 2 <= kPlaces);

constexpr std::size_t PlaceOf(std::string_view name) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(Lower(c))) * 1099511628211u;
  return (hash ^ hash >> 32) % kPlaces;
}

constexpr std::array<std::uint16_t, kPlaces> Places() {
  std::array<std::uint16_t, kPlaces> places{};
  for (std::size_t row = 0; row < kTable.size(); ++row) {
    std::size_t at = PlaceOf(kTable[row].name);
    while (places[at] != 0) at = (at + 1) % kPlaces;
    places[at] = static_cast<std::uint16_t>(row + 1);
  }
  return places;
}
constexpr auto kPlacesTable = Places();

bool SameName(std::string_view lower, std::string_view any) {
  return lower.size() == any.size() && std::equal(lower.begin(), lower.end(), any.begin(),
                                                  [](char a, char b) { return a == Lower(b); });
}

std::string_view TextOf(Refusal refusal) {
  switch (refusal) {
    case kPlain:
      return "";
    case kDecides:
      return "decides by what is there, and another replica may decide otherwise at the same time";
    case kGivesOut:
      return "gives out an element that another replica may be giving out at the same time";
    case kComputes:
      return "writes what it computed from a value that another replica may be changing";
    case kOneOrder:
      return "needs one order of all elements, which replicas that write at the same time lack";
    case kOneConsumer:
      return "gives each entry to one consumer, on which replicas would have to agree first";
    case kOneStep:
      return "runs many commands as one step of an agreed order, which replicas here do without";
    case kSerialized:
      return "moves values in Redis's own format, which carries no causal history";
    case kRedisOnly:
      return "administers a Redis server, which this is not; see `coterie --help`";
    case kNotServed:
      return "is not served by this version";
  }
  return "";
}

std::string_view KindReason(std::uint8_t kind) {
  switch (kind) {
    case kLww:
      return "keeps the last writer's string or hash field, and has no rule to merge this";
    case kSiblings:
      return "keeps concurrent strings side by side, and has no rule to merge this";
    case kCrdt:
      return "has no rule to merge this";
    case kRaft:
      return "serves strings, hashes, sets and sorted sets in this version";
    default:
      return "holds one value a key and nothing to address inside it";
  }
}

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return upper;
}

}  // namespace

std::uint8_t KindOf(const keyspace::Promise& promise) {
  switch (promise.replication) {
    case keyspace::Replication::kRaft:
      return kRaft;
    case keyspace::Replication::kPaxos:
      return kPaxos;
    case keyspace::Replication::kLeaderless:
      break;
  }
  switch (promise.conflict) {
    case keyspace::Conflict::kLww:
      return kLww;
    case keyspace::Conflict::kSiblings:
      return kSiblings;
    case keyspace::Conflict::kNone:
    case keyspace::Conflict::kCrdt:
      break;
  }
  return kCrdt;
}

std::string_view KindText(std::uint8_t kind) {
  switch (kind) {
    case kCrdt:
      return "crdt";
    case kLww:
      return "lww";
    case kSiblings:
      return "siblings";
    case kRaft:
      return "raft";
    case kPaxos:
      return "paxos";
    default:
      return "none";
  }
}

std::span<const Command> AllCommands() { return kTable; }

const Command* FindCommand(std::string_view name) {
  std::size_t at = PlaceOf(name);
  while (kPlacesTable[at] != 0) {
    const Command& row = kTable[kPlacesTable[at] - 1];
    if (SameName(row.name, name)) return &row;
    at = (at + 1) % kPlaces;
  }
  return nullptr;
}

std::span<const Subcommand> SubcommandsOf(CommandId command) {
  const auto found = std::ranges::equal_range(kSubcommands, command, {}, &Subcommand::command);
  return {found.begin(), found.end()};
}

std::string SubcommandError(const Command& command, std::span<const std::string_view> words) {
  if (words.size() < 2 || !kHasSubcommands[static_cast<std::size_t>(command.id)]) return "";
  const auto all = SubcommandsOf(command.id);
  const auto found = std::ranges::find_if(
      all, [&](const Subcommand& one) { return SameName(one.name, words[1]); });
  if (found == all.end())
    return fmt::format("ERR unknown subcommand '{:.128}'. Try {} HELP.", words[1],
                       Upper(command.name));
  const auto n = static_cast<int>(std::min<std::size_t>(words.size(), INT32_MAX));
  if (found->arity >= 0 ? n == found->arity : n >= -found->arity) return "";
  return fmt::format("ERR wrong number of arguments for '{}|{}' command", command.name,
                     found->name);
}

std::string RefusalOf(const Command& command, std::uint8_t kind, std::string_view hint) {
  const std::string name = Upper(command.name);
  if (command.kinds == kNobody &&
      (command.refusal == kRedisOnly || command.refusal == kNotServed)) {
    return fmt::format("ERR {} {}", name, TextOf(command.refusal));
  }
  const std::string tail = hint.empty() ? std::string() : fmt::format("; {}", hint);
  const bool by_rule = (kind & kLeaderless) != 0 && command.refusal != kPlain;
  if (by_rule) {
    return fmt::format("NOT{} {} {}{}", Upper(KindText(kind)), name, TextOf(command.refusal), tail);
  }
  return fmt::format("NOT{} {} is refused: a {} keyspace {}{}", Upper(KindText(kind)), name,
                     KindText(kind), KindReason(kind), tail);
}

}  // namespace coterie::door::redis

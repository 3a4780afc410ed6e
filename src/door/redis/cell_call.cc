#include "door/redis/cell_call.h"

#include <fmt/format.h>

#include <array>

#include "door/redis/sampling.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

struct Row {
  CommandId id;
  CellHandler handler;
};

constexpr Row kRows[] = {
    {CommandId::kGet, cell_strings::Get},
    {CommandId::kSet, cell_strings::Set},
    {CommandId::kSetex, cell_strings::SetEx},
    {CommandId::kPsetex, cell_strings::SetEx},
    {CommandId::kMget, cell_strings::MGet},
    {CommandId::kMset, cell_strings::MSet},
    {CommandId::kStrlen, cell_strings::StrLen},
    {CommandId::kGetrange, cell_strings::GetRange},
    {CommandId::kSubstr, cell_strings::GetRange},
    {CommandId::kGetex, cell_strings::GetEx},
    {CommandId::kIncr, cell_strings::Add},
    {CommandId::kDecr, cell_strings::Add},
    {CommandId::kIncrby, cell_strings::Add},
    {CommandId::kDecrby, cell_strings::Add},
    {CommandId::kCoterie, cell_strings::Coterie},
    {CommandId::kDel, cell_keys::Del},
    {CommandId::kUnlink, cell_keys::Del},
    {CommandId::kExists, cell_keys::Exists},
    {CommandId::kTouch, cell_keys::Exists},
    {CommandId::kType, cell_keys::Type},
    {CommandId::kExpire, cell_keys::Expire},
    {CommandId::kPexpire, cell_keys::Expire},
    {CommandId::kExpireat, cell_keys::Expire},
    {CommandId::kPexpireat, cell_keys::Expire},
    {CommandId::kTtl, cell_keys::TimeToLive},
    {CommandId::kPttl, cell_keys::TimeToLive},
    {CommandId::kExpiretime, cell_keys::TimeToLive},
    {CommandId::kPexpiretime, cell_keys::TimeToLive},
    {CommandId::kPersist, cell_keys::Persist},
    {CommandId::kObject, cell_keys::Object},
    {CommandId::kHset, cell_hashes::HSet},
    {CommandId::kHmset, cell_hashes::HSet},
    {CommandId::kHget, cell_hashes::HGet},
    {CommandId::kHmget, cell_hashes::HMGet},
    {CommandId::kHdel, cell_hashes::HDel},
    {CommandId::kHgetall, cell_hashes::HGetAll},
    {CommandId::kHkeys, cell_hashes::HGetAll},
    {CommandId::kHvals, cell_hashes::HGetAll},
    {CommandId::kHlen, cell_hashes::HLen},
    {CommandId::kHexists, cell_hashes::HExists},
    {CommandId::kHstrlen, cell_hashes::HStrLen},
    {CommandId::kHincrby, cell_hashes::HIncrBy},
    {CommandId::kHscan, cell_hashes::HScan},
    {CommandId::kHrandfield, cell_hashes::HRandField},
    {CommandId::kSadd, cell_sets::SAdd},
    {CommandId::kSrem, cell_sets::SRem},
    {CommandId::kSmembers, cell_sets::SMembers},
    {CommandId::kSismember, cell_sets::SIsMember},
    {CommandId::kSmismember, cell_sets::SMIsMember},
    {CommandId::kScard, cell_sets::SCard},
    {CommandId::kSscan, cell_sets::SScan},
    {CommandId::kSrandmember, cell_sets::SRandMember},
    {CommandId::kSunion, cell_sets::Combine},
    {CommandId::kSinter, cell_sets::Combine},
    {CommandId::kSdiff, cell_sets::Combine},
    {CommandId::kSintercard, cell_sets::SInterCard},
    {CommandId::kZadd, cell_sorted_sets::ZAdd},
    {CommandId::kZincrby, cell_sorted_sets::ZIncrBy},
    {CommandId::kZrem, cell_sorted_sets::ZRem},
    {CommandId::kZscore, cell_sorted_sets::ZScore},
    {CommandId::kZmscore, cell_sorted_sets::ZMScore},
    {CommandId::kZcard, cell_sorted_sets::ZCard},
    {CommandId::kZrank, cell_sorted_sets::ZRank},
    {CommandId::kZrevrank, cell_sorted_sets::ZRank},
    {CommandId::kZscan, cell_sorted_sets::ZScan},
    {CommandId::kZrandmember, cell_sorted_sets::ZRandMember},
    {CommandId::kZcount, cell_sorted_ranges::ZCount},
    {CommandId::kZlexcount, cell_sorted_ranges::ZLexCount},
    {CommandId::kZrange, cell_sorted_ranges::ZRange},
    {CommandId::kZrevrange, cell_sorted_ranges::ZRangeLegacy},
    {CommandId::kZrangebyscore, cell_sorted_ranges::ZRangeLegacy},
    {CommandId::kZrevrangebyscore, cell_sorted_ranges::ZRangeLegacy},
    {CommandId::kZrangebylex, cell_sorted_ranges::ZRangeLegacy},
    {CommandId::kZrevrangebylex, cell_sorted_ranges::ZRangeLegacy},
    {CommandId::kZremrangebyrank, cell_sorted_ranges::ZRemRange},
    {CommandId::kZremrangebyscore, cell_sorted_ranges::ZRemRange},
    {CommandId::kZremrangebylex, cell_sorted_ranges::ZRemRange},
    {CommandId::kZunion, cell_sorted_algebra::Combine},
    {CommandId::kZinter, cell_sorted_algebra::Combine},
    {CommandId::kZdiff, cell_sorted_algebra::Combine},
    {CommandId::kZintercard, cell_sorted_algebra::ZInterCard},
    {CommandId::kPfadd, cell_hll::PfAdd},
    {CommandId::kPfcount, cell_hll::PfCount},
    {CommandId::kPfmerge, cell_hll::PfMerge},
    {CommandId::kXadd, cell_streams::XAdd},
    {CommandId::kXlen, cell_streams::XLen},
    {CommandId::kXrange, cell_streams::XRange},
    {CommandId::kXrevrange, cell_streams::XRange},
    {CommandId::kXread, cell_streams::XRead},
    {CommandId::kXdel, cell_streams::XDel},
};

constexpr auto ById() {
  std::array<CellHandler, 256> handlers{};
  for (const Row& row : kRows) handlers[static_cast<std::size_t>(row.id)] = row.handler;
  return handlers;
}
constexpr std::array<CellHandler, 256> kHandlers = ById();

}  // namespace

CellHandler HandlerOf(CommandId id) { return kHandlers[static_cast<std::size_t>(id)]; }

std::optional<std::int64_t> CellCall::Integer(std::size_t i) {
  const auto value = ParseInteger(words[i]);
  if (!value) reply.Error("ERR value is not an integer or out of range");
  return value;
}

std::optional<double> CellCall::Double(std::size_t i) {
  const auto value = ParseDouble(words[i]);
  if (!value) reply.Error("ERR value is not a valid float");
  return value;
}

std::optional<std::int64_t> CellCall::SampleCount(std::size_t i) {
  const auto count = Integer(i);
  if (!count || *count >= -kRepeatedMax) return count;
  reply.Error("ERR value is out of range");
  return std::nullopt;
}

void CellCall::RefuseOption(std::string_view option, std::string_view reason) {
  const std::string_view kind = KindText(KindOf(context.keyspace->promise));
  const std::uint8_t kinds = context.command->kinds;
  // Only what serves the command at all can help.
  const std::string_view hint = (kinds & kOrdered) == kOrdered ? "; use a raft or paxos keyspace"
                                : (kinds & kRaft) != 0         ? "; use a raft keyspace"
                                                               : "";
  reply.Error(fmt::format("NOT{} {} with {} {}{}", ToUpper(kind), ToUpper(words[0]),
                          ToUpper(option), reason, hint));
}

std::optional<ScanOptions> CellCall::ElementScan(cells::ObjectType type) {
  const ShardId shard = IdOf(words[1]);
  // In Redis's order: the cursor, whether the key is there, its type, the options.
  if (!ParseScan(words.first(3), 2, false, reply)) return std::nullopt;
  if (store.TypeOf(shard, words[1]) == cells::ObjectType::kNone) {
    reply.Array(2);
    reply.Bulk("0");
    reply.Array(0);
    return std::nullopt;
  }
  if (!Expect(shard, words[1], type)) return std::nullopt;
  return ParseScan(words, 2, false, reply);
}

std::optional<ScanOptions> ParseScan(Words words, std::size_t cursor_at, bool with_type,
                                     Reply& reply) {
  ScanOptions options;
  const auto cursor = ParseInteger(words[cursor_at]);
  if (!cursor || *cursor < 0) {
    reply.Error("ERR invalid cursor");
    return std::nullopt;
  }
  options.cursor = static_cast<std::uint64_t>(*cursor);
  for (std::size_t i = cursor_at + 1; i < words.size(); i += 2) {
    const bool more = i + 1 < words.size();
    if (more && IsWord(words[i], "count")) {
      const auto count = ParseInteger(words[i + 1]);
      if (!count) {
        reply.Error("ERR value is not an integer or out of range");
        return std::nullopt;
      }
      if (*count < 1) {
        reply.Error("ERR syntax error");
        return std::nullopt;
      }
      options.count = static_cast<std::size_t>(*count);
    } else if (more && IsWord(words[i], "match")) {
      options.pattern = words[i + 1] == "*" ? std::string_view() : words[i + 1];
    } else if (more && with_type && IsWord(words[i], "type")) {
      options.type = ToLower(words[i + 1]);
    } else {
      reply.Error("ERR syntax error");
      return std::nullopt;
    }
  }
  return options;
}

}  // namespace coterie::door::redis

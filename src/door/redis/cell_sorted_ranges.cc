#include <algorithm>

#include "door/redis/cell_call.h"
#include "door/redis/sorted_range.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

constexpr cells::ObjectType kType = cells::ObjectType::kSortedSet;

std::optional<double> ScoreBound(std::string_view text, bool& excluded) {
  excluded = text.starts_with('(');
  return ParseDouble(excluded ? text.substr(1) : text);
}

std::optional<LexRange::Bound> LexBound(std::string_view text) {
  if (text == "-") return LexRange::Bound{.infinite = -1};
  if (text == "+") return LexRange::Bound{.infinite = 1};
  if (!text.starts_with('(') && !text.starts_with('[')) return std::nullopt;
  return LexRange::Bound{.member = text.substr(1), .excluded = text.front() == '('};
}

}  // namespace

std::optional<ScoreRange> ParseScores(CellCall& call, std::string_view min, std::string_view max) {
  ScoreRange range;
  const auto low = ScoreBound(min, range.min_excluded);
  const auto high = ScoreBound(max, range.max_excluded);
  if (!low || !high) {
    call.reply.Error("ERR min or max is not a float");
    return std::nullopt;
  }
  range.min = *low;
  range.max = *high;
  return range;
}

std::optional<LexRange> ParseLex(CellCall& call, std::string_view min, std::string_view max) {
  const auto low = LexBound(min);
  const auto high = LexBound(max);
  if (!low || !high) {
    call.reply.Error("ERR min or max not valid string range item");
    return std::nullopt;
  }
  return LexRange{*low, *high};
}

bool LexRange::Above(std::string_view member) const {
  if (min.infinite != 0) return min.infinite < 0;
  return min.excluded ? member > min.member : member >= min.member;
}
bool LexRange::Below(std::string_view member) const {
  if (max.infinite != 0) return max.infinite > 0;
  return max.excluded ? member < max.member : member <= max.member;
}

std::vector<cells::ScoredMember> Collect(CellCall& call, std::string_view key,
                                         const SortedRange& range) {
  const ShardId shard = call.IdOf(key);
  std::int64_t skip = range.offset;
  std::int64_t take = range.limit;
  if (range.by == SortedRange::By::kRank) {
    const auto size = static_cast<std::int64_t>(call.store.Size(shard, key, kType));
    skip = range.first < 0 ? std::max<std::int64_t>(range.first + size, 0) : range.first;
    const std::int64_t last = std::min(range.last < 0 ? range.last + size : range.last, size - 1);
    if (skip > last) return {};
    take = last - skip + 1;
  }
  std::vector<cells::ScoredMember> found;
  if (skip < 0 || take == 0) return found;
  double from = range.reverse ? kInfinity : -kInfinity;
  if (range.by == SortedRange::By::kScore)
    from = range.reverse ? range.scores.max : range.scores.min;
  call.store.VisitSortedSet(shard, key, from, range.reverse,
                            [&](std::string_view member, double score) {
                              if (range.by == SortedRange::By::kScore) {
                                const bool above = range.scores.Above(score);
                                const bool below = range.scores.Below(score);
                                if (range.reverse ? !above : !below) return false;
                                if (!above || !below) return true;
                              } else if (range.by == SortedRange::By::kLex) {
                                if (!range.lex.Above(member) || !range.lex.Below(member))
                                  return true;
                              }
                              if (skip > 0) {
                                --skip;
                                return true;
                              }
                              found.push_back({std::string(member), score});
                              return take < 0 || static_cast<std::int64_t>(found.size()) < take;
                            });
  return found;
}

void WriteMembers(CellCall& call, const std::vector<cells::ScoredMember>& members,
                  bool with_scores) {
  const bool pairs = with_scores && call.reply.protocol() >= 3;
  call.reply.Array(with_scores && !pairs ? 2 * members.size() : members.size());
  for (const cells::ScoredMember& member : members) {
    if (pairs) call.reply.Array(2);
    call.reply.Bulk(member.member);
    if (with_scores) call.reply.Double(member.score);
  }
}

namespace cell_sorted_ranges {
namespace {

/// The two bounds at words[2] and [3], in the order they came.
bool ParseBounds(CellCall& call, SortedRange& range) {
  // With REV the higher bound comes first, except for ranks.
  const std::string_view min = range.reverse ? call[3] : call[2];
  const std::string_view max = range.reverse ? call[2] : call[3];
  switch (range.by) {
    case SortedRange::By::kRank: {
      const auto first = call.Integer(2);
      if (!first) return false;
      const auto last = call.Integer(3);
      if (!last) return false;
      range.first = *first;
      range.last = *last;
      return true;
    }
    case SortedRange::By::kScore: {
      const auto scores = ParseScores(call, min, max);
      if (scores) range.scores = *scores;
      return scores.has_value();
    }
    case SortedRange::By::kLex: {
      const auto lex = ParseLex(call, min, max);
      if (lex) range.lex = *lex;
      return lex.has_value();
    }
  }
  return false;
}

struct Options {
  bool with_scores = false;
  bool limited = false;
};

/// What follows the bounds. `legacy`: BYSCORE, BYLEX and REV are in the command's name.
std::optional<Options> ParseOptions(CellCall& call, bool legacy, SortedRange& range) {
  Options options;
  for (std::size_t i = 4; i < call.size(); ++i) {
    if (IsWord(call[i], "withscores")) {
      options.with_scores = true;
    } else if (IsWord(call[i], "limit") && i + 2 < call.size()) {
      const auto offset = call.Integer(i + 1);
      if (!offset) return std::nullopt;
      const auto limit = call.Integer(i + 2);
      if (!limit) return std::nullopt;
      range.offset = *offset;
      range.limit = *limit;
      options.limited = true;
      i += 2;
    } else if (!legacy && IsWord(call[i], "rev")) {
      range.reverse = true;
    } else if (!legacy && IsWord(call[i], "byscore")) {
      range.by = SortedRange::By::kScore;
    } else if (!legacy && IsWord(call[i], "bylex")) {
      range.by = SortedRange::By::kLex;
    } else {
      call.SyntaxError();
      return std::nullopt;
    }
  }
  if (options.limited && range.by == SortedRange::By::kRank) {
    call.reply.Error(
        "ERR syntax error, LIMIT is only supported in combination with either BYSCORE "
        "or BYLEX");
    return std::nullopt;
  }
  if (options.with_scores && range.by == SortedRange::By::kLex) {
    call.reply.Error("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    return std::nullopt;
  }
  return options;
}

void Answer(CellCall& call, bool legacy, SortedRange range) {
  const auto options = ParseOptions(call, legacy, range);
  if (!options || !ParseBounds(call, range)) return;
  if (!call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  WriteMembers(call, Collect(call, call[1], range), options->with_scores);
}

}  // namespace

void ZRange(CellCall& call) { Answer(call, false, {}); }

void ZRangeLegacy(CellCall& call) {
  SortedRange range;
  const CommandId id = call.context.command->id;
  range.reverse = id == CommandId::kZrevrange || id == CommandId::kZrevrangebyscore ||
                  id == CommandId::kZrevrangebylex;
  if (id == CommandId::kZrangebyscore || id == CommandId::kZrevrangebyscore)
    range.by = SortedRange::By::kScore;
  if (id == CommandId::kZrangebylex || id == CommandId::kZrevrangebylex)
    range.by = SortedRange::By::kLex;
  Answer(call, true, range);
}

void ZCount(CellCall& call) {
  SortedRange range{.by = SortedRange::By::kScore};
  if (!ParseBounds(call, range) || !call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  call.reply.Integer(static_cast<std::int64_t>(Collect(call, call[1], range).size()));
}

void ZLexCount(CellCall& call) {
  SortedRange range{.by = SortedRange::By::kLex};
  if (!ParseBounds(call, range) || !call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  call.reply.Integer(static_cast<std::int64_t>(Collect(call, call[1], range).size()));
}

void ZRemRange(CellCall& call) {
  const CommandId id = call.context.command->id;
  SortedRange range;
  if (id == CommandId::kZremrangebyscore) range.by = SortedRange::By::kScore;
  if (id == CommandId::kZremrangebylex) range.by = SortedRange::By::kLex;
  if (!ParseBounds(call, range) || !call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  const auto members = Collect(call, call[1], range);
  const auto make = [&](cells::Edit& edit) {
    for (const cells::ScoredMember& member : members) edit.SortedSetRemove(call[1], member.member);
  };
  if (call.Write(call[1], make)) call.reply.Integer(static_cast<std::int64_t>(members.size()));
}

}  // namespace cell_sorted_ranges
}  // namespace coterie::door::redis

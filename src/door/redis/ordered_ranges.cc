// What of a sorted set lies between two bounds: by rank, by score, or, among equal scores, by
// bytes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "door/redis/ordered_numbers.h"
#include "door/redis/ordered_objects.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

enum class By : std::uint8_t { kRank, kScore, kBytes };

struct Query {
  By by = By::kRank;
  bool reversed = false;
  bool with_scores = false;
  bool limited = false;
  std::int64_t offset = 0;
  std::int64_t limit = -1;  ///< negative: all
};

struct ScoreLimit {
  double score = 0;
  bool exclusive = false;
};

struct BytesLimit {
  enum class Kind : std::uint8_t { kLowest, kHighest, kValue };
  Kind kind = Kind::kValue;
  bool exclusive = false;
  std::string_view bytes;
};

std::optional<ScoreLimit> ParseScoreLimit(std::string_view text) {
  ScoreLimit limit;
  if (text.starts_with('(')) {
    limit.exclusive = true;
    text.remove_prefix(1);
  }
  const auto score = ParseScore(text);
  if (!score) return std::nullopt;
  limit.score = *score;
  return limit;
}

std::optional<BytesLimit> ParseBytesLimit(std::string_view text) {
  if (text == "-") return BytesLimit{BytesLimit::Kind::kLowest, false, {}};
  if (text == "+") return BytesLimit{BytesLimit::Kind::kHighest, false, {}};
  if (!text.starts_with('(') && !text.starts_with('[')) return std::nullopt;
  return BytesLimit{BytesLimit::Kind::kValue, text.front() == '(', text.substr(1)};
}

bool IsAbove(std::string_view member, const BytesLimit& low) {
  if (low.kind != BytesLimit::Kind::kValue) return low.kind == BytesLimit::Kind::kLowest;
  return low.exclusive ? member > low.bytes : member >= low.bytes;
}

bool IsBelow(std::string_view member, const BytesLimit& high) {
  if (high.kind != BytesLimit::Kind::kValue) return high.kind == BytesLimit::Kind::kHighest;
  return high.exclusive ? member < high.bytes : member <= high.bytes;
}

/// How many of a query's results are needed before its offset and limit are applied; 0: all.
std::size_t Needed(const Query& query) {
  if (query.reversed || query.limit < 0 || query.offset < 0) return 0;
  std::int64_t sum = 0;
  if (__builtin_add_overflow(query.offset, query.limit, &sum)) return 0;
  return static_cast<std::size_t>(std::max<std::int64_t>(sum, 1));
}

void Cut(const Query& query, std::vector<Scored>& found) {
  if (query.reversed) std::reverse(found.begin(), found.end());
  const auto size = static_cast<std::int64_t>(found.size());
  if (query.offset < 0 || query.offset >= size) return found.clear();
  found.erase(found.begin(), found.begin() + query.offset);
  if (query.limit >= 0 && query.limit < size - query.offset) {
    found.resize(static_cast<std::size_t>(query.limit));
  }
}

std::optional<std::vector<Scored>> ByRank(const Call& call, const Query& query,
                                          std::string_view key, std::string_view start,
                                          std::string_view stop) {
  const auto begin = ParseInteger(start);
  const auto end = ParseInteger(stop);
  if (!begin || !end) return call.NotInteger(), std::nullopt;
  const auto& object = call.view.Find(key);
  if (!call.Accepts(object, ObjectType::kSortedSet)) return std::nullopt;
  const std::int64_t size = object.count;
  std::int64_t first = *begin < 0 ? std::max<std::int64_t>(*begin + size, 0) : *begin;
  std::int64_t last = std::min(*end < 0 ? *end + size : *end, size - 1);
  if (first > last || first >= size) return std::vector<Scored>();
  const std::int64_t length = last - first + 1;
  if (query.reversed) first = size - 1 - last;
  auto found = call.objects().Scores(key, "", "", static_cast<std::size_t>(first + length));
  found.erase(found.begin(), found.begin() + std::min<std::int64_t>(first, std::ssize(found)));
  if (query.reversed) std::reverse(found.begin(), found.end());
  return found;
}

std::optional<std::vector<Scored>> ByScore(const Call& call, const Query& query,
                                           std::string_view key, std::string_view low,
                                           std::string_view high) {
  const auto min = ParseScoreLimit(low);
  const auto max = ParseScoreLimit(high);
  if (!min || !max) return call.reply.Error("ERR min or max is not a float"), std::nullopt;
  if (!call.Accepts(call.view.Find(key), ObjectType::kSortedSet)) return std::nullopt;
  if (min->score > max->score) return std::vector<Scored>();
  auto found = call.objects().Scores(key, ScoreBound(key, min->score, min->exclusive),
                                     ScoreBound(key, max->score, !max->exclusive), Needed(query));
  Cut(query, found);
  return found;
}

std::optional<std::vector<Scored>> ByBytes(const Call& call, const Query& query,
                                           std::string_view key, std::string_view low,
                                           std::string_view high) {
  const auto min = ParseBytesLimit(low);
  const auto max = ParseBytesLimit(high);
  if (!min || !max) {
    return call.reply.Error("ERR min or max not valid string range item"), std::nullopt;
  }
  if (!call.Accepts(call.view.Find(key), ObjectType::kSortedSet)) return std::nullopt;
  auto found = call.objects().Scores(key, "", "", 0);
  std::erase_if(found, [&](const Scored& scored) {
    return !IsAbove(scored.member, *min) || !IsBelow(scored.member, *max);
  });
  Cut(query, found);
  return found;
}

/// `from` and `to` as the client gave them: with a reversed score or bytes range, the high one
/// first.
std::optional<std::vector<Scored>> Evaluate(const Call& call, const Query& query,
                                            std::string_view key, std::string_view from,
                                            std::string_view to) {
  if (query.by == By::kRank) return ByRank(call, query, key, from, to);
  if (query.reversed) std::swap(from, to);
  return query.by == By::kScore ? ByScore(call, query, key, from, to)
                                : ByBytes(call, query, key, from, to);
}

Query Preset(CommandId id) {
  Query query;
  switch (id) {
    case CommandId::kZrevrange:
      query.reversed = true;
      break;
    case CommandId::kZrangebyscore:
    case CommandId::kZcount:
    case CommandId::kZremrangebyscore:
      query.by = By::kScore;
      break;
    case CommandId::kZrevrangebyscore:
      query.by = By::kScore;
      query.reversed = true;
      break;
    case CommandId::kZrangebylex:
    case CommandId::kZlexcount:
    case CommandId::kZremrangebylex:
      query.by = By::kBytes;
      break;
    case CommandId::kZrevrangebylex:
      query.by = By::kBytes;
      query.reversed = true;
      break;
    default:
      break;
  }
  return query;
}

/// The options from words[first] on; nullopt with the error written.
std::optional<Query> ParseOptions(const Call& call, std::size_t first) {
  const CommandId id = call.command.id;
  Query query = Preset(id);
  const bool any = id == CommandId::kZrange || id == CommandId::kZrangestore;
  for (std::size_t i = first; i < call.size(); ++i) {
    if (id != CommandId::kZrangestore && IsWord(call[i], "withscores")) {
      query.with_scores = true;
    } else if (IsWord(call[i], "limit") && i + 2 < call.size()) {
      const auto offset = ParseInteger(call[i + 1]);
      const auto limit = ParseInteger(call[i + 2]);
      if (!offset || !limit) return call.NotInteger(), std::nullopt;
      query.limited = true;
      query.offset = *offset;
      query.limit = *limit;
      i += 2;
    } else if (any && IsWord(call[i], "rev")) {
      query.reversed = true;
    } else if (any && IsWord(call[i], "byscore")) {
      query.by = By::kScore;
    } else if (any && IsWord(call[i], "bylex")) {
      query.by = By::kBytes;
    } else {
      return call.SyntaxError(), std::nullopt;
    }
  }
  if (query.limited && query.limit != -1 && query.by == By::kRank) {
    call.reply.Error(
        "ERR syntax error, LIMIT is only supported in combination with either BYSCORE "
        "or BYLEX");
    return std::nullopt;
  }
  if (query.with_scores && query.by == By::kBytes) {
    call.reply.Error("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    return std::nullopt;
  }
  return query;
}

void ZRange(const Call& call) {
  const auto query = ParseOptions(call, 4);
  if (!query) return;
  const auto found = Evaluate(call, *query, call[1], call[2], call[3]);
  if (!found) return;
  const bool pairs = query->with_scores && call.reply.protocol() >= 3;
  call.reply.Array(found->size() * (query->with_scores && !pairs ? 2 : 1));
  for (const Scored& scored : *found) {
    if (pairs) call.reply.Array(2);
    call.reply.Bulk(scored.member);
    if (query->with_scores) call.reply.Double(scored.score);
  }
}

void ZRangeStore(const Call& call) {
  const auto query = ParseOptions(call, 5);
  if (!query) return;
  const auto found = Evaluate(call, *query, call[2], call[3], call[4]);
  if (!found) return;
  call.view.Remove(call[1]);
  for (const Scored& scored : *found) {
    call.objects().PutScore(call[1], scored.member, scored.score);
  }
  call.reply.Integer(static_cast<std::int64_t>(found->size()));
}

void ZCount(const Call& call) {
  const auto found = Evaluate(call, Preset(call.command.id), call[1], call[2], call[3]);
  if (found) call.reply.Integer(static_cast<std::int64_t>(found->size()));
}

void ZRemRange(const Call& call) {
  const auto found = Evaluate(call, Preset(call.command.id), call[1], call[2], call[3]);
  if (!found) return;
  for (const Scored& scored : *found) call.objects().RemoveMember(call[1], scored.member);
  call.reply.Integer(static_cast<std::int64_t>(found->size()));
}

}  // namespace

Handler SortedRangeHandler(CommandId id) {
  switch (id) {
    case CommandId::kZrange:
    case CommandId::kZrevrange:
    case CommandId::kZrangebyscore:
    case CommandId::kZrevrangebyscore:
    case CommandId::kZrangebylex:
    case CommandId::kZrevrangebylex:
      return ZRange;
    case CommandId::kZrangestore:
      return ZRangeStore;
    case CommandId::kZcount:
    case CommandId::kZlexcount:
      return ZCount;
    case CommandId::kZremrangebyrank:
    case CommandId::kZremrangebyscore:
    case CommandId::kZremrangebylex:
      return ZRemRange;
    default:
      return nullptr;
  }
}

}  // namespace coterie::door::redis::ordered

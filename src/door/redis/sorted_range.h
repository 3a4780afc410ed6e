#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "door/redis/cell_call.h"

namespace coterie::door::redis {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct ScoreRange {
  double min = -kInfinity, max = kInfinity;
  bool min_excluded = false, max_excluded = false;
  bool Above(double score) const { return min_excluded ? score > min : score >= min; }
  bool Below(double score) const { return max_excluded ? score < max : score <= max; }
};
/// "1", "(1", "-inf". nullopt, and Redis's error in the reply.
std::optional<ScoreRange> ParseScores(CellCall& call, std::string_view min, std::string_view max);

struct LexRange {
  struct Bound {
    std::string_view member;
    bool excluded = false;
    int infinite = 0;  // -1 before all, 1 behind all
  };
  Bound min, max;
  bool Above(std::string_view member) const;
  bool Below(std::string_view member) const;
};
/// "[a", "(a", "-", "+".
std::optional<LexRange> ParseLex(CellCall& call, std::string_view min, std::string_view max);

/// What a command asks of a sorted set, elements in order (or the reverse).
struct SortedRange {
  enum class By : std::uint8_t { kRank, kScore, kLex };
  By by = By::kRank;
  std::int64_t first = 0, last = -1;  // ranks; negative: from the end
  ScoreRange scores;
  LexRange lex;
  bool reverse = false;
  std::int64_t offset = 0, limit = -1;  // of those in range; limit < 0: all
};
std::vector<cells::ScoredMember> Collect(CellCall& call, std::string_view key,
                                         const SortedRange& range);

/// As ZRANGE answers: members, each with its score (in RESP3 as pairs) if asked.
void WriteMembers(CellCall& call, const std::vector<cells::ScoredMember>& members,
                  bool with_scores);

}  // namespace coterie::door::redis

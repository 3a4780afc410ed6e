// Unions, intersections and differences of sorted sets, and of sets as sorted sets with scores
// of 1.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "door/redis/cell_call.h"
#include "door/redis/sorted_range.h"
#include "door/redis/text.h"

namespace coterie::door::redis::cell_sorted_algebra {
namespace {

using cells::ObjectType;
using Scores = std::map<std::string, double, std::less<>>;

enum class Aggregate : std::uint8_t { kSum, kMin, kMax };

struct Options {
  std::vector<double> weights;
  Aggregate aggregate = Aggregate::kSum;
  bool with_scores = false;
};

/// numkeys at words[1]. nullopt: the error is in the reply.
std::optional<Words> ParseKeys(CellCall& call) {
  const auto count = call.Integer(1);
  if (!count) return std::nullopt;
  if (*count < 1) {
    call.reply.Error(fmt::format("ERR at least 1 input key is needed for '{}' command",
                                 call.context.command->name));
    return std::nullopt;
  }
  if (static_cast<std::uint64_t>(*count) > call.size() - 2) {
    call.SyntaxError();
    return std::nullopt;
  }
  return call.words.subspan(2, static_cast<std::size_t>(*count));
}

std::optional<Options> ParseOptions(CellCall& call, std::size_t keys) {
  Options options{.weights = std::vector<double>(keys, 1.0)};
  const bool weighted = call.context.command->id != CommandId::kZdiff;
  for (std::size_t i = 2 + keys; i < call.size(); ++i) {
    const std::size_t left = call.size() - i - 1;
    if (weighted && IsWord(call[i], "weights") && left >= keys) {
      for (std::size_t k = 0; k < keys; ++k) {
        const auto weight = ParseDouble(call[++i]);
        if (!weight) {
          call.reply.Error("ERR weight value is not a float");
          return std::nullopt;
        }
        options.weights[k] = *weight;
      }
    } else if (weighted && IsWord(call[i], "aggregate") && left >= 1) {
      ++i;
      if (IsWord(call[i], "sum")) {
        options.aggregate = Aggregate::kSum;
      } else if (IsWord(call[i], "min")) {
        options.aggregate = Aggregate::kMin;
      } else if (IsWord(call[i], "max")) {
        options.aggregate = Aggregate::kMax;
      } else {
        call.SyntaxError();
        return std::nullopt;
      }
    } else if (IsWord(call[i], "withscores")) {
      options.with_scores = true;
    } else {
      call.SyntaxError();
      return std::nullopt;
    }
  }
  return options;
}

bool ExpectSets(CellCall& call, Words keys) {
  return std::ranges::all_of(keys, [&](std::string_view key) {
    const ShardId shard = call.IdOf(key);
    if (call.store.TypeOf(shard, key) == ObjectType::kSet) return true;
    return call.Expect(shard, key, ObjectType::kSortedSet);
  });
}

Scores Read(CellCall& call, std::string_view key) {
  Scores scores;
  const ShardId shard = call.IdOf(key);
  if (call.store.TypeOf(shard, key) == ObjectType::kSet) {
    call.store.VisitSet(shard, key, {}, [&](std::string_view member) {
      scores.emplace(member, 1.0);
      return true;
    });
    return scores;
  }
  call.store.VisitSortedSet(shard, key, -kInfinity, false,
                            [&](std::string_view member, double score) {
                              scores.emplace(member, score);
                              return true;
                            });
  return scores;
}

double Weighted(double score, double weight) {
  const double product = score * weight;
  return std::isnan(product) ? 0 : product;  // infinity times zero, as Redis has it
}

double Aggregated(Aggregate aggregate, double a, double b) {
  switch (aggregate) {
    case Aggregate::kMin:
      return std::min(a, b);
    case Aggregate::kMax:
      return std::max(a, b);
    case Aggregate::kSum:
      break;
  }
  const double sum = a + b;
  return std::isnan(sum) ? 0 : sum;  // +inf and -inf, as Redis has it
}

Scores Combined(CellCall& call, Words keys, const Options& options) {
  const CommandId id = call.context.command->id;
  Scores result;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Scores scores = Read(call, keys[i]);
    if (i > 0 && id == CommandId::kZdiff) {
      std::erase_if(result, [&](const auto& member) { return scores.contains(member.first); });
      continue;
    }
    if (i > 0 && id == CommandId::kZinter)
      std::erase_if(result, [&](const auto& member) { return !scores.contains(member.first); });
    for (const auto& [member, score] : scores) {
      const double weighted = Weighted(score, options.weights[i]);
      const auto found = result.find(member);
      if (found != result.end()) {
        found->second = Aggregated(options.aggregate, found->second, weighted);
      } else if (i == 0 || id == CommandId::kZunion) {
        result.emplace(member, weighted);
      }
    }
  }
  return result;
}

}  // namespace

void Combine(CellCall& call) {
  const auto keys = ParseKeys(call);
  if (!keys) return;
  if (!ExpectSets(call, *keys)) return;
  const auto options = ParseOptions(call, keys->size());
  if (!options) return;
  std::vector<cells::ScoredMember> members;
  for (const auto& [member, score] : Combined(call, *keys, *options))
    members.push_back({member, score});
  std::ranges::sort(members, {}, [](const cells::ScoredMember& member) {
    return std::pair(member.score, std::string_view(member.member));
  });
  WriteMembers(call, members, options->with_scores);
}

void ZInterCard(CellCall& call) {
  const auto keys = ParseKeys(call);
  if (!keys) return;
  std::size_t limit = 0;
  const std::size_t at = 2 + keys->size();
  if (call.size() > at) {
    if (call.size() != at + 2 || !IsWord(call[at], "limit")) return call.SyntaxError();
    const auto given = ParseInteger(call[at + 1]);
    if (!given || *given < 0) return call.reply.Error("ERR LIMIT can't be negative");
    limit = static_cast<std::size_t>(*given);
  }
  if (!ExpectSets(call, *keys)) return;
  Scores common = Read(call, (*keys)[0]);
  for (const std::string_view key : keys->subspan(1)) {
    const Scores scores = Read(call, key);
    std::erase_if(common, [&](const auto& member) { return !scores.contains(member.first); });
  }
  const std::size_t n = limit == 0 ? common.size() : std::min(limit, common.size());
  call.reply.Integer(static_cast<std::int64_t>(n));
}

}  // namespace coterie::door::redis::cell_sorted_algebra

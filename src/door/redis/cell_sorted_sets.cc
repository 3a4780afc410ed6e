#include <cmath>

#include "door/redis/cell_call.h"
#include "door/redis/sampling.h"
#include "door/redis/sorted_range.h"
#include "door/redis/text.h"

namespace coterie::door::redis::cell_sorted_sets {
namespace {

constexpr cells::ObjectType kType = cells::ObjectType::kSortedSet;
constexpr std::string_view kConditional =
    "decides by what is there, and another replica may decide otherwise at the same time";
constexpr std::string_view kNotANumber = "ERR resulting score is not a number (NaN)";

bool ExpectSorted(CellCall& call) { return call.Expect(call.IdOf(call[1]), call[1], kType); }

/// Adds to a member's score and answers it.
void Increase(CellCall& call, std::string_view member, double amount) {
  if (!ExpectSorted(call)) return;
  const double present = call.store.Score(call.IdOf(call[1]), call[1], member).value_or(0);
  if (std::isnan(present + amount)) return call.reply.Error(kNotANumber);
  double score = 0;
  const auto make = [&](cells::Edit& edit) {
    score = edit.SortedSetIncrement(call[1], member, amount);
  };
  if (call.Write(call[1], make)) call.reply.Double(score);
}

}  // namespace

void ZAdd(CellCall& call) {
  bool changed_too = false;
  bool increase = false;
  std::size_t at = 2;
  for (; at < call.size(); ++at) {
    const std::string_view word = call[at];
    if (IsWord(word, "ch")) {
      changed_too = true;
    } else if (IsWord(word, "incr")) {
      increase = true;
    } else if (IsWord(word, "nx") || IsWord(word, "xx") || IsWord(word, "gt") ||
               IsWord(word, "lt")) {
      return call.RefuseOption(word, kConditional);
    } else {
      break;
    }
  }
  const std::size_t left = call.size() - at;
  if (left == 0 || left % 2 != 0) return call.SyntaxError();
  if (increase && left != 2)
    return call.reply.Error("ERR INCR option supports a single increment-element pair");
  std::vector<double> scores;
  for (std::size_t i = at; i < call.size(); i += 2) {
    const auto score = call.Double(i);
    if (!score) return;
    scores.push_back(*score);
  }
  if (increase) return Increase(call, call[at + 1], scores[0]);
  if (!ExpectSorted(call)) return;
  const ShardId shard = call.IdOf(call[1]);
  std::int64_t added = 0;
  std::int64_t changed = 0;
  const auto make = [&](cells::Edit& edit) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const std::string_view member = call[at + 2 * i + 1];
      const auto before = call.store.Score(shard, call[1], member);
      if (before && *before == scores[i]) continue;
      edit.SortedSetAdd(call[1], member, scores[i]);
      before ? ++changed : ++added;
    }
  };
  if (call.Write(call[1], make)) call.reply.Integer(changed_too ? added + changed : added);
}

void ZIncrBy(CellCall& call) {
  const auto amount = call.Double(2);
  if (amount) Increase(call, call[3], *amount);
}

void ZRem(CellCall& call) {
  if (!ExpectSorted(call)) return;
  std::int64_t removed = 0;
  const auto make = [&](cells::Edit& edit) {
    for (const std::string_view member : call.words.subspan(2))
      removed += edit.SortedSetRemove(call[1], member);
  };
  if (call.Write(call[1], make)) call.reply.Integer(removed);
}

void ZScore(CellCall& call) {
  if (!ExpectSorted(call)) return;
  const auto score = call.store.Score(call.IdOf(call[1]), call[1], call[2]);
  if (score) return call.reply.Double(*score);
  call.reply.Null();
}

void ZMScore(CellCall& call) {
  if (!ExpectSorted(call)) return;
  call.reply.Array(call.size() - 2);
  for (const std::string_view member : call.words.subspan(2)) {
    const auto score = call.store.Score(call.IdOf(call[1]), call[1], member);
    if (score) {
      call.reply.Double(*score);
    } else {
      call.reply.Null();
    }
  }
}

void ZCard(CellCall& call) {
  if (!ExpectSorted(call)) return;
  const auto size = call.store.Size(call.IdOf(call[1]), call[1], kType);
  call.reply.Integer(static_cast<std::int64_t>(size));
}

void ZRank(CellCall& call) {
  if (!ExpectSorted(call)) return;
  const ShardId shard = call.IdOf(call[1]);
  if (!call.store.Score(shard, call[1], call[2])) return call.reply.Null();
  const bool reverse = call.context.command->id == CommandId::kZrevrank;
  std::int64_t rank = 0;
  call.store.VisitSortedSet(shard, call[1], reverse ? kInfinity : -kInfinity, reverse,
                            [&](std::string_view member, double) {
                              if (member == call[2]) return false;
                              ++rank;
                              return true;
                            });
  call.reply.Integer(rank);
}

/// All at once, at cursor 0: a member whose score changes meanwhile could be missed by any walk in
/// score order that stops half-way.
void ZScan(CellCall& call) {
  const auto options = call.ElementScan(kType);
  if (!options) return;
  call.reply.Array(2);
  call.reply.Bulk("0");
  std::vector<cells::ScoredMember> found = Collect(call, call[1], {});
  std::erase_if(found, [&](const cells::ScoredMember& member) {
    return !options->pattern.empty() && !GlobMatch(options->pattern, member.member);
  });
  call.reply.Array(2 * found.size());
  for (const cells::ScoredMember& member : found) {
    call.reply.Bulk(member.member);
    call.reply.Bulk(FormatDouble(member.score));
  }
}

void ZRandMember(CellCall& call) {
  const bool with_scores = call.size() == 4 && IsWord(call[3], "withscores");
  if (call.size() > 4 || (call.size() == 4 && !with_scores)) return call.SyntaxError();
  std::optional<std::int64_t> count;
  if (call.size() > 2) {
    count = call.SampleCount(2);
    if (!count) return;
  }
  if (!ExpectSorted(call)) return;
  const auto drawn = Sample(Collect(call, call[1], {}), count.value_or(1), call.world.random());
  if (count) return WriteMembers(call, drawn, with_scores);
  if (drawn.empty()) return call.reply.Null();
  call.reply.Bulk(drawn[0].member);
}

}  // namespace coterie::door::redis::cell_sorted_sets

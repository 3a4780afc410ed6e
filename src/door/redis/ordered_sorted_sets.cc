#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "door/redis/ordered_numbers.h"
#include "door/redis/ordered_objects.h"
#include "door/redis/ordered_pick.h"
#include "door/redis/ordered_scan.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

bool IsSortedSet(const Call& call, std::string_view key) {
  return call.Accepts(call.view.Find(key), ObjectType::kSortedSet);
}

struct AddRequest {
  bool nx = false, xx = false, gt = false, lt = false, ch = false, incr = false;
  std::size_t first = 2;  ///< where the pairs begin
  std::vector<double> scores;
};

bool ReadFlag(std::string_view word, AddRequest& request) {
  const std::pair<std::string_view, bool*> flags[] = {{"nx", &request.nx}, {"xx", &request.xx},
                                                      {"gt", &request.gt}, {"lt", &request.lt},
                                                      {"ch", &request.ch}, {"incr", &request.incr}};
  for (const auto& [name, flag] : flags) {
    if (!IsWord(word, name)) continue;
    *flag = true;
    return true;
  }
  return false;
}

std::optional<AddRequest> ParseAdd(const Call& call) {
  AddRequest request;
  if (call.command.id == CommandId::kZincrby) {
    request.incr = true;
  } else {
    while (request.first < call.size() && ReadFlag(call[request.first], request)) ++request.first;
  }
  const std::size_t rest = call.size() - request.first;
  if (rest == 0 || rest % 2 != 0) return call.SyntaxError(), std::nullopt;
  std::string_view error;
  if (request.nx && request.xx) {
    error = "ERR XX and NX options at the same time are not compatible";
  } else if ((request.gt && (request.nx || request.lt)) || (request.lt && request.nx)) {
    error = "ERR GT, LT, and/or NX options at the same time are not compatible";
  } else if (request.incr && rest > 2) {
    error = "ERR INCR option supports a single increment-element pair";
  }
  if (!error.empty()) return call.reply.Error(error), std::nullopt;
  for (std::size_t i = request.first; i < call.size(); i += 2) {
    const auto score = ParseScore(call[i]);
    if (!score) return call.NotFloat(), std::nullopt;
    request.scores.push_back(*score);
  }
  return request;
}

/// What becomes of one member: its score, or nullopt if it stays as it is.
std::optional<double> NewScore(const AddRequest& request, std::optional<double> old, double score) {
  if (!old) return request.xx ? std::nullopt : std::optional(score);
  if (request.nx) return std::nullopt;
  if (request.incr) score += *old;
  if (request.gt && score <= *old) return std::nullopt;
  if (request.lt && score >= *old) return std::nullopt;
  return score;
}

void ZAdd(const Call& call) {
  const auto request = ParseAdd(call);
  if (!request || !IsSortedSet(call, call[1])) return;
  Objects& objects = call.objects();
  std::int64_t added = 0, updated = 0;
  for (std::size_t i = 0; i < request->scores.size(); ++i) {
    const std::string_view member = call[request->first + 2 * i + 1];
    const auto old = objects.Score(call[1], member);
    const auto score = NewScore(*request, old, request->scores[i]);
    if (score && std::isnan(*score)) {
      return call.reply.Error("ERR resulting score is not a number (NaN)");
    }
    if (score) {
      added += old ? 0 : 1;
      updated += old && *old != *score ? 1 : 0;
      objects.PutScore(call[1], member, *score);
    }
    if (!request->incr) continue;
    if (score) return call.reply.Double(*score);
    return call.reply.Null();
  }
  call.reply.Integer(request->ch ? added + updated : added);
}

void ZRem(const Call& call) {
  if (!IsSortedSet(call, call[1])) return;
  std::int64_t removed = 0;
  for (std::size_t i = 2; i < call.size(); ++i) {
    removed += call.objects().RemoveMember(call[1], call[i]) ? 1 : 0;
  }
  call.reply.Integer(removed);
}

void ZScore(const Call& call) {
  if (!IsSortedSet(call, call[1])) return;
  if (call.command.id == CommandId::kZmscore) call.reply.Array(call.size() - 2);
  for (std::size_t i = 2; i < call.size(); ++i) {
    const auto score = call.objects().Score(call[1], call[i]);
    if (score) {
      call.reply.Double(*score);
    } else {
      call.reply.Null();
    }
  }
}

void ZCard(const Call& call) {
  if (IsSortedSet(call, call[1])) call.reply.Integer(call.view.Find(call[1]).count);
}

void ZRank(const Call& call) {
  if (!IsSortedSet(call, call[1])) return;
  const auto score = call.objects().Score(call[1], call[2]);
  if (!score) return call.reply.Null();
  const auto rank = static_cast<std::int64_t>(call.objects().Rank(call[1], *score, call[2]));
  if (call.command.id == CommandId::kZrank) return call.reply.Integer(rank);
  call.reply.Integer(call.view.Find(call[1]).count - 1 - rank);
}

void ZPop(const Call& call) {
  if (call.size() > 3) return call.WrongArity();
  const bool one = call.size() == 2;
  const auto count = one ? 1 : ParseInteger(call[2]);
  if (!count) return call.NotInteger();
  if (*count < 0) return call.reply.Error("ERR value is out of range, must be positive");
  if (!IsSortedSet(call, call[1])) return;
  const bool lowest = call.command.id == CommandId::kZpopmin;
  const auto wanted = static_cast<std::size_t>(std::min(*count, call.view.Find(call[1]).count));
  std::vector<Scored> popped;
  if (wanted > 0) popped = call.objects().Scores(call[1], "", "", lowest ? wanted : 0);
  if (!lowest) {
    std::reverse(popped.begin(), popped.end());
    popped.resize(std::min(wanted, popped.size()));
  }
  const bool pairs = !one && call.reply.protocol() >= 3;
  call.reply.Array(pairs ? popped.size() : 2 * popped.size());
  for (const Scored& scored : popped) {
    if (pairs) call.reply.Array(2);
    call.reply.Bulk(scored.member);
    call.reply.Double(scored.score);
    call.objects().RemoveMember(call[1], scored.member);
  }
}

void ZScan(const Call& call) {
  ScanElements(call, ObjectType::kSortedSet, 2, [&](const Objects::Element& element) {
    call.reply.Bulk(element.first);
    call.reply.Bulk(FormatDouble(DecodeScore(element.second)));
  });
}

void ZRandMember(const Call& call) {
  ReplyPicks(call, ObjectType::kSortedSet, "withscores",
             [&](const std::string& score) { call.reply.Double(DecodeScore(score)); });
}

}  // namespace

Handler SortedSetHandler(CommandId id) {
  switch (id) {
    case CommandId::kZadd:
    case CommandId::kZincrby:
      return ZAdd;
    case CommandId::kZrem:
      return ZRem;
    case CommandId::kZscore:
    case CommandId::kZmscore:
      return ZScore;
    case CommandId::kZcard:
      return ZCard;
    case CommandId::kZrank:
    case CommandId::kZrevrank:
      return ZRank;
    case CommandId::kZpopmin:
    case CommandId::kZpopmax:
      return ZPop;
    case CommandId::kZscan:
      return ZScan;
    case CommandId::kZrandmember:
      return ZRandMember;
    default:
      return nullptr;
  }
}

}  // namespace coterie::door::redis::ordered

#include <algorithm>

#include "node/leaderless/state.h"

// The asking side of whole cells: comparing ranges with another replica, fetching, giving.
namespace coterie::node {

using leaderless::Difference;
using leaderless::Fingerprint;
using leaderless::Item;
using leaderless::KeyCell;
using leaderless::KeyRange;
using leaderless::Summary;

namespace {
constexpr std::size_t kSliceCells = 1000;  // looked at before others get their turn
constexpr std::size_t kRangesMax = 32;     // in one request
constexpr std::size_t kGiveBytes = 256u << 10;
constexpr Duration kAnswerPatience = 30s;

Error Gone() { return {ErrorCode::kNotReplica, Outcome::kNotApplied, "the shard was dropped"}; }

KeyRange JustThis(std::string key) {
  std::string next = key;
  next.push_back('\0');
  return {std::move(key), std::move(next)};
}

/// What this side has of the parts of a range that the other side named.
class PartPrints {
 public:
  PartPrints(const Summary& theirs) : theirs_(theirs), mine_(theirs.parts.size()) {}
  void Add(std::string_view key, std::string_view cell) {
    while (at_ + 1 < theirs_.parts.size() && key >= theirs_.parts[at_ + 1].from) ++at_;
    mine_[at_].Add(leaderless::IdOf(key, cell));
  }
  const Fingerprint& operator[](std::size_t i) const { return mine_[i]; }

 private:
  const Summary& theirs_;
  std::vector<Fingerprint> mine_;
  std::size_t at_ = 0;
};
}  // namespace

Task<Result<std::string>> LeaderlessReplicas::State::Ask(NodeId node,
                                                         leaderless::CellsRequest request,
                                                         Instant deadline) {
  const Instant asked = world.Now();
  auto answer = co_await host.transport.Call(node, Method::kCells, leaderless::Encode(request),
                                             std::min(deadline, asked + kAnswerPatience));
  if (answer) {
    host.detector.OnAnswer(node, world.Now() - asked);
  } else if (answer.error().code == ErrorCode::kTimedOut) {
    host.detector.OnLate(node);
  }
  co_return answer;
}

Task<Status> LeaderlessReplicas::State::Scan(ShardId id, KeyRange range, VisitCell visit) {
  for (;;) {
    if (Find(id) == nullptr) co_return std::unexpected(Gone());
    std::size_t count = 0;
    std::string last;
    COT_CO_TRY(store.VisitCells(id, range.from, range.to,
                                [&](std::string_view key, std::string_view cell) {
                                  visit(key, cell);
                                  last = key;
                                  return ++count < kSliceCells;
                                }));
    if (count < kSliceCells) co_return Ok();
    range.from = std::move(last);
    range.from.push_back('\0');
    co_await runtime::Yield(world.executor());
  }
}

/// Makes this replica's cells of a range at least as new as `with`'s and, with `give`, the reverse.
/// `theirs`: what `with` had applied before its first cell was looked at.
Task<Status> LeaderlessReplicas::State::Reconcile(ShardId id, NodeId with, KeyRange range,
                                                  bool give, VersionVector* theirs,
                                                  Instant deadline) {
  std::vector<KeyRange> ranges;
  ranges.push_back(std::move(range));
  Difference difference;
  std::vector<KeyRange> fetch;
  while (!ranges.empty()) {
    COT_CO_TRY(co_await CompareRanges(id, with, &ranges, &difference, &fetch, theirs, deadline));
    if (difference.wanted.size() + fetch.size() < kSliceCells && !ranges.empty()) continue;
    for (std::string& key : difference.wanted) fetch.push_back(JustThis(std::move(key)));
    difference.wanted.clear();
    COT_CO_TRY(co_await Fetch(id, with, std::exchange(fetch, {}), deadline));
  }
  if (!give || difference.offered.empty()) co_return Ok();
  co_return co_await GiveKeys(id, with, std::move(difference.offered), deadline);
}

/// Takes some of `ranges` and asks for their summaries; the parts that differ take their place.
Task<Status> LeaderlessReplicas::State::CompareRanges(ShardId id, NodeId with,
                                                      std::vector<KeyRange>* ranges,
                                                      Difference* difference,
                                                      std::vector<KeyRange>* fetch,
                                                      VersionVector* theirs, Instant deadline) {
  Slot* slot = Find(id);
  if (slot == nullptr) co_return std::unexpected(Gone());
  leaderless::SummariesRequest request{id, slot->epoch, {}};
  while (!ranges->empty() && request.ranges.size() < kRangesMax) {
    request.ranges.push_back(std::move(ranges->back()));
    ranges->pop_back();
  }
  COT_CO_ASSIGN(const std::string bytes, co_await Ask(with, request, deadline));
  const auto reply = leaderless::DecodeSummariesReply(bytes);
  if (!reply || reply->summaries.size() != request.ranges.size())
    co_return coterie::Fail(ErrorCode::kMalformed, "an answer of summaries");
  if (theirs != nullptr && theirs->empty()) *theirs = reply->applied;
  for (std::size_t i = 0; i < request.ranges.size(); ++i) {
    const KeyRange& range = request.ranges[i];
    const Summary& summary = reply->summaries[i];
    if (summary.parts.empty()) {
      std::vector<Item> mine;
      COT_CO_TRY(co_await Scan(id, range, [&](std::string_view key, std::string_view cell) {
        mine.push_back({std::string(key), leaderless::IdOf(key, cell)});
      }));
      leaderless::Compare(mine, summary.items, *difference);
      continue;
    }
    PartPrints mine(summary);
    COT_CO_TRY(co_await Scan(
        id, range, [&](std::string_view key, std::string_view cell) { mine.Add(key, cell); }));
    for (std::size_t part = 0; part < summary.parts.size(); ++part) {
      if (mine[part] == summary.parts[part].fingerprint) continue;
      const bool last = part + 1 == summary.parts.size();
      KeyRange differs{summary.parts[part].from, last ? range.to : summary.parts[part + 1].from};
      (mine[part].count == 0 ? fetch : ranges)->push_back(std::move(differs));
    }
  }
  co_return Ok();
}

Task<Status> LeaderlessReplicas::State::Fetch(ShardId id, NodeId from, std::vector<KeyRange> ranges,
                                              Instant deadline) {
  std::size_t next = 0;
  while (next < ranges.size()) {
    Slot* slot = Find(id);
    if (slot == nullptr) co_return std::unexpected(Gone());
    leaderless::FetchRequest request{id, slot->epoch, {}};
    for (std::size_t i = next; i < ranges.size() && request.ranges.size() < kSliceCells; ++i)
      request.ranges.push_back(ranges[i]);
    COT_CO_ASSIGN(const std::string bytes, co_await Ask(from, request, deadline));
    const auto reply = leaderless::DecodeFetchReply(bytes);
    if (!reply || reply->resume_range > request.ranges.size())
      co_return coterie::Fail(ErrorCode::kMalformed, "an answer of cells");
    slot = Find(id);
    if (slot == nullptr) co_return std::unexpected(Gone());
    for (const KeyCell& cell : reply->cells) {
      if (!JoinCell(*slot, cell)) co_return coterie::Fail(ErrorCode::kMalformed, "a cell");
    }
    next += reply->resume_range;
    if (reply->resume_range < request.ranges.size()) {
      if (reply->cells.empty()) co_return coterie::Fail(ErrorCode::kMalformed, "no cells");
      ranges[next].from = reply->resume_key;
    }
    // The journal is not to gather more than the disk takes.
    while (host.journal.waiting() > options.journal_waiting_bytes_max / 2)
      co_await host.journal.Flush();
  }
  co_return Ok();
}

Task<Status> LeaderlessReplicas::State::GiveKeys(ShardId id, NodeId to,
                                                 std::vector<std::string> keys, Instant deadline) {
  std::vector<KeyCell> cells;
  std::size_t bytes = 0;
  for (std::string& key : keys) {
    if (Find(id) == nullptr) co_return std::unexpected(Gone());
    const KeyRange just = JustThis(std::move(key));
    COT_CO_TRY(store.VisitCells(id, just.from, just.to,
                                [&](std::string_view found, std::string_view cell) {
                                  cells.push_back({std::string(found), std::string(cell)});
                                  bytes += found.size() + cell.size();
                                  return false;
                                }));
    if (bytes < kGiveBytes) continue;
    COT_CO_TRY(co_await Give(id, to, std::exchange(cells, {}), deadline));
    bytes = 0;
  }
  if (!cells.empty()) COT_CO_TRY(co_await Give(id, to, std::move(cells), deadline));
  co_return Ok();
}

Task<Status> LeaderlessReplicas::State::Give(ShardId id, NodeId to, std::vector<KeyCell> cells,
                                             Instant deadline) {
  Slot* slot = Find(id);
  if (slot == nullptr) co_return std::unexpected(Gone());
  leaderless::GiveRequest request{id, slot->epoch, slot->tracker.applied(), std::move(cells)};
  auto answer = co_await Ask(to, std::move(request), deadline);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return Ok();
}

}  // namespace coterie::node

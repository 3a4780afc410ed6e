#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "node/leaderless/state.h"

// The answering side of whole cells, dot ranges and digests. It keeps nothing between requests.
namespace coterie::node {

using leaderless::KeyCell;

namespace {
constexpr std::size_t kAnswerBytes = 512u << 10;
constexpr std::size_t kObjectBytesMax = 256u << 10;
constexpr std::uint64_t kTouchedMax = 4096;  // mutations looked through for one object
}  // namespace

Task<Result<std::string>> LeaderlessReplicas::State::OnCells(NodeId from, std::string body,
                                                             Instant deadline) {
  (void)deadline;
  auto request = leaderless::DecodeCellsRequest(body);
  if (!request) {
    world.log().Warn("leaderless", "node {}: a request that is none", from.value);
    co_return coterie::Fail(ErrorCode::kMalformed, "a request for cells");
  }
  if (auto* dots = std::get_if<leaderless::DotsRequest>(&*request)) co_return AnswerDots(*dots);
  if (auto* fetch = std::get_if<leaderless::FetchRequest>(&*request)) co_return AnswerFetch(*fetch);
  if (auto* object = std::get_if<leaderless::ObjectRequest>(&*request))
    co_return AnswerObject(*object);
  if (auto* digests = std::get_if<leaderless::DigestsRequest>(&*request))
    co_return AnswerDigests(*digests);
  if (auto* summaries = std::get_if<leaderless::SummariesRequest>(&*request))
    co_return co_await AnswerSummaries(std::move(*summaries));
  co_return co_await AnswerGive(std::move(std::get<leaderless::GiveRequest>(*request)));
}

Result<Slot*> LeaderlessReplicas::State::SlotFor(ShardId shard, Epoch epoch) {
  Slot* slot = Find(shard);
  if (slot == nullptr || !slot->placed) {
    return coterie::Fail(ErrorCode::kNotReplica, fmt::format("shard {} is not here", shard.value));
  }
  if (epoch < slot->epoch) {
    return coterie::Fail(ErrorCode::kStaleEpoch,
                         fmt::format("shard {} is at epoch {}", shard.value, slot->epoch.value));
  }
  return slot;
}

Result<std::string> LeaderlessReplicas::State::AnswerDots(const leaderless::DotsRequest& request) {
  COT_ASSIGN(Slot* const slot, SlotFor(request.shard, request.epoch));
  leaderless::DotsReply reply;
  reply.applied = slot->tracker.applied();
  std::size_t bytes = 0;
  for (const auto& [actor, counter] : reply.applied.entries()) {
    const std::uint64_t after = request.applied.Get(actor);
    if (counter <= after) continue;
    if (!history.Holds(slot->id, actor, after)) {
      reply.beyond = true;
      continue;
    }
    history.Visit(slot->id, actor, after, [&](std::uint64_t, std::string_view mutation) {
      if (bytes >= kAnswerBytes) {
        reply.more = true;
        return false;
      }
      bytes += mutation.size();
      reply.mutations.emplace_back(mutation);
      return true;
    });
  }
  return leaderless::Encode(reply);
}

Task<Result<std::string>> LeaderlessReplicas::State::AnswerSummaries(
    leaderless::SummariesRequest request) {
  COT_CO_ASSIGN(Slot* const slot, SlotFor(request.shard, request.epoch));
  leaderless::SummariesReply reply;
  reply.applied = slot->tracker.applied();
  for (const leaderless::KeyRange& range : request.ranges) {
    leaderless::Summariser summariser(range.from);
    COT_CO_TRY(co_await Scan(request.shard, range, [&](std::string_view key, std::string_view c) {
      summariser.Add(key, c);
    }));
    reply.summaries.push_back(summariser.Finish());
  }
  co_return leaderless::Encode(reply);
}

Result<std::string> LeaderlessReplicas::State::AnswerFetch(
    const leaderless::FetchRequest& request) {
  COT_ASSIGN(Slot* const slot, SlotFor(request.shard, request.epoch));
  leaderless::FetchReply reply;
  reply.applied = slot->tracker.applied();
  std::size_t bytes = 0;
  for (reply.resume_range = 0; reply.resume_range < request.ranges.size(); ++reply.resume_range) {
    const leaderless::KeyRange& range = request.ranges[reply.resume_range];
    bool full = false;
    COT_TRY(store.VisitCells(slot->id, range.from, range.to,
                             [&](std::string_view key, std::string_view cell) {
                               full = bytes >= kAnswerBytes;
                               if (full) {
                                 reply.resume_key = key;
                                 return false;
                               }
                               bytes += key.size() + cell.size();
                               reply.cells.push_back({std::string(key), std::string(cell)});
                               return true;
                             }));
    if (full) break;
  }
  return leaderless::Encode(reply);
}

Task<Result<std::string>> LeaderlessReplicas::State::AnswerGive(leaderless::GiveRequest request) {
  COT_CO_ASSIGN(Slot* const slot, SlotFor(request.shard, request.epoch));
  for (const KeyCell& cell : request.cells) {
    if (!JoinCell(*slot, cell)) co_return coterie::Fail(ErrorCode::kMalformed, "a cell");
  }
  // A reader is about to be told that this replica has it, too.
  if (slot->synced()) {
    const LogIndex position = host.journal.last();
    co_await host.journal.Durable(position);
  }
  co_return std::string();
}

bool LeaderlessReplicas::State::Touched(const Slot& slot, const VersionVector& seen,
                                        std::string_view object) const {
  const VersionVector& applied = slot.tracker.applied();
  // Cells that were joined ahead of their mutations: which objects they are of is not recorded.
  if (slot.unsure || !(applied.Covers(slot.joined) || seen.Covers(slot.joined))) return true;
  const auto [first, last] = cells::Store::CellsOf(object);
  std::uint64_t looked = 0;
  bool touched = false;
  for (const auto& [actor, counter] : applied.entries()) {
    const std::uint64_t after = seen.Get(actor);
    if (counter <= after) continue;
    looked += counter - after;
    if (looked > kTouchedMax || !history.Holds(slot.id, actor, after)) return true;
    history.Visit(slot.id, actor, after, [&](std::uint64_t, std::string_view bytes) {
      const auto view = leaderless::DecodeMutation(bytes);
      COT_ASSERT(view.has_value());
      touched = std::ranges::any_of(
          view->cells, [&](const auto& cell) { return cell.key >= first && cell.key < last; });
      return !touched;
    });
    if (touched) return true;
  }
  return false;
}

Result<LeaderlessReplicas::State::ObjectCells> LeaderlessReplicas::State::CellsOfObject(
    ShardId shard, std::string_view key) {
  auto [first, last] = cells::Store::CellsOf(key);
  ObjectCells object;
  std::size_t bytes = 0;
  COT_TRY(store.VisitCells(shard, std::move(first), std::move(last),
                           [&](std::string_view name, std::string_view cell) {
                             bytes += name.size() + cell.size();
                             object.large = bytes > kObjectBytesMax;
                             object.cells.push_back({std::string(name), std::string(cell)});
                             return !object.large;
                           }));
  if (object.large) object.cells.clear();
  return object;
}

Result<std::string> LeaderlessReplicas::State::AnswerObject(
    const leaderless::ObjectRequest& request) {
  COT_ASSIGN(Slot* const slot, SlotFor(request.shard, request.epoch));
  if (slot->phase == placement::Phase::kJoining || slot->settling)
    return coterie::Fail(ErrorCode::kNotReplica, "this replica has not everything yet");
  leaderless::ObjectReply reply;
  reply.applied = slot->tracker.applied();
  if (Touched(*slot, request.applied, request.key)) {
    COT_ASSIGN(ObjectCells object, CellsOfObject(slot->id, request.key));
    reply.large = object.large;
    reply.cells = std::move(object.cells);
  }
  return leaderless::Encode(reply);
}

Result<std::string> LeaderlessReplicas::State::AnswerDigests(
    const leaderless::DigestsRequest& request) {
  leaderless::DigestsReply reply;
  for (const ShardId shard : request.shards) {
    const Slot* slot = Find(shard);
    if (slot == nullptr || !slot->placed) continue;
    COT_ASSIGN(const std::uint64_t digest, store.Digest(shard));
    std::string applied;
    for (const auto& [actor, counter] : slot->tracker.applied().entries()) {
      if (!applied.empty()) applied += ' ';
      applied += clock::ToText({actor, counter});
    }
    reply.digests.push_back({shard, digest, std::move(applied)});
  }
  return leaderless::Encode(reply);
}

}  // namespace coterie::node

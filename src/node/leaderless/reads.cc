#include <algorithm>
#include <map>

#include "node/leaderless/state.h"

// Reading at R > 1: blocking read repair, and digests of all replicas.
namespace coterie::node {

using leaderless::KeyCell;

std::vector<NodeId> LeaderlessReplicas::State::Others(const Slot& slot) const {
  std::vector<NodeId> others;
  for (const Remote& remote : slot.others) {
    if (remote.phase == placement::Phase::kActive) others.push_back(remote.node);
  }
  std::ranges::sort(others, {}, [&](NodeId n) { return std::pair(host.detector.Cost(n), n); });
  return others;
}

struct LeaderlessReplicas::State::Refreshing {
  Refreshing(runtime::Executor& executor, ShardId s, std::string k, Instant d)
      : shard(s), key(std::move(k)), deadline(d), changed(executor) {}
  const ShardId shard;
  const std::string key;
  const Instant deadline;
  std::vector<NodeId> agreed;
  std::vector<KeyCell> received;
  std::map<NodeId, int> pending;  ///< questions, of those who were asked
  runtime::Notification changed;

  bool HasAgreed(NodeId node) const { return std::ranges::find(agreed, node) != agreed.end(); }
  /// Asked, and neither agreed nor about to answer.
  std::size_t failed() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        pending, [&](const auto& each) { return each.second == 0 && !HasAgreed(each.first); }));
  }
};

/// Asks the best R - 1 others; one more whenever none of them has answered for a while, or one has
/// failed. When all were asked, those who have not answered are asked again: what was sent to one
/// that has come back since is lost.
Task<Status> LeaderlessReplicas::State::Refresh(ShardId id, std::string key, std::uint32_t read,
                                                Instant deadline) {
  Slot* slot = Find(id);
  if (slot == nullptr || !slot->active())
    co_return coterie::Fail(ErrorCode::kNotReplica, "the shard is not active here");
  const std::uint32_t need = std::max(read, 1u) - 1;
  const std::vector<NodeId> others = Others(*slot);
  if (others.size() < need)
    co_return coterie::Fail(ErrorCode::kTooFewReplicas, "R is more than the active replicas");
  Refreshing reading(world.executor(), id, std::move(key), deadline);
  runtime::Scope asking;  // ends before what it refers to
  std::size_t asked = 0;
  Instant again = world.Now() + options.read_again;
  while (reading.agreed.size() < need) {
    while (asked < others.size() && asked < need + reading.failed())
      asking.Spawn(RefreshFrom(&reading, others[asked++]));
    if (reading.agreed.size() >= need) break;
    if (others.size() - reading.failed() < need)
      co_return coterie::Fail(ErrorCode::kTooFewReplicas, "too few of the others answered");
    if (world.Now() >= deadline) co_return coterie::Fail(ErrorCode::kTimedOut);
    const Instant late = std::min(deadline, world.Now() + options.read_late);
    const bool in_time = co_await reading.changed.WaitUntil(late);
    if (in_time) continue;
    if (asked < others.size()) {
      for (std::size_t i = 0; i < asked; ++i) {
        if (!reading.HasAgreed(others[i])) host.detector.OnLate(others[i]);
      }
      asking.Spawn(RefreshFrom(&reading, others[asked++]));
    } else if (world.Now() >= again) {
      again = world.Now() + options.read_again;
      for (const NodeId node : others) {
        if (!reading.HasAgreed(node)) asking.Spawn(RefreshFrom(&reading, node));
      }
    }
  }
  if (need < 2 || reading.received.empty()) co_return Ok();
  // What one of them had, the others that agreed before it came may lack.
  const std::vector<NodeId> agreed = reading.agreed;
  const std::vector<KeyCell> received = reading.received;
  for (const NodeId node : agreed) COT_CO_TRY(co_await Give(id, node, received, deadline));
  co_return Ok();
}

Task<void> LeaderlessReplicas::State::RefreshFrom(Refreshing* reading, NodeId node) {
  ++reading->pending[node];
  const Status agreed =
      co_await Agree(reading->shard, reading->key, node, &reading->received, reading->deadline);
  --reading->pending[node];
  if (agreed && !reading->HasAgreed(node)) reading->agreed.push_back(node);
  reading->changed.NotifyAll();
}

/// Afterwards both have of the object what either had. In most cases the vectors say so: nothing
/// that one has applied and the other not is about the object.
Task<Status> LeaderlessReplicas::State::Agree(ShardId id, std::string key, NodeId node,
                                              std::vector<KeyCell>* received, Instant deadline) {
  Slot* slot = Find(id);
  if (slot == nullptr) co_return coterie::Fail(ErrorCode::kNotReplica);
  const VersionVector mine = slot->tracker.applied();
  COT_CO_ASSIGN(
      const std::string bytes,
      co_await Ask(node, leaderless::ObjectRequest{id, slot->epoch, key, mine}, deadline));
  const auto reply = leaderless::DecodeObjectReply(bytes);
  if (!reply) co_return coterie::Fail(ErrorCode::kMalformed, "an answer of an object");
  slot = Find(id);
  if (slot == nullptr) co_return coterie::Fail(ErrorCode::kNotReplica);
  if (reply->large) {
    auto [first, last] = cells::Store::CellsOf(key);
    co_return co_await Reconcile(id, node, {std::move(first), std::move(last)}, true, nullptr,
                                 deadline);
  }
  std::map<std::string_view, std::string_view> theirs;
  for (const KeyCell& cell : reply->cells) {
    theirs.emplace(cell.key, cell.cell);
    if (!JoinCell(*slot, cell)) co_return coterie::Fail(ErrorCode::kMalformed, "a cell");
    received->push_back(cell);
  }
  // What this replica had when it asked, and it alone: a reader will be shown it.
  if (!Touched(*slot, reply->applied, key)) co_return Ok();
  COT_CO_ASSIGN(ObjectCells object, CellsOfObject(id, key));
  if (object.large) {
    auto [first, last] = cells::Store::CellsOf(key);
    co_return co_await Reconcile(id, node, {std::move(first), std::move(last)}, true, nullptr,
                                 deadline);
  }
  std::erase_if(object.cells, [&](const KeyCell& cell) {
    const auto other = theirs.find(cell.key);
    return other != theirs.end() && other->second == cell.cell;
  });
  if (object.cells.empty()) co_return Ok();
  co_return co_await Give(id, node, std::move(object.cells), deadline);
}

Task<Result<std::vector<ShardDigest>>> LeaderlessReplicas::State::Digests(Where where,
                                                                          Instant deadline) {
  std::vector<ShardDigest> all;
  for (auto& [node, of] : where) {
    leaderless::DigestsRequest request{std::move(of)};
    Result<std::string> bytes = std::string();
    if (node == host.self) {
      bytes = AnswerDigests(request);
    } else {
      bytes = co_await Ask(node, std::move(request), deadline);
    }
    if (!bytes) continue;  // a node that cannot be asked is missing in the answer
    const auto reply = leaderless::DecodeDigestsReply(*bytes);
    if (!reply) continue;
    for (const auto& digest : reply->digests)
      all.push_back({digest.shard, node, digest.digest, digest.applied});
  }
  std::ranges::sort(all, {}, [](const ShardDigest& of) { return std::pair(of.shard, of.node); });
  co_return all;
}

}  // namespace coterie::node

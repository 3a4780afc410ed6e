#include "replication/leaderless/knowledge.h"

#include <algorithm>
#include <utility>

namespace coterie::leaderless {

void Knowledge::SetOthers(const std::vector<NodeId>& others) {
  std::map<NodeId, Other> kept;
  for (const NodeId node : others) kept[node] = std::move(others_[node]);
  others_ = std::move(kept);
}

void Knowledge::Hear(NodeId node, Account account, const VersionVector& mine) {
  const auto found = others_.find(node);
  if (found == others_.end()) return;
  Other& other = found->second;
  // An older account that is not covered yet stays: under a steady stream of writes the newest
  // never is.
  if (!other.pending) other.pending = account;
  other.newest = std::move(account);
  Advance(mine);
}

void Knowledge::Advance(const VersionVector& mine) {
  for (auto& [node, other] : others_) {
    if (!other.pending || !mine.Covers(other.pending->applied)) continue;
    other.covered = std::max(other.covered, other.pending->time);
    other.durable.Join(other.pending->durable);
    other.pending.reset();
    if (!mine.Covers(other.newest->applied)) {
      other.pending = other.newest;
    } else {
      other.covered = std::max(other.covered, other.newest->time);
      other.durable.Join(other.newest->durable);
    }
  }
}

const Knowledge::Account* Knowledge::Of(NodeId node) const {
  const auto found = others_.find(node);
  return found == others_.end() || !found->second.newest ? nullptr : &*found->second.newest;
}

VersionVector Knowledge::Stable(const VersionVector& mine_durable) const {
  VersionVector stable = mine_durable;
  for (const auto& [node, other] : others_) stable.Meet(other.durable);
  return stable;
}

NodeId Knowledge::Slowest() const {
  const auto slowest =
      std::ranges::min_element(others_, {}, [](const auto& each) { return each.second.covered; });
  return slowest == others_.end() ? NodeId() : slowest->first;
}

HybridTime Knowledge::StableTime(HybridTime now) const {
  HybridTime stable = now;
  for (const auto& [node, other] : others_) stable = std::min(stable, other.covered);
  return stable;
}

}  // namespace coterie::leaderless

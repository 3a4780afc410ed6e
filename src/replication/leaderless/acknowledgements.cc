#include "replication/leaderless/acknowledgements.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>
#include <utility>

namespace coterie::leaderless {

void Acknowledgements::SetReplicas(NodeId self, std::vector<Replica> replicas, bool needs_self) {
  std::vector<Known> known;
  for (Replica& replica : replicas) {
    const std::uint64_t counter = Of(replica.node);
    known.push_back({std::move(replica), counter});
  }
  self_ = self;
  needs_self_ = needs_self;
  known_ = std::move(known);
  Recount();
}

bool Acknowledgements::OwnUpTo(std::uint64_t counter) { return UpTo(self_, counter); }

bool Acknowledgements::UpTo(NodeId node, std::uint64_t counter) {
  const auto found =
      std::ranges::find(known_, node, [](const Known& known) { return known.replica.node; });
  if (found == known_.end() || counter <= found->counter) return false;
  found->counter = counter;
  Recount();
  return true;
}

std::uint64_t Acknowledgements::Of(NodeId node) const {
  for (const Known& known : known_) {
    if (known.replica.node == node) return known.counter;
  }
  return 0;
}

std::uint64_t Acknowledgements::Promised(std::uint32_t w) const {
  const std::size_t place = w == 0 ? 0 : w - 1;
  if (place >= ordered_.size()) return 0;
  std::uint64_t promised = ordered_[place];
  if (leaving_ > 0) promised = std::min(promised, each_[place + leaving_]);
  return needs_self_ ? std::min(promised, Of(self_)) : promised;
}

std::size_t Acknowledgements::DomainsOf(const std::function<bool(NodeId)>& holds) const {
  std::size_t alone = 0;
  std::set<std::string_view> domains;
  for (const Known& known : known_) {
    if (!known.replica.counts || !holds(known.replica.node)) continue;
    if (known.replica.failure_domain.empty()) {
      ++alone;
    } else {
      domains.insert(known.replica.failure_domain);
    }
  }
  return alone + domains.size();
}

void Acknowledgements::Recount() {
  ordered_.clear();
  each_.clear();
  leaving_ = 0;
  for (const Known& known : known_) {
    if (known.replica.counts || known.replica.leaves) each_.push_back(known.counter);
    if (!known.replica.counts && known.replica.leaves) ++leaving_;
  }
  std::ranges::sort(each_, std::greater<>());
  for (std::size_t i = 0; i < known_.size(); ++i) {
    if (!known_[i].replica.counts) continue;
    const std::string& domain = known_[i].replica.failure_domain;
    std::uint64_t furthest = known_[i].counter;
    bool first = true;
    for (std::size_t j = 0; j < known_.size() && !domain.empty(); ++j) {
      if (!known_[j].replica.counts || known_[j].replica.failure_domain != domain) continue;
      first &= j >= i;
      furthest = std::max(furthest, known_[j].counter);
    }
    if (first) ordered_.push_back(furthest);
  }
  std::ranges::sort(ordered_, std::greater<>());
}

}  // namespace coterie::leaderless

#include "membership/dissemination.h"

#include <algorithm>
#include <utility>

namespace coterie::membership {

void Dissemination::Add(const Update& update) { news_[update.node] = {update, 0}; }

void Dissemination::Retain(const std::vector<NodeId>& members) {
  std::erase_if(news_, [&](const auto& entry) {
    return std::find(members.begin(), members.end(), entry.first) == members.end();
  });
}

std::vector<Update> Dissemination::Take(std::size_t max, int limit) {
  std::vector<News*> chosen;
  for (auto& [node, news] : news_) chosen.push_back(&news);
  std::sort(chosen.begin(), chosen.end(), [](const News* a, const News* b) {
    return std::pair(a->sent, a->update.node) < std::pair(b->sent, b->update.node);
  });
  if (chosen.size() > max) chosen.resize(max);
  std::vector<Update> updates;
  for (News* news : chosen) {
    updates.push_back(news->update);
    ++news->sent;
  }
  std::erase_if(news_, [&](const auto& entry) { return entry.second.sent >= limit; });
  return updates;
}

}  // namespace coterie::membership

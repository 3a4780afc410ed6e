#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "membership/messages.h"

namespace coterie::membership {

/// News that rides on messages, each a bounded number of times [SWIM §4.1]. The least often sent go
/// first; newer news about a member replaces older.
class Dissemination {
 public:
  void Add(const Update& update);
  /// Forgets members that are none any more.
  void Retain(const std::vector<NodeId>& members);
  /// Up to `max` updates for one message; each is forgotten when it has been taken `limit` times.
  std::vector<Update> Take(std::size_t max, int limit);
  std::size_t size() const { return news_.size(); }

 private:
  struct News {
    Update update;
    int sent = 0;
  };
  std::map<NodeId, News> news_;
};

}  // namespace coterie::membership

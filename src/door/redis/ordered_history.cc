#include "door/redis/ordered_history.h"

#include <algorithm>

namespace coterie::door::redis::ordered {

std::optional<kv::Revision> HistoryPolicy::Decide(Instant now, kv::Revision revision,
                                                  kv::Revision compacted) {
  if (bound_.revisions_max == 0) return std::nullopt;
  if (marks_.empty() || now - marks_.back().at >= kMarkEvery) marks_.push_back({now, revision});
  while (!marks_.empty() && now - marks_.front().at >= bound_.kept) {
    old_ = marks_.front().revision;
    marks_.pop_front();
  }
  const auto most = static_cast<kv::Revision>(bound_.revisions_max);
  const kv::Revision target = std::min(std::max(old_, revision - most), revision);
  if (changes_ < kWorthIt || target - compacted < static_cast<kv::Revision>(kWorthIt)) {
    return std::nullopt;
  }
  changes_ = 0;
  return target;
}

}  // namespace coterie::door::redis::ordered

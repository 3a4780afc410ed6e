#include "door/redis/ordered_cursors.h"

#include <utility>

namespace coterie::door::redis::ordered {

std::uint64_t Cursors::Keep(std::string_view scan, std::string position) {
  if (kept_.size() == kMax) kept_.erase(kept_.begin());
  kept_[next_] = {std::string(scan), std::move(position)};
  return next_++;
}

std::optional<std::string> Cursors::Find(std::string_view scan, std::uint64_t cursor) const {
  const auto found = kept_.find(cursor);
  if (found == kept_.end() || found->second.scan != scan) return std::nullopt;
  return found->second.position;
}

}  // namespace coterie::door::redis::ordered

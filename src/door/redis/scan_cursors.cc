#include "door/redis/scan_cursors.h"

#include <utility>

#include "base/assert.h"

namespace coterie::door::redis {
namespace {
constexpr std::uint64_t kNumberBits = 64 - 1 - ScanCursors::kPartBits;  // positive as signed, too
}  // namespace

std::uint64_t ScanCursors::Make(Position position) {
  COT_ASSERT(position.part < (std::uint64_t{1} << kPartBits));
  const std::uint64_t number = next_++ & ((std::uint64_t{1} << kNumberBits) - 1);
  if (!position.after.empty()) {
    after_.insert_or_assign(number, std::move(position.after));
    if (after_.size() > kPositionsMax) after_.erase(after_.begin());
  }
  return position.part << kNumberBits | number;
}

ScanCursors::Position ScanCursors::Find(std::uint64_t cursor) {
  Position position;
  position.part = cursor >> kNumberBits & ((std::uint64_t{1} << kPartBits) - 1);
  const auto found = after_.find(cursor & ((std::uint64_t{1} << kNumberBits) - 1));
  if (found != after_.end()) position.after = found->second;
  return position;
}

}  // namespace coterie::door::redis

#include "model/kv/lease_table.h"

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::kv {

Status LeaseTable::Load(const storage::Engine& engine) {
  leases_.clear();
  changes_.clear();
  ++generation_;
  ++loads_;
  const auto at =
      engine.Iterate(layout::SpaceBegin(layout::kLeases), layout::SpaceEnd(layout::kLeases));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const auto id = layout::ParseLeaseRecord(at->key());
    const auto lease = layout::ParseLease(at->value());
    if (!id || !lease) return Fail(ErrorCode::kCorruptState, "kv lease record " + Hex(at->key()));
    leases_.emplace(*id, Row{*lease, lease->granted_at});
  }
  return at->status();
}

const LeaseTable::Row* LeaseTable::Find(std::int64_t id) const {
  const auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

void LeaseTable::Grant(std::int64_t id, const layout::Lease& lease) {
  COT_ASSERT(id != 0);
  const bool inserted = leases_.emplace(id, Row{lease, lease.granted_at}).second;
  COT_ASSERT(inserted);
  Note(id);
}

void LeaseTable::Renew(std::int64_t id, LogIndex index) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  found->second.heard_at = index;
  Note(id);
}

void LeaseTable::Revoke(std::int64_t id) {
  const std::size_t erased = leases_.erase(id);
  COT_ASSERT(erased == 1);
  Note(id);
}

void LeaseTable::Note(std::int64_t id) {
  ++generation_;
  changes_.push_back(id);
  if (changes_.size() > kChangesMax) changes_.pop_front();
}

std::optional<std::deque<std::int64_t>> LeaseTable::ChangedSince(std::uint64_t generation) const {
  COT_ASSERT(generation <= generation_);
  const std::uint64_t missed = generation_ - generation;
  if (missed > changes_.size()) return std::nullopt;
  return std::deque<std::int64_t>(changes_.end() - static_cast<std::ptrdiff_t>(missed),
                                  changes_.end());
}

}  // namespace coterie::kv

#include "storage/version_map.h"

#include "base/assert.h"

namespace coterie::storage {

namespace {
// What a version costs beside its bytes, roughly: tree node, chain node, allocator.
constexpr std::uint64_t kVersionOverhead = 128;
std::uint64_t SizeOf(const VersionMap::Version& version) {
  return kVersionOverhead + (version.value ? version.value->size() : 0);
}
}  // namespace

void VersionMap::Apply(Batch batch) {
  ++last_;
  for (Batch::Change& change : batch.TakeChanges()) {
    switch (change.kind) {
      case Batch::Kind::kPut:
        Set(std::move(change.key), std::move(change.value));
        break;
      case Batch::Kind::kDelete:
        Set(std::move(change.key), std::nullopt);
        break;
      case Batch::Kind::kDeleteRange:
        DeleteRange(change.key, change.value);
        break;
    }
  }
  COT_ASSERT(!pins_.empty() || garbage_.empty());
}

VersionMap::Sequence VersionMap::Pin() {
  pins_.insert(last_);
  return last_;
}

void VersionMap::Unpin(Sequence sequence) {
  const auto pin = pins_.find(sequence);
  COT_ASSERT(pin != pins_.end());
  const bool oldest = pin == pins_.begin();
  pins_.erase(pin);
  if (oldest) Collect();
}

const std::string* VersionMap::ValueAt(const Cell& cell, Sequence sequence) {
  for (const Version* v = cell.newest.get(); v != nullptr; v = v->older.get()) {
    if (v->sequence <= sequence) return v->value ? &*v->value : nullptr;
  }
  return nullptr;
}

const std::string* VersionMap::Find(std::string_view key, Sequence sequence) const {
  const auto at = map_.find(key);
  return at == map_.end() ? nullptr : ValueAt(at->second, sequence);
}

bool VersionMap::Seen(Sequence from, Sequence until) const {
  const auto pin = pins_.lower_bound(from);
  return pin != pins_.end() && *pin < until;
}

void VersionMap::Set(std::string key, std::optional<std::string> value) {
  auto at = map_.lower_bound(key);
  if (at != map_.end() && at->first == key) {
    Supersede(at, std::move(value));
    return;
  }
  if (!value) return;
  bytes_ += key.size();
  at = map_.emplace_hint(at, std::move(key), Cell{});
  at->second.newest = std::make_unique<Version>(Version{last_, std::move(value), nullptr});
  bytes_ += SizeOf(*at->second.newest);
  ++versions_;
}

void VersionMap::DeleteRange(const std::string& begin, const std::string& end) {
  for (auto at = map_.lower_bound(begin); at != map_.end() && at->first < end;) {
    const auto next = std::next(at);
    Supersede(at, std::nullopt);
    at = next;
  }
}

void VersionMap::Supersede(Map::iterator at, std::optional<std::string> value) {
  Cell& cell = at->second;
  if (!value && !cell.newest->value) return;  // deleted already
  bytes_ -= SizeOf(*cell.newest);
  if (!Seen(cell.newest->sequence, last_)) {  // nobody reads the newest: it changes in place
    cell.newest->sequence = last_;
    cell.newest->value = std::move(value);
  } else {
    bytes_ += SizeOf(*cell.newest);
    auto newer = std::make_unique<Version>(Version{last_, std::move(value), nullptr});
    newer->older = std::move(cell.newest);
    cell.newest = std::move(newer);
    ++versions_;
  }
  bytes_ += SizeOf(*cell.newest);
  Prune(cell);
  if (cell.newest->value || cell.newest->older || cell.queued) {
    if (cell.newest->older) Queue(at);
  } else {
    Erase(at);
  }
}

void VersionMap::Prune(Cell& cell) {
  Version* newer = cell.newest.get();
  while (newer->older) {
    Version& older = *newer->older;
    if (Seen(older.sequence, newer->sequence)) {
      newer = &older;
      continue;
    }
    bytes_ -= SizeOf(older);
    --versions_;
    newer->older = std::move(older.older);
  }
}

void VersionMap::Queue(Map::iterator at) {
  if (at->second.queued) return;
  at->second.queued = true;
  garbage_.push_back({at->second.newest->sequence, at});
}

void VersionMap::Erase(Map::iterator at) {
  COT_ASSERT(!at->second.queued);
  COT_ASSERT(!at->second.newest->older);
  bytes_ -= at->first.size() + SizeOf(*at->second.newest);
  --versions_;
  map_.erase(at);
}

void VersionMap::Collect() {
  while (!garbage_.empty() && (pins_.empty() || garbage_.front().superseded <= *pins_.begin())) {
    const Map::iterator at = garbage_.front().at;
    garbage_.pop_front();
    Cell& cell = at->second;
    cell.queued = false;
    Prune(cell);
    if (cell.newest->older) {
      Queue(at);  // superseded again since, and that state is still pinned
    } else if (!cell.newest->value) {
      Erase(at);
    }
  }
}

}  // namespace coterie::storage

#include "model/kv/key_cache.h"

#include <xxhash.h>

#include "base/assert.h"

namespace coterie::kv {

std::size_t KeyCache::Hash::operator()(std::string_view key) const {
  return XXH3_64bits(key.data(), key.size());
}

void KeyCache::Touch(Entry& entry) {
  if (ends_.older == &entry) return;
  entry.newer->older = entry.older;
  entry.older->newer = entry.newer;
  entry.newer = &ends_;
  entry.older = ends_.older;
  ends_.older->newer = &entry;
  ends_.older = &entry;
}

const KeyCache::Row* KeyCache::Find(std::string_view key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  Touch(found->second);
  return &found->second.row;
}

void KeyCache::Set(std::string_view key, const Head& head, std::string_view value) {
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    found = entries_.emplace(key, Entry()).first;
    found->second.newer = found->second.older = &found->second;
    found->second.key = &found->first;
  } else {
    bytes_ -= Cost(key, found->second.row);
  }
  Row& row = found->second.row;
  row.head = head;
  row.has_value = value.size() <= kValueBytesMax;
  row.value.assign(row.has_value ? value : std::string_view());
  bytes_ += Cost(key, row);
  Touch(found->second);
}

void KeyCache::Trim() {
  while (bytes_ > bytes_max_) {
    COT_ASSERT(ends_.newer != &ends_);
    auto* oldest = static_cast<Entry*>(ends_.newer);
    oldest->newer->older = oldest->older;
    oldest->older->newer = oldest->newer;
    bytes_ -= Cost(*oldest->key, oldest->row);
    entries_.erase(entries_.find(*oldest->key));
  }
  COT_ASSERT(bytes_ <= bytes_max_);
}

void KeyCache::Clear() {
  entries_.clear();
  ends_.newer = ends_.older = &ends_;
  bytes_ = 0;
}

}  // namespace coterie::kv

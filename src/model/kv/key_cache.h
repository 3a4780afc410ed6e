#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "model/kv/layout.h"

namespace coterie::kv {

/// The newest change of recently used keys, so that overwriting one reads nothing. A key that is
/// absent here may still exist; a key that is here is up to date. Grows over its bound between
/// calls of Trim, because what one Apply changed must stay until its batch is in the Engine. Never
/// iterated in hash order.
class KeyCache {
 public:
  explicit KeyCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  KeyCache(const KeyCache&) = delete;
  KeyCache& operator=(const KeyCache&) = delete;

  /// nullptr: not known. Valid until the next change of the cache.
  const Head* Find(std::string_view key);
  void Set(std::string_view key, const Head& head);
  /// Drops the least recently used keys down to the bound.
  void Trim();
  void Clear();
  std::size_t bytes() const { return bytes_; }

 private:
  struct Links {
    Links* newer = this;
    Links* older = this;
  };
  struct Entry : Links {
    Head head;
    const std::string* key = nullptr;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const;
  };
  void Touch(Entry& entry);
  static std::size_t Cost(std::string_view key) { return key.size() + sizeof(Entry) + 56; }

  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  Links ends_;  // .older is the most recently used, .newer the least
  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> entries_;
};

}  // namespace coterie::kv

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "model/kv/layout.h"

namespace coterie::kv {

/// The newest change of recently used keys, and its value unless it is large: overwriting or
/// reading such a key touches no Engine. A key that is absent here may still exist; a key that is
/// here is up to date. Grows over its bound between calls of Trim, because what one Apply changed
/// must stay until its batch is in the Engine. Never iterated in hash order.
class KeyCache {
 public:
  explicit KeyCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  KeyCache(const KeyCache&) = delete;
  KeyCache& operator=(const KeyCache&) = delete;

  /// Values over this are left to the Engine.
  static constexpr std::size_t kValueBytesMax = 1024;

  struct Row {
    Head head;
    bool has_value = false;
    std::string value;
  };
  /// nullptr: not known. Valid until the next change of the cache.
  const Row* Find(std::string_view key);
  void Set(std::string_view key, const Head& head, std::string_view value);
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
    Row row;
    const std::string* key = nullptr;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const;
  };
  void Touch(Entry& entry);
  static std::size_t Cost(std::string_view key, const Row& row) {
    return key.size() + row.value.capacity() + sizeof(Entry) + 56;
  }

  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  Links ends_;  // .older is the most recently used, .newer the least
  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> entries_;
};

}  // namespace coterie::kv

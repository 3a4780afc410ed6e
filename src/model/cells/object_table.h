#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "model/cells/object.h"

namespace coterie::cells {

/// Objects by key: open addressing, so that finding one of very many costs two misses of the
/// processor's caches. Objects do not move. Not for iterating: the order is the hash's.
class ObjectTable {
 public:
  static std::uint64_t Hash(std::string_view key);

  /// nullptr: none.
  Object* Find(std::string_view key) const;
  /// Requires: no object has its key.
  Object& Insert(std::unique_ptr<Object> object);
  /// Requires: it is in.
  void Erase(Object& object);
  std::size_t size() const { return size_; }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::unique_ptr<Object> object;
  };
  std::size_t Home(std::uint64_t hash) const { return hash & (slots_.size() - 1); }
  std::size_t Next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }
  void Grow();

  std::vector<Slot> slots_;  ///< a power of two, or none
  std::size_t size_ = 0;
};

}  // namespace coterie::cells

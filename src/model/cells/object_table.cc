#include "model/cells/object_table.h"

#include <xxhash.h>

#include "base/assert.h"

namespace coterie::cells {

std::uint64_t ObjectTable::Hash(std::string_view key) {
  return XXH3_64bits(key.data(), key.size());
}

Object* ObjectTable::Find(std::string_view key) const {
  if (size_ == 0) return nullptr;
  const std::uint64_t hash = Hash(key);
  for (std::size_t at = Home(hash); slots_[at].object != nullptr; at = Next(at)) {
    if (slots_[at].hash == hash && slots_[at].object->key == key) return slots_[at].object.get();
  }
  return nullptr;
}

void ObjectTable::Grow() {
  std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
  old.swap(slots_);
  for (Slot& slot : old) {
    if (slot.object == nullptr) continue;
    std::size_t at = Home(slot.hash);
    while (slots_[at].object != nullptr) at = Next(at);
    slots_[at] = std::move(slot);
  }
}

Object& ObjectTable::Insert(std::unique_ptr<Object> object) {
  if (4 * (size_ + 1) > 3 * slots_.size()) Grow();
  const std::uint64_t hash = Hash(object->key);
  std::size_t at = Home(hash);
  while (slots_[at].object != nullptr) at = Next(at);
  slots_[at] = {.hash = hash, .object = std::move(object)};
  ++size_;
  return *slots_[at].object;
}

void ObjectTable::Erase(Object& object) {
  std::size_t hole = Home(Hash(object.key));
  while (slots_[hole].object.get() != &object) {
    COT_ASSERT(slots_[hole].object != nullptr);
    hole = Next(hole);
  }
  slots_[hole].object.reset();
  --size_;
  // Those after it that the hole would hide from their home move into it.
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = Next(hole); slots_[at].object != nullptr; at = Next(at)) {
    const std::size_t home = Home(slots_[at].hash);
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    slots_[hole] = std::move(slots_[at]);
    hole = at;
  }
}

}  // namespace coterie::cells

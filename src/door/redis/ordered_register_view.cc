#include "door/redis/ordered_register_view.h"

#include "base/assert.h"

namespace coterie::door::redis::ordered {

RegisterView::RegisterView(std::string_view key, const std::optional<Value>& current,
                           Surroundings surroundings)
    : View(surroundings), key_(key) {
  if (!current) return;
  changed_ = Past(current->expires_at_ms);
  if (changed_) return;
  // Leaderless keyspaces whose strings are registers hold hashes beside them.
  const ObjectType type = current->other_type ? ObjectType::kHash : ObjectType::kString;
  object_ = {type, current->bytes, 0, current->expires_at_ms};
}

const View::Object& RegisterView::Find(std::string_view key) {
  COT_ASSERT(key == key_);
  return object_;
}

void RegisterView::PutString(std::string_view key, std::string value, std::uint64_t expires_at_ms) {
  COT_ASSERT(key == key_);
  changed_ = true;
  object_ = {};
  if (!Past(expires_at_ms)) {
    object_ = {ObjectType::kString, std::move(value), 0, expires_at_ms};
  }
}

void RegisterView::SetExpiry(std::string_view key, std::uint64_t expires_at_ms) {
  PutString(key, std::move(object_.value), expires_at_ms);
}

void RegisterView::Remove(std::string_view key) {
  COT_ASSERT(key == key_);
  changed_ = changed_ || object_.type != ObjectType::kNone;
  object_ = {};
}

node::Registers::Change RegisterView::TakeChange() {
  node::Registers::Change change{.write = changed_, .value = std::nullopt};
  if (object_.type == ObjectType::kString) {
    change.value = Value{std::move(object_.value), object_.expires_at_ms};
  }
  return change;
}

}  // namespace coterie::door::redis::ordered

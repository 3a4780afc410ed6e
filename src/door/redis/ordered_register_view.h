#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "door/redis/ordered_view.h"
#include "node/registers.h"

namespace coterie::door::redis::ordered {

/// A view of one register: no other key may be asked for.
class RegisterView final : public View {
 public:
  using Value = node::Registers::Value;

  /// An expired `current` is taken as missing, and removed.
  RegisterView(std::string_view key, const std::optional<Value>& current,
               Surroundings surroundings);

  const Object& Find(std::string_view key) override;
  void PutString(std::string_view key, std::string value, std::uint64_t expires_at_ms) override;
  void SetExpiry(std::string_view key, std::uint64_t expires_at_ms) override;
  void Remove(std::string_view key) override;

  /// What became of the register.
  node::Registers::Change TakeChange();

 private:
  const std::string_view key_;
  Object object_;
  bool changed_ = false;
};

}  // namespace coterie::door::redis::ordered

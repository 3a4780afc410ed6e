#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check/wgl.h"

namespace coterie::check {

/// One key that is read, written, removed and compared by value. Values are numbered; 0 is
/// "absent".
class RegisterModel {
 public:
  using State = std::uint32_t;

  /// The answer fits if the guard holds; then the value becomes `to`.
  struct Op {
    enum class Guard : std::uint8_t {
      kNone,
      kMust,     ///< the value is `value`
      kMustNot,  ///< the value is not `value`
      kIf,       ///< fits always, but has its effect only if the value is `value`
      kNever,    ///< no object gives this answer
    };
    Guard guard = Guard::kNone;
    bool writes = false;
    std::uint32_t value = 0;
    std::uint32_t to = 0;
  };

  State Initial() const { return 0; }
  bool Step(State& state, std::uint32_t i) const {
    const Op& op = ops[i];
    switch (op.guard) {
      case Op::Guard::kNone:
        break;
      case Op::Guard::kMust:
        if (state != op.value) return false;
        break;
      case Op::Guard::kMustNot:
        if (state == op.value) return false;
        break;
      case Op::Guard::kIf:
        if (state != op.value) return true;
        break;
      case Op::Guard::kNever:
        return false;
    }
    if (op.writes) state = op.to;
    return true;
  }
  bool Reads(std::uint32_t i) const { return !ops[i].writes; }
  Fingerprint Hash(State state) const { return {state, ~std::uint64_t{state}}; }
  std::string DescribeState(State state) const { return state == 0 ? "absent" : names[state]; }

  std::vector<Op> ops;
  std::vector<std::string> names;  ///< by number
};

}  // namespace coterie::check

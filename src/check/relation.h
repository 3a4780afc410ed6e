#pragma once

#include <cstdint>

#include "check/history.h"

namespace coterie::check {

/// Whether `a` stands in `relation` to `b`: what a transaction's guard asks.
inline bool Compares(std::int64_t a, Compare::Relation relation, std::int64_t b) {
  switch (relation) {
    case Compare::Relation::kEqual:
      return a == b;
    case Compare::Relation::kNotEqual:
      return a != b;
    case Compare::Relation::kLess:
      return a < b;
    case Compare::Relation::kGreater:
      return a > b;
  }
  return false;
}

}  // namespace coterie::check

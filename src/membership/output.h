#pragma once

#include <vector>

#include "base/time.h"
#include "membership/messages.h"

namespace coterie::membership {

/// What this node believes of another.
struct Member {
  NodeId node;
  State state = State::kAlive;
  std::uint32_t incarnation = 0;
  NodeId by;        ///< the first who suspected it; 0 while alive
  Instant since{};  ///< when this node came to believe `state`
};

/// What the driver must do, in any order: send `messages` (they may be lost), tell of `changes`.
struct Output {
  std::vector<Envelope> messages;
  std::vector<Member> changes;  ///< states that are new to this node, in order
};

}  // namespace coterie::membership

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace coterie::membership {

/// Ordered: of one incarnation the greater overrides [SWIM §4.2].
enum class State : std::uint8_t { kAlive = 0, kSuspect = 1, kDead = 2 };
std::string_view ToText(State state);  ///< "alive"

/// What somebody says about a member.
struct Update {
  NodeId node;
  State state = State::kAlive;
  std::uint32_t incarnation = 0;  ///< only the member itself raises it, to refute
  NodeId by;                      ///< who suspects it or declares it dead; 0 for alive
  friend bool operator==(const Update&, const Update&) = default;
};

struct Message {
  enum class Kind : std::uint8_t {
    kPing = 1,     ///< are you there? answered by kAck
    kPingReq = 2,  ///< ask `target` for me; answered by kAck, or by kNack if it is silent
    kAck = 3,
    kNack = 4,
  };
  Kind kind = Kind::kPing;
  std::uint64_t sequence = 0;  ///< the asker's; given back in the answer
  NodeId target;               ///< kPingReq only
  std::vector<Update> updates;
  friend bool operator==(const Message&, const Message&) = default;
};

struct Envelope {
  NodeId to;
  Message message;
};

std::string Encode(const Message& message);
/// nullopt: malformed. Total on any input; at most 64 updates.
std::optional<Message> Decode(std::string_view bytes);

}  // namespace coterie::membership

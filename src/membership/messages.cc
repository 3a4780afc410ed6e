#include "membership/messages.h"

#include "base/coding.h"

namespace coterie::membership {
namespace {

constexpr char kFormat = 1;
constexpr std::uint64_t kUpdatesMax = 64;

bool GetUpdate(std::string_view& in, Update& update) {
  const auto node = GetVarint(in);
  const auto state = GetVarint(in);
  const auto incarnation = GetVarint(in);
  const auto by = GetVarint(in);
  if (!node || !state || !incarnation || !by || *node == 0 || *state > 2 ||
      *incarnation > UINT32_MAX) {
    return false;
  }
  update = {NodeId(*node), static_cast<State>(*state), static_cast<std::uint32_t>(*incarnation),
            NodeId(*by)};
  return true;
}

}  // namespace

std::string_view ToText(State state) {
  switch (state) {
    case State::kAlive:
      return "alive";
    case State::kSuspect:
      return "suspect";
    case State::kDead:
      return "dead";
  }
  return "";
}

std::string Encode(const Message& message) {
  std::string out;
  out.push_back(kFormat);
  out.push_back(static_cast<char>(message.kind));
  PutVarint(out, message.sequence);
  if (message.kind == Message::Kind::kPingReq) PutVarint(out, message.target.value);
  PutVarint(out, message.updates.size());
  for (const Update& update : message.updates) {
    PutVarint(out, update.node.value);
    PutVarint(out, static_cast<std::uint64_t>(update.state));
    PutVarint(out, update.incarnation);
    PutVarint(out, update.by.value);
  }
  return out;
}

std::optional<Message> Decode(std::string_view bytes) {
  if (bytes.size() < 2 || bytes[0] != kFormat || bytes[1] < 1 || bytes[1] > 4) return std::nullopt;
  Message message;
  message.kind = static_cast<Message::Kind>(bytes[1]);
  bytes.remove_prefix(2);
  const auto sequence = GetVarint(bytes);
  if (!sequence) return std::nullopt;
  message.sequence = *sequence;
  if (message.kind == Message::Kind::kPingReq) {
    const auto target = GetVarint(bytes);
    if (!target || *target == 0) return std::nullopt;
    message.target = NodeId(*target);
  }
  const auto count = GetVarint(bytes);
  if (!count || *count > kUpdatesMax) return std::nullopt;
  message.updates.resize(*count);
  for (Update& update : message.updates) {
    if (!GetUpdate(bytes, update)) return std::nullopt;
  }
  if (!bytes.empty()) return std::nullopt;
  return message;
}

}  // namespace coterie::membership

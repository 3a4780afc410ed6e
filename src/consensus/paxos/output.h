#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "consensus/paxos/messages.h"

namespace coterie::paxos {

/// How a change ended.
struct Finished {
  bool decided = false;
  /// Not decided: an acceptor may hold the change, so that another proposer may yet complete it.
  bool maybe_applied = false;
  Value value;               ///< decided: what the register holds, or held after the change
  std::uint64_t number = 0;  ///< decided: which call of the change function counts
};

/// What the driver must do: send `messages`, lost or not; answer whoever waits for `finished`.
/// Nothing of a proposer needs to be durable.
struct Output {
  std::vector<Envelope> messages;
  std::optional<Finished> finished;
  /// An acceptor knows this later epoch: the proposer waits for SetReplicas.
  std::optional<Epoch> later_epoch;
};

}  // namespace coterie::paxos

#pragma once

#include "consensus/paxos/messages.h"

namespace coterie::paxos {

/// What an acceptor must never forget of one register.
struct Register {
  Ballot promised;  ///< lower ballots are refused
  Ballot accepted;  ///< of `value`; zero: nothing was accepted
  Value value;
  friend bool operator==(const Register&, const Register&) = default;
};

/// The memory of a shard's replica: one Register a key, which the driver keeps, and the epoch,
/// below which it takes part in nothing.
class Acceptor {
 public:
  explicit Acceptor(Epoch epoch) : epoch_(epoch) {}

  struct Answer {
    Reply reply;
    /// The register changed: it must be durable before the reply leaves. If not, the reply leaves
    /// as soon as what it tells is durable.
    bool changed = false;
  };
  /// Any order, loss, duplication and delay of requests is fine.
  Answer Step(Register& state, const Request& request) const;

  Epoch epoch() const { return epoch_; }
  /// A later configuration is in force. It must be durable before any reply after it.
  void Raise(Epoch epoch);

 private:
  Answer OnPrepare(Register& state, const Prepare& prepare) const;
  Answer OnAccept(Register& state, const Accept& accept) const;

  Epoch epoch_;
};

}  // namespace coterie::paxos

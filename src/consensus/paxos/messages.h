#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "clock/dot.h"

namespace coterie::paxos {

/// The name of one attempt, never used twice [Paxos-Made-Simple §2.2]. The epoch of the shard
/// comes first, so that every ballot of a later configuration beats all of an earlier one; the
/// proposer is one start of one node, so that a restart cannot repeat what it has forgotten.
struct Ballot {
  Epoch epoch;
  std::uint64_t counter = 0;
  clock::Actor proposer;
  friend auto operator<=>(const Ballot&, const Ballot&) = default;
};

/// One try of one change: what a proposer finds again in a value that others carried on.
struct ChangeId {
  clock::Actor proposer;
  std::uint64_t number = 0;
  friend auto operator<=>(const ChangeId&, const ChangeId&) = default;
};

/// What a register holds. A value is the fold of every change decided before it.
struct Value {
  std::optional<std::string> bytes;  ///< nullopt: nothing, never set or deleted
  /// The newest change of each node that is folded in, the newest first, at most kWritersMax.
  std::vector<ChangeId> applied;
  friend bool operator==(const Value&, const Value&) = default;
};
constexpr std::size_t kWritersMax = 16;

/// Phase 1: promise to refuse every lower ballot, and tell what was accepted.
struct Prepare {
  Ballot ballot;
};
/// Phase 2: accept this value; and promise `next` in the same step, for the proposer's next value.
struct Accept {
  Ballot ballot;
  Value value;
  Ballot next;  ///< > ballot
};
/// What has been accepted? Promises nothing.
struct Query {
  Epoch epoch;
  std::uint64_t number = 0;  ///< of this question
};
using Request = std::variant<Prepare, Accept, Query>;

struct Promise {
  Ballot ballot;
  Ballot accepted;  ///< zero: nothing yet
  Value value;
};
struct Accepted {
  Ballot ballot;
};
struct Refused {
  Ballot ballot;    ///< that was asked for
  Ballot promised;  ///< what stands against it
};
struct Report {
  std::uint64_t number = 0;
  Ballot accepted;
  Value value;
};
/// The request was of another epoch than the acceptor's.
struct StaleEpoch {
  Epoch asked;
  Epoch epoch;
};
using Reply = std::variant<Promise, Accepted, Refused, Report, StaleEpoch>;

struct Envelope {
  NodeId to;
  Request request;
};

/// Who decides about a shard in one epoch. Majorities are of `voters`; `learners` are told what is
/// to be accepted and are not counted.
struct Replicas {
  Epoch epoch;
  std::vector<NodeId> voters;
  std::vector<NodeId> learners;
  std::size_t majority() const { return voters.size() / 2 + 1; }
  friend bool operator==(const Replicas&, const Replicas&) = default;
};

}  // namespace coterie::paxos

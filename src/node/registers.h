#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "runtime/task.h"

namespace coterie::node {

/// Linearizable registers, one a key: what a paxos keyspace is; on a leaderless keyspace, the order
/// that its conditional writers agree on. A register that was never set, or was deleted, holds
/// nothing.
class Registers {
 public:
  struct Value {
    std::string bytes;
    std::uint64_t expires_at_ms = 0;  ///< 0: never
    /// Something that is no string: `bytes` say nothing. On leaderless keyspaces only, and never
    /// what a change writes.
    bool other_type = false;
    friend bool operator==(const Value&, const Value&) = default;
  };
  /// What to do with a register, given what it holds. Called once a try, so it must not have
  /// effects beyond its answer; the last call's counts.
  struct Change {
    bool write = false;          ///< false: the register stays as it is
    std::optional<Value> value;  ///< nullopt: delete
  };
  using Decide = std::function<Change(const std::optional<Value>& current)>;

  virtual ~Registers() = default;
  /// Errors (not applied): kTooFewReplicas, kNoLeader, kContended, kTimedOut.
  virtual runtime::Task<Result<std::optional<Value>>> Read(std::string key, Instant deadline) = 0;
  /// Answers what the register holds after it. Errors: kTooFewReplicas, kNoLeader, kContended,
  /// kOverloaded (not applied); kTimedOut, kLeaderChanged (unknown).
  virtual runtime::Task<Result<std::optional<Value>>> Update(std::string key, Decide decide,
                                                             Instant deadline) = 0;
  /// Keys that hold something, greater than `after`, in order, at most `max`: each key that holds
  /// something throughout the scan is found.
  virtual runtime::Task<Result<std::vector<std::string>>> Keys(std::string after, std::size_t max,
                                                               Instant deadline) = 0;
};

}  // namespace coterie::node

#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "consensus/paxos/config.h"
#include "consensus/paxos/messages.h"
#include "consensus/paxos/output.h"

namespace coterie::paxos {

/// Ballots and change numbers of one start of one node, shared by its proposers: what it gives out
/// it never gives out again.
class BallotSource {
 public:
  explicit BallotSource(clock::Actor proposer) : proposer_(proposer) {}
  /// A ballot above every one given out, and with a counter above `above`.
  Ballot Next(Epoch epoch, std::uint64_t above);
  ChangeId NextChange() { return {proposer_, ++changes_}; }
  /// Counters given out from here on are above `counter`. Fed with time, it lets the newest
  /// proposer win at its first try; safety does not depend on it.
  void Raise(std::uint64_t counter);
  clock::Actor proposer() const { return proposer_; }

 private:
  clock::Actor proposer_;
  std::uint64_t counter_ = 0;
  std::uint64_t changes_ = 0;
};

/// What a change does with the register, given what it holds.
struct Decision {
  bool write = false;  ///< false: leave it as it is
  std::optional<std::string> bytes;
};
/// Called at most once a try, with a `number` that Finished names if it is the call that counts.
using ChangeFunction =
    std::function<Decision(const std::optional<std::string>& current, std::uint64_t number)>;

/// One node's proposer for one register, one change at a time [CASPaxos §2.2]. A value with no I/O,
/// no clock and no randomness of its own; forgetting it between changes costs a round trip and
/// nothing else. See README.md.
class Proposer {
 public:
  /// `ballots` and `random` must outlive it.
  Proposer(Config config, BallotSource& ballots, Random& random)
      : config_(config), ballots_(ballots), random_(random) {}

  /// Who decides from now on. A change under way begins again in a later epoch; an earlier or equal
  /// epoch changes nothing. Needed before the first Change.
  void SetReplicas(Replicas replicas, Instant now);
  /// Begins a change. Requires: idle.
  void Change(ChangeFunction change, Instant now);
  void Step(NodeId from, const Reply& reply, Instant now);
  /// Time passed. Call at NextDeadline() or later; calling more often is harmless.
  void Tick(Instant now);
  Instant NextDeadline() const;
  /// Gives the change under way up; the answer says whether it may yet happen. Requires: not idle.
  Finished Abandon();

  bool idle() const { return std::holds_alternative<Idle>(role_); }
  /// Whether a majority answered in the try under way.
  bool heard_majority() const { return heard_.size() >= replicas_.majority(); }
  /// The next change needs one round trip if nobody else proposes meanwhile.
  bool prepared() const { return prepared_.has_value(); }
  Output TakeOutput();
  const Replicas& replicas() const { return replicas_; }

 private:
  struct Idle {};
  struct Preparing {
    Ballot ballot;
    std::map<NodeId, Promise> promises;
  };
  struct Accepting {
    Ballot ballot;
    Accept request;
    std::uint64_t number = 0;  ///< the call of the change function it comes from
    bool ours = false;         ///< the value has this try's change folded in
    std::set<NodeId> accepted;
  };
  struct Waiting {};  ///< for `retry_at_`, or for a later epoch's replicas
  /// A majority has promised `ballot`, and `value` is what the greatest of them had accepted.
  struct Prepared {
    Ballot ballot;
    Value value;
  };

  void StartTry(Instant now);
  void OnPromise(NodeId from, const Promise& promise, Instant now);
  void OnAccepted(NodeId from, const Accepted& accepted, Instant now);
  void OnRefused(NodeId from, const Refused& refused, Instant now);
  void OnStaleEpoch(const StaleEpoch& stale);
  /// `settled`: a majority has accepted `current` and answered since the change began.
  void Decide(Ballot ballot, const Value& current, bool settled, Instant now);
  void SendAccept(Ballot ballot, Value value, std::uint64_t number, bool ours, Instant now);
  void Finish(Value value, std::uint64_t number);
  void LeaveTry();
  void RetryLater(Instant now);
  void SendToSilent();
  std::size_t majority() const;
  bool IsVoter(NodeId node) const;

  Config config_;
  BallotSource& ballots_;
  Random& random_;
  Replicas replicas_;
  std::optional<Prepared> prepared_;
  std::uint64_t counter_seen_ = 0;

  // Of the change under way.
  std::variant<Idle, Preparing, Accepting, Waiting> role_;
  ChangeFunction change_;
  std::uint64_t first_number_ = 0;  ///< of this change's calls; 0: none yet
  bool maybe_applied_ = false;      ///< an earlier try may have left the change at an acceptor
  int tries_ = 0;
  std::set<NodeId> heard_;  ///< voters that answered this try
  Instant phase_began_{};
  Instant retry_at_ = Instant::max();
  Instant resend_at_ = Instant::max();
  Output output_;
};

}  // namespace coterie::paxos

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "membership/config.h"
#include "membership/dissemination.h"
#include "membership/messages.h"
#include "membership/output.h"

namespace coterie::membership {

/// One member of a SWIM group [SWIM; Lifeguard]: a value with no I/O, no clock and no randomness of
/// its own. Every verb mutates state and adds to the pending Output. "Dead" is a word for "silent
/// for long, and not refuted": dead members are still probed, and come back by refuting. Not
/// thread-safe.
class Swim {
 public:
  /// `random` must outlive it.
  Swim(Config config, Random& random, Instant now);

  /// Who the others are; `self` may be among them. New ones are taken to be alive.
  void SetMembers(std::vector<NodeId> members, Instant now);
  /// A message arrived. Any order, loss, duplication and delay is fine; one from a node that is no
  /// member is ignored.
  void Step(NodeId from, const Message& message, Instant now);
  /// Time passed. Call at NextDeadline() or soon after; calling more often is harmless.
  void Tick(Instant now);
  Instant NextDeadline() const;

  bool HasOutput() const { return !output_.messages.empty() || !output_.changes.empty(); }
  Output TakeOutput();

  /// The others, ascending.
  std::vector<Member> members() const;
  std::optional<Member> Find(NodeId node) const;
  /// 0: this node hears what it should; each step widens its waits by one probe timeout.
  int health() const { return health_; }
  std::uint32_t incarnation() const { return incarnation_; }

 private:
  struct Probe {
    NodeId target;
    int attempts = 0;
    Instant next;         ///< the next attempt, or the end
    bool helped = false;  ///< a helper was asked
    bool heard = false;   ///< a helper answered: this node is not the deaf one
  };
  struct Suspicion {
    Instant since;
    Instant ping_at;
    std::set<NodeId> by;
  };
  /// A ping made for another.
  struct Relay {
    NodeId asker;
    std::uint64_t sequence;
    NodeId target;
    Instant nack_at;
    bool nacked = false;
  };

  // swim.cc
  Duration Widened(Duration wait) const { return wait * (1 + health_); }
  void SetHealth(int health);
  void Send(NodeId to, Message::Kind kind, std::uint64_t sequence, NodeId target = {});
  std::vector<Update> UpdatesFor(NodeId to);
  void AfterStall(Instant now);
  std::vector<NodeId> MemberIds() const;

  // probing.cc
  Duration ProbeInterval() const;
  void StartProbe(Instant now);
  void Attempt(std::uint64_t sequence, Probe& probe, Instant now);
  void AskHelpers(std::uint64_t sequence, Probe& probe);
  void TickProbes(Instant now);
  void TickRelays(Instant now);
  void EndProbe(const Probe& probe, Instant now);
  void OnPingReq(NodeId from, const Message& message, Instant now);
  void OnAnswer(NodeId from, const Message& message);

  // suspicion.cc
  void Hear(const Update& update, Instant now);
  void HearOfSelf(const Update& update);
  void Believe(Member& member, const Update& update, Instant now);
  void Confirm(const Member& member, NodeId by);
  Duration SuspicionTimeout(const Suspicion& suspicion) const;
  void TickSuspicions(Instant now);

  const Config config_;
  Random& random_;
  std::map<NodeId, Member> members_;
  /// The round of probes: every member once, in an order of this node's own.
  std::vector<NodeId> order_;
  std::size_t next_in_order_ = 0;
  Instant next_probe_;
  std::uint64_t next_sequence_ = 1;
  std::map<std::uint64_t, Probe> probes_;
  std::map<std::uint64_t, Relay> relays_;
  std::map<NodeId, Suspicion> suspicions_;
  Dissemination news_;
  NodeId told_in_turn_;
  std::uint32_t incarnation_ = 0;
  int health_ = 0;
  Output output_;
};

}  // namespace coterie::membership

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "base/ids.h"
#include "base/time.h"

namespace coterie::raft {

/// What a leader knows of one other member's log, and how it sends to it:
///
///   kProbe      looking for where the logs agree: one message, then wait for its answer or a
///   heartbeat kReplicate  agreed: stream entries optimistically within the window kSnapshot needs
///   entries the leader has forgotten: wait for the driver's stream
///
/// Bounded: the window holds at most inflight_messages_max records.
class Progress {
 public:
  enum class State { kProbe, kReplicate, kSnapshot };

  Progress(LogIndex next, Instant now) : next_(next), heard_(now) {}

  State state() const { return state_; }
  /// Known to agree with the leader's log and durable up to here. Invariant: match < next.
  LogIndex match() const { return match_; }
  /// The next entry to send.
  LogIndex next() const { return next_; }
  Instant heard() const { return heard_; }
  std::uint64_t acked_round() const { return acked_round_; }
  std::size_t inflight_messages() const { return inflight_.size(); }
  std::size_t inflight_bytes() const { return inflight_bytes_; }
  bool probe_sent() const { return probe_sent_; }

  /// Any answer of the current term: alive, and it saw this read round.
  void Heard(Instant now, std::uint64_t read_round);
  /// A message with entries up to `last` of `bytes` was sent.
  void Sent(LogIndex last, std::size_t bytes);
  /// The probe is out; nothing more until an answer.
  void ProbeSent() { probe_sent_ = true; }
  /// The member says its log agrees up to `match`; the leader still has the entries after
  /// `compacted`, and has begun `round` read rounds.
  void Succeeded(LogIndex match, LogIndex compacted, std::uint64_t round);
  enum class Rejection {
    kTaken,      ///< looking elsewhere from now on, if the answer was not an old one
    kDoubtful,   ///< of what matches: an old answer, or a lost log; a later round tells
    kForgotten,  ///< of what matched, to a question asked since: the member has lost its log
  };
  /// The member refused `rejected` in answer to a message of `round`; `retry_at` is where the
  /// leader would look next.
  Rejection Rejected(LogIndex rejected, LogIndex retry_at, std::uint64_t round);
  /// Back to looking, from what is known. With `wait`, not before the next heartbeat's answer.
  void Probe(LogIndex next, bool wait);
  void AwaitSnapshot();

  /// It may have forgotten what it promised: whatever it answers, no majority counts it.
  bool recovering = false;
  /// A message must go even if empty: heartbeat or read round.
  bool must_send = false;
  /// The commit index the member was last told.
  LogIndex commit_sent;

 private:
  struct Inflight {
    LogIndex last;
    std::size_t bytes;
  };
  void ClearInflight();

  State state_ = State::kProbe;
  LogIndex match_;
  std::uint64_t match_round_ = 0;  // the newest round when match_ was learned
  LogIndex next_;
  bool probe_sent_ = false;
  std::deque<Inflight> inflight_;
  std::size_t inflight_bytes_ = 0;
  Instant heard_;
  std::uint64_t acked_round_ = 0;
};

}  // namespace coterie::raft

#include "consensus/raft/progress.h"

#include <algorithm>

#include "base/assert.h"
#include "consensus/raft/mutants.h"

namespace coterie::raft {

void Progress::Heard(Instant now, std::uint64_t read_round) {
  heard_ = std::max(heard_, now);
  acked_round_ = std::max(acked_round_, read_round);
}

void Progress::Sent(LogIndex last, std::size_t bytes) {
  COT_ASSERT(last >= next_);
  COT_ASSERT(state_ != State::kSnapshot);
  if (state_ == State::kProbe) {
    probe_sent_ = true;
    return;  // next stays: the probe is not counted on until it is answered
  }
  next_ = last + 1;
  inflight_.push_back({last, bytes});
  inflight_bytes_ += bytes;
}

void Progress::Succeeded(LogIndex match, LogIndex compacted, std::uint64_t round) {
  const bool confirms_probe = match + 1 >= next_;
  const bool advances = match > match_;
  if (advances) match_round_ = round;
  match_ = std::max(match_, match);
  next_ = std::max(next_, match_ + 1);
  while (!inflight_.empty() && inflight_.front().last <= match_) {
    inflight_bytes_ -= inflight_.front().bytes;
    inflight_.pop_front();
  }
  if (state_ == State::kReplicate) return;
  // An old answer must not end the probe: it says nothing about the position being probed.
  if (state_ == State::kProbe && !confirms_probe && !advances) return;
  if (match_ < compacted) return;
  state_ = State::kReplicate;
  probe_sent_ = false;
  next_ = match_ + 1;
  COT_ASSERT(inflight_.empty());
}

Progress::Rejection Progress::Rejected(LogIndex rejected, LogIndex retry_at, std::uint64_t round) {
  if (rejected == match_ && match_ > LogIndex() && !COT_MUTANT(R22)) {
    // Whoever acknowledged it cannot refuse it later, unless its disk lost it. Rounds tell later
    // from earlier: this one began after the acknowledgement had come.
    if (round <= match_round_) return Rejection::kDoubtful;
    match_ = commit_sent = LogIndex();
    Probe(std::min(rejected, retry_at + 1), false);
    return Rejection::kForgotten;
  }
  if (rejected <= match_) return Rejection::kTaken;
  if (state_ == State::kReplicate) {
    // A message was lost or overtaken. What matches is known, so start again right after it.
    Probe(match_ + 1, false);
    return Rejection::kTaken;
  }
  if (state_ == State::kSnapshot || rejected + 1 != next_) return Rejection::kTaken;
  COT_ASSERT(inflight_.empty());
  Probe(std::min(rejected, retry_at + 1), false);
  return Rejection::kTaken;
}

void Progress::Probe(LogIndex next, bool wait) {
  state_ = State::kProbe;
  next_ = std::max(next, match_ + 1);
  probe_sent_ = wait;
  ClearInflight();
  COT_ASSERT(match_ < next_);
}

void Progress::AwaitSnapshot() {
  COT_ASSERT(state_ != State::kSnapshot);
  state_ = State::kSnapshot;
  probe_sent_ = false;
  ClearInflight();
}

void Progress::ClearInflight() {
  inflight_.clear();
  inflight_bytes_ = 0;
}

}  // namespace coterie::raft

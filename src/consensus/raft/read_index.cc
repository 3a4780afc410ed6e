// Linearizable reads without writing to the log [Raft §8; thesis §6.4]. A read is safe at the
// commit index once a quorum has confirmed, after the read arrived, that this replica still leads.
// Reads share confirmation rounds; a round is a number on AppendEntries that its replies echo.

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {
namespace {

// More rounds at once only cost messages; reads that arrive meanwhile share the next one.
constexpr std::size_t kRoundsUnderWayMax = 4;

}  // namespace

Status Core::Read(ReadId id) {
  auto* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return Fail(ErrorCode::kNotLeader);
  if (COT_MUTANT(R9)) {
    reads_.push_back({id, log_.commit()});
    return Ok();
  }
  ReadRounds& reads = leader->reads;
  if (reads.pending >= config_.pending_reads_max) {
    return Fail(ErrorCode::kOverloaded, "too many reads wait for confirmation");
  }
  reads.waiting.push_back(id);
  ++reads.pending;
  COT_ASSERT(reads.pending >= reads.waiting.size());
  return Ok();
}

// Until an entry of its term is committed, a leader does not know what is committed [thesis §6.4].
bool Core::CanStartRound(const Leader& leader) const {
  const ReadRounds& reads = leader.reads;
  if (reads.waiting.empty() || reads.under_way.size() >= kRoundsUnderWayMax) return false;
  return log_.commit() >= leader.first_index || COT_MUTANT(R10);
}

void Core::StartRound(Leader& leader) {
  ReadRounds& reads = leader.reads;
  COT_ASSERT(!reads.waiting.empty());
  COT_ASSERT(log_.commit() >= leader.first_index || COT_MUTANT(R10));
  ++reads.newest;
  reads.under_way.push_back({reads.newest, log_.commit(), std::exchange(reads.waiting, {})});
  for (auto& [node, peer] : leader.peers) peer.must_send = true;
}

void Core::ConfirmReads(Leader& leader) {
  ReadRounds& reads = leader.reads;
  if (reads.under_way.empty()) return;
  constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t confirmed = QuorumValue(configuration(), kTop, [&](NodeId voter) {
    if (voter == config_.self) return reads.newest;
    const auto at = leader.peers.find(voter);
    const bool counts = at != leader.peers.end() && !at->second.recovering;
    return counts ? at->second.acked_round() : std::uint64_t{0};
  });
  while (!reads.under_way.empty() && reads.under_way.front().number <= confirmed) {
    ReadRounds::Round& round = reads.under_way.front();
    COT_ASSERT(reads.pending >= round.ids.size());
    reads.pending -= round.ids.size();
    for (ReadId id : round.ids) reads_.push_back({id, round.index});
    reads.under_way.pop_front();
  }
}

void Core::FailReads(Leader& leader) {
  ReadRounds& reads = leader.reads;
  for (const ReadRounds::Round& round : reads.under_way) {
    reads_failed_.insert(reads_failed_.end(), round.ids.begin(), round.ids.end());
  }
  reads_failed_.insert(reads_failed_.end(), reads.waiting.begin(), reads.waiting.end());
  reads = ReadRounds{};
}

}  // namespace coterie::raft

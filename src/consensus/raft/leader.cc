// Leading: the no-op that opens a term, appending, heartbeats, and what is committed [Raft §5.3,
// §5.4.2].

#include <limits>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/configuration.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

void Core::BecomeLeader() {
  COT_ASSERT(std::holds_alternative<Candidate>(role_));
  COT_ASSERT(HardStateDurable() || COT_MUTANT(R1));
  Leader leader;
  leader.first_index = log_.last() + 1;
  leader.heartbeat_at = now_ + config_.heartbeat_interval;
  for (LogIndex i = log_.commit() + 1; i <= log_.last(); ++i) {
    leader.uncommitted_bytes += BytesOf(*log_.At(i));
  }
  role_ = std::move(leader);
  OnConfigurationAppended();
  // Entries of earlier terms commit only behind one of this term, so one is needed at once [§8].
  AppendAsLeader(EntryKind::kNoop, {});
}

LogIndex Core::AppendAsLeader(EntryKind kind, std::string payload) {
  Leader& leader = std::get<Leader>(role_);
  auto entry = std::make_shared<const Entry>(
      Entry{.term = term_, .index = log_.last() + 1, .kind = kind, .payload = std::move(payload)});
  leader.uncommitted_bytes += BytesOf(*entry);
  const LogIndex index = entry->index;
  log_.Append(std::move(entry));
  COT_ASSERT(log_.last() == index);
  COT_ASSERT(index >= leader.first_index);
  if (kind == EntryKind::kConfiguration) OnConfigurationAppended();
  return index;
}

Result<LogIndex> Core::Propose(std::string command, bool awaited_elsewhere) {
  auto* leader = std::get_if<Leader>(&role_);
  if (leader == nullptr) return Fail(ErrorCode::kNotLeader);
  if (leader->transfer) {
    return Fail(ErrorCode::kProposalDropped, "a leadership transfer is under way");
  }
  const std::size_t bytes = sizeof(Entry) + command.size();
  // One command always fits, however large; the bound is on what queues up behind it.
  const bool busy = leader->uncommitted_bytes > 0;
  if (busy && leader->uncommitted_bytes + bytes > config_.uncommitted_bytes_max) {
    return Fail(ErrorCode::kOverloaded, "too many bytes wait to be committed");
  }
  const LogIndex index = AppendAsLeader(EntryKind::kCommand, std::move(command));
  if (awaited_elsewhere) leader->awaited_elsewhere = index;
  return index;
}

namespace {

/// What a quorum's logs hold durably.
LogIndex AgreedIndex(const Core& core, const Leader& leader, const Configuration& configuration) {
  constexpr LogIndex kTop(std::numeric_limits<std::uint64_t>::max());
  const auto match_of = [&](NodeId voter) {
    if (voter == core.config_.self) return core.log_.durable();
    const auto at = leader.peers.find(voter);
    const bool counts = at != leader.peers.end() && !at->second.recovering;
    return counts ? at->second.match() : LogIndex(0);
  };
  if (COT_MUTANT(R21)) {
    std::vector<LogIndex> all;
    for (NodeId node : MembersOf(configuration)) all.push_back(match_of(node));
    std::sort(all.begin(), all.end(), std::greater<>());
    return all[MajorityOf(configuration.voters.size()) - 1];
  }
  return QuorumValue(configuration, kTop, match_of);
}

}  // namespace

void Core::MaybeCommit() {
  Leader& leader = std::get<Leader>(role_);
  const LogIndex agreed = std::min(AgreedIndex(*this, leader, configuration()), log_.last());
  const LogIndex before = log_.commit();
  if (agreed <= before) return;
  // Only an entry of the own term is committed by counting; earlier ones come along with it. An
  // older entry on a majority can still be overwritten [Raft §5.4.2, fig. 8].
  if (log_.TermAt(agreed) != term_ && !COT_MUTANT(R3)) return;
  for (LogIndex i = before + 1; i <= agreed; ++i) {
    const std::size_t bytes = BytesOf(*log_.At(i));
    COT_ASSERT(leader.uncommitted_bytes >= bytes);
    leader.uncommitted_bytes -= bytes;
  }
  log_.CommitTo(agreed);
  if (leader.awaited_elsewhere > before || config_.commit_notice_delay == Duration::zero()) {
    AnnounceCommit(leader);
  } else {
    leader.announce_at = std::min(leader.announce_at, now_ + config_.commit_notice_delay);
  }
  if (log_.configuration_index() <= agreed || COT_MUTANT(R13)) OnConfigurationCommitted();
}

void Core::AnnounceCommit(Leader& leader) {
  leader.announced = log_.commit();
  leader.announce_at = Instant::max();
}

bool Core::QuorumHeard(const Leader& leader) const {
  if (COT_MUTANT(R18)) return true;
  const Instant heard = QuorumValue(configuration(), Instant::max(), [&](NodeId voter) {
    if (voter == config_.self) return Instant::max();
    const auto at = leader.peers.find(voter);
    const bool counts = at != leader.peers.end() && !at->second.recovering;
    return counts ? at->second.heard() : Instant::min();
  });
  if (heard == Instant::max()) return true;
  return heard > now_ - config_.election_timeout;
}

// CheckQuorum [thesis §6.2]: a leader that a majority no longer answers steps down, so that its
// clients look for the one that replaced it, and so that its vote is free.
void Core::Heartbeat() {
  Leader& leader = std::get<Leader>(role_);
  COT_ASSERT(leader.heartbeat_at <= now_);
  leader.heartbeat_at = now_ + config_.heartbeat_interval;
  if (!QuorumHeard(leader)) {
    BecomeFollower(term_, NodeId(0));
    return;
  }
  for (auto& [node, peer] : leader.peers) peer.must_send = true;
  // A round whose messages were lost is made up for by the heartbeat's.
  if (!leader.reads.waiting.empty() && log_.commit() >= leader.first_index) StartRound(leader);
  if (leader.transfer) {
    leader.transfer->told = false;
    MaybeTransfer(leader);
  }
}

}  // namespace coterie::raft

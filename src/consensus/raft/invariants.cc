// The numbered invariants of README.md that one replica can check on itself.

#include "consensus/raft/invariants.h"

#include <fmt/format.h>

#include <string>

#include "consensus/raft/configuration.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {
namespace {

std::string CheckLog(const RaftLog& log, Term term) {
  if (log.compacted() > log.emitted() || log.emitted() > log.commit() ||
      log.commit() > log.last()) {
    return fmt::format("1: cursors out of order: compacted {} emitted {} commit {} last {}",
                       log.compacted().value, log.emitted().value, log.commit().value,
                       log.last().value);
  }
  if (log.durable() > log.last()) {
    return fmt::format("2: durable {} is past last {}", log.durable().value, log.last().value);
  }
  Term previous = log.compacted_term();
  Configuration configuration = log.ConfigurationAt(log.compacted());
  for (LogIndex i = log.compacted() + 1; i <= log.last(); ++i) {
    const Entry& entry = *log.At(i);
    if (entry.index != i)
      return fmt::format("3: entry {} stands at {}", entry.index.value, i.value);
    if (entry.term < previous) return fmt::format("3: the term decreases at {}", i.value);
    previous = entry.term;
    if (entry.kind != EntryKind::kConfiguration) continue;
    const Configuration next = *DecodeConfiguration(entry.payload);
    const bool enters =
        IsJoint(next) && !IsJoint(configuration) && next.outgoing == configuration.voters;
    const bool leaves =
        !IsJoint(next) && IsJoint(configuration) && next.voters == configuration.voters;
    if (!enters && !leaves) return fmt::format("8: no joint step leads to {}", i.value);
    configuration = next;
  }
  if (previous > term)
    return fmt::format("3: the log is of term {}, past {}", previous.value, term.value);
  if (configuration != log.configuration()) return "8: not the newest configuration is in force";
  return {};
}

std::string CheckPeer(const Config& config, const RaftLog& log, const Progress& peer) {
  if (peer.match() >= peer.next()) return "5: match is not below next";
  if (peer.match() > log.last()) return "5: match is past the log";
  if (peer.next() > log.last() + 1) return "5: next is past the log";
  if (peer.inflight_messages() > config.inflight_messages_max) return "7: window over its bound";
  if (peer.commit_sent > log.commit()) return "5: told of an uncommitted entry";
  return {};
}

std::string CheckReads(const ReadRounds& reads) {
  std::size_t pending = reads.waiting.size();
  std::uint64_t previous = 0;
  for (const ReadRounds::Round& round : reads.under_way) {
    if (round.number <= previous) return "9: read rounds out of order";
    previous = round.number;
    pending += round.ids.size();
  }
  if (previous > reads.newest) return "9: a round was never begun";
  return pending == reads.pending ? std::string() : "9: reads miscounted";
}

std::string CheckLeader(const Core& core, const Leader& leader) {
  if (core.vote_ != core.config_.self) return "4: leads without its own vote";
  const RaftLog& log = core.log_;
  if (leader.first_index > log.last()) return "6: no entry opens the term";
  const bool kept = leader.first_index >= log.compacted();
  if (kept && log.TermAt(leader.first_index) != core.term_) return "6: no entry opens the term";
  std::size_t bytes = 0;
  for (LogIndex i = log.commit() + 1; i <= log.last(); ++i) bytes += BytesOf(*log.At(i));
  if (bytes != leader.uncommitted_bytes) return "7: uncommitted bytes miscounted";
  std::size_t others = 0;
  for (NodeId node : MembersOf(core.configuration())) {
    if (node == core.config_.self) continue;
    ++others;
    if (!leader.peers.contains(node)) return fmt::format("5: member {} is left out", node.value);
  }
  if (leader.peers.size() != others) return "5: a stranger is sent to";
  for (const auto& [node, peer] : leader.peers) {
    std::string broken = CheckPeer(core.config_, log, peer);
    if (!broken.empty()) return broken;
  }
  return CheckReads(leader.reads);
}

}  // namespace

std::string Core::CheckInvariants() const {
  std::string broken = CheckLog(log_, term_);
  if (!broken.empty()) return broken;
  if (const auto* leads = std::get_if<Leader>(&role_)) return CheckLeader(*this, *leads);
  if (std::holds_alternative<Candidate>(role_) && vote_ != config_.self) {
    return "4: campaigns without its own vote";
  }
  if (leader() == config_.self) return "4: follows itself";
  return {};
}

}  // namespace coterie::raft

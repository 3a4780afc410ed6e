#include <fmt/format.h>

#include "consensus/raft/scenario.h"

namespace coterie::raft {
namespace {

struct Printer {
  std::string operator()(const RequestVote& m) const {
    return fmt::format("{} t{} last {}/{}{}", m.pre_vote ? "PreVote" : "RequestVote", m.term.value,
                       m.last_log_index.value, m.last_log_term.value,
                       m.leadership_transfer ? " transfer" : "");
  }
  std::string operator()(const RequestVoteReply& m) const {
    return fmt::format("{} t{} {}", m.pre_vote ? "PreVoteReply" : "RequestVoteReply", m.term.value,
                       m.granted ? "granted" : "refused");
  }
  std::string operator()(const AppendEntries& m) const {
    std::string text = fmt::format("AppendEntries t{} prev {}/{}", m.term.value,
                                   m.prev_log_index.value, m.prev_log_term.value);
    for (const EntryPtr& entry : m.entries) {
      text += fmt::format(" {}/{}", entry->index.value, entry->term.value);
      if (entry->kind == EntryKind::kConfiguration) text += "!";
    }
    text += fmt::format(" commit {}", m.leader_commit.value);
    return m.read_round == 0 ? text : text + fmt::format(" round {}", m.read_round);
  }
  std::string operator()(const AppendEntriesReply& m) const {
    std::string text = fmt::format("AppendEntriesReply t{} ", m.term.value);
    if (m.success) text += fmt::format("match {}", m.match_index.value);
    if (!m.success) {
      text += fmt::format("rejects {} hint {}/{}", m.rejected_index.value, m.hint_index.value,
                          m.hint_term.value);
    }
    return m.read_round == 0 ? text : text + fmt::format(" round {}", m.read_round);
  }
  std::string operator()(const InstallSnapshot& m) const {
    return fmt::format("InstallSnapshot t{} last {}/{}", m.term.value, m.last_index.value,
                       m.last_term.value);
  }
  std::string operator()(const TimeoutNow& m) const {
    return fmt::format("TimeoutNow t{}", m.term.value);
  }
};

}  // namespace

std::string Describe(const Message& message) { return std::visit(Printer{}, message); }

}  // namespace coterie::raft

#include "node/raft_codec.h"

#include <google/protobuf/arena.h>

#include "base/assert.h"
#include "base/coding.h"
#include "coterie/peer.pb.h"
#include "node/proposals.h"

namespace coterie::node {
namespace {

constexpr char kHardStateVersion = 1;

struct Encoder {
  peer::Raft& out;

  void operator()(const raft::RequestVote& m) const {
    out.set_term(m.term.value);
    auto* to = out.mutable_request_vote();
    to->set_last_log_index(m.last_log_index.value);
    to->set_last_log_term(m.last_log_term.value);
    to->set_pre_vote(m.pre_vote);
    to->set_leadership_transfer(m.leadership_transfer);
  }
  void operator()(const raft::RequestVoteReply& m) const {
    out.set_term(m.term.value);
    auto* to = out.mutable_request_vote_reply();
    to->set_pre_vote(m.pre_vote);
    to->set_granted(m.granted);
  }
  void operator()(const raft::AppendEntries& m) const {
    out.set_term(m.term.value);
    auto* to = out.mutable_append_entries();
    to->set_prev_log_index(m.prev_log_index.value);
    to->set_prev_log_term(m.prev_log_term.value);
    to->set_leader_commit(m.leader_commit.value);
    to->set_read_round(m.read_round);
    to->mutable_entries()->Reserve(static_cast<int>(m.entries.size()));
    for (const raft::EntryPtr& entry : m.entries) {
      auto* e = to->add_entries();
      e->set_term(entry->term.value);
      e->set_index(entry->index.value);
      e->set_kind(static_cast<std::uint32_t>(entry->kind));
      e->set_payload(entry->payload);
    }
  }
  void operator()(const raft::AppendEntriesReply& m) const {
    out.set_term(m.term.value);
    auto* to = out.mutable_append_entries_reply();
    to->set_success(m.success);
    to->set_match_index(m.match_index.value);
    to->set_rejected_index(m.rejected_index.value);
    to->set_hint_index(m.hint_index.value);
    to->set_hint_term(m.hint_term.value);
    to->set_read_round(m.read_round);
    to->set_recovering(m.recovering);
  }
  void operator()(const raft::TimeoutNow& m) const {
    out.set_term(m.term.value);
    out.mutable_timeout_now();
  }
  void operator()(const raft::InstallSnapshot&) const { COT_ASSERT(false); }
};

std::optional<raft::Message> Convert(peer::Raft& in) {
  const Term term(in.term());
  switch (in.message_case()) {
    case peer::Raft::kRequestVote: {
      const auto& m = in.request_vote();
      return raft::RequestVote{term, LogIndex(m.last_log_index()), Term(m.last_log_term()),
                               m.pre_vote(), m.leadership_transfer()};
    }
    case peer::Raft::kRequestVoteReply:
      return raft::RequestVoteReply{term, in.request_vote_reply().pre_vote(),
                                    in.request_vote_reply().granted()};
    case peer::Raft::kAppendEntries: {
      auto& m = *in.mutable_append_entries();
      raft::AppendEntries out{term,
                              LogIndex(m.prev_log_index()),
                              Term(m.prev_log_term()),
                              LogIndex(m.leader_commit()),
                              m.read_round(),
                              {}};
      out.entries.reserve(static_cast<std::size_t>(m.entries_size()));
      LogIndex expected = out.prev_log_index;
      for (auto& e : *m.mutable_entries()) {
        if (LogIndex(e.index()) != ++expected || e.kind() > 2) return std::nullopt;
        // What could never be applied must not get into the log.
        const auto kind = static_cast<raft::EntryKind>(e.kind());
        if (kind == raft::EntryKind::kCommand && !Split(e.payload())) return std::nullopt;
        out.entries.push_back(std::make_shared<const raft::Entry>(raft::Entry{
            Term(e.term()), LogIndex(e.index()), kind, std::move(*e.mutable_payload())}));
      }
      return out;
    }
    case peer::Raft::kAppendEntriesReply: {
      const auto& m = in.append_entries_reply();
      return raft::AppendEntriesReply{term,
                                      m.success(),
                                      LogIndex(m.match_index()),
                                      LogIndex(m.rejected_index()),
                                      LogIndex(m.hint_index()),
                                      Term(m.hint_term()),
                                      m.read_round(),
                                      m.recovering()};
    }
    case peer::Raft::kTimeoutNow:
      return raft::TimeoutNow{term};
    case peer::Raft::MESSAGE_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::string EncodeRaft(ShardId shard, const raft::Message& message) {
  peer::Raft out;
  out.set_shard(shard.value);
  std::visit(Encoder{out}, message);
  return out.SerializeAsString();
}

std::optional<DecodedRaft> DecodeRaft(std::string_view body) {
  peer::Raft in;
  if (!in.ParseFromArray(body.data(), static_cast<int>(body.size()))) return std::nullopt;
  auto message = Convert(in);
  if (!message) return std::nullopt;
  return DecodedRaft{ShardId(in.shard()), std::move(*message)};
}

std::string EncodeHardState(const StoredHardState& state) {
  std::string out(1, kHardStateVersion);
  PutVarint(out, state.raft.term.value);
  PutVarint(out, state.raft.vote.value);
  PutVarint(out, state.raft.commit.value);
  PutLengthPrefixed(out, raft::Encode(state.compacted_configuration));
  return out;
}

std::optional<StoredHardState> DecodeHardState(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != kHardStateVersion) return std::nullopt;
  bytes.remove_prefix(1);
  const auto term = GetVarint(bytes);
  const auto vote = GetVarint(bytes);
  const auto commit = GetVarint(bytes);
  const auto encoded = GetLengthPrefixed(bytes);
  if (!term || !vote || !commit || !encoded) return std::nullopt;
  auto configuration = raft::DecodeConfiguration(*encoded);
  if (!configuration) return std::nullopt;
  return StoredHardState{{Term(*term), NodeId(*vote), LogIndex(*commit)},
                         std::move(*configuration)};
}

}  // namespace coterie::node

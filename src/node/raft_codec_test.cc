#include "node/raft_codec.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "node/proposals.h"

namespace coterie::node {
namespace {

raft::EntryPtr EntryAt(std::uint64_t index, std::string_view command) {
  return std::make_shared<const raft::Entry>(raft::Entry{
      Term(3), LogIndex(index), raft::EntryKind::kCommand, WithHeader({NodeId(1), 7}, command)});
}

// Every kind of message comes back as it was sent.
TEST(RaftCodec, RoundTripsAppendEntries) {
  raft::AppendEntries sent{Term(9), LogIndex(4), Term(2), LogIndex(3), 77, {}};
  sent.entries = {EntryAt(5, "five"), EntryAt(6, std::string("\0six", 4))};
  const auto got = DecodeRaft(EncodeRaft(ShardId(8), sent));
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->shard, ShardId(8));
  const auto& m = std::get<raft::AppendEntries>(got->message);
  EXPECT_EQ(m.term, Term(9));
  EXPECT_EQ(m.prev_log_index, LogIndex(4));
  EXPECT_EQ(m.prev_log_term, Term(2));
  EXPECT_EQ(m.leader_commit, LogIndex(3));
  EXPECT_EQ(m.read_round, 77U);
  ASSERT_EQ(m.entries.size(), 2U);
  EXPECT_EQ(m.entries[1]->payload, sent.entries[1]->payload);
  EXPECT_EQ(m.entries[1]->index, LogIndex(6));
}

TEST(RaftCodec, RoundTripsTheOtherMessages) {
  const auto vote = DecodeRaft(
      EncodeRaft(ShardId(1), raft::RequestVote{Term(5), LogIndex(10), Term(4), true, true}));
  ASSERT_TRUE(vote.has_value());
  EXPECT_TRUE(std::get<raft::RequestVote>(vote->message).pre_vote);
  EXPECT_TRUE(std::get<raft::RequestVote>(vote->message).leadership_transfer);
  EXPECT_EQ(std::get<raft::RequestVote>(vote->message).last_log_index, LogIndex(10));

  const auto granted =
      DecodeRaft(EncodeRaft(ShardId(1), raft::RequestVoteReply{Term(5), false, true}));
  ASSERT_TRUE(granted.has_value());
  EXPECT_TRUE(std::get<raft::RequestVoteReply>(granted->message).granted);

  raft::AppendEntriesReply refusal;
  refusal.term = Term(6);
  refusal.rejected_index = LogIndex(20);
  refusal.hint_index = LogIndex(12);
  refusal.hint_term = Term(2);
  const auto reply = DecodeRaft(EncodeRaft(ShardId(1), refusal));
  ASSERT_TRUE(reply.has_value());
  EXPECT_FALSE(std::get<raft::AppendEntriesReply>(reply->message).success);
  EXPECT_EQ(std::get<raft::AppendEntriesReply>(reply->message).hint_index, LogIndex(12));

  const auto now = DecodeRaft(EncodeRaft(ShardId(1), raft::TimeoutNow{Term(7)}));
  ASSERT_TRUE(now.has_value());
  EXPECT_EQ(std::get<raft::TimeoutNow>(now->message).term, Term(7));
}

// Damage never crashes; entries with a gap in their indexes are refused whole.
TEST(RaftCodec, RefusesDamage) {
  raft::AppendEntries gap{Term(9), LogIndex(4), Term(2), LogIndex(3), 0, {}};
  gap.entries = {EntryAt(5, "five"), EntryAt(7, "seven")};
  EXPECT_FALSE(DecodeRaft(EncodeRaft(ShardId(8), gap)).has_value());

  gap.entries = {EntryAt(5, "five"), EntryAt(6, "six")};
  const std::string good = EncodeRaft(ShardId(8), gap);
  Random random(1);
  int refused = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string bad = good;
    bad[random.Below(bad.size())] ^= static_cast<char>(1 + random.Below(255));
    if (!DecodeRaft(bad)) ++refused;
  }
  EXPECT_GT(refused, 0);
}

// A command too short to be a proposal's would stop every replica when it is applied: it is not let
// into the log.
TEST(RaftCodec, RefusesACommandWithoutItsHeader) {
  raft::AppendEntries sent{Term(9), LogIndex(4), Term(2), LogIndex(3), 0, {}};
  sent.entries = {std::make_shared<const raft::Entry>(
      raft::Entry{Term(3), LogIndex(5), raft::EntryKind::kCommand, std::string(15, 'x')})};
  EXPECT_FALSE(DecodeRaft(EncodeRaft(ShardId(8), sent)).has_value());
  sent.entries = {std::make_shared<const raft::Entry>(
      raft::Entry{Term(3), LogIndex(5), raft::EntryKind::kCommand, std::string(16, 'x')})};
  EXPECT_TRUE(DecodeRaft(EncodeRaft(ShardId(8), sent)).has_value());
}

TEST(HardStateCodec, RoundTripsAndRefusesPrefixes) {
  StoredHardState state;
  state.raft = {Term(3), NodeId(2), LogIndex(99)};
  state.compacted_configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
  const std::string bytes = EncodeHardState(state);
  const auto got = DecodeHardState(bytes);
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->raft, state.raft);
  EXPECT_EQ(got->compacted_configuration, state.compacted_configuration);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeHardState(std::string_view(bytes).substr(0, n)).has_value()) << n;
  }
}

}  // namespace
}  // namespace coterie::node

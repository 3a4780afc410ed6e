// Claims about RaftLog alone: what a write vouches for after truncation, what a reset and a
// compaction keep, and how far back a hint goes.

#include "consensus/raft/log.h"

#include <gtest/gtest.h>

#include "consensus/raft/configuration.h"

namespace coterie::raft {
namespace {

EntryPtr At(std::uint64_t index, std::uint64_t term) {
  return std::make_shared<const Entry>(
      Entry{Term(term), LogIndex(index), EntryKind::kCommand, "x"});
}

EntryPtr ConfigurationAt(std::uint64_t index, std::uint64_t term,
                         const Configuration& configuration) {
  return std::make_shared<const Entry>(
      Entry{Term(term), LogIndex(index), EntryKind::kConfiguration, Encode(configuration)});
}

const Configuration kOld{{NodeId(1), NodeId(2), NodeId(3)}, {}, {}};
const Configuration kJoint{{NodeId(4)}, {NodeId(1), NodeId(2), NodeId(3)}, {NodeId(5)}};

RaftLog Empty() { return RaftLog(LogIndex(0), Term(0), kOld, {}, LogIndex(0), LogIndex(0)); }

// The ABA race: 2/1 is being written, then 2/2, then 2/1 again. On disk after the first write's end
// comes the second; only the third makes 2/1 durable.
TEST(RaftLog, AWriteDoesNotVouchForAnEntryThatCameBack) {
  RaftLog log = Empty();
  log.Append(At(1, 1));
  log.TakeUnwritten(1);
  log.OnPersisted(1);
  log.Append(At(2, 1));
  log.TakeUnwritten(2);
  log.Truncate(LogIndex(2));
  log.Append(At(2, 2));
  log.TakeUnwritten(3);
  log.Truncate(LogIndex(2));
  log.Append(At(2, 1));
  log.TakeUnwritten(4);
  log.OnPersisted(2);
  EXPECT_EQ(log.durable(), LogIndex(1));
  log.OnPersisted(3);
  EXPECT_EQ(log.durable(), LogIndex(1));
  log.OnPersisted(4);
  EXPECT_EQ(log.durable(), LogIndex(2));
}

TEST(RaftLog, TakesOnlyWhatIsCommittedAndDurable) {
  RaftLog log = Empty();
  for (std::uint64_t i = 1; i <= 3; ++i) log.Append(At(i, 1));
  log.CommitTo(LogIndex(2));
  EXPECT_FALSE(log.HasEmittable());
  EXPECT_EQ(log.TakeUnwritten(1).size(), 3u);
  log.OnPersisted(1);
  const std::vector<EntryPtr> taken = log.TakeEmittable();
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(taken[0]->index, LogIndex(1));
  EXPECT_FALSE(log.HasEmittable());
}

TEST(RaftLog, TheConfigurationFollowsTheLogBothWays) {
  RaftLog log = Empty();
  log.Append(At(1, 1));
  log.Append(ConfigurationAt(2, 1, kJoint));
  EXPECT_EQ(log.configuration(), kJoint);
  EXPECT_EQ(log.ConfigurationAt(LogIndex(1)), kOld);
  log.Truncate(LogIndex(2));
  EXPECT_EQ(log.configuration(), kOld);
  log.Append(ConfigurationAt(2, 2, kJoint));
  log.TakeUnwritten(1);
  log.OnPersisted(1);
  log.CommitTo(LogIndex(2));
  log.TakeEmittable();
  log.Compact(LogIndex(2));
  EXPECT_EQ(log.configuration(), kJoint);
  EXPECT_EQ(log.compacted_term(), Term(2));
  EXPECT_EQ(log.bytes(), 0u);
}

TEST(RaftLog, AHintSkipsWholeTerms) {
  RaftLog log = Empty();
  const std::uint64_t terms[] = {1, 1, 4, 4, 5, 6, 6};
  for (std::uint64_t i = 0; i < 7; ++i) log.Append(At(i + 1, terms[i]));
  EXPECT_EQ(log.LastNotAfter(LogIndex(7), Term(3)), LogIndex(2));
  EXPECT_EQ(log.LastNotAfter(LogIndex(9), Term(6)), LogIndex(7));
  EXPECT_EQ(log.LastNotAfter(LogIndex(7), Term(0)), LogIndex(0));
}

TEST(RaftLog, AResetWaitsForItsOwnWrite) {
  RaftLog log = Empty();
  log.Append(At(1, 1));
  log.TakeUnwritten(1);
  log.Reset(LogIndex(9), Term(2), kJoint);
  EXPECT_TRUE(log.HasUnwritten());
  log.OnPersisted(1);
  EXPECT_LT(log.durable(), LogIndex(9));
  EXPECT_TRUE(log.TakeUnwritten(2).empty());
  log.OnPersisted(2);
  EXPECT_EQ(log.durable(), LogIndex(9));
  EXPECT_EQ(log.configuration(), kJoint);
}

// A stored configuration is read back as written, and damaged bytes are refused, not believed.
TEST(Configuration, SurvivesEncodingAndRefusesDamage) {
  const std::string bytes = Encode(kJoint);
  EXPECT_EQ(DecodeConfiguration(bytes), kJoint);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    EXPECT_EQ(DecodeConfiguration(bytes.substr(0, i)), std::nullopt);
  EXPECT_EQ(DecodeConfiguration(bytes + "x"), std::nullopt);
  EXPECT_FALSE(IsWellFormed(Configuration{}));
  EXPECT_FALSE(IsWellFormed(Configuration{{NodeId(1)}, {}, {NodeId(1)}}));
}

}  // namespace
}  // namespace coterie::raft

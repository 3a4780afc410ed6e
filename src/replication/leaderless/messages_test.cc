#include "replication/leaderless/messages.h"

#include <gtest/gtest.h>

namespace coterie::leaderless {
namespace {

const Actor kA = clock::MakeActor(NodeId(1), 1);

VersionVector SomeVector() {
  VersionVector vector;
  vector.Include({kA, 300});
  vector.Include({clock::MakeActor(NodeId(2), 3), 1});
  return vector;
}

/// Every proper prefix, and one byte more, is refused.
template <class Decode>
void RefusesCuts(const std::string& whole, Decode decode) {
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(decode(std::string_view(whole).substr(0, size)).has_value()) << size;
  EXPECT_FALSE(decode(whole + '\0').has_value());
}

// Claim: a batch comes back as it was made, and one that is cut ends with something left over.
TEST(LeaderlessMessages, BatchesRoundTrip) {
  std::string bytes;
  BeginBatch(kA, 77, bytes);
  AddToBatch(Epoch(3), "first", bytes);
  AddToBatch(Epoch(4), "", bytes);
  auto batch = ReadBatch(bytes);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->from, kA);
  EXPECT_EQ(batch->number, 77u);
  const auto first = batch->Next();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->first, Epoch(3));
  EXPECT_EQ(first->second, "first");
  EXPECT_EQ(batch->Next()->second, "");
  EXPECT_FALSE(batch->Next().has_value());
  EXPECT_TRUE(batch->rest.empty());
  auto cut = ReadBatch(std::string_view(bytes).substr(0, bytes.size() - 1));
  EXPECT_TRUE(cut->Next().has_value());
  EXPECT_FALSE(cut->Next().has_value());
  EXPECT_FALSE(cut->rest.empty());
  EXPECT_FALSE(ReadBatch("").has_value());
  EXPECT_FALSE(ReadBatch("\x09").has_value());
}

// Claim: answers come back as they were made, and no cut of them is taken for one.
TEST(LeaderlessMessages, AnswersRoundTrip) {
  const Acks acks{
      .to = kA,
      .batches = {5, 6, 900},
      .refused = {{Refusal::kStaleEpoch, ShardId(17), Epoch(9), 6, 1000}},
  };
  EXPECT_EQ(std::get<Acks>(*DecodeAnswer(Encode(acks))), acks);
  RefusesCuts(Encode(acks), DecodeAnswer);
  const Account account{
      .from = kA,
      .time = HybridTime(123456789),
      .shards = {{ShardId(17), Epoch(2), SomeVector(), {}}, {ShardId(18), Epoch(1), {}, {}}},
  };
  EXPECT_EQ(std::get<Account>(*DecodeAnswer(Encode(account))), account);
  RefusesCuts(Encode(account), DecodeAnswer);
}

// Claim: so do requests, each as its own kind.
TEST(LeaderlessMessages, RequestsRoundTrip) {
  const std::vector<CellsRequest> all = {
      DotsRequest{ShardId(17), Epoch(2), SomeVector()},
      SummariesRequest{ShardId(17), Epoch(2), {{"a", "b"}, {"b", ""}}},
      FetchRequest{ShardId(17), Epoch(2), {{"a", "b"}}},
      GiveRequest{ShardId(17), Epoch(2), SomeVector(), {{"k", "cell"}}},
      ObjectRequest{ShardId(17), Epoch(2), "key", SomeVector()},
      DigestsRequest{{ShardId(17), ShardId(18)}},
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string bytes = Encode(all[i]);
    const auto back = DecodeCellsRequest(bytes);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->index(), i);
    EXPECT_EQ(Encode(*back), bytes);
    RefusesCuts(bytes, DecodeCellsRequest);
  }
}

// Claim: and replies.
TEST(LeaderlessMessages, RepliesRoundTrip) {
  const std::string dots = Encode(DotsReply{SomeVector(), true, false, {"m1", ""}});
  EXPECT_EQ(Encode(*DecodeDotsReply(dots)), dots);
  RefusesCuts(dots, DecodeDotsReply);
  Summary listed{{{"k", {1, 2}}}, {}};
  Summary parted{{}, {{"", {3, {4, 5}}}, {"m", {1, {0, 9}}}}};
  const auto summaries = DecodeSummariesReply(Encode(SummariesReply{{}, {listed, parted}}));
  ASSERT_TRUE(summaries.has_value());
  EXPECT_EQ(summaries->summaries, (std::vector<Summary>{listed, parted}));
  const auto fetched =
      DecodeFetchReply(Encode(FetchReply{SomeVector(), {{"k", "cell"}}, 2, "resume"}));
  ASSERT_TRUE(fetched.has_value());
  EXPECT_EQ(fetched->cells, (std::vector<KeyCell>{{"k", "cell"}}));
  EXPECT_EQ(fetched->resume_range, 2u);
  EXPECT_EQ(fetched->resume_key, "resume");
  const std::string object = Encode(ObjectReply{SomeVector(), true, {{"k", "c"}}});
  EXPECT_EQ(Encode(*DecodeObjectReply(object)), object);
  RefusesCuts(object, DecodeObjectReply);
  const auto digests = DecodeDigestsReply(Encode(DigestsReply{{{ShardId(3), 99, "n1.1:5"}}}));
  ASSERT_TRUE(digests.has_value());
  EXPECT_EQ(digests->digests.at(0).applied, "n1.1:5");
}

}  // namespace
}  // namespace coterie::leaderless

#include "node/paxos/codec.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace coterie::node::registers {
namespace {

paxos::Ballot RandomBallot(Random& random) {
  return {Epoch(random.Below(5)), random.Next() >> random.Below(64),
          clock::Actor(static_cast<std::uint32_t>(random.Next()))};
}

paxos::Value RandomValue(Random& random) {
  paxos::Value value;
  if (random.Chance(0.7)) value.bytes = std::string(random.Below(20), 'v');
  for (std::uint64_t i = random.Below(paxos::kWritersMax + 1); i > 0; --i) {
    value.applied.push_back({clock::Actor(static_cast<std::uint32_t>(i)), random.Next()});
  }
  return value;
}

paxos::Request RandomRequest(Random& random) {
  paxos::Ballot ballot = RandomBallot(random);
  switch (random.Below(3)) {
    case 0:
      return paxos::Prepare{ballot};
    case 1: {
      paxos::Ballot next = ballot;
      ++next.epoch;
      return paxos::Accept{ballot, RandomValue(random), next};
    }
    default:
      return paxos::Query{Epoch(random.Next()), random.Next()};
  }
}

paxos::Reply RandomReply(Random& random) {
  switch (random.Below(5)) {
    case 0:
      return paxos::Promise{RandomBallot(random), RandomBallot(random), RandomValue(random)};
    case 1:
      return paxos::Accepted{RandomBallot(random)};
    case 2:
      return paxos::Refused{RandomBallot(random), RandomBallot(random)};
    case 3:
      return paxos::Report{random.Next(), RandomBallot(random), RandomValue(random)};
    default:
      return paxos::StaleEpoch{Epoch(random.Next()), Epoch(random.Next())};
  }
}

// Claim: what is decoded encodes to the same bytes; nothing shorter or longer than a message is
// one; and any other bytes are refused or are some message, without a fault.
TEST(RegisterCodec, RoundTrips) {
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    const std::string key(random.Below(4), 'k');
    const std::string asked = EncodeRequest(ShardId(random.Below(100)), key, RandomRequest(random));
    const auto back = DecodeRequest(asked);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(EncodeRequest(back->shard, back->key, back->request), asked);
    const std::string replied = EncodeReply(RandomReply(random));
    const auto reply = DecodeReply(replied);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(EncodeReply(*reply), replied);
    for (std::size_t cut = 0; cut < replied.size(); ++cut) {
      EXPECT_FALSE(DecodeReply(std::string_view(replied).substr(0, cut)).has_value());
    }
    EXPECT_FALSE(DecodeRequest(asked + "x").has_value());
    std::string torn = replied;
    torn[random.Below(torn.size())] ^= static_cast<char>(1 << random.Below(8));
    const auto other = DecodeReply(torn);
    if (other) EXPECT_EQ(EncodeReply(*other).size() > 0, true);
  }
}

TEST(RegisterCodec, RecordsRoundTrip) {
  Random random(2);
  for (int i = 0; i < 500; ++i) {
    Record record;
    record.kind = static_cast<Record::Kind>(1 + random.Below(4));
    record.shard = ShardId(random.Below(1000));
    record.epoch = Epoch(random.Below(9));
    record.number = random.Next();
    record.key = std::string(random.Below(9), 'k');
    record.state.accepted = RandomBallot(random);
    record.state.promised = record.state.accepted;
    record.state.value = RandomValue(random);
    const std::string bytes = Encode(record);
    const auto back = DecodeRecord(bytes);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(Encode(*back), bytes);
    EXPECT_FALSE(DecodeRecord(bytes + "x").has_value());
  }
  EXPECT_FALSE(DecodeRecord("").has_value());
}

// Claim: a listing's keys ascend, or it is none.
TEST(RegisterCodec, ListingsAscend) {
  KeysReport report{{{"a", {}, true}, {"b", {}, false}}, true};
  const auto back = DecodeKeysReport(Encode(report));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->keys, report.keys);
  EXPECT_TRUE(back->more);
  std::swap(report.keys[0], report.keys[1]);
  EXPECT_FALSE(DecodeKeysReport(Encode(report)).has_value());
  const KeysAsked asked{ShardId(3), Epoch(4), "after", true, 5};
  const auto asked_back = DecodeKeysAsked(Encode(asked));
  ASSERT_TRUE(asked_back.has_value());
  EXPECT_EQ(Encode(*asked_back), Encode(asked));
}

}  // namespace
}  // namespace coterie::node::registers

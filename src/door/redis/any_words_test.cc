#include "door/redis/any_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "door/redis/door_fixture.h"

namespace coterie::door::redis {
namespace {

class AnyWordsTest : public DoorTest {
 protected:
  AnyWordsTest() {
    control.Add(LeaderlessPromise("crdt", keyspace::Conflict::kCrdt, 0), {NodeId(1)});
    control.Add(LeaderlessPromise("lww", keyspace::Conflict::kLww, 1), {NodeId(1)});
    control.Add(LeaderlessPromise("siblings", keyspace::Conflict::kSiblings, 2), {NodeId(1)});
    Start(1);
  }
  void Ask(int database, std::uint8_t kind, int protocol) {
    Client client(world, NodeId(1));
    client.Ask({"HELLO", std::to_string(protocol)});
    ASSERT_EQ(client.Ask({"SELECT", std::to_string(database)}), "+OK");
    for (int batch = 0; batch < 40; ++batch) {
      std::vector<std::vector<std::string>> commands(50);
      std::string requests;
      for (auto& words : commands)
        requests += PeerClient::Encode(words = AnyWords(world.random(), kind));
      client.Tell(std::move(requests));
      client.Run(100ms);
      std::string_view in = client.input();
      for (const auto& words : commands) {
        const std::string_view reply = in;
        ASSERT_TRUE(SkipReply(in)) << fmt::format("{} -> {}", words, reply);
      }
      ASSERT_EQ(in, "") << fmt::format("{} and the 49 before", commands.back());
      client.input().clear();
      machine(1).leaderless.Tick();
    }
  }
};

// A range of ranks may begin and end as far outside as numbers go.
TEST_F(AnyWordsTest, RanksFarOutside) {
  Client client(world, NodeId(1));
  EXPECT_EQ(client.Ask("ZADD z 1 a 2 b"), ":2");
  EXPECT_EQ(client.Ask("ZRANGE z 9223372036854775807 -9223372036854775808"), "*[]");
  EXPECT_EQ(client.Ask("ZRANGE z -9223372036854775808 9223372036854775807"), "*[\"a\" \"b\" ]");
}

// The last instant that can be named is as far away as it is, not before now.
TEST_F(AnyWordsTest, TheLastInstant) {
  Client client(world, NodeId(1));
  EXPECT_EQ(client.Ask("SET k v"), "+OK");
  EXPECT_EQ(client.Ask("PEXPIREAT k 9223372036854775807"), ":1");
  EXPECT_EQ(client.Ask("PEXPIRETIME k"), ":9223372036854775807");
  EXPECT_TRUE(client.Ask("TTL k").starts_with(":92233720368547")) << "overflowed";
}

// Whatever its words are, a command is answered by one reply; nothing overflows on the way.
TEST_F(AnyWordsTest, CrdtAnswersOnce) {
  Ask(0, kCrdt, 2);
  Ask(0, kCrdt, 3);
}
TEST_F(AnyWordsTest, LwwAnswersOnce) {
  Ask(1, kLww, 2);
  Ask(1, kLww, 3);
}
TEST_F(AnyWordsTest, SiblingsAnswerOnce) {
  Ask(2, kSiblings, 2);
  Ask(2, kSiblings, 3);
}

}  // namespace
}  // namespace coterie::door::redis

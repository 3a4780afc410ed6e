#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "door/redis/any_words.h"
#include "door/redis/ordered_fixture.h"

namespace coterie::door::redis {
namespace {

class OrderedAnyWords : public OrderedTest {
 protected:
  void Ask(const std::string& keyspace, std::uint8_t kind, int protocol) {
    const auto client = Connect(keyspace, protocol);
    for (int i = 0; i < 4000; ++i) {
      const OwnedWords words = AnyWords(world.random(), kind);
      const std::string reply = Raw(*client, words);
      std::string_view in = reply;
      ASSERT_TRUE(SkipReply(in) && in.empty()) << fmt::format("{} -> {}", words, reply);
      if (i % 64 == 0) world.executor().Advance(Duration(1s));
    }
  }
};

// Whatever its words are, a command is answered by one reply; nothing overflows on the way.
TEST_F(OrderedAnyWords, RaftAnswersOnce) {
  Ask("main", kRaft, 2);
  Ask("main", kRaft, 3);
}
TEST_F(OrderedAnyWords, PaxosAnswersOnce) {
  Ask("slots", kPaxos, 2);
  Ask("slots", kPaxos, 3);
}

}  // namespace
}  // namespace coterie::door::redis

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <functional>
#include <limits>
#include <string>

#include "door/redis/any_words.h"
#include "door/redis/ordered_fixture.h"
#include "door/redis/ordered_layout.h"

namespace coterie::door::redis {
namespace {

class OrderedAnyWords : public OrderedTest {
 protected:
  void Ask(
      const std::string& keyspace, std::uint8_t kind, int protocol,
      const std::function<void()>& between = [] {}) {
    const auto client = Connect(keyspace, protocol);
    for (int i = 0; i < 4000; ++i) {
      const OwnedWords words = AnyWords(world.random(), kind);
      const std::string reply = Raw(*client, words);
      std::string_view in = reply;
      ASSERT_TRUE(SkipReply(in) && in.empty())
          << fmt::format("{:.1000} -> {:.1000}", fmt::to_string(fmt::join(words, " ")), reply);
      if (i % 64 == 0) world.executor().Advance(Duration(1s));
      between();
    }
  }
  /// What an etcd client might put where only Redis commands write: whole records of any key,
  /// values of other records, cut ones, any bytes.
  void PutForeign() {
    static constexpr std::array kKeys = {"a", "b", "c", "d", "{t}e", "{t}f", "", "\xff"};
    Random& random = world.random();
    const auto any = [&](std::size_t below) {
      std::string bytes(random.Below(below), '\0');
      for (char& c : bytes) c = static_cast<char>(random.Below(4) == 0 ? random.Below(256) : 255);
      return bytes;
    };
    const std::string key = kKeys[random.Below(kKeys.size())];
    const std::string element = random.Chance(0.5) ? kKeys[random.Below(kKeys.size())] : any(12);
    const std::string records[] = {ordered::HeaderRecord(key),
                                   ordered::HeaderRecord(key),
                                   ordered::ElementRecord(key, element),
                                   ordered::ScoreRecord(key, 1, element),
                                   ordered::ExpiryRecord(key),
                                   ordered::StringRecord(std::string(1, '\0') + key),
                                   ordered::EscapedStrings().begin + key,
                                   ordered::Scores(key).begin + any(8),
                                   ordered::Headers().begin + any(3),
                                   std::string(1, '\0') + any(20)};
    const std::string values[] = {
        ordered::EncodeHeader({static_cast<ordered::ObjectType>(random.Below(6)),
                               std::uint64_t{1} << random.Below(64)}),
        ordered::EncodeHeader(
            {static_cast<ordered::ObjectType>(2 + random.Below(3)), random.Below(1000)}),
        ordered::EncodeExpiry({random.Below(2) == 0 ? 1'700'000'100'000 : ~std::uint64_t{0} / 2,
                               static_cast<std::int64_t>(random.Below(3)) - 1}),
        ordered::EncodeScore(std::numeric_limits<double>::quiet_NaN()),
        any(20),
        ""};
    std::string value = values[random.Below(std::size(values))];
    if (random.Below(4) == 0) value.resize(random.Below(value.size() + 3));
    PutAsEtcd(records[random.Below(std::size(records))], value);
  }
};

// Whatever its words are, a command is answered by one reply; nothing overflows on the way.
TEST_F(OrderedAnyWords, RaftAnswersOnce) {
  Ask("main", kRaft, 2);
  Ask("main", kRaft, 3);
}
// And whatever etcd clients put among the records of Redis's objects.
TEST_F(OrderedAnyWords, ForeignRecordsAreAnswered) {
  for (const int protocol : {2, 3}) {
    Ask("main", kRaft, protocol, [this] {
      if (world.random().Below(3) == 0) PutForeign();
    });
  }
  EXPECT_EQ(Do("FLUSHDB"), "OK");
  PutAsEtcd(ordered::HeaderRecord("k"), "text");
  Expect(R"(
    HGET k f -> -COT COT-4013 ...
    SADD k m -> -COT COT-4013 ...
    RENAME k l -> -COT COT-4013 ...
    TYPE k -> foreign
    EXISTS k -> 1
    MGET k -> [(nil)]
    DEL k -> 1
    SADD k m -> 1
    SMEMBERS k -> ["m"]
  )");
}
TEST_F(OrderedAnyWords, PaxosAnswersOnce) {
  Ask("slots", kPaxos, 2);
  Ask("slots", kPaxos, 3);
}

}  // namespace
}  // namespace coterie::door::redis

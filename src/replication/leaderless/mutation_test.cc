#include "replication/leaderless/mutation.h"

#include <gtest/gtest.h>

#include "base/coding.h"
#include "base/random.h"

namespace coterie::leaderless {
namespace {

Mutation Example() {
  return {.shard = ShardId(7),
          .dot = {.actor = clock::MakeActor(NodeId(2), 1), .counter = 300},
          .time = clock::MakeHybridTime(5, 6),
          .cells = {{.key = "k", .delta = "dd"}, {.key = "", .delta = ""}}};
}

// The bytes are fixed: journals of earlier starts and other nodes hold them.
TEST(Mutation, GoldenBytes) {
  std::string bytes = "x";
  Encode(Example(), bytes);
  EXPECT_EQ(Hex(bytes),
            "78"                // what was there stays
            "01"                // format
            "07"                // shard
            "01000200"          // actor: node 2, incarnation 1
            "ac02"              // counter 300
            "0600050000000000"  // 5 ms, logical 6
            "02"                // cells
            "016b026464"        // k: dd
            "0000");            // nothing: nothing
}

// What was encoded comes back, as views into the bytes.
TEST(Mutation, RoundTrip) {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    Mutation made{.shard = ShardId(random.Next() >> random.Below(64)),
                  .dot = {.actor = Actor(static_cast<std::uint32_t>(random.Next())),
                          .counter = 1 + (random.Next() >> (1 + random.Below(63)))},
                  .time = HybridTime(random.Next()),
                  .cells = {}};
    for (std::uint64_t n = random.Below(5); n > 0; --n) {
      made.cells.push_back({.key = std::string(random.Below(200), 'k'),
                            .delta = std::string(random.Below(200), 'd')});
    }
    std::string bytes;
    Encode(made, bytes);
    const auto view = DecodeMutation(bytes);
    ASSERT_TRUE(view.has_value());
    EXPECT_EQ(view->shard, made.shard);
    EXPECT_EQ(view->dot, made.dot);
    EXPECT_EQ(view->time, made.time);
    ASSERT_EQ(view->cells.size(), made.cells.size());
    for (std::size_t i = 0; i < made.cells.size(); ++i) {
      EXPECT_EQ(view->cells[i].key, made.cells[i].key);
      EXPECT_EQ(view->cells[i].delta, made.cells[i].delta);
      EXPECT_GE(view->cells[i].key.data(), bytes.data());
      EXPECT_LE(view->cells[i].delta.data(), bytes.data() + bytes.size());
    }
  }
}

// Every prefix, an extension, a dot without number and a later format are refused; a count that the
// bytes cannot hold costs no memory; no change of a byte is more than a wrong answer.
TEST(Mutation, RefusesWhatIsNotOne) {
  std::string bytes;
  Encode(Example(), bytes);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeMutation(std::string_view(bytes).substr(0, n))) << n;
  }
  EXPECT_FALSE(DecodeMutation(bytes + '\0'));
  Mutation unnumbered = Example();
  unnumbered.dot.counter = 0;
  std::string other;
  Encode(unnumbered, other);
  EXPECT_FALSE(DecodeMutation(other));
  std::string later = bytes;
  later[0] = 2;
  EXPECT_FALSE(DecodeMutation(later));

  std::string huge = bytes.substr(0, 16);
  PutVarint(huge, std::uint64_t{1} << 62);
  EXPECT_FALSE(DecodeMutation(huge));

  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      const auto view = DecodeMutation(changed);
      if (!view) continue;
      for (const auto& cell : view->cells) {
        EXPECT_LE(cell.delta.data() + cell.delta.size(), changed.data() + changed.size());
      }
    }
  }
}

}  // namespace
}  // namespace coterie::leaderless

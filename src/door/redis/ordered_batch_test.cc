#include <gtest/gtest.h>

#include "door/redis/ordered_batches.h"

namespace coterie::door::redis {
namespace {

// Two clients that read the same value and write back what follows from it: one of them loses, also
// when both EXECs come while another transaction of the key is under way.
TEST_F(OrderedBatches, OneOfTwoThatReadTheSameLoses) {
  auto x = Connect(), a = Connect(), b = Connect(), plug = Connect();
  Expect(*x, "WATCH k -> OK");
  EXPECT_EQ(Do("SET k 10"), "OK");
  Expect(*x, "MULTI -> OK\n SET k 99 -> QUEUED");
  for (Client* one : {a.get(), b.get()}) {
    Expect(*one, "WATCH k -> OK\n GET k -> \"10\"\n MULTI -> OK\n SET k 11 -> QUEUED");
  }
  Expect(*plug, "MULTI -> OK\n SETNX k 0 -> QUEUED\n SET other 1 -> QUEUED");
  node.hold_proposals = true;
  for (Client* one : {plug.get(), x.get(), a.get(), b.get()}) Begin(*one, {"EXEC"});
  world.executor().Settle();
  node.Release();
  world.executor().Settle();
  EXPECT_EQ(ReplyText::Of(x->reply.value_or("")), "(nil array)");
  EXPECT_EQ(ReplyText::Of(a->reply.value_or("")), "[OK]");
  EXPECT_EQ(ReplyText::Of(b->reply.value_or("")), "(nil array)");
}

// Whatever the commands of a batch are, it is as if they had come one after the other.
TEST_F(OrderedBatches, ABatchIsItsMembersOneAfterAnother) {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) ASSERT_EQ(RunRaft(seed, 150), "");
}

// A pipeline is its commands one after the other, on one state, and costs one entry of the log.
TEST_F(OrderedBatches, APipelineIsItsCommandsInOrder) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    ASSERT_EQ(RunPipelines("main", seed, 60), "");
  }
  std::vector<OwnedWords> lines;
  for (int i = 0; i < 100; ++i) lines.push_back({"INCR", "n" + std::to_string(i)});
  lines.push_back({"GET", "n7"});
  const auto before = node.status().last;
  EXPECT_EQ(Pipeline(*self, lines).back(), "$1\r\n1\r\n");
  EXPECT_EQ(node.status().last.value - before.value, 1u);
}

// On paxos keyspaces commands of one key share its round.
TEST_F(OrderedBatches, APipelineOnRegistersIsItsCommandsInOrder) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    ASSERT_EQ(RunPipelines("slots", seed, 60), "");
  }
  registers.writes = 0;
  std::vector<OwnedWords> lines;
  for (int i = 0; i < 100; ++i) lines.push_back({"INCR", "n" + std::to_string(i % 4)});
  EXPECT_EQ(Pipeline(*self, lines).back(), ":25\r\n");
  auto slots = Connect("slots");
  EXPECT_EQ(Pipeline(*slots, lines).back(), ":25\r\n");
  EXPECT_EQ(registers.writes, 4);
}

}  // namespace
}  // namespace coterie::door::redis

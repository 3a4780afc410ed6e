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

}  // namespace
}  // namespace coterie::door::redis

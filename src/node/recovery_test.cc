// Log and state joined after a restart: every way in which they can have been left.

#include "node/recovery.h"

#include <gtest/gtest.h>

#include "node/proposals.h"
#include "node/raft_codec.h"
#include "node/snapshot_transfer.h"
#include "runtime/sim/simulation.h"

namespace coterie::node {
namespace {

/// A state machine of which only applied() is asked.
class Machine final : public model::StateMachine {
 public:
  explicit Machine(std::uint64_t applied) : applied_(applied) {}
  Status Load(storage::Engine&) override { return Ok(); }
  bool watched() const override { return false; }
  LogIndex applied() const override { return applied_; }
  Result<std::vector<std::unique_ptr<Answer>>> Apply(std::span<const Command>, LogIndex,
                                                     Term) override {
    return Fail(ErrorCode::kUnimplemented);
  }

 private:
  LogIndex applied_;
};

/// What a node left behind: a log (compacted, last] and a state, either of which may be behind.
struct Left {
  std::uint64_t compacted = 0;
  std::uint64_t compacted_term = 0;
  std::vector<std::uint64_t> terms;  // of the entries behind it
  std::uint64_t hard_term = 9;
  std::uint64_t vote = 2;
  std::uint64_t applied = 0;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> mark;  // index, term
};

class RecoveryTest : public testing::Test {
 protected:
  Result<Recovered> Join(const Left& left) {
    storage::WalShard shard;
    shard.compacted = LogIndex(left.compacted);
    shard.compacted_term = Term(left.compacted_term);
    StoredHardState hard{{Term(left.hard_term), NodeId(left.vote), LogIndex(left.compacted)}, {}};
    hard.compacted_configuration.voters = {NodeId(1), NodeId(2)};
    shard.hard_state = EncodeHardState(hard);
    LogIndex index(left.compacted);
    for (const std::uint64_t term : left.terms) {
      shard.entries.push_back({++index, Term(term), 1, WithHeader({NodeId(1), 1}, "c")});
    }
    return Join(left, std::move(shard));
  }
  Result<Recovered> Join(const Left& left, storage::WalShard shard) {
    Result<Recovered> out = Fail(ErrorCode::kIo, "not run");
    sim_.Start(node_, [&](runtime::World& world) { return Run(&world, &left, &shard, &out); });
    EXPECT_TRUE(sim_.RunUntil([&] { return sim_.finished(node_); }, 10s));
    sim_.Kill(node_);
    return out;
  }
  static runtime::Task<void> Run(runtime::World* world, const Left* left, storage::WalShard* shard,
                                 Result<Recovered>* out) {
    static int directories = 0;
    auto engine =
        co_await storage::MemoryEngineFactory()(*world, "/e" + std::to_string(++directories));
    COT_ASSERT(engine.has_value());
    if (left->mark) {
      SnapshotMark mark{LogIndex(left->mark->first), Term(left->mark->second), {}};
      mark.configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
      storage::Batch batch;
      batch.Put(std::string(SnapshotMarkKey()), EncodeMark(mark));
      COT_ASSERT((*engine)->Write(std::move(batch)).has_value());
    }
    raft::Configuration first;
    first.voters = {NodeId(1), NodeId(2)};
    *out = Recover(first, std::move(*shard), Machine(left->applied), **engine);
    if (*out) {  // what is joined is what a core can start from
      raft::Config raft;
      raft.self = NodeId(1);
      Random random(1);
      const raft::Raft core(raft, (*out)->restored, random, world->Now());
      EXPECT_EQ(raft::CheckInvariants(core), "");
    }
  }

  runtime::Simulation sim_{{.seed = 3}};
  runtime::NodeHandle node_ = sim_.AddNode("n1", "10.0.0.1");
};

// A first start: nothing anywhere, the configured members vote.
TEST_F(RecoveryTest, Empty) {
  Left left;
  const auto joined = Join(left, {});
  ASSERT_TRUE(joined.has_value());
  EXPECT_FALSE(joined->reset_log);
  EXPECT_EQ(joined->restored.configuration.voters.size(), 2U);
  EXPECT_EQ(joined->restored.applied, LogIndex(0));
}

// The state lies inside the log: every combination of where it ends and where the log begins.
TEST_F(RecoveryTest, StateInsideTheLog) {
  for (std::uint64_t compacted = 0; compacted <= 3; ++compacted) {
    for (std::uint64_t applied = 0; applied <= 7; ++applied) {
      Left left{.compacted = compacted,
                .compacted_term = compacted == 0 ? 0U : 1U,
                .terms = {2, 2, 3},
                .applied = applied};
      const auto joined = Join(left);
      const bool fits = applied >= compacted && applied <= compacted + 3;
      ASSERT_EQ(joined.has_value(), fits) << compacted << " " << applied;
      if (!fits) {
        const bool behind = applied < compacted;
        EXPECT_EQ(joined.error().code, behind ? ErrorCode::kCorruptState : ErrorCode::kCorruptLog);
        continue;
      }
      EXPECT_FALSE(joined->reset_log);
      EXPECT_EQ(joined->restored.entries.size(), 3U);
      EXPECT_EQ(joined->restored.applied, LogIndex(applied));
    }
  }
}

// The engines were switched, the log was not reset: a log that does not reach the snapshot, or
// differs from it, is dropped; one that agrees keeps what lies beyond.
TEST_F(RecoveryTest, SwitchedButNotReset) {
  const Left short_log{.compacted = 2,
                       .compacted_term = 1,
                       .terms = {2, 2},
                       .applied = 10,
                       .mark = std::pair(10, 3)};
  auto joined = Join(short_log);
  ASSERT_TRUE(joined.has_value());
  EXPECT_TRUE(joined->reset_log);
  EXPECT_TRUE(joined->restored.entries.empty());
  EXPECT_EQ(joined->restored.compacted, LogIndex(10));
  EXPECT_EQ(joined->restored.compacted_term, Term(3));
  EXPECT_EQ(joined->restored.configuration.voters.size(), 3U);
  EXPECT_EQ(joined->restored.hard_state.vote, NodeId(2));

  Left differs{.compacted = 8,
               .compacted_term = 1,
               .terms = {2, 2, 2},
               .applied = 10,
               .mark = std::pair(10, 3)};
  joined = Join(differs);
  ASSERT_TRUE(joined.has_value());
  EXPECT_TRUE(joined->restored.entries.empty());

  Left agrees{.compacted = 8,
              .compacted_term = 1,
              .terms = {2, 3, 3},
              .applied = 10,
              .mark = std::pair(10, 3)};
  joined = Join(agrees);
  ASSERT_TRUE(joined.has_value());
  EXPECT_TRUE(joined->reset_log);
  ASSERT_EQ(joined->restored.entries.size(), 1U);
  EXPECT_EQ(joined->restored.entries[0]->index, LogIndex(11));
}

// The term came with the state alone: the node may not start below the term its log ends in, and
// has no vote in it.
TEST_F(RecoveryTest, SwitchedInATermNeverStored) {
  const Left left{.compacted = 2,
                  .compacted_term = 1,
                  .terms = {2},
                  .hard_term = 2,
                  .vote = 2,
                  .applied = 10,
                  .mark = std::pair(10, 5)};
  const auto joined = Join(left);
  ASSERT_TRUE(joined.has_value());
  EXPECT_EQ(joined->restored.hard_state.term, Term(5));
  EXPECT_EQ(joined->restored.hard_state.vote, NodeId());
}

// A mark the log has passed is history: the log rules.
TEST_F(RecoveryTest, MarkBehindTheLog) {
  for (const std::uint64_t mark : {3, 5}) {
    const Left left{.compacted = 5,
                    .compacted_term = 2,
                    .terms = {2, 3},
                    .applied = 6,
                    .mark = std::pair(mark, 2)};
    const auto joined = Join(left);
    ASSERT_TRUE(joined.has_value());
    EXPECT_FALSE(joined->reset_log);
    EXPECT_EQ(joined->restored.entries.size(), 2U);
    EXPECT_EQ(joined->restored.configuration.voters.size(), 2U);
  }
}

// Entries this version cannot apply, or that no sound log holds, are refused before anything
// starts.
TEST_F(RecoveryTest, RefusesEntriesItCannotApply) {
  const auto code = [&](std::uint8_t kind, std::string payload, std::uint64_t hard_term = 9) {
    storage::WalShard shard;
    shard.hard_state = EncodeHardState({{Term(hard_term), {}, {}}, {}});
    shard.entries.push_back({LogIndex(1), Term(3), kind, std::move(payload)});
    const auto joined = Join(Left{}, std::move(shard));
    return joined ? ErrorCode::kInvalidArgument : joined.error().code;
  };
  EXPECT_EQ(code(7, ""), ErrorCode::kNewerData);
  EXPECT_EQ(code(1, "short"), ErrorCode::kCorruptLog);
  EXPECT_EQ(code(2, "no configuration"), ErrorCode::kCorruptLog);
  EXPECT_EQ(code(0, "", 2), ErrorCode::kCorruptLog);
  Left left{.compacted = 0, .terms = {3, 2}};
  EXPECT_EQ(Join(left).error().code, ErrorCode::kCorruptLog);
  storage::WalShard damaged;
  damaged.hard_state = "\x09nonsense";
  EXPECT_EQ(Join(Left{}, std::move(damaged)).error().code, ErrorCode::kCorruptLog);
}

TEST(SnapshotMark, RoundTripsAndRefusesPrefixes) {
  SnapshotMark mark{LogIndex(300), Term(4), {}};
  mark.configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
  const std::string bytes = EncodeMark(mark);
  const auto got = DecodeMark(bytes);
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->index, mark.index);
  EXPECT_EQ(got->term, mark.term);
  EXPECT_EQ(got->configuration, mark.configuration);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeMark(std::string_view(bytes).substr(0, n)).has_value()) << n;
  }
}

}  // namespace
}  // namespace coterie::node

#include "check/linearizable.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "check/simulated_store.h"

namespace coterie::check {
namespace {

Operation At(Operation op, std::int64_t invoke, std::int64_t back) {
  op.invoke_ns = invoke;
  op.return_ns = back;
  op.outcome = Operation::Outcome::kOk;
  return op;
}
Operation Lost(Operation op, std::int64_t invoke) {
  op.invoke_ns = invoke;
  return op;
}
Operation Saw(Operation op, std::string value) {
  auto& steps = op.succeeded ? op.success : op.failure;
  if (!value.empty()) steps.back().seen.push_back({steps.back().key, std::move(value)});
  return op;
}
Operation Refused(Operation op) {
  op.succeeded = false;
  return op;
}
Answer Judge(std::vector<Operation> ops) { return CheckLinearizable({std::move(ops)}).answer; }

// A value that was overwritten before the read began may not be read.
TEST(Linearizable, StaleReadIsCaught) {
  const std::vector<Operation> ops = {At(Put(1, "x", "a"), 1, 2), At(Put(1, "x", "b"), 3, 4),
                                      At(Saw(Get(2, "x"), "a"), 5, 6)};
  const Verdict verdict = CheckLinearizable({ops});
  EXPECT_EQ(verdict.answer, Answer::kViolation);
  EXPECT_NE(verdict.explanation.find("client 2 get x saw a"), std::string::npos);
  EXPECT_NE(verdict.explanation.find("in the state: b"), std::string::npos);
}

// While a write is under way either value may be read, but not the new one and then the old one.
TEST(Linearizable, ConcurrentReadsMayNotGoBack) {
  EXPECT_EQ(
      Judge({At(Put(1, "x", "a"), 1, 9), At(Get(2, "x"), 2, 3), At(Saw(Get(2, "x"), "a"), 4, 5)}),
      Answer::kOk);
  EXPECT_EQ(
      Judge({At(Put(1, "x", "a"), 1, 9), At(Saw(Get(2, "x"), "a"), 2, 3), At(Get(2, "x"), 4, 5)}),
      Answer::kViolation);
}

// Two swaps from the same value cannot both succeed.
TEST(Linearizable, LostUpdateIsCaught) {
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 2), At(CompareAndSwap(1, "x", "a", "b"), 3, 6),
                   At(CompareAndSwap(2, "x", "a", "c"), 4, 5)}),
            Answer::kViolation);
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 2), At(CompareAndSwap(1, "x", "a", "b"), 3, 6),
                   At(Saw(Refused(CompareAndSwap(2, "x", "a", "c")), "b"), 4, 5)}),
            Answer::kOk);
}

// An unknown write may appear late, or never; but not before it was made, and not to vanish again.
TEST(Linearizable, UnknownWrites) {
  EXPECT_EQ(
      Judge({Lost(Put(1, "x", "a"), 1), At(Get(2, "x"), 2, 3), At(Saw(Get(2, "x"), "a"), 8, 9)}),
      Answer::kOk);
  EXPECT_EQ(Judge({At(Saw(Get(2, "x"), "a"), 1, 2), Lost(Put(1, "x", "a"), 3)}),
            Answer::kViolation);
  EXPECT_EQ(
      Judge({Lost(Put(1, "x", "a"), 1), At(Saw(Get(2, "x"), "a"), 2, 3), At(Get(2, "x"), 4, 5)}),
      Answer::kViolation);
}

// A write that definitely failed may not be read.
TEST(Linearizable, DirtyReadOfAFailedWrite) {
  Operation failed = At(Put(1, "x", "a"), 1, 2);
  failed.outcome = Operation::Outcome::kFailed;
  EXPECT_EQ(Judge({failed, At(Saw(Get(2, "x"), "a"), 3, 4)}), Answer::kViolation);
}

// Transactions over two keys are atomic: half of one may not be seen.
TEST(Linearizable, TornTransactionIsCaught) {
  Operation both = Put(1, "x", "1");
  both.success.push_back({.kind = Step::Kind::kPut, .key = "y", .value = "1"});
  Operation read = Get(2, "x");
  read.success.push_back({.kind = Step::Kind::kGet, .key = "y"});
  read.success[0].seen.push_back({"x", "1"});
  EXPECT_EQ(Judge({At(both, 1, 9), At(read, 2, 3)}), Answer::kViolation);
  read.success[1].seen.push_back({"y", "1"});
  EXPECT_EQ(Judge({At(both, 1, 9), At(read, 2, 3)}), Answer::kOk);
}

// A spent budget is never "ok".
TEST(Linearizable, SpentBudgetIsUnknown) {
  Random random(7);
  const History history = ValidHistory(random, {.operations = 200, .processes = 5});
  EXPECT_EQ(CheckLinearizable(history, {.steps_max = 20}).answer, Answer::kUnknown);
  EXPECT_EQ(CheckLinearizable(history, {.witness = false, .memo_entries_max = 3}).answer,
            Answer::kUnknown);
  EXPECT_EQ(CheckLinearizable(history).answer, Answer::kOk);
}

// A record that cannot be (one client with two operations under way) is not judged.
TEST(Linearizable, ImpossibleRecordIsUnknown) {
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 5), At(Get(1, "x"), 2, 3)}), Answer::kUnknown);
}

struct Tally {
  int ok = 0;
  int violation = 0;
};
Tally CompareWithBruteForce(std::uint64_t seed, int histories, HistoryShape shape) {
  Random random(seed);
  Tally tally;
  for (int i = 0; i < histories; ++i) {
    shape.operations = static_cast<int>(random.Between(2, 7));
    History history = ValidHistory(random, shape);
    const bool mutated = random.Chance(0.7);
    for (int m = 0; mutated && m < 3; ++m) Mutate(random, history);
    const bool expected = BruteForce(history, false).Linearizable();
    const Verdict verdict = CheckLinearizable(history);
    EXPECT_EQ(verdict.answer, expected ? Answer::kOk : Answer::kViolation)
        << "seed " << seed << " history " << i << "\n"
        << ToJsonLines(history);
    EXPECT_EQ(CheckLinearizable(history, {.witness = false}).answer, verdict.answer)
        << "seed " << seed << " history " << i << "\n"
        << ToJsonLines(history);
    if (!mutated) EXPECT_TRUE(expected) << ToJsonLines(history);
    // With stamps the definition asks more (no revision is left out), so it may only be the
    // stricter one.
    if (BruteForce(history, true).Linearizable()) {
      EXPECT_TRUE(CheckLinearizable(history, {.stamps = true}).ok()) << ToJsonLines(history);
    }
    ++(expected ? tally.ok : tally.violation);
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(tally.violation, histories / 40);
  EXPECT_GT(tally.ok, histories / 40);
  return tally;
}

// On small random histories, valid and mutated, the search and the definition never disagree.
TEST(Linearizable, AgreesWithBruteForceOnRegisters) {
  CompareWithBruteForce(1, 20000, {.keys = 1, .multi_key = false});
  CompareWithBruteForce(2, 20000, {.keys = 2, .unknown = 0.5, .multi_key = false});
  CompareWithBruteForce(3, 20000, {.keys = 1, .values = 0, .unknown = 0.4, .multi_key = false});
}
TEST(Linearizable, AgreesWithBruteForceOnTransactions) {
  CompareWithBruteForce(4, 20000, {.keys = 3});
  CompareWithBruteForce(5, 20000, {.keys = 2, .unknown = 0.5});
  CompareWithBruteForce(6, 10000, {.processes = 4, .keys = 2, .values = 0, .unknown = 0.4});
}

// A violation stays one when instants are stretched and values renamed; an answer never depends on
// names.
TEST(Linearizable, RenamingAndStretchingChangeNothing) {
  Random random(11);
  for (int i = 0; i < 3000; ++i) {
    History history = ValidHistory(random, {.operations = 7, .processes = 3, .keys = 2});
    Mutate(random, history);
    const Answer before = CheckLinearizable(history).answer;
    for (Operation& op : history.operations) {
      op.invoke_ns *= 1000;
      if (op.return_ns != kNever) op.return_ns *= 1000;
      op.process += 100;
    }
    EXPECT_EQ(CheckLinearizable(history).answer, before);
  }
}

// Transactions that join every key, and deletions that may come at any time (leases): what no
// search can afford, the revisions explain; and they do not explain away a wrong read.
TEST(Linearizable, RevisionsExplainWhatASearchCannot) {
  SimulatedStore store;
  History history;
  Random random(31);
  std::int64_t now = 0;
  const auto record = [&](Operation op) {
    store.Apply(op);
    op.outcome = Operation::Outcome::kOk;
    op.invoke_ns = ++now;
    op.return_ns = ++now;
    history.operations.push_back(std::move(op));
  };
  for (int i = 0; i < 400; ++i) {
    const std::string key = "k" + std::to_string(random.Below(4));
    Operation both = Put(1, key, "v" + std::to_string(i));
    both.success.push_back({.kind = Step::Kind::kPut, .key = "k9", .value = both.success[0].value});
    record(std::move(both));
    Operation expiry = Delete(static_cast<std::uint64_t>(1000 + i), key);
    expiry.invoke_ns = ++now;
    history.operations.push_back(expiry);
    if (random.Chance(0.2)) store.Apply(expiry);
    Operation range = Get(2, "k");
    range.success[0].range_end = "l";
    record(std::move(range));
  }
  const Verdict verdict = CheckLinearizable(history, {.steps_max = 2000});
  EXPECT_EQ(verdict.answer, Answer::kOk) << verdict.explanation;
  history.operations.back().success[0].seen.back().value = "v3";
  EXPECT_NE(CheckLinearizable(history, {.steps_max = 100'000}).answer, Answer::kOk);
}

// Long histories with many unknown writes stay affordable, and one wrong read among them is found.
TEST(Linearizable, LongHistoryWithUnknownWrites) {
  Random random(21);
  History history = ValidHistory(random, {.operations = 20000,
                                          .processes = 8,
                                          .keys = 4,
                                          .values = 0,
                                          .unknown = 0.02,
                                          .multi_key = false});
  const Verdict verdict = CheckLinearizable(history, {.witness = false});
  EXPECT_TRUE(verdict.ok()) << verdict.explanation;
  EXPECT_TRUE(CheckLinearizable(history, {.stamps = true}).ok());
  for (std::size_t i = history.operations.size() / 2; i < history.operations.size(); ++i) {
    Operation& op = history.operations[i];
    if (op.outcome != Operation::Outcome::kOk || op.may_write() || op.success[0].seen.empty())
      continue;
    op.success[0].seen[0].value = "v1";
    break;
  }
  EXPECT_EQ(CheckLinearizable(history).answer, Answer::kViolation);
}

}  // namespace
}  // namespace coterie::check

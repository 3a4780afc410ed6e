#include "check/revision_order.h"

#include <gtest/gtest.h>

#include <set>

#include "check/simulated_store.h"

namespace coterie::check {
namespace {

Operation At(Operation op, std::int64_t invoke, std::int64_t back, std::int64_t revision) {
  op.invoke_ns = invoke;
  op.return_ns = back;
  op.revision = revision;
  op.outcome = Operation::Outcome::kOk;
  return op;
}
Operation Saw(Operation op, std::string value, std::int64_t mod, std::int64_t create,
              std::int64_t version) {
  op.success[0].seen.push_back({op.success[0].key, std::move(value), create, mod, version});
  return op;
}
Answer Judge(std::vector<Operation> ops) { return CheckRevisionOrder({std::move(ops)}).answer; }

TEST(RevisionOrder, StaleReadIsCaught) {
  const auto history = [](std::string value, std::int64_t mod, std::int64_t header) {
    return std::vector<Operation>{
        At(Put(1, "x", "a"), 1, 2, 2), At(Put(1, "x", "b"), 3, 4, 3),
        At(Saw(Get(2, "x"), std::move(value), mod, 2, mod - 1), 5, 6, header)};
  };
  EXPECT_EQ(Judge(history("b", 3, 3)), Answer::kOk);
  EXPECT_EQ(Judge(history("a", 2, 2)), Answer::kViolation);  // the header is behind real time
  EXPECT_EQ(Judge(history("a", 2, 3)), Answer::kViolation);  // the value is behind the header
  EXPECT_EQ(Judge(history("a", 3, 3)), Answer::kViolation);  // the value is not that revision's
  auto serializable = history("a", 2, 2);
  serializable[2].serializable = true;
  EXPECT_EQ(Judge(serializable), Answer::kOk);
  serializable[2].revision = 3;
  EXPECT_EQ(Judge(serializable), Answer::kViolation);  // stale is allowed, wrong is not
}

TEST(RevisionOrder, OneRevisionForTwoWrites) {
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 5, 2), At(Put(2, "y", "b"), 2, 4, 2)}),
            Answer::kViolation);
}

TEST(RevisionOrder, WritesRespectRealTime) {
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 2, 3), At(Put(2, "y", "b"), 3, 4, 2)}),
            Answer::kViolation);
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 3, 3), At(Put(2, "y", "b"), 2, 4, 2)}), Answer::kOk);
}

// An acknowledged write that a later read does not see is lost, unless an unknown deletion explains
// it.
TEST(RevisionOrder, LostWrite) {
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 2, 2), At(Get(2, "x"), 3, 4, 2)}), Answer::kViolation);
  Operation deletion = Delete(3, "x");
  deletion.invoke_ns = 2;
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 2, 2), deletion, At(Get(2, "x"), 3, 4, 3)}),
            Answer::kOk);
}

// A value may come from an unknown write, but with one revision, above all that preceded its
// invocation.
TEST(RevisionOrder, UnknownWrites) {
  Operation lost = Put(3, "x", "u");
  lost.invoke_ns = 3;
  const Operation before = At(Put(1, "x", "a"), 1, 2, 5);
  EXPECT_EQ(Judge({before, lost, At(Saw(Get(2, "x"), "u", 6, 5, 2), 7, 8, 6)}), Answer::kOk);
  EXPECT_EQ(Judge({before, lost, At(Saw(Get(2, "x"), "u", 4, 4, 1), 7, 8, 6)}), Answer::kViolation);
  EXPECT_EQ(Judge({before, lost, At(Saw(Get(2, "x"), "u", 6, 5, 2), 7, 8, 6),
                   At(Saw(Get(2, "x"), "u", 7, 5, 2), 9, 10, 7)}),
            Answer::kViolation);
  EXPECT_EQ(Judge({before, At(Saw(Get(2, "x"), "w", 6, 5, 2), 7, 8, 6)}), Answer::kViolation);
}

TEST(RevisionOrder, VersionsCountPuts) {
  const Operation put = At(Put(1, "x", "a"), 1, 2, 2);
  EXPECT_EQ(Judge({put, At(Saw(Get(2, "x"), "a", 2, 2, 1), 3, 4, 2)}), Answer::kOk);
  EXPECT_EQ(Judge({put, At(Saw(Get(2, "x"), "a", 2, 2, 2), 3, 4, 2)}), Answer::kViolation);
}

TEST(RevisionOrder, AnswersWithoutRevisionsCannotBeJudged) {
  EXPECT_EQ(Judge({At(Put(1, "x", "a"), 1, 2, 0)}), Answer::kUnknown);
}

/// Every revision that an answer shows is that of an acknowledged write.
bool Dense(const History& history) {
  std::set<std::int64_t> revisions = {1};
  std::int64_t highest = 1;
  for (const Operation& op : history.operations) {
    if (op.wrote()) revisions.insert(op.revision);
    highest = std::max(highest, op.revision);
  }
  return *revisions.begin() == 1 && *revisions.rbegin() == highest &&
         highest == static_cast<std::int64_t>(revisions.size());
}

// Where every operation was answered and no revision is missing, the check is exact: it says what
// the definition says. Elsewhere it may miss something but never accuses wrongly.
TEST(RevisionOrder, AgreesWithBruteForce) {
  Random random(5);
  int exact = 0;
  int violations = 0;
  for (int i = 0; i < 100000; ++i) {
    const bool unknown = random.Chance(0.4);
    HistoryShape shape{.operations = static_cast<int>(random.Between(2, 7)),
                       .keys = 2,
                       .values = random.Chance(0.5) ? 0 : 3,
                       .unknown = unknown ? 0.4 : 0.0};
    History history = ValidHistory(random, shape);
    for (std::uint64_t m = random.Below(3); m > 0; --m) Mutate(random, history);
    const bool expected = BruteForce(history, true).Linearizable();
    const Verdict verdict = CheckRevisionOrder(history);
    if (expected) {
      ASSERT_TRUE(verdict.ok()) << verdict.explanation << "\n" << ToJsonLines(history);
    }
    if (!unknown && Dense(history)) {
      ++exact;
      ASSERT_EQ(verdict.ok(), expected) << verdict.explanation << "\n" << ToJsonLines(history);
    }
    violations += verdict.ok() ? 0 : 1;
  }
  EXPECT_GT(exact, 30000);
  EXPECT_GT(violations, 10000);
}

}  // namespace
}  // namespace coterie::check

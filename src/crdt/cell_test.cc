#include "crdt/cell.h"

#include <gtest/gtest.h>

#include <limits>

namespace coterie::crdt {
namespace {

const clock::Actor kA = clock::MakeActor(NodeId(1), 0);
const clock::Actor kB = clock::MakeActor(NodeId(2), 0);
const clock::Actor kC = clock::MakeActor(NodeId(3), 0);
const clock::Actor kD = clock::MakeActor(NodeId(4), 2);

HybridTime At(std::uint64_t ms) { return clock::MakeHybridTime(ms, 0); }

Cell After(Cell cell, const Cell& delta, Merge merge = Merge::kKeepAll) {
  Join(cell, delta, merge);
  return cell;
}

std::vector<std::string> Values(const Cell& cell) {
  std::vector<std::string> values;
  for (const Entry& entry : cell.entries) {
    if (entry.value) values.push_back(*entry.value);
  }
  return values;
}

// What an assignment has seen it replaces; what it has not stays, visible or not.
TEST(Cell, AssignReplacesWhatItHasSeen) {
  const Cell one = Assign({}, {kA, 1}, At(10), "one");
  const Cell two = After(one, Assign(one, {kB, 1}, At(20), "two"));
  EXPECT_EQ(Values(two), std::vector<std::string>{"two"});
  // The clock of the writer that has seen the other's value does not matter.
  const Cell three = After(two, Assign(two, {kC, 1}, At(5), "three"));
  EXPECT_EQ(Values(three), std::vector<std::string>{"three"});
  EXPECT_EQ(Winner(three)->value, "three");
}

// Of concurrent values the last writer's is visible, and each joiner of the two reports the other
// once.
TEST(Cell, LastWriterWinsAndTheOtherIsReported) {
  const Cell early = Assign({}, {kA, 1}, At(10), "early");
  const Cell late = Assign({}, {kB, 1}, At(20), "late");
  for (const auto& [into, from] : {std::pair(early, late), std::pair(late, early)}) {
    std::vector<Loser> losers;
    Cell joined = into;
    EXPECT_TRUE(Join(joined, from, Merge::kLastWriter, &losers));
    EXPECT_EQ(Winner(joined)->value, "late");
    ASSERT_EQ(losers.size(), 1U);
    EXPECT_EQ(losers[0].entry.value, "early");
    EXPECT_EQ(losers[0].winner, (Dot{kB, 1}));
    EXPECT_FALSE(Join(joined, from, Merge::kLastWriter, &losers));
    EXPECT_FALSE(Join(joined, into, Merge::kLastWriter, &losers));
    EXPECT_EQ(losers.size(), 1U);
    // Whoever writes next replaces both.
    Join(joined, Assign(joined, {kC, 1}, At(30), "next"), Merge::kLastWriter, &losers);
    EXPECT_EQ(joined.entries.size(), 1U);
    EXPECT_EQ(losers.size(), 1U);
  }
}

// At one instant the dot decides, the same way everywhere.
TEST(Cell, EqualTimesAreOrderedByDot) {
  const Cell a = Assign({}, {kA, 9}, At(10), "a");
  const Cell b = Assign({}, {kB, 1}, At(10), "b");
  EXPECT_EQ(Winner(After(a, b))->value, "b");
  EXPECT_EQ(Winner(After(b, a))->value, "b");
}

TEST(Cell, GreatestValueIsVisibleWhateverItsTime) {
  const Cell low = Assign({}, {kA, 1}, At(90), "\x03");
  const Cell high = Assign({}, {kB, 1}, At(10), "\x07");
  EXPECT_EQ(Greatest(After(low, high))->value, "\x07");
  EXPECT_EQ(Greatest(After(high, low))->value, "\x07");
}

// A removal takes what it has seen; a value assigned at the same time survives (add wins).
TEST(Cell, ConcurrentAssignmentSurvivesARemoval) {
  const Cell start = Assign({}, {kA, 1}, At(1), "old");
  const Cell removal = Remove(start, {kB, 1}, At(9));
  const Cell added = Assign(start, {kA, 2}, At(2), "new");
  EXPECT_FALSE(After(start, removal).live());
  EXPECT_EQ(Values(After(After(start, removal), added)), std::vector<std::string>{"new"});
  EXPECT_EQ(Values(After(After(start, added), removal)), std::vector<std::string>{"new"});
}

// Why hidden values stay: the removal of the visible one must do the same in every order.
TEST(Cell, RemovalOfTheWinnerUncoversWhatItHadNotSeen) {
  const Cell hidden = Assign({}, {kA, 1}, At(10), "hidden");
  const Cell winner = Assign({}, {kB, 1}, At(20), "winner");
  const Cell removal = Remove(winner, {kC, 1}, At(30));
  const Merge merge = Merge::kLastWriter;
  const Cell one = After(After(hidden, winner, merge), removal, merge);
  const Cell other = After(hidden, After(winner, removal, merge), merge);
  EXPECT_EQ(one, other);
  EXPECT_EQ(Winner(one)->value, "hidden");
}

// Two clients who know nothing write through one coordinator: both values stay; a third who has
// read both replaces both [DVV §4].
TEST(Cell, SiblingsOfOneCoordinator) {
  Cell cell = AssignOver({}, {}, {kA, 1}, At(1), "x");
  const Cell second = AssignOver(cell, {}, {kA, 2}, At(2), "y");
  // The delta alone is enough for a replica that missed the first.
  EXPECT_EQ(Values(second), (std::vector<std::string>{"x", "y"}));
  cell = After(cell, second);
  EXPECT_EQ(Values(cell), (std::vector<std::string>{"x", "y"}));
  const VersionVector read = cell.context;
  cell = After(cell, AssignOver(cell, {}, {kA, 3}, At(3), "z"));
  cell = After(cell, AssignOver(cell, read, {kA, 4}, At(4), "xy"));
  EXPECT_EQ(Values(cell), (std::vector<std::string>{"z", "xy"}));
}

// A context that names what does not exist yet takes nothing away from what comes later.
TEST(Cell, AContextFromTheFutureIsHarmless) {
  VersionVector lies;
  lies.Include({kA, 1000});
  lies.Include({kB, 1000});
  Cell cell = AssignOver({}, lies, {kA, 1}, At(1), "x");
  cell = After(cell, AssignOver(cell, {}, {kB, 1}, At(2), "y"));
  cell = After(cell, AssignOver(cell, {}, {kA, 2}, At(3), "z"));
  EXPECT_EQ(Values(cell), (std::vector<std::string>{"x", "z", "y"}));
}

// Each actor's additions count once, wherever and however often they arrive.
TEST(Cell, SumsAddUp) {
  Cell a = Add({}, {kA, 1}, At(1), 5);
  a = After(a, Add(a, {kA, 2}, At(2), 7));
  const Cell b = Add({}, {kB, 1}, At(1), -2);
  Cell both = After(After(a, b), b);
  EXPECT_EQ(Sum(both), 10);
  both = After(both, AddReal(both, {kB, 2}, At(3), 0.5));
  EXPECT_EQ(Sum(both), 10);
  EXPECT_EQ(SumReal(both), 0.5);
  EXPECT_EQ(both.entries.size(), 2U);
}

// A removal concurrent with an addition leaves exactly the concurrent amount, twice in a row, and
// the actor's next run counts from nothing.
TEST(Cell, RemovalLeavesExactlyTheConcurrentAmount) {
  Cell a = Add({}, {kA, 1}, At(1), 5);
  Cell b = a;
  const Cell first = Remove(b, {kB, 1}, At(2));
  b = After(b, first);
  EXPECT_EQ(Sum(b), 0);
  EXPECT_FALSE(b.live());
  const Cell concurrent = Add(a, {kA, 2}, At(3), 3);
  a = After(a, concurrent);
  b = After(b, concurrent);
  EXPECT_EQ(Sum(b), 3);
  EXPECT_EQ(After(a, first), b);
  // The actor goes on without having seen the first removal; another removal sees 5 + 3.
  const Cell second = Remove(b, {kB, 2}, At(4));
  const Cell again = Add(a, {kA, 3}, At(5), 1);
  b = After(After(b, second), again);
  a = After(After(After(a, again), first), second);
  EXPECT_EQ(a, b);
  EXPECT_EQ(Sum(a), 1);
  const Cell rest = Remove(a, {kC, 1}, At(6));
  a = After(a, rest);
  a = After(a, Add(a, {kA, 4}, At(7), 20));
  EXPECT_EQ(Sum(a), 20);
  EXPECT_EQ(Sum(After(After(b, a), rest)), 20);
}

// An assigned number and additions to it are entries of their own: an assignment elsewhere at the
// same time competes with the assignment only.
TEST(Cell, AdditionsDoNotMakeTheAssignmentNewer) {
  const Merge merge = Merge::kLastWriter;
  Cell a = Assign({}, {kA, 1}, At(10), "5");
  const Cell b = Assign(a, {kB, 1}, At(20), "100");
  a = After(a, Add(a, {kA, 2}, At(30), 1), merge);
  EXPECT_EQ(Winner(a)->value, "5");
  EXPECT_EQ(Sum(a), 1);
  std::vector<Loser> losers;
  Join(a, b, merge, &losers);
  EXPECT_EQ(Winner(a)->value, "100");
  EXPECT_EQ(Sum(a), 1);
  EXPECT_TRUE(losers.empty());
}

// One mutation that changes a cell several times is one delta, with the effect of its last state.
TEST(Cell, AmendedDeltaSaysItAll) {
  const Cell start = Add({}, {kA, 1}, At(1), 5);
  const Cell other = After(start, Assign(start, {kB, 1}, At(1), "v"));
  const Dot dot{kA, 2};
  Cell a = other;
  Cell delta = Add(a, dot, At(2), 2);
  a = After(a, delta);
  Amend(a, delta, Add(a, dot, At(2), 3), dot);
  EXPECT_EQ(Sum(a), 5);
  Amend(a, delta, Remove(a, dot, At(2)), dot);
  EXPECT_FALSE(a.live());
  Amend(a, delta, Add(a, dot, At(2), 7), dot);
  EXPECT_EQ(Sum(a), 7);
  EXPECT_EQ(After(other, delta), a);
  EXPECT_EQ(After(delta, other), a);
  Amend(a, delta, Remove(a, dot, At(2)), dot);
  Amend(a, delta, Add(a, dot, At(2), 1), dot);
  Amend(a, delta, Assign(a, dot, At(2), "w"), dot);
  Amend(a, delta, Add(a, dot, At(2), 4), dot);
  EXPECT_EQ(Winner(a)->value, "w");
  EXPECT_EQ(Sum(a), 4);
  EXPECT_EQ(After(other, delta), a);
}

TEST(Cell, SumsStayWithinTheirTypes) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr double kHuge = std::numeric_limits<double>::max();
  Cell cell = Add({}, {kA, 1}, At(1), kMax);
  cell = After(cell, Add(cell, {kA, 2}, At(2), 1));
  EXPECT_EQ(Sum(cell), std::numeric_limits<std::int64_t>::min());
  cell = After(cell, AddReal(cell, {kA, 3}, At(3), kHuge));
  cell = After(cell, AddReal(cell, {kA, 4}, At(4), kHuge));
  EXPECT_EQ(SumReal(cell), kHuge);
  EXPECT_EQ(Decode(Encode(cell)), cell);
}

// The bytes of the README's example.
TEST(CellCodec, GoldenBytes) {
  Cell cell = Assign({}, {kA, 1}, At(1), "v");
  cell = After(cell, Add({}, {kB, 3}, At(2), -2));
  cell = After(cell, Remove(Add({}, {kC, 5}, At(1), 1), {kD, 6}, At(3)));
  std::string hex;
  for (const unsigned char c : Encode(cell)) {
    hex += "0123456789abcdef"[c >> 4];
    hex += "0123456789abcdef"[c & 15];
  }
  EXPECT_EQ(hex,
            "01048080040180800803"
            "80800c0582801006"
            "02000001000001000000000001"
            "76"
            "01000200000200000000000003"
            "010200020002");
  EXPECT_EQ(Decode(Encode(cell)), cell);
}

}  // namespace
}  // namespace coterie::crdt

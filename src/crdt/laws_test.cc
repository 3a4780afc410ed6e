#include <gtest/gtest.h>

#include <algorithm>

#include "crdt/testing/execution.h"

namespace coterie::crdt {
namespace {

using testing::Execution;
using testing::ExecutionOptions;
using testing::JoinFunction;

const JoinFunction kRealJoin = [](Cell& into, const Cell& from, Merge merge,
                                  std::vector<Loser>* losers) {
  return Join(into, from, merge, losers);
};

ExecutionOptions OptionsOf(std::uint64_t seed) {
  ExecutionOptions options;
  options.replicas = 3 + static_cast<int>(seed % 3);
  options.steps = 20 + static_cast<int>(seed % 50);
  options.merge = static_cast<Merge>(seed / 3 % 3);
  options.siblings = options.merge == Merge::kKeepAll && seed % 2 == 0;
  return options;
}

/// "" or what the oracle found wrong with one execution.
std::string Judge(std::uint64_t seed, ExecutionOptions options, const JoinFunction& join) {
  Execution execution(Random(seed), options, join);
  std::string wrong = execution.Run();
  return wrong.empty() ? execution.Converge() : wrong;
}

// After every step of every history each replica reads what the definition by sets of operations
// says: add wins, a removal takes what it has seen, the last writer by (time, dot), sums exact; all
// end equal to the byte, also one that got all deltas in any order; and no hidden value goes
// unreported.
TEST(Laws, EveryReplicaReadsWhatTheOracleSays) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    ASSERT_EQ(Judge(seed, OptionsOf(seed), kRealJoin), "") << "seed " << seed;
  }
}

// Tombstones may be forgotten when they are causally stable, and readers notice nothing: not at any
// step, not at the end. That every replica has applied them is not enough: an addition that was
// made without knowing of the removal may still be on its way.
TEST(Laws, StableTombstonesMayBeForgotten) {
  const auto options_of = [](std::uint64_t seed, testing::Forget forget) {
    ExecutionOptions options = OptionsOf(seed);
    options.replicas = 3;
    options.steps = 150;
    options.mutate = 0.12;
    options.forget = forget;
    return options;
  };
  int forgotten = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Execution execution(Random(seed), options_of(seed, testing::Forget::kStable), kRealJoin);
    ASSERT_EQ(execution.Run(), "") << "seed " << seed;
    ASSERT_EQ(execution.Converge(), "") << "seed " << seed;
    forgotten += execution.forgotten();
  }
  EXPECT_GT(forgotten, 150);
  bool killed = false;
  for (std::uint64_t seed = 0; seed < 3000 && !killed; ++seed) {
    const ExecutionOptions options = options_of(seed, testing::Forget::kApplied);
    if (Judge(seed, options, kRealJoin).empty()) continue;
    killed = true;
    // The same history is fine with the right rule.
    EXPECT_EQ(Judge(seed, options_of(seed, testing::Forget::kStable), kRealJoin), "");
  }
  EXPECT_TRUE(killed);
}

Cell Joined(Cell a, const Cell& b, Merge merge) {
  const Cell before = a;
  const bool changed = Join(a, b, merge);
  EXPECT_EQ(changed, a != before);
  return a;
}

// On cells that occur, states and deltas of one history: a+b = b+a, (a+b)+c = a+(b+c), a+a = a,
// and Join says truly whether it changed anything; moved-from or copied, the same.
TEST(Laws, JoinIsALeastUpperBound) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const ExecutionOptions options = OptionsOf(seed);
    Execution execution(Random(seed), options, kRealJoin);
    ASSERT_EQ(execution.Run(), "");
    Random random(seed);
    const std::vector<Cell>& cells = execution.reachable();
    for (int i = 0; i < 60; ++i) {
      const Cell& a = cells[random.Below(cells.size())];
      const Cell& b = cells[random.Below(cells.size())];
      const Cell& c = cells[random.Below(cells.size())];
      const Cell ab = Joined(a, b, options.merge);
      ASSERT_EQ(ab, Joined(b, a, options.merge));
      ASSERT_EQ(Joined(ab, c, options.merge),
                Joined(a, Joined(b, c, options.merge), options.merge));
      ASSERT_EQ(Joined(ab, ab, options.merge), ab);
      ASSERT_EQ(Joined(ab, a, options.merge), ab);
      ASSERT_TRUE(ab.context.Covers(a.context));
      Cell moved = a;
      Cell source = b;
      Join(moved, std::move(source), options.merge);
      ASSERT_EQ(moved, ab);
      ASSERT_EQ(Encode(*Decode(Encode(ab))), Encode(ab));
    }
  }
}

// No proper prefix of an encoding decodes, and no changed byte makes Decode give what cannot be
// encoded again.
TEST(Laws, DecodeIsTotal) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Execution execution(Random(seed), OptionsOf(seed), kRealJoin);
    ASSERT_EQ(execution.Run(), "");
    Random random(seed);
    for (const Cell& cell : execution.reachable()) {
      std::string bytes = Encode(cell);
      for (std::size_t size = 0; size < bytes.size(); ++size) {
        ASSERT_FALSE(Decode(std::string_view(bytes).substr(0, size)).has_value());
      }
      ASSERT_FALSE(Decode(bytes + '\0').has_value());
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
      const auto changed = Decode(bytes);
      if (changed) ASSERT_EQ(Decode(Encode(*changed)), changed);
    }
  }
}

// -- planted mistakes, each of which the oracle must find ----------------------------------------

struct Mutant {
  const char* name;
  JoinFunction join;
};

VersionVector ContextOfEntries(const Cell& cell) {
  VersionVector context;
  for (const Entry& entry : cell.entries) context.Include(entry.dot);
  return context;
}

bool JoinWithoutContext(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers) {
  const VersionVector before = into.context;
  const bool changed = Join(into, from, merge, losers);
  into.context = before;
  into.context.Join(ContextOfEntries(into));
  for (const Entry& floor : into.removed) into.context.Include(floor.dot);
  return changed;
}

bool JoinIgnoringRemovals(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers) {
  Cell lame = from;
  lame.context = ContextOfEntries(from);
  lame.removed.clear();
  return Join(into, lame, merge, losers);
}

bool JoinResurrecting(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers) {
  Cell forgetful = into;
  forgetful.context = ContextOfEntries(into);
  forgetful.removed.clear();
  const bool changed = Join(forgetful, from, merge, losers);
  forgetful.context.Join(into.context);
  into = forgetful;
  return changed;
}

bool JoinWithoutFloors(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers) {
  Cell lame = from;
  lame.removed.clear();
  return Join(into, lame, merge, losers);
}

bool JoinTakingAnyFloor(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers) {
  const bool changed = Join(into, from, merge, losers);
  for (const Entry& floor : from.removed) {
    for (Entry& mine : into.removed) {
      if (mine.dot.actor == floor.dot.actor) mine = floor;
    }
  }
  return changed;
}

bool JoinDroppingHidden(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers) {
  const bool changed = Join(into, from, merge, losers);
  const Entry* visible = Visible(into, merge);
  if (visible == nullptr) return changed;
  const Dot keep = visible->dot;
  std::erase_if(into.entries, [&](const Entry& entry) { return entry.value && entry.dot != keep; });
  return changed;
}

bool JoinReportingArrivalsOnly(Cell& into, const Cell& from, Merge merge,
                               std::vector<Loser>* losers) {
  std::vector<Loser> all;
  const bool changed = Join(into, from, merge, &all);
  std::erase_if(
      all, [&](const Loser& loser) { return !ContextOfEntries(from).Covers(loser.entry.dot); });
  if (losers != nullptr) losers->insert(losers->end(), all.begin(), all.end());
  return changed;
}

bool JoinAddingSums(Cell& into, const Cell& from, Merge merge, std::vector<Loser>* losers) {
  for (const Entry& entry : from.entries) {
    for (Entry& mine : into.entries) {
      if (entry.run > 0 && mine.dot == entry.dot && mine.run > 0) mine.integer += entry.integer;
    }
  }
  return Join(into, from, merge, losers);
}

TEST(Mutants, EveryOneIsKilled) {
  const std::vector<Mutant> mutants = {
      {"the context is not joined", JoinWithoutContext},
      {"removals do not remove", JoinIgnoringRemovals},
      {"removed entries come back", JoinResurrecting},
      {"floors are not joined", JoinWithoutFloors},
      {"an older floor replaces a newer", JoinTakingAnyFloor},
      {"hidden values are dropped", JoinDroppingHidden},
      {"only arriving losers are reported", JoinReportingArrivalsOnly},
      {"a sum counts again when it arrives again", JoinAddingSums},
  };
  for (const Mutant& mutant : mutants) {
    bool killed = false;
    for (std::uint64_t seed = 0; seed < 3000 && !killed; ++seed) {
      killed = !Judge(seed, OptionsOf(seed), mutant.join).empty();
    }
    EXPECT_TRUE(killed) << mutant.name;
  }
}

}  // namespace
}  // namespace coterie::crdt

#include "replication/leaderless/reconciliation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/random.h"

namespace coterie::leaderless {
namespace {

using Cells = std::map<std::string, std::string>;

Summary Summarise(const Cells& cells, const std::string& from, const std::string& to) {
  Summariser summariser(from);
  for (auto at = cells.lower_bound(from); at != cells.end() && (to.empty() || at->first < to); ++at)
    summariser.Add(at->first, at->second);
  return summariser.Finish();
}

Fingerprint PrintOf(const Cells& cells, const std::string& from, const std::string& to) {
  Fingerprint print;
  for (auto at = cells.lower_bound(from); at != cells.end() && (to.empty() || at->first < to); ++at)
    print.Add(IdOf(at->first, at->second));
  return print;
}

/// What a replica does with the other's summaries, without the network.
struct Reconciled {
  const Cells& mine;
  const Cells& theirs;
  Difference difference;
  int rounds = 0;
  std::size_t listed = 0;

  void Run() {
    std::vector<std::pair<std::string, std::string>> ranges{{"", ""}};
    while (!ranges.empty()) {
      ++rounds;
      std::vector<std::pair<std::string, std::string>> next;
      for (const auto& [from, to] : ranges) {
        const Summary summary = Summarise(theirs, from, to);
        if (summary.parts.empty()) {
          std::vector<Item> items;
          for (auto at = mine.lower_bound(from); at != mine.end() && (to.empty() || at->first < to);
               ++at)
            items.push_back({at->first, IdOf(at->first, at->second)});
          Compare(items, summary.items, difference);
          listed += summary.items.size();
        }
        EXPECT_TRUE(summary.parts.empty() || summary.parts.front().from == from);
        for (std::size_t i = 0; i < summary.parts.size(); ++i) {
          const std::string end = i + 1 < summary.parts.size() ? summary.parts[i + 1].from : to;
          if (PrintOf(mine, summary.parts[i].from, end) != summary.parts[i].fingerprint)
            next.emplace_back(summary.parts[i].from, end);
        }
      }
      ranges = std::move(next);
    }
  }
};

Difference Naive(const Cells& mine, const Cells& theirs) {
  Difference difference;
  for (const auto& [key, cell] : mine) {
    const auto other = theirs.find(key);
    if (other == theirs.end() || other->second != cell) difference.offered.push_back(key);
  }
  for (const auto& [key, cell] : theirs) {
    const auto other = mine.find(key);
    if (other == mine.end() || other->second != cell) difference.wanted.push_back(key);
  }
  return difference;
}

// Claim: whatever two sets of cells differ in is found, exactly; with few differences in many cells
// only a few of them are listed, in a few rounds.
TEST(Reconciliation, FindsExactlyTheDifference) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    Cells mine;
    const std::uint64_t size = random.Below(seed % 5 == 0 ? 20000 : 300);
    for (std::uint64_t i = 0; i < size; ++i) {
      mine[std::string(random.Below(3), 'p') + std::to_string(random.Below(1u << 20))] =
          std::to_string(random.Below(50));
    }
    Cells theirs = mine;
    const std::uint64_t changes = random.Below(8);
    for (std::uint64_t i = 0; i < changes; ++i) {
      Cells& side = random.Chance(0.5) ? mine : theirs;
      const std::string key = std::to_string(random.Below(1u << 20));
      if (random.Chance(0.5) || side.empty()) {
        side[key] = "new";
      } else {
        auto at = side.lower_bound(key);
        if (at == side.end()) at = side.begin();
        if (random.Chance(0.5)) {
          side.erase(at);
        } else {
          at->second += "x";
        }
      }
    }
    Reconciled run{mine, theirs, {}};
    run.Run();
    Difference naive = Naive(mine, theirs);
    for (auto* keys :
         {&run.difference.wanted, &run.difference.offered, &naive.wanted, &naive.offered})
      std::ranges::sort(*keys);
    ASSERT_EQ(run.difference.wanted, naive.wanted) << "seed " << seed;
    ASSERT_EQ(run.difference.offered, naive.offered) << "seed " << seed;
    EXPECT_LE(run.rounds, 6);
    EXPECT_LE(run.listed, Summariser::kListedMax * (changes + 1));
  }
}

// Claim: the parts of a large range hold about the same number of items each.
TEST(Reconciliation, CutsEvenly) {
  for (const std::uint64_t size : {49u, 100u, 129u, 1000u, 4097u, 20000u}) {
    Cells cells;
    for (std::uint64_t i = 0; i < size; ++i) cells[std::to_string(1000000 + i)] = "x";
    const Summary summary = Summarise(cells, "", "");
    ASSERT_EQ(summary.parts.size(), Summariser::kParts);
    std::uint64_t total = 0;
    for (const auto& part : summary.parts) {
      total += part.fingerprint.count;
      EXPECT_LE(part.fingerprint.count, size / 8 + 1) << size;
    }
    EXPECT_EQ(total, size);
  }
}

// Claim: a fingerprint does not depend on the order, and tells where key and cell meet.
TEST(Reconciliation, FingerprintsAreOfSets) {
  Fingerprint one, two, sum;
  one.Add(IdOf("a", "1"));
  one.Add(IdOf("b", "2"));
  two.Add(IdOf("b", "2"));
  sum.Add(two);
  two.Add(IdOf("a", "1"));
  EXPECT_EQ(one, two);
  EXPECT_NE(one, sum);
  EXPECT_NE(IdOf("ab", "c"), IdOf("a", "bc"));
  EXPECT_NE(IdOf("a", ""), IdOf("", "a"));
}

}  // namespace
}  // namespace coterie::leaderless

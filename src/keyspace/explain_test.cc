#include "keyspace/explain.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

namespace coterie::keyspace {
namespace {

Promise Completed(Promise promise) {
  auto completed = Complete(std::move(promise));
  EXPECT_TRUE(completed.has_value());
  return completed.value_or(Promise{});
}

/// Every promise with up to five replicas.
std::vector<Promise> SmallPromises() {
  std::vector<Promise> all;
  for (std::uint32_t n = 1; n <= 5; ++n) {
    all.push_back(Completed({.name = "r", .replicas = n}));
    all.push_back(Completed({.name = "p", .replication = Replication::kPaxos, .replicas = n}));
    for (std::uint32_t r = 1; r <= n; ++r) {
      for (std::uint32_t w = 1; w <= n; ++w) {
        for (const auto conflict : {Conflict::kLww, Conflict::kSiblings, Conflict::kCrdt}) {
          for (const auto durability : {Durability::kQuorumFsync, Durability::kOneFsync,
                                        Durability::kInterval, Durability::kMemory}) {
            all.push_back({.name = "l",
                           .replication = Replication::kLeaderless,
                           .replicas = n,
                           .read = r,
                           .write = w,
                           .conflict = conflict,
                           .durability = durability,
                           .shards = 16});
          }
        }
      }
    }
  }
  return all;
}

/// The sets of at least `size` replicas among n, as bits.
std::vector<std::uint32_t> SetsOf(std::uint32_t n, std::uint32_t size) {
  std::vector<std::uint32_t> sets;
  for (std::uint32_t set = 0; set < 1u << n; ++set) {
    if (static_cast<std::uint32_t>(std::popcount(set)) >= size) sets.push_back(set);
  }
  return sets;
}

const std::string* AnswerTo(const Explanation& explanation, std::string_view what) {
  for (const auto& section : explanation.sections) {
    for (const auto& row : section.rows) {
      if (row.what == what) return &row.answer;
    }
  }
  return nullptr;
}

// Quorums are said to meet exactly if no read set misses a write set, tried one by one; and a
// number of losses is survived exactly if every set that is left still holds a quorum.
TEST(Explain, NumbersAgreeWithEnumeration) {
  for (const Promise& promise : SmallPromises()) {
    const Quorums quorums = QuorumsOf(promise);
    bool meet = true;
    for (const std::uint32_t read : SetsOf(quorums.replicas, quorums.read)) {
      for (const std::uint32_t write : SetsOf(quorums.replicas, quorums.write)) {
        meet = meet && (read & write) != 0;
      }
    }
    EXPECT_EQ(quorums.ReadsMeetWrites(), meet) << Summary(promise);
    for (std::uint32_t lost = 0; lost <= quorums.replicas; ++lost) {
      const std::uint32_t left = quorums.replicas - lost;
      EXPECT_EQ(lost <= quorums.ReadsSurvive(), left >= quorums.read) << Summary(promise);
      EXPECT_EQ(lost <= quorums.WritesSurvive(), left >= quorums.write) << Summary(promise);
    }
  }
}

// The rows about sides of a partition cover each size once, and say what the numbers say.
TEST(Explain, EverySideOfAPartitionIsNamed) {
  for (const Promise& promise : SmallPromises()) {
    const Explanation explanation = Explain(promise);
    const Quorums quorums = QuorumsOf(promise);
    std::uint32_t next = 1;
    for (const auto& row : explanation.sections[2].rows) {
      unsigned first = 0;
      unsigned last = 0;
      if (std::sscanf(row.what.c_str(), "a side with %u to %u of", &first, &last) != 2) {
        if (std::sscanf(row.what.c_str(), "a side with %u of", &first) != 1) continue;
        last = first;
      }
      EXPECT_EQ(first, next) << explanation.heading;
      for (std::uint32_t side = first; side <= last; ++side) {
        EXPECT_EQ(row.answer.starts_with("reads"), side >= quorums.read) << row.answer;
        const bool writes = row.answer.starts_with("writes;") || row.answer == "reads and writes";
        EXPECT_EQ(writes, side >= quorums.write) << row.answer;
      }
      next = last + 1;
    }
    EXPECT_EQ(next, promise.replicas + 1) << explanation.heading;
  }
}

// Every promise has an answer in every row: no row is empty and no unknown value shows.
TEST(Explain, NoRowIsEmpty) {
  for (const Promise& promise : SmallPromises()) {
    const Explanation explanation = Explain(promise);
    EXPECT_EQ(explanation.sections.size(), 5u);
    for (const auto& section : explanation.sections) {
      EXPECT_GE(section.rows.size(), 2u) << section.title;
      for (const auto& row : section.rows) {
        EXPECT_FALSE(row.answer.empty()) << row.what;
        EXPECT_NE(row.answer, "?") << row.what;
        EXPECT_LE(row.what.size(), 23u) << row.what;
      }
    }
  }
}

// R=W=1 of 3 says that reads may miss writes, R=W=2 of 3 that they meet them.
TEST(Explain, OverlapDecidesWhatAReaderSees) {
  Promise promise{.name = "cart",
                  .replication = Replication::kLeaderless,
                  .replicas = 3,
                  .read = 1,
                  .write = 1,
                  .conflict = Conflict::kCrdt,
                  .shards = 16};
  EXPECT_TRUE(AnswerTo(Explain(promise), "reads")
                  ->starts_with("R + W = 1 + 1 <= N = 3: a read "
                                "may miss"));
  EXPECT_EQ(*AnswerTo(Explain(promise), "a side with 1 to 3 of 3"), "reads and writes");
  promise.read = promise.write = 2;
  EXPECT_TRUE(AnswerTo(Explain(promise), "reads")
                  ->starts_with("R + W = 2 + 2 > N = 3: a read "
                                "meets"));
  EXPECT_EQ(*AnswerTo(Explain(promise), "writes survive"), "1 replica lost");
}

// What conditional commands of an lww keyspace see of plain writes follows from W; nobody else
// speaks of them.
TEST(Explain, ConditionalCommandsUnderLww) {
  Promise promise{.name = "x",
                  .replication = Replication::kLeaderless,
                  .replicas = 3,
                  .read = 1,
                  .write = 1,
                  .conflict = Conflict::kLww,
                  .shards = 16};
  const auto says = [&](std::string_view text) {
    return AnswerTo(Explain(promise), "conditional commands")->contains(text);
  };
  EXPECT_TRUE(says("linearizable against each other"));
  EXPECT_TRUE(says("may miss one that was just acknowledged"));
  promise.write = 2;
  EXPECT_TRUE(says("were acknowledged before it began"));
  promise.conflict = Conflict::kCrdt;
  EXPECT_EQ(AnswerTo(Explain(promise), "conditional commands"), nullptr);
}

// What a crash can take follows from the durability and W.
TEST(Explain, LossesInCrashes) {
  Promise promise{.name = "x",
                  .replication = Replication::kLeaderless,
                  .replicas = 3,
                  .read = 1,
                  .write = 2,
                  .conflict = Conflict::kLww,
                  .durability = Durability::kInterval,
                  .shards = 16};
  EXPECT_EQ(*AnswerTo(Explain(promise), "in crashes"),
            "writes of up to the last second, if all 2 replicas that have them crash at once");
  promise.write = 1;
  EXPECT_EQ(*AnswerTo(Explain(promise), "in crashes"),
            "writes of up to the last second, if the one replica that has them crashes");
  promise.durability = Durability::kQuorumFsync;
  EXPECT_TRUE(AnswerTo(Explain(promise), "in crashes")->starts_with("nothing"));
}

// An even number of voters is allowed, with a note; so are R = N and W = N.
TEST(Explain, Notes) {
  const auto notes = [](const Promise& promise) {
    std::string text;
    for (const std::string& note : Explain(promise).notes) text += note + "\n";
    return text;
  };
  EXPECT_EQ(notes(Completed({.name = "a", .replicas = 3})), "");
  EXPECT_EQ(notes(Completed({.name = "a", .replicas = 4})),
            "4 replicas survive no more failures than 3: a majority of 4 is 3.\n");
  Promise all{.name = "a", .replication = Replication::kLeaderless, .read = 1, .write = 3};
  EXPECT_EQ(notes(Completed(all)), "W = N: one slow or lost replica stops every write.\n");
}

// The text is a table that fits the width, with every row in it.
TEST(Explain, TextFitsTheScreen) {
  for (const Promise& promise : SmallPromises()) {
    const Explanation explanation = Explain(promise);
    const std::string text = ToText(explanation, 100);
    for (const auto& section : explanation.sections) {
      EXPECT_NE(text.find("\n" + section.title + "\n"), std::string::npos);
      for (const auto& row : section.rows) {
        EXPECT_NE(text.find("\n  " + row.what + " "), std::string::npos) << row.what;
      }
    }
    std::size_t start = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos;
         start = end + 1, end = text.find('\n', start)) {
      EXPECT_LE(end - start, 100u) << text.substr(start, end - start);
    }
  }
}

}  // namespace
}  // namespace coterie::keyspace

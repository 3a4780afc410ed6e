#pragma once

// For this room's tests: what several connections send while a transaction is under way goes
// together in the next one, and must be what it would have been one after the other.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "door/redis/ordered_fixture.h"
#include "door/redis/ordered_layout.h"
#include "door/redis/ordered_view.h"
#include "door/redis/random_commands.h"

namespace coterie::door::redis {

class OrderedBatches : public OrderedTest {
 protected:
  static constexpr std::size_t kConnections = 6;

  /// One round after the other, each on what the last one left: the first difference, or "".
  std::string RunRaft(std::uint64_t seed, int rounds) {
    OrderedCommands alone(world, {[this](std::string_view) { return &second; }, {}, {}});
    Generator generator(seed);
    Random random(seed);
    std::vector<std::unique_ptr<Client>> together, apart;
    for (std::size_t i = 0; i <= kConnections; ++i) {
      together.push_back(Connect());
      apart.push_back(Connect());
    }
    const auto both = [&](std::size_t at, const OwnedWords& words) {
      const std::string one = Raw(*together[at], words);
      const std::string two = RawOn(alone, *apart[at], words);
      return one == two ? "" : fmt::format("{}: {} | {}", words, one, two);
    };
    for (int round = 0; round < rounds; ++round) {
      if (random.Below(20) == 0) world.executor().Advance(Duration(100s));
      std::vector<OwnedWords> batch;
      for (std::size_t at = 1; at <= kConnections; ++at) {
        batch.push_back(OneOfBatch(generator, random));
        if (batch.back().front() != "EXEC") continue;
        std::vector<OwnedWords> before;
        if (random.Chance(0.7)) before.push_back({"WATCH", "k0", "k1"});
        if (random.Chance(0.2)) before.push_back(Change(generator));
        before.push_back({"MULTI"});
        before.push_back(Change(generator));
        for (std::uint64_t i = random.Below(3); i > 0; --i) before.push_back(Queued(generator));
        for (const OwnedWords& words : before) {
          const std::string difference = both(at, words);
          if (!difference.empty()) return fmt::format("round {}: before: {}", round, difference);
        }
      }
      // What is under way while the others come: on their key, which it does not change.
      for (const OwnedWords& words : {OwnedWords{"MULTI"}, OwnedWords{"SETNX", "k0", "plug"},
                                      OwnedWords{"INCR", "plugged"}}) {
        const std::string difference = both(0, words);
        if (!difference.empty()) return fmt::format("round {}: {}", round, difference);
      }
      node.hold_proposals = true;
      Begin(*together[0], {"EXEC"});
      for (std::size_t at = 1; at <= kConnections; ++at) Begin(*together[at], batch[at - 1]);
      world.executor().Settle();
      node.Release();
      world.executor().Settle();
      RawOn(alone, *apart[0], {"EXEC"});
      for (std::size_t at = 1; at <= kConnections; ++at) {
        const std::string reply = together[at]->reply.value_or("<none>");
        const std::string expected = RawOn(alone, *apart[at], batch[at - 1]);
        if (reply == expected) continue;
        return fmt::format("seed {}, round {}: {} of {}: {} | {}", seed, round, at, batch, reply,
                           expected);
      }
      const std::string one = Contents(node), two = Contents(second);
      if (one != two)
        return fmt::format("seed {}, round {}: {}: {} | {}", seed, round, batch, one, two);
    }
    return "";
  }

  /// Pipelines of one connection against the same commands one by one.
  std::string RunPipelines(const std::string& keyspace, std::uint64_t seed, int rounds) {
    LocalRegisters other;
    registers.values.clear();
    OrderedCommands alone(world, {[this](std::string_view) { return &second; },
                                  [&](std::string_view) { return &other; },
                                  {}});
    Generator generator(seed);
    Random random(seed);
    auto together = Connect(keyspace), apart = Connect(keyspace);
    for (int round = 0; round < rounds; ++round) {
      std::vector<OwnedWords> lines;
      const std::uint64_t size = 2 + random.Below(30);
      while (lines.size() < size) {
        OwnedWords words = Queued(generator);
        const Command& row = *FindCommand(words[0]);
        if (ordered::KeyspaceHandler(row.id) != nullptr) continue;
        if ((row.kinds & KindOf(map->Find(keyspace)->promise)) != 0) lines.push_back(words);
      }
      const auto replies = Pipeline(*together, lines);
      for (std::size_t i = 0; i < lines.size(); ++i) {
        const std::string expected = RawOn(alone, *apart, lines[i]);
        if (replies[i] == expected) continue;
        return fmt::format("seed {}, round {}, {} of {}: {} | {}", seed, round, i, lines,
                           replies[i], expected);
      }
      if (Contents(node) != Contents(second) || registers.values != other.values) {
        return fmt::format("seed {}, round {}: {} leave another state", seed, round, lines);
      }
    }
    return "";
  }

  etcd::FakeNode second{world};

 private:
  std::string RawOn(OrderedCommands& on, Client& client, const OwnedWords& words) {
    BeginOn(on, client, words);
    world.executor().Settle();
    return client.reply.value_or("<none>");
  }
  /// A command that changes k0, and says the same each time it is asked on the same state.
  static OwnedWords Change(Generator& generator) {
    for (;;) {
      OwnedWords words = generator.Next();
      const Command& row = *FindCommand(words[0]);
      if ((row.flags & kWrite) == 0 || row.first != 1 || !row.AcceptsWords(words.size())) continue;
      words[1] = "k0";
      return words;
    }
  }
  static OwnedWords Queued(Generator& generator) {
    static const std::set<std::string> kNot = {"MULTI", "EXEC", "DISCARD",
                                               "WATCH", "KEYS", "DBSIZE"};
    for (;;) {
      OwnedWords words = generator.Next();
      if (!kNot.contains(words[0]) && FindCommand(words[0])->AcceptsWords(words.size()))
        return words;
    }
  }
  static OwnedWords OneOfBatch(Generator& generator, Random& random) {
    return random.Chance(0.4) ? OwnedWords{"EXEC"} : Change(generator);
  }
  /// Everything in the store; of expiries the deadlines only, for revisions differ.
  static std::string Contents(etcd::FakeNode& of) {
    std::string out;
    const std::string expiries = ordered::Expiries().begin;
    const Status visited =
        of.store().VisitRange(std::string(1, '\0'), std::string(1, '\0'),
                              [&](std::string_view record, std::string_view value, auto) {
                                if (record.starts_with(expiries)) value = value.substr(0, 8);
                                out += fmt::format("{}={};", record, value);
                                return true;
                              });
    EXPECT_TRUE(visited.has_value());
    return out;
  }
};

}  // namespace coterie::door::redis

#include "keyspace/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"

namespace coterie::keyspace {
namespace {

using Row = Explanation::Row;
using Section = Explanation::Section;

std::string Count(std::uint32_t n, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}
std::string Replicas(std::uint32_t n) { return Count(n, "replica", "replicas"); }
std::string RoundTrips(std::uint32_t n) { return Count(n, "round trip", "round trips"); }

std::string Survives(std::uint32_t n) {
  return n == 0 ? "none: the loss of any replica stops them" : Replicas(n) + " lost";
}

// -- what a reader may observe -------------------------------------------------------------------

Section ObservedInOrder(const Promise& promise) {
  Section section{"What a reader may observe", {}};
  section.rows.push_back(
      {"reads",
       "linearizable: the newest acknowledged write, wherever it was made; no reader "
       "sees an older value after a newer one"});
  if (promise.replication == Replication::kRaft) {
    section.rows.push_back({"on request",
                            "serializable reads of one replica's state: possibly stale, also "
                            "without a majority"});
    section.rows.push_back({"several keys", "one order for the whole keyspace; transactions"});
  } else {
    section.rows.push_back({"on request", "nothing weaker is offered"});
    section.rows.push_back({"several keys",
                            "each key is a register of its own; no order between "
                            "keys"});
  }
  section.rows.push_back({"concurrent writes", "ordered before they are answered; none is lost"});
  return section;
}

std::string ConcurrentWrites(Conflict conflict) {
  switch (conflict) {
    case Conflict::kSiblings:
      return "all values stay as siblings, at most 100 a key, until a write that has seen them "
             "replaces them";
    case Conflict::kCrdt:
      return "merged: additions to counters all count, members added to sets stay (add wins over "
             "a concurrent remove), fields merge one by one; of assignments to one string or "
             "field the greatest (time, dot) stays";
    case Conflict::kLww:
    case Conflict::kNone:
      return "of assignments to one key or field the greatest (time, dot) stays; the others are "
             "dropped";
  }
  return "?";
}

/// SETNX and its like, which agree by ballots of a majority, whatever R and W are.
std::string ConditionalCommands(const Promise& promise, const Quorums& quorums) {
  const std::uint32_t majority = quorums.replicas / 2 + 1;
  std::string text =
      "SETNX, GETSET, GETDEL, SET with NX, XX or GET: linearizable against each other, at every "
      "node, at any R and W; each sees the plain writes that ";
  text += quorums.write >= majority
              ? "were acknowledged before it began"
              : fmt::format(
                    "have spread to {} replicas, and may miss one that was just "
                    "acknowledged",
                    majority);
  text += "; a plain write at the same time, or by a slower clock, wins or loses by its time";
  if (promise.durability != Durability::kQuorumFsync)
    text += "; a write that crashes take may be decided again";
  return text;
}

Section ObservedInMerge(const Promise& promise, const Quorums& quorums) {
  Section section{"What a reader may observe", {}};
  const std::string sum = fmt::format("R + W = {} + {} {} N = {}", quorums.read, quorums.write,
                                      quorums.ReadsMeetWrites() ? ">" : "<=", quorums.replicas);
  section.rows.push_back(
      {"reads", quorums.ReadsMeetWrites()
                    ? sum + ": a read meets every write that was acknowledged before it began, "
                            "and sees it or what it was merged into or lost against"
                    : sum + ": a read may miss acknowledged writes that have not spread yet; "
                            "without faults they spread within milliseconds"});
  section.rows.push_back(
      {"writes under way", "one reader may see them and a later one, elsewhere, not yet"});
  section.rows.push_back({"several keys",
                          "what one command changes within a shard becomes visible together; no "
                          "order between shards"});
  section.rows.push_back({"concurrent writes", ConcurrentWrites(promise.conflict)});
  if (promise.conflict == Conflict::kLww)
    section.rows.push_back({"conditional commands", ConditionalCommands(promise, quorums)});
  section.rows.push_back({"in the end",
                          "replicas that have the same mutations hold the same "
                          "values (`coterie keyspace digest`)"});
  return section;
}

// -- who agrees ----------------------------------------------------------------------------------

std::string OnDisk(const Promise& promise, const Quorums& quorums) {
  switch (promise.durability) {
    case Durability::kQuorumFsync:
      return fmt::format("on {} before the answer", quorums.write == 1
                                                        ? std::string("one disk")
                                                        : fmt::format("{} disks", quorums.write));
    case Durability::kOneFsync:
      return quorums.write == 1
                 ? "on one disk before the answer"
                 : fmt::format(
                       "on the coordinator's disk before the answer; in memory on the "
                       "other {}",
                       quorums.write - 1);
    case Durability::kInterval:
      return "in memory before the answer, on disk within a second";
    case Durability::kMemory:
      return "in memory before the answer, on disk whenever it is convenient";
  }
  return "?";
}

Section Agreement(const Promise& promise, const Quorums& quorums) {
  Section section{"Who agrees before an answer", {}};
  switch (promise.replication) {
    case Replication::kRaft:
      section.rows.push_back(
          {"a write", fmt::format("a leader orders it in one log; {} of {} replicas have it",
                                  quorums.write, quorums.replicas)});
      section.rows.push_back(
          {"a read", fmt::format("{} of {} replicas confirm that the leader still leads",
                                 quorums.read, quorums.replicas)});
      break;
    case Replication::kPaxos:
      section.rows.push_back(
          {"a write", fmt::format("{} of {} replicas accept it under one ballot; no leader",
                                  quorums.write, quorums.replicas)});
      section.rows.push_back({"a read", fmt::format("{} of {} replicas answer with one value, or "
                                                    "the newest is accepted once more",
                                                    quorums.read, quorums.replicas)});
      break;
    case Replication::kLeaderless:
      section.rows.push_back(
          {"a write", quorums.write == 1
                          ? fmt::format("sent to all {}; 1 has it", Replicas(quorums.replicas))
                          : fmt::format("sent to all {}; {} of distinct failure domains have it",
                                        Replicas(quorums.replicas), quorums.write)});
      section.rows.push_back(
          {"a read", quorums.read == 1
                         ? std::string("nobody but the replica that answers")
                         : fmt::format("{} of {} replicas are asked and joined; the one that "
                                       "answers is repaired first",
                                       quorums.read, quorums.replicas)});
      break;
  }
  section.rows.push_back({"on disk", OnDisk(promise, quorums)});
  return section;
}

// -- faults --------------------------------------------------------------------------------------

std::string SideText(bool reads, bool writes, bool leaderless) {
  if (reads && writes) return "reads and writes";
  if (reads) return leaderless ? "reads; writes fail, outcome unknown (COT-1013)" : "reads";
  if (writes) return "writes; reads are refused (COT-1013)";
  return leaderless ? "neither: refused, or outcome unknown for writes (COT-1013)"
                    : "neither: refused at once";
}

/// One row for each stretch of sides that behave alike: "1 of 3", "2 to 3 of 3".
void AppendSides(const Promise& promise, const Quorums& quorums, Section& section) {
  const bool leaderless = promise.replication == Replication::kLeaderless;
  std::uint32_t first = 1;
  for (std::uint32_t side = 1; side <= quorums.replicas; ++side) {
    const auto answer = [&](std::uint32_t k) {
      return SideText(k >= quorums.read, k >= quorums.write, leaderless);
    };
    if (side < quorums.replicas && answer(side + 1) == answer(side)) continue;
    const std::string range =
        first == side ? fmt::format("{}", side) : fmt::format("{} to {}", first, side);
    section.rows.push_back(
        {fmt::format("a side with {} of {}", range, quorums.replicas), answer(side)});
    first = side + 1;
  }
}

Section Faults(const Promise& promise, const Quorums& quorums) {
  Section section{"Under which faults it stops answering", {}};
  section.rows.push_back({"reads survive", Survives(quorums.ReadsSurvive())});
  section.rows.push_back({"writes survive", Survives(quorums.WritesSurvive())});
  AppendSides(promise, quorums, section);
  switch (promise.replication) {
    case Replication::kRaft:
      section.rows.push_back({"the leader is lost",
                              "nothing is answered until another is elected: one to two election "
                              "timeouts"});
      section.rows.push_back({"a clock is wrong",
                              "no effect on agreement; leases may end early "
                              "or late"});
      break;
    case Replication::kPaxos:
      section.rows.push_back({"any node is lost", "no pause: there is no leader to replace"});
      section.rows.push_back({"a clock is wrong",
                              "no effect on agreement; expiry may come early "
                              "or late"});
      break;
    case Replication::kLeaderless:
      section.rows.push_back({"any node is lost", "no pause: any replica takes requests"});
      if (promise.conflict == Conflict::kLww) {
        section.rows.push_back(
            {"conditional commands",
             fmt::format("served on a side with {} of {}, whatever R and W are; else refused "
                         "(COT-1013)",
                         std::max(quorums.write, quorums.replicas / 2 + 1), quorums.replicas)});
      }
      section.rows.push_back(
          {"a node has no replica",
           quorums.ReadsMeetWrites()
               ? "it asks one that has; of one that is late for 100 ms another is asked as well"
               : "it asks one that has, the same as long as that answers within 100 ms; then "
                 "another, which may lack what this connection wrote or was shown last"});
      section.rows.push_back(
          {"a clock is wrong",
           promise.conflict == Conflict::kSiblings
               ? "no write is lost by it; one more than 10 s ahead is refused (COT-1015)"
               : "a later assignment may lose against an earlier one whose clock was ahead; one "
                 "more than 10 s ahead is refused (COT-1015)"});
      break;
  }
  return section;
}

// -- costs ---------------------------------------------------------------------------------------

/// Fsyncs that one write waits for, one after the other and in all.
std::string WriteSyncs(const Promise& promise, const Quorums& quorums) {
  switch (promise.durability) {
    case Durability::kQuorumFsync:
      if (quorums.write == 1) return "waits for 1 fsync; writes of one moment share it";
      return fmt::format("waits for {} at the same time; writes of one moment share them",
                         fmt::format("{} fsyncs", quorums.write));
    case Durability::kOneFsync:
      return "waits for 1 fsync; writes of one moment share it";
    case Durability::kInterval:
      return "waits for none; about one a second and replica";
    case Durability::kMemory:
      return "waits for none";
  }
  return "?";
}

Section Costs(const Promise& promise, const Quorums& quorums) {
  Section section{"What it costs", {}};
  const bool alone = quorums.replicas == 1;
  switch (promise.replication) {
    case Replication::kRaft:
      section.rows.push_back({"a write", alone ? "no round trip between nodes"
                                               : "1 round trip between nodes at the leader, 2 "
                                                 "elsewhere"});
      section.rows.push_back({"a read", alone ? "no round trip between nodes"
                                              : "1 round trip between nodes at the leader, 2 "
                                                "elsewhere; shared by reads of one moment"});
      break;
    case Replication::kPaxos:
      section.rows.push_back({"a write", alone ? "no round trip between nodes"
                                               : "2 round trips between nodes: prepare, accept; "
                                                 "more when writers of one key collide"});
      section.rows.push_back({"a read", alone ? "no round trip between nodes"
                                              : "1 round trip between nodes, 2 when replicas "
                                                "differ"});
      break;
    case Replication::kLeaderless: {
      const auto trips = [](std::uint32_t waits_for) {
        return waits_for == 1 ? std::string("no round trip between nodes at a replica, 1 elsewhere")
                              : RoundTrips(1) + " between nodes at a replica, 2 elsewhere";
      };
      section.rows.push_back({"a write", trips(quorums.write)});
      section.rows.push_back({"a read", trips(quorums.read)});
      break;
    }
  }
  section.rows.push_back({"a write's fsyncs", promise.replication == Replication::kPaxos
                                                  ? "one after each round trip, on each of the "
                                                    "majority at the same time"
                                                  : WriteSyncs(promise, quorums)});
  section.rows.push_back({"space", Count(quorums.replicas, "copy", "copies") + " of each value" +
                                       (promise.replication == Replication::kLeaderless
                                            ? "; removed keys leave a tombstone until every "
                                              "replica knows"
                                            : "")});
  return section;
}

// -- losses --------------------------------------------------------------------------------------

std::string LostInCrash(const Promise& promise, const Quorums& quorums) {
  const bool one = quorums.write == 1;
  const std::string holders = one ? std::string("the one replica that has it")
                                  : fmt::format("all {} replicas that have it", quorums.write);
  const std::string crash =
      one ? "the one replica that has them crashes"
          : fmt::format("all {} replicas that have them crash at once", quorums.write);
  switch (promise.durability) {
    case Durability::kQuorumFsync:
      return fmt::format("nothing; a write is lost with the {} of {}", one ? "disk" : "disks",
                         holders);
    case Durability::kOneFsync:
      if (one) return fmt::format("nothing; a write is lost with the disk of {}", holders);
      return fmt::format(
          "nothing, unless the coordinator's disk is lost and the other {} crash before they have "
          "written it",
          quorums.write - 1);
    case Durability::kInterval:
      return fmt::format("writes of up to the last second, if {}", crash);
    case Durability::kMemory:
      return fmt::format("writes that are not on disk yet, if {}", crash);
  }
  return "?";
}

Section Losses(const Promise& promise, const Quorums& quorums) {
  Section section{"What is lost, and how it is counted", {}};
  section.rows.push_back({"in crashes", LostInCrash(promise, quorums)});
  if (promise.replication != Replication::kLeaderless) {
    section.rows.push_back({"in partitions", "nothing that was acknowledged"});
    section.rows.push_back({"counted",
                            "an error says `not applied` or `outcome unknown`; there "
                            "is nothing else to count"});
    return section;
  }
  if (promise.conflict == Conflict::kSiblings) {
    section.rows.push_back({"in races",
                            "nothing: a write that would make the 101st sibling is "
                            "refused (COT-4010)"});
    section.rows.push_back({"counted", "what has not spread yet: `coterie status`"});
    return section;
  }
  section.rows.push_back(
      {"in races", promise.conflict == Conflict::kCrdt
                       ? "of concurrent assignments to one string or field all but one; nothing "
                         "of counters and sets"
                       : "of concurrent assignments to one key or field all but one"});
  section.rows.push_back({"counted", fmt::format("every loser, its value and its winner: `coterie "
                                                 "keyspace conflicts {}`",
                                                 promise.name)});
  return section;
}

std::vector<std::string> NotesOn(const Promise& promise, const Quorums& quorums) {
  std::vector<std::string> notes;
  const bool majority = promise.replication != Replication::kLeaderless;
  if (quorums.replicas == 1) {
    notes.push_back("One replica survives no failure.");
  } else if (majority && quorums.replicas % 2 == 0) {
    notes.push_back(
        fmt::format("{} replicas survive no more failures than {}: a majority of {} is {}.",
                    quorums.replicas, quorums.replicas - 1, quorums.replicas, quorums.write));
  }
  if (!majority && quorums.replicas > 1 && quorums.write == quorums.replicas) {
    notes.push_back("W = N: one slow or lost replica stops every write.");
  }
  if (!majority && quorums.replicas > 1 && quorums.read == quorums.replicas) {
    notes.push_back("R = N: one slow or lost replica stops every read.");
  }
  if (promise.conflict == Conflict::kLww) {
    notes.push_back(
        "lww drops acknowledged writes without telling their writers; crdt and "
        "siblings do not where they can merge.");
  }
  return notes;
}

}  // namespace

Quorums QuorumsOf(const Promise& promise) {
  const std::uint32_t majority = promise.replicas / 2 + 1;
  if (promise.replication != Replication::kLeaderless) {
    return {.replicas = promise.replicas, .read = majority, .write = majority};
  }
  COT_ASSERT(promise.read >= 1 && promise.read <= promise.replicas);
  COT_ASSERT(promise.write >= 1 && promise.write <= promise.replicas);
  return {.replicas = promise.replicas, .read = promise.read, .write = promise.write};
}

std::string Summary(const Promise& promise) {
  if (promise.replication != Replication::kLeaderless) {
    return fmt::format("{}, N={}", ToText(promise.replication), promise.replicas);
  }
  return fmt::format("leaderless, N={} R={} W={}, conflict {}, durability {}", promise.replicas,
                     promise.read, promise.write, ToText(promise.conflict),
                     ToText(promise.durability));
}

Explanation Explain(const Promise& promise) {
  const Quorums quorums = QuorumsOf(promise);
  Explanation explanation{.heading = fmt::format("{}: {}, {}", promise.name, Summary(promise),
                                                 Count(promise.shards, "shard", "shards")),
                          .quorums = quorums};
  explanation.sections = {promise.replication == Replication::kLeaderless
                              ? ObservedInMerge(promise, quorums)
                              : ObservedInOrder(promise),
                          Agreement(promise, quorums), Faults(promise, quorums),
                          Costs(promise, quorums), Losses(promise, quorums)};
  explanation.notes = NotesOn(promise, quorums);
  return explanation;
}

}  // namespace coterie::keyspace

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "keyspace/promise.h"

namespace coterie::keyspace {

/// How many replicas an answer waits for, and what follows from the numbers alone.
struct Quorums {
  std::uint32_t replicas = 0;
  std::uint32_t read = 0;   ///< replicas that a read waits for
  std::uint32_t write = 0;  ///< replicas that an acknowledged write has reached
  /// Every read's replicas meet every acknowledged write's: R + W > N [Gifford §2].
  bool ReadsMeetWrites() const { return read + write > replicas; }
  /// Replicas that may be lost while reads, or writes, are still answered.
  std::uint32_t ReadsSurvive() const { return replicas - read; }
  std::uint32_t WritesSurvive() const { return replicas - write; }
};
/// Requires: `promise` is what Complete answers. A raft or paxos keyspace waits for a majority.
Quorums QuorumsOf(const Promise& promise);

/// A promise in words. Pure: the same promise always reads the same.
struct Explanation {
  struct Row {
    std::string what;  ///< a few words; the same for the same question
    std::string answer;
  };
  struct Section {
    std::string title;
    std::vector<Row> rows;
  };
  std::string heading;  ///< "cart: leaderless, N=3 R=1 W=1, conflict crdt, durability one-fsync"
  Quorums quorums;
  std::vector<Section> sections;
  std::vector<std::string> notes;  ///< what is allowed and yet worth a second thought
};

/// What a reader may observe, who agrees before an answer, under which faults it stops answering,
/// what it costs in round trips and fsyncs, what is lost and how that is counted. Requires:
/// `promise` is what Complete answers.
Explanation Explain(const Promise& promise);

/// As a table for a screen, lines of at most `width` characters where words allow it.
std::string ToText(const Explanation& explanation, std::size_t width = 100);

/// "raft, N=3" or "leaderless, N=3 R=2 W=2, conflict lww, durability quorum-fsync".
std::string Summary(const Promise& promise);

}  // namespace coterie::keyspace

#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "crdt/cell.h"

namespace coterie::crdt::testing {

/// The join under test: the real one, or one with a planted mistake.
using JoinFunction = std::function<bool(Cell&, const Cell&, Merge, std::vector<Loser>*)>;

/// One operation, for the oracle: it knows sets of operations, and neither dots nor contexts.
struct Operation {
  enum class Kind { kAssign, kAssignOver, kRemove, kAdd };
  Kind kind;
  Dot dot;
  HybridTime time;
  std::string value;
  std::int64_t amount = 0;
  std::set<int> replaced;  ///< operations whose effects it ends: all that its maker knew, or a part
  std::optional<std::string> overwrote;  ///< the value its maker saw as the visible one
};

/// When replicas forget tombstones.
enum class Forget {
  kNever,
  kStable,   ///< as README.md says
  kApplied,  ///< a mistake: when every replica has applied them
};

struct ExecutionOptions {
  int replicas = 3;
  int steps = 40;
  Merge merge = Merge::kLastWriter;
  bool siblings = false;  ///< assignments are AssignOver, and nothing is added
  double mutate = 0.4;    ///< chance that a step is a mutation; else something arrives
  double amended = 0.2;   ///< chance that a mutation changes the cell once more
  /// With any but kNever deltas arrive once, as a replica's applied vector sees to.
  Forget forget = Forget::kNever;
};

/// A random history of one cell on some replicas: mutations, deltas that arrive late, again, or
/// only as part of somebody's state. Every replica has one cell and the set of operations in it.
class Execution {
 public:
  Execution(Random random, ExecutionOptions options, JoinFunction join);

  /// Runs it. Answers "" or the first disagreement with the oracle.
  std::string Run();
  /// Delivers everything everywhere, and to one more replica all deltas in any order; answers "" or
  /// what is wrong with the end.
  std::string Converge();

  /// Cells that occurred: replicas' states and deltas.
  const std::vector<Cell>& reachable() const { return reachable_; }
  int forgotten() const { return forgotten_; }

 private:
  struct Replica {
    clock::Actor actor;
    Cell cell;
    std::set<int> known;                            ///< operations in `cell`, or superseded there
    std::vector<std::size_t> received;              ///< mutations joined, of each replica, in order
    std::vector<std::vector<std::size_t>> reports;  ///< what others had received, when they said so
    std::uint64_t counter = 0;
    std::uint64_t time = 0;
    std::vector<Loser> losers;
  };
  struct Mutation {
    Dot dot;
    Cell delta;
    std::set<int> operations;
  };

  void Mutate(std::size_t at);
  Cell Make(Replica& replica, Dot dot, HybridTime time);
  void Learn(Replica& replica, const Mutation& mutation);
  void DeliverDelta(std::size_t to, std::size_t from);
  void JoinState(std::size_t to, std::size_t from);
  void MaybeForget(Replica& replica);
  std::string Check(const Replica& replica) const;
  std::string CheckAnyOrder();
  std::string CheckLosers() const;
  std::set<int> Live(const std::set<int>& known) const;

  Random random_;
  ExecutionOptions options_;
  JoinFunction join_;
  std::vector<Replica> replicas_;
  std::vector<std::vector<Mutation>> made_;  ///< by replica
  std::vector<Operation> operations_;
  /// Contexts that clients have read, with the operations they stand for.
  std::vector<std::pair<VersionVector, std::set<int>>> reads_;
  std::vector<Cell> reachable_;
  int forgotten_ = 0;
};

}  // namespace coterie::crdt::testing

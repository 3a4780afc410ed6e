#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "check/history.h"

namespace coterie::check {

/// For tests: an atomic etcd-like store that fills in an operation's answers. Written apart from
/// the checkers' models so that one can judge the other.
class SimulatedStore {
 public:
  /// Applies `op` at this instant and fills in succeeded, revision and the taken branch's answers.
  void Apply(Operation& op);
  std::int64_t revision() const { return revision_; }
  const std::map<std::string, KeyValue>& live() const { return live_; }

 private:
  bool Holds(const Compare& compare) const;
  std::map<std::string, KeyValue> live_;
  std::int64_t revision_ = 1;
};

/// For tests: the shape of a random history.
struct HistoryShape {
  int operations = 6;
  int processes = 3;
  int keys = 2;
  int values = 3;         ///< few values: ambiguous; 0: every put writes its own
  double unknown = 0.2;   ///< of operations
  bool multi_key = true;  ///< transactions over several keys and ranges
  bool serializable = false;
};

/// For tests: a history of an atomic store: linearizable, whatever happened to its answers.
History ValidHistory(Random& random, const HistoryShape& shape);
/// For tests: changes something that was observed (an answer, a stamp, an instant).
void Mutate(Random& random, History& history);

/// For tests: the definition of linearizability, literally: some order of all answered operations
/// and of some unknown ones respects real time and replays on the store with the same answers (with
/// stamps: revisions and versions too). Exponential.
class BruteForce {
 public:
  BruteForce(const History& history, bool stamps);
  bool Linearizable() { return Extend({}); }

 private:
  bool SameAnswer(const Operation& recorded, const Operation& replayed) const;
  bool Extend(const SimulatedStore& store);

  bool stamps_;
  std::vector<Operation> ops_;
  std::vector<bool> used_;
};

}  // namespace coterie::check

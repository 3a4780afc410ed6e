#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check/history.h"
#include "check/wgl.h"

namespace coterie::check {

/// A small etcd store: some keys, transactions over them, and (with stamps) revisions. Answers are
/// compared with everything that the client was shown; without stamps only values and counts are.
class StoreModel {
 public:
  struct Cell {
    std::uint32_t value = 0;  ///< number of the value; 0 is absent
    std::int64_t version = 0;
    std::int64_t create = 0;
    std::int64_t mod = 0;  ///< kSomeRevision: written by an operation whose revision nobody saw
    friend bool operator==(const Cell&, const Cell&) = default;
  };
  struct State {
    std::vector<Cell> cells;  ///< one per key of the model, in key order
    std::int64_t floor = 0;   ///< the highest revision that an answer has shown
    friend bool operator==(const State&, const State&) = default;
  };
  static constexpr std::int64_t kSomeRevision = -1;

  /// `keys` sorted; `operations` touch no other key of the history, and must outlive the model.
  StoreModel(std::vector<std::string> keys, std::span<const Operation* const> operations,
             bool stamps);

  /// Why the recorded history cannot be judged by this model; empty if it can.
  const std::string& refusal() const { return refusal_; }

  State Initial() const { return {.cells = std::vector<Cell>(keys_.size())}; }
  bool Step(State& state, std::uint32_t i) const;
  bool Reads(std::uint32_t i) const { return ops_[i].reads; }
  Fingerprint Hash(const State& state) const;
  std::string DescribeState(const State& state) const;

 private:
  struct CompiledCompare {
    std::uint32_t cell;
    Compare::Target target;
    Compare::Relation relation;
    std::uint32_t value;  // numbered; 0 if no operation wrote it and none saw it
    std::int64_t number;
    bool decidable = true;
  };
  struct Seen {
    std::uint32_t cell;
    Cell shown;
  };
  struct CompiledStep {
    Step::Kind kind;
    std::uint32_t first;  // cells [first, last)
    std::uint32_t last;
    std::uint32_t value;
    bool shows;  // `seen` was answered
    std::int64_t count;
    std::vector<Seen> seen;
    bool foreign = false;  // it saw a key that is not of this model: no answer of ours fits
  };
  struct CompiledOp {
    std::vector<CompiledCompare> compares;
    std::vector<CompiledStep> success;
    std::vector<CompiledStep> failure;
    bool known = false;  // answered
    bool reads = false;  // answered, and wrote nothing
    bool succeeded = true;
    bool serializable = false;
    std::int64_t revision = 0;  // 0: not known
  };

  void ResolveRevisions(std::span<const Operation* const> operations);
  void IndexModRevisions(std::span<const Operation* const> operations);
  CompiledOp Compile(const Operation& op);
  CompiledStep Compile(const check::Step& step, bool answered);
  CompiledCompare Compile(const Compare& compare, bool known);
  std::uint32_t Number(std::string_view value);
  std::uint32_t CellOf(std::string_view key) const;
  bool Holds(const State& state, const CompiledCompare& compare) const;
  bool Run(State& state, const CompiledOp& op, const CompiledStep& step, bool& wrote) const;
  bool Shows(State& state, const CompiledStep& step) const;
  bool Stamp(State& state, const CompiledOp& op, bool wrote) const;

  bool stamps_;
  std::vector<std::string> keys_;
  std::vector<CompiledOp> ops_;
  std::map<std::string, std::uint32_t, std::less<>> numbers_;
  std::vector<std::string> names_;
  std::map<std::pair<std::string, std::int64_t>, std::string> value_at_mod_;
  std::map<const Operation*, std::int64_t> resolved_;
  std::string refusal_;
};

}  // namespace coterie::check

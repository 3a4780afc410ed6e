#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "storage/engine.h"

namespace coterie::model {

/// What an ordered keyspace holds: a deterministic fold over committed commands, with all its state
/// in an Engine. Two replicas that applied the same commands hold the same state and gave the same
/// results.
class StateMachine {
 public:
  /// The answer to one command, for the node where somebody waits for it.
  struct Answer {
    virtual ~Answer() = default;
  };
  struct Command {
    LogIndex index;
    Term term;
    std::string_view payload;  ///< valid during Apply
    bool answer_wanted = false;
  };

  virtual ~StateMachine() = default;
  /// Takes over the state in `engine`, at start and after a snapshot was installed. Watchers and
  /// the like survive the change. `engine` must outlive its use here.
  virtual Status Load(storage::Engine& engine) = 0;
  /// The index of the last command in the loaded state: in the same batch as its effects.
  virtual LogIndex applied() const = 0;
  /// Whether somebody wants to hear of changes as soon as they are applied. Where nobody does, a
  /// replica may apply a little later.
  virtual bool watched() const = 0;
  /// Applies commands with ascending indexes > applied() in one engine batch, and moves applied()
  /// to `upto`
  /// (>= the last command's index; entries without a command move it too). Answers: one per
  /// command, nullptr where none is wanted. A command that is refused (a bad lease, say) is an
  /// Answer, the same on every replica; a Status error here means the disk or the state is broken:
  /// crash. It may stop after some of them, which took long enough for one turn: there are as many
  /// answers as commands were applied, at least one, and applied() is at the last of those.
  virtual Result<std::vector<std::unique_ptr<Answer>>> Apply(std::span<const Command> commands,
                                                             LogIndex upto, Term upto_term) = 0;
};

}  // namespace coterie::model

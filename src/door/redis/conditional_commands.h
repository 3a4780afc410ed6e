#pragma once

#include <string>

#include "door/redis/cell_commands.h"
#include "door/redis/command.h"
#include "node/leaderless/leaderless.h"

namespace coterie::door::redis {

/// Conditional string commands on lww keyspaces. Who decides them knows strings only: here it is
/// settled where they are decided, and that the key holds no hash. A hash that is written at the
/// same time wins or loses by its time, as any plain write does.
class ConditionalCommands final : public Executor {
 public:
  /// All outlive it. `strings` decides, on a node with the key's shard; `cells` are the plain ones.
  ConditionalCommands(node::Leaderless& leaderless, CellCommands& cells, Executor& strings)
      : leaderless_(leaderless), cells_(cells), strings_(strings) {}

  Step Begin(const Context&, Words, std::string&, node::WriteTicket&) override {
    return Step::kSuspend;
  }
  runtime::Task<std::string> Run(Context context, OwnedWords words) override;

 private:
  /// At a node that serves the key.
  runtime::Task<std::string> RunHere(Context context, OwnedWords words);
  /// The answer for a key that holds a hash.
  runtime::Task<std::string> RunOnHash(Context context, OwnedWords words);

  node::Leaderless& leaderless_;
  CellCommands& cells_;
  Executor& strings_;
};

}  // namespace coterie::door::redis

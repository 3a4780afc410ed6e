#pragma once

#include <string>

#include "door/redis/command.h"
#include "door/redis/forward.h"
#include "node/leaderless/leaderless.h"

namespace coterie::door::redis {

/// Conditional string commands on lww keyspaces. Who decides them knows strings only: here it is
/// settled where they are decided, and that the key holds no hash. A hash that is written at the
/// same time wins or loses by its time, as any plain write does.
class ConditionalCommands final : public Executor {
 public:
  /// All outlive it. `strings` decides, on a node with the key's shard; `cells` are the plain ones.
  ConditionalCommands(node::Leaderless& leaderless, Forwarder& forwarder, Executor& strings,
                      Executor& cells);

  Step Begin(const Context&, Words, std::string&, node::WriteTicket&) override {
    return Step::kSuspend;
  }
  runtime::Task<std::string> Run(Context context, OwnedWords words) override;

 private:
  /// The answer for a key that holds a hash.
  runtime::Task<std::string> RunOnHash(Context context, OwnedWords words);

  node::Leaderless& leaderless_;
  Forwarder& forwarder_;
  Executor& strings_;
  Executor& cells_;
};

}  // namespace coterie::door::redis

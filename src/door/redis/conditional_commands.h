#pragma once

#include <string>

#include "door/redis/cell_commands.h"
#include "door/redis/command.h"

namespace coterie::door::redis {

/// Conditional string commands on lww keyspaces, run at a node that serves the key: what is there,
/// a hash too, is judged where they are decided.
class ConditionalCommands final : public Executor {
 public:
  /// Both outlive it. `strings` decides, on a node with the key's shard; `cells` knows which.
  ConditionalCommands(CellCommands& cells, Executor& strings) : cells_(cells), strings_(strings) {}

  Step Begin(const Context&, Words, std::string&, node::WriteTicket&) override {
    return Step::kSuspend;
  }
  runtime::Task<std::string> Run(Context context, OwnedWords words) override;

 private:
  CellCommands& cells_;
  Executor& strings_;
};

}  // namespace coterie::door::redis

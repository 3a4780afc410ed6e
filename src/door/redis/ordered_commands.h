#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "door/redis/command.h"
#include "node/node.h"
#include "node/registers.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::door::redis {

/// Redis commands on raft and paxos keyspaces, every one of them linearizable.
///
/// On raft keyspaces a command reads one state of this node's replica and puts what it changes into
/// the log as one transaction, which happens only if what the command read is still so; if not, it
/// is decided again. Commands that change one key, from whichever connections, are decided together
/// and share a transaction, so that those of one node do not stand in each other's way. A command
/// that changes nothing waits for a read barrier first.
///
/// On paxos keyspaces a command is one round on one register; what would need several at once is
/// refused by name.
class OrderedCommands final : public Executor {
 public:
  struct Parts {
    /// The replica of a raft keyspace here; null: none, commands are passed on.
    std::function<node::KvKeyspace*(std::string_view keyspace)> raft;
    /// Null: there is no such paxos keyspace here.
    std::function<node::Registers*(std::string_view keyspace)> paxos;
    /// Has a node with a replica run the command: RedisDoor::PassOn. May be empty.
    std::function<runtime::Task<std::string>(Context context, OwnedWords words)> pass_on;
  };

  OrderedCommands(runtime::World& world, Parts parts);
  ~OrderedCommands() override;

  Step Begin(const Context& context, Words words, std::string& out,
             node::WriteTicket& ticket) override;
  runtime::Task<std::string> Run(Context context, OwnedWords words) override;
  /// All may but WATCH, EXEC, and what is about all keys.
  bool MayJoin(const Context& front, const Command& next) const override;
  /// On raft keyspaces the commands share transactions, and happen in order. On paxos keyspaces
  /// those of one key happen in order and share a round; those of different keys run side by side.
  runtime::Task<std::vector<std::string>> RunTogether(std::vector<Request> requests) override;

  /// Removes what has expired in a raft keyspace while this node leads it, a bounded number of keys
  /// at a time; what nobody reads would stay forever. Once a keyspace.
  void SweepExpired(std::string keyspace);

 private:
  friend class OrderedTransaction;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::door::redis

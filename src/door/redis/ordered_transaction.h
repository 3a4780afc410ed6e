#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "door/redis/command.h"

namespace coterie::door::redis {

/// What MULTI and WATCH left behind on one connection. The connection owns it, puts it into its
/// Context, and tells it what the door itself refuses; everything else is OrderedCommands'.
class Transaction {
 public:
  static constexpr std::size_t kCommandsMax = 10'000;
  static constexpr std::size_t kBytesMax = 1536u << 10;
  static constexpr std::size_t kWatchedMax = 1000;

  Transaction();
  ~Transaction();
  Transaction(const Transaction&) = delete;

  /// Between MULTI and EXEC or DISCARD: commands are queued.
  bool queueing() const;
  /// How many there are.
  std::size_t queued() const;
  /// The door refused a command (unknown, word count, not of this kind of keyspace): if open, EXEC
  /// will answer EXECABORT.
  void OnRefused();
  /// Whether `command`, which the connection itself would run, must not be now: then the error is
  /// written. Commands of the connection take no part in a transaction.
  bool Refuses(const Command& command, Reply& reply);
  /// RESET, or the end of the connection.
  void Reset();

 private:
  friend class OrderedCommands;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::door::redis

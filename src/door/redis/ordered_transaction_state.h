#pragma once

#include <string>
#include <vector>

#include "door/redis/ordered_raft.h"
#include "door/redis/ordered_transaction.h"

namespace coterie::door::redis {

struct Transaction::State {
  bool open = false;
  bool aborted = false;  ///< a command could not be queued
  std::vector<ordered::QueuedCommand> queued;
  std::size_t bytes = 0;
  std::string keyspace;  ///< of what is watched
  std::vector<ordered::Watched> watched;

  /// MULTI, DISCARD, UNWATCH, and what is said while it is open. False: it is for
  /// OrderedCommands::Run (WATCH, EXEC), or for nobody.
  bool Begin(const Context& context, Words words, Reply& reply);
  void Close() {
    open = aborted = false;
    queued.clear();
    bytes = 0;
    watched.clear();
  }

 private:
  void Queue(const Context& context, Words words, Reply& reply);
};

namespace ordered {

/// What an EXEC that is passed on to another node is to do: its Context's `operation`.
std::string EncodeExec(const std::vector<QueuedCommand>& commands,
                       const std::vector<Watched>& watched);
/// Fills in `commands` and `watched`. False: malformed.
bool DecodeExec(std::string_view bytes, Job& job);
/// What a WATCH that was passed on answers, as one bulk string a key.
std::string EncodeVersion(const Objects::Version& version);
/// nullopt: malformed.
std::optional<Objects::Version> DecodeVersion(std::string_view bytes);

}  // namespace ordered
}  // namespace coterie::door::redis

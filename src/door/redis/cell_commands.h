#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "door/redis/command.h"
#include "door/redis/forward.h"
#include "door/redis/scan_cursors.h"
#include "node/control.h"
#include "node/leaderless/leaderless.h"
#include "runtime/world.h"

namespace coterie::door::redis {

/// Commands on leaderless keyspaces. A command on keys whose shards are all here, at R = 1, is
/// begun and done on this node's replica without suspending. The others wait: for other replicas'
/// state (R > 1), for another node that has the key, or for the acknowledgements of several shards.
class CellCommands final : public Executor {
 public:
  /// Of the words of one command that writes: less than a mutation may have, so that what is too
  /// large is refused before anything is copied, sent or changed. Elements have their keys and
  /// versions besides: what is too large with those is refused by the edit.
  static constexpr std::size_t kWriteBytesMax = 24u << 20;

  /// All outlive it.
  CellCommands(runtime::World& world, node::Control& control, node::Leaderless& leaderless,
               Forwarder& forwarder);

  Step Begin(const Context& context, Words words, std::string& out,
             node::WriteTicket& ticket) override;
  runtime::Task<std::string> Run(Context context, OwnedWords words) override;
  /// Commands that only read may.
  bool MayJoin(const Context& front, const Command& next) const override;
  /// Other replicas are asked for all of their keys at the same time, and then they are answered in
  /// order, so that none shows an older state than the one before it.
  runtime::Task<std::vector<std::string>> RunTogether(std::vector<Request> requests) override;
  /// Runs `here` if this node serves the shard of `key`, else has a replica run the command; again
  /// with a newer map if the shard has moved.
  using Here = std::function<runtime::Task<std::string>(Context context, OwnedWords words)>;
  runtime::Task<std::string> RunWhereServed(Context context, OwnedWords words, std::string key,
                                            Here here);

 private:
  /// One sub-command of a command that is split by shard.
  struct Part {
    OwnedWords words;
    std::string key;                  // one of its keys
    std::vector<std::size_t> places;  // of its keys among the command's keys
  };

  /// Runs the handler on this node's replica.
  Step Execute(const Context& context, Words words, std::string& out, node::WriteTicket& ticket);
  /// The same, and waits for the acknowledgement.
  runtime::Task<std::string> ExecuteHere(Context context, OwnedWords words);
  /// The same on keys of one shard, refreshed first where reads of it wait for other replicas.
  runtime::Task<std::string> ExecuteFresh(Context context, OwnedWords words);
  /// Whether reads of it wait for other replicas.
  static bool Refreshes(const Context& context, Words words);
  bool AllHere(const Context& context, Words words, const std::vector<std::size_t>& keys) const;
  runtime::Task<Status> Refresh(Context context, std::vector<std::string> keys);
  /// The keys of a command that can be answered here once they are refreshed; nullopt: it cannot.
  std::optional<std::vector<std::string>> KeysToRefresh(const Request& request) const;
  /// A command whose keys are all of the shard of `key`, here or at a replica.
  runtime::Task<std::string> RunOnShard(Context context, OwnedWords words, std::string key);
  runtime::Task<std::string> RunSplit(Context context, OwnedWords words,
                                      std::vector<std::size_t> keys);
  static std::vector<Part> Split(const Context& context, const OwnedWords& words,
                                 const std::vector<std::size_t>& keys);

  // KEYS, DBSIZE, FLUSHDB ...: of all shards, wherever they are.
  runtime::Task<std::string> RunOnKeyspace(Context context, OwnedWords words);
  /// The command's part of one shard, here or at a replica.
  runtime::Task<std::string> OnShard(Context context, OwnedWords words, placement::Shard shard);
  runtime::Task<std::string> OnShardHere(Context context, OwnedWords words, ShardId shard);
  runtime::Task<std::string> Keys(Context context, OwnedWords words);
  runtime::Task<std::string> KeysHere(Context context, std::string pattern, ShardId shard);
  runtime::Task<std::string> Size(Context context);
  runtime::Task<std::string> Scan(Context context, OwnedWords words);
  std::string ScanHere(const Context& context, Words words, ShardId shard);
  runtime::Task<std::string> RandomKey(Context context);
  std::string RandomKeyHere(const Context& context, ShardId shard);
  runtime::Task<std::string> Flush(Context context, OwnedWords words);
  runtime::Task<std::string> FlushHere(Context context, ShardId shard);

  runtime::World& world_;
  node::Control& control_;
  node::Leaderless& leaderless_;
  Forwarder& forwarder_;
  ScanCursors cursors_;
  std::map<ShardId, std::string> random_after_;  // where RANDOMKEY goes on
};

}  // namespace coterie::door::redis
